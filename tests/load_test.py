"""
The load scenario, for Locust: people who read, producers and operators who write, and pages on the live feed.

``nox -s load`` starts everything that this needs (:mod:`benchmarks.load`) and judges what came of it. Readers act four
times a second, writers twice; sockets listen, come back where they were, and check that they miss nothing.
"""

from __future__ import annotations

import itertools
import os
import random
import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import gevent
import msgspec
from locust import FastHttpUser, User, between, constant, events, task
from prometheus_client.parser import text_string_to_metric_families
from websockets.sync.client import ClientConnection, connect

from benchmarks.load.exchange import CREATION_MS, CREATIONS, STAGE, TOLD, WRITTEN, Measured, Stage

API = "/api/v1"
FLIP = {"unavailable": 5, "healthy": 10}
"""So many reported attempts, all failed or all well, give a webhook this health whatever it was."""

STAYS_S = (20.0, 60.0)
"""How long a socket stays before it comes back."""

COUNTED = {
    "monitor_cache_reads_total": "",
    "monitor_cache_creations_total": CREATIONS,
    "monitor_cache_creation_seconds_total": CREATION_MS,
}
"""By the name of the metric."""

NUMBERED = {"alert_new", "alert_updated", "webhook_status_changed", "anomaly_opened", "anomaly_closed"}


class Frame(msgspec.Struct):
    type: str
    epoch: str
    seq: int
    at: datetime
    data: msgspec.Raw


class StatusChanged(msgspec.Struct):
    webhook_id: str
    status: str


class Record:
    """All that is measured, once the warm-up is over."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.samples: dict[str, list[float]] = {}
        self.errors: Counter[str] = Counter()
        self.flips: dict[tuple[str, str], float] = {}
        """When a webhook was last told to take a status."""
        self._began_s: float | None = None
        self._counted: Counter[tuple[str, str]] = Counter()

    def begin(self) -> None:
        self._counted = self._cache_counts()
        self._began_s = time.perf_counter()

    def take(self, name: str, ms: float, exception: BaseException | None) -> None:
        if exception is not None:
            self.errors[f"{name}: {exception!r}"[:300]] += 1
        elif self._began_s is not None:
            self.samples.setdefault(name, []).append(ms)

    def end(self) -> None:
        assert self._began_s is not None, "the run was over before the warm-up"
        seconds, self._began_s = time.perf_counter() - self._began_s, None
        views: dict[str, dict[str, float]] = {}
        for (view, name), count in (self._cache_counts() - self._counted).items():
            views.setdefault(view, {})[name] = count
        measured = Measured(seconds, self.samples, dict(self.errors), views)
        Path(self.stage.result).write_bytes(msgspec.json.encode(measured))

    def _cache_counts(self) -> Counter[tuple[str, str]]:
        """Return, of all servers, the reads of each view by source, its creations and their milliseconds."""
        counts: Counter[tuple[str, str]] = Counter()
        for base in self.stage.servers:
            request = Request(f"{base}/metrics", headers={"Authorization": f"Bearer {self.stage.viewers[0]}"})
            with urlopen(request) as answer:
                for family in text_string_to_metric_families(answer.read().decode()):
                    for sample in family.samples:
                        name = COUNTED.get(sample.name)
                        if name is not None:
                            value = sample.value * (1000 if name == CREATION_MS else 1)
                            counts[sample.labels["view"], sample.labels.get("source", name)] += round(value)
        return counts


RECORD = Record(msgspec.json.decode(Path(os.environ[STAGE]).read_bytes(), type=Stage))
NUMBERS = {kind: itertools.count() for kind in ("reader", "writer", "watcher")}


@events.request.add_listener
def _take(request_type: str, name: str, response_time: float, exception: BaseException | None, **_: Any) -> None:
    RECORD.take(f"{request_type} {name}", response_time, exception)


@events.test_start.add_listener
def _begin(**_: Any) -> None:
    gevent.spawn_later(RECORD.stage.warm_up_s, RECORD.begin)


@events.test_stop.add_listener
def _end(**_: Any) -> None:
    RECORD.end()


class Caller(FastHttpUser):
    """A user with a number, at one of the servers."""

    abstract = True
    kind = ""

    def __init__(self, environment: Any) -> None:
        self.number = next(NUMBERS[self.kind])
        servers = RECORD.stage.servers
        self.host = servers[self.number % len(servers)]
        super().__init__(environment)

    def call(self, token: str, method: str, route: str, expected: int = 200, json: Any = None, **ids: str) -> bytes:
        """Call *route*; anything but the *expected* status, or an answer marked stale, is an error."""
        headers = {"Authorization": f"Bearer {token}", "Accept-Encoding": "gzip"}
        address = API + route.format_map(ids)
        with self.client.request(
            method, address, name=API + route, headers=headers, json=json, catch_response=True
        ) as answer:
            body: bytes = answer.content or b""
            if answer.status_code != expected:
                answer.failure(f"{answer.status_code} {body[:200]!r}")
            elif b'"stale":true' in body:
                answer.failure("stale")
            else:
                answer.success()
        return body


READS: dict[str, int] = {
    "/dashboard": 20,
    "/dashboard/overview": 20,
    "/dashboard/webhooks": 10,
    "/dashboard/performance": 5,
    "/dashboard/anomalies": 5,
    "/webhooks": 10,
    "/webhooks/{id}": 10,
    "/webhooks/{id}/attempts": 4,
    "/webhooks/{id}/metrics": 4,
    "/alerts": 8,
    "/alerts/stats/summary": 5,
    "/deliveries": 4,
    "/events": 4,
}
"""How often each is read, in relation to the others."""


class Reader(Caller):
    """Somebody who looks at the dashboard, and now and then behind it."""

    kind = "reader"
    weight = 50
    wait_time = between(0.125, 0.375)

    @task
    def read(self) -> None:
        (route,) = random.choices(list(READS), list(READS.values()))
        self.call(RECORD.stage.viewers[self.number], "GET", route, id=random.choice(RECORD.stage.webhooks))


class Writer(Caller):
    """A producer, which at times is an operator, too."""

    kind = "writer"
    weight = 20
    wait_time = between(0.25, 0.75)

    def on_start(self) -> None:
        stage = RECORD.stage
        self.producer, self.admin = stage.publishers[self.number], stage.admins[self.number]
        self.flipping, self.changing = stage.flipping[self.number], stage.changing[self.number]
        self.status = "healthy"
        self.acts: dict[Callable[[], None], int] = {
            self.publish: 700,
            self.publish_many: 60,
            self.report: 220,
            self.flip: 10,
            self.patch: 2,
            self.hold: 2,
            self.come_and_go: 2,
            self.silence: 2,
            self.acknowledge: 2,
        }

    @task
    def write(self) -> None:
        (act,) = random.choices(list(self.acts), list(self.acts.values()))
        act()

    def publish(self) -> None:
        self.call(self.producer, "POST", "/events", 202, self._event())

    def publish_many(self) -> None:
        self.call(self.producer, "POST", "/events", 202, {"events": [self._event() for _ in range(20)]})

    def report(self) -> None:
        id_ = random.choice(RECORD.stage.webhooks)
        self.call(self.producer, "POST", "/webhooks/{id}/attempts", 202, _attempts(20, 200), id=id_)

    def flip(self) -> None:
        """Turn the health of a webhook over, which every socket hears of."""
        self.status = "unavailable" if self.status == "healthy" else "healthy"
        attempts = _attempts(FLIP[self.status], 200 if self.status == "healthy" else 503)
        RECORD.flips[self.flipping, self.status] = time.perf_counter()
        self.call(self.producer, "POST", "/webhooks/{id}/attempts", 202, attempts, id=self.flipping)

    def patch(self) -> None:
        change = {"description": f"changed at {datetime.now(UTC).isoformat()}"}
        self.call(self.admin, "PATCH", "/webhooks/{id}", 200, change, id=self.changing)

    def hold(self) -> None:
        for step in ("pause", "resume"):
            self.call(self.admin, "POST", f"/webhooks/{{id}}/{step}", 200, id=self.changing)

    def come_and_go(self) -> None:
        webhook = {"name": "here for a moment", "url": RECORD.stage.receiver, "event_types": ["load.none"]}
        made = msgspec.json.decode(self.call(self.admin, "POST", "/webhooks", 201, webhook) or b"{}")
        if "id" in made:
            self.call(self.admin, "DELETE", "/webhooks/{id}", 204, id=made["id"])

    def silence(self) -> None:
        ends_at = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
        asked = {"reason": "load", "ends_at": ends_at, "webhook_id": self.changing}
        made = msgspec.json.decode(self.call(self.admin, "POST", "/silences", 201, asked) or b"{}")
        if "id" in made:
            self.call(self.admin, "DELETE", "/silences/{id}", 204, id=made["id"])

    def acknowledge(self) -> None:
        pending = msgspec.json.decode(self.call(self.admin, "GET", "/alerts") or b'{"items": []}')["items"]
        if pending:
            id_ = random.choice(pending)["id"]
            self.call(self.admin, "POST", "/alerts/{id}/ack", 200, {"note": "seen"}, id=id_)

    def _event(self) -> dict[str, Any]:
        return {"type": random.choice(RECORD.stage.event_types), "payload": {"order": random.randrange(10**9)}}


class Watcher(User):
    """A page on the live feed."""

    weight = 30
    wait_time = constant(0)

    def on_start(self) -> None:
        self.number = next(NUMBERS["watcher"])
        self.position: tuple[str, int] | None = None

    @task
    def watch(self) -> None:
        stage = RECORD.stage
        base = stage.servers[self.number % len(stage.servers)].replace("http", "ws", 1)
        query = "" if self.position is None else "?epoch={}&seq={}".format(*self.position)
        headers = {"Authorization": f"Bearer {stage.watchers[self.number]}"}
        self.since_s = time.perf_counter()
        try:
            with connect(f"{base}/ws/dashboard{query}", additional_headers=headers, compression=None) as socket:
                _tell("WS /ws/dashboard", (time.perf_counter() - self.since_s) * 1000)
                self._listen(socket, time.monotonic() + random.uniform(*STAYS_S))
        except Exception as error:  # noqa: BLE001 - whatever it is, it is counted
            _tell("WS /ws/dashboard", 0, error)
            gevent.sleep(1)

    def _listen(self, socket: ClientConnection, until_s: float) -> None:
        while time.monotonic() < until_s:
            try:
                text = socket.recv(timeout=1)
            except TimeoutError:
                continue
            self._see(msgspec.json.decode(text, type=Frame))

    def _see(self, frame: Frame) -> None:
        """Hold *frame* against the last one: nothing may be missing and nothing come twice."""
        if frame.type != "snapshot" and self.position is not None:
            epoch, seq = self.position
            if (frame.epoch, frame.seq) != (epoch, seq + (frame.type in NUMBERED)):
                raise RuntimeError(f"{frame.type} {frame.epoch} {frame.seq} after {epoch} {seq}")
        self.position = frame.epoch, frame.seq
        if frame.type == "webhook_status_changed":
            told = msgspec.json.decode(frame.data, type=StatusChanged)
            written_s = RECORD.flips.get((told.webhook_id, told.status))
            # What happened before this socket was there came late for good reason.
            if written_s is not None and written_s > self.since_s:
                _tell(WRITTEN, (time.perf_counter() - written_s) * 1000)
                _tell(TOLD, (datetime.now(UTC) - frame.at) / timedelta(milliseconds=1))


def _attempts(count: int, status_code: int) -> dict[str, Any]:
    at = datetime.now(UTC)
    times = (at - timedelta(milliseconds=count - i) for i in range(count))
    return {
        "attempts": [
            {"delivered_at": time_.isoformat(), "status_code": status_code, "latency_ms": random.lognormvariate(3, 0.4)}
            for time_ in times
        ]
    }


def _tell(name: str, ms: float, error: BaseException | None = None) -> None:
    method, _, name = name.partition(" ")
    events.request.fire(request_type=method, name=name, response_time=ms, response_length=0, exception=error)
