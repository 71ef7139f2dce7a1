"""Users of the API with a journal: what they asked for, when, and what was answered."""

from __future__ import annotations

import asyncio
import itertools
import math
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from tests.chaos.plan import Step
from tests.chaos.producer import WIDE
from tests.chaos.receivers import Hook
from tests.faults.system import Served

PATIENCE_S = 90.0
AT_ONCE = 10
SOON = timedelta(minutes=1)
FEW = {"wide0", "wide1", "wide2"}
"""Those of the many webhooks that are changed as the others are."""
READS = (
    "dashboard", "dashboard/overview", "dashboard/webhooks", "dashboard/performance", "webhooks", "deliveries",
    "deliveries?state=failed", "events", "alerts?state=all", "audit-log",
)  # fmt: skip
RANGE = {"from": "2020-01-01T00:00:00Z", "to": "2100-01-01T00:00:00Z"}


@dataclass
class Registered:
    """
    One webhook and what its owner knows of it. Times are monotonic.

    Attributes:
        asked_at: when its creation was asked for; ``known_at``: when it was answered.
        unsure: when it may or may not have been a subscriber: begin and end.
        cancelled: events whose deliveries were asked to be cancelled, or may have been by a deletion.
        jobs: replays, each with whether it was cancelled; ``None`` where that is open.
    """

    id: str
    hook: Hook
    members: dict[str, Any]
    asked_at: float
    known_at: float
    version: int = 0
    deleted_from: float = math.inf
    deleted_at: float = math.inf
    poisoned: bool = False
    unsure: list[tuple[float, float]] = field(default_factory=list)
    cancelled: set[str] = field(default_factory=set)
    jobs: dict[str, bool | None] = field(default_factory=dict)

    @property
    def kind(self) -> str:
        return self.hook.name.rstrip("0123456789")

    @property
    def alive(self) -> bool:
        return self.deleted_from == math.inf


class People:
    """``unexpected`` holds answers that no user should get."""

    def __init__(self, servers: Sequence[Served], spare: list[Hook]) -> None:
        self.webhooks: list[Registered] = []
        self.unexpected: list[str] = []
        self.answers: Counter[str] = Counter()
        self._servers = servers
        self._turn = itertools.count()
        self._spare = spare
        self._keys = itertools.count()

    async def call(self, method: str, path: str, *, within_s: float = PATIENCE_S, **options: Any) -> httpx.Response:
        """Repeat a call that may be repeated until it is answered for certain."""
        deadline = time.monotonic() + within_s
        while True:
            server = self._servers[next(self._turn) % len(self._servers)]
            try:
                answer = await server.client.call(method, path, **options)
            except httpx.TransportError as error:
                self.answers[type(error).__name__] += 1
                assert time.monotonic() < deadline, f"no answer to {method} {path}"
            else:
                self.answers[str(answer.status_code)] += 1
                if answer.status_code >= 500 and answer.status_code != 503:
                    self.unexpected.append(f"{method} {path}: {answer.status_code} {answer.text[:300]}")
                if answer.status_code < 500 and "urn:monitor:problem:raced" not in answer.text:
                    return answer
                assert time.monotonic() < deadline, f"{method} {path}: {answer.text[:300]}"
            await asyncio.sleep(0.3)

    async def do(self, step: Step) -> None:
        await getattr(self, step.name)(step.number)

    def some(self, number: int, *kinds: str) -> Registered | None:
        """Return one of the living webhooks of these kinds, or of all; few of the many are as good as all of them."""
        found = [w for w in self.webhooks if w.alive and not w.poisoned and w.kind in (kinds or {w.kind})]
        found = [w for w in found if w.kind != "wide" or w.hook.name in FEW]
        return found[number % len(found)] if found else None

    async def register(self, hook: Hook, **members: Any) -> Registered:
        asked_at, key = time.monotonic(), f"webhook-{next(self._keys)}"
        body = {"name": hook.name, "url": hook.url(), **members}
        answer = await self.call("POST", "webhooks", json=body, headers={"idempotency-key": key})
        assert answer.status_code == 201, answer.text
        made = Registered(answer.json()["id"], hook, members, asked_at, time.monotonic())
        self.webhooks.append(made)
        return made

    async def create(self, number: int) -> None:
        if self._spare:
            # Every second one while a fan-out of the other type may be under way.
            types = [f"chaos.{number % 4}", *[WIDE] * (number % 2)]
            await self.register(self._spare.pop(), event_types=types, retry={"schedule_s": [0] + [1] * 30})

    async def delete(self, number: int) -> None:
        if (webhook := self.some(number, "passing")) is not None:
            webhook.deleted_from = time.monotonic()
            answer = await self.call("DELETE", f"webhooks/{webhook.id}")
            self._expect(answer, 204, 404)
            webhook.deleted_at = time.monotonic()

    async def patch_url(self, number: int) -> None:
        if (webhook := self.some(number)) is not None:
            webhook.version += 1
            await self._patch(webhook, {"url": webhook.hook.url(webhook.version)})

    async def patch_timeout(self, number: int) -> None:
        if (webhook := self.some(number)) is not None:
            await self._patch(webhook, {"timeout_s": 3 + number % 5})

    async def pause(self, number: int) -> None:
        """Pause for a while, then resume."""
        if (webhook := self.some(number)) is not None:
            self._expect(await self.call("POST", f"webhooks/{webhook.id}/pause"), 200, 404)
            await asyncio.sleep(1.0 + number % 3)
            self._expect(await self.call("POST", f"webhooks/{webhook.id}/resume"), 200, 404)

    async def cancel(self, number: int) -> None:
        if (webhook := self.some(number, "hostile", "plain")) is not None:
            for delivery in await self.deliveries(webhook, "pending", 2):
                webhook.cancelled.add(delivery["event_id"])
                self._expect(await self.call("POST", f"deliveries/{delivery['id']}/cancel"), 200, 409)

    async def retry(self, number: int) -> None:
        if (webhook := self.some(number, "hostile", "plain", "small")) is not None:
            for state in ("pending", "failed", "cancelled"):
                for delivery in await self.deliveries(webhook, state, 1):
                    self._expect(await self.call("POST", f"deliveries/{delivery['id']}/retry"), 200, 409, 404)

    async def replay(
        self, number: int, states: Sequence[str] = ("failed", "cancelled")
    ) -> tuple[Registered, str] | None:
        """Return the webhook and the id of the job."""
        if (webhook := self.some(number, "hostile", "plain", "small")) is None:
            return None
        key = {"idempotency-key": f"replay-{next(self._keys)}"}
        body = {**RANGE, "states": [*states]}
        answer = await self.call("POST", f"webhooks/{webhook.id}/replay", json=body, headers=key)
        self._expect(answer, 202, 404)
        if answer.status_code != 202:
            return None
        id_: str = answer.json()["id"]
        webhook.jobs[id_] = False
        return webhook, id_

    async def cancel_job(self, number: int) -> None:
        """Replay, and cancel that at once or a little later."""
        if (started := await self.replay(number, ("failed", "cancelled", "delivered"))) is not None:
            webhook, id_ = started
            webhook.jobs[id_] = None
            await asyncio.sleep(number % 3)
            answer = await self.call("POST", f"jobs/{id_}/cancel")
            self._expect(answer, 200, 409)
            webhook.jobs[id_] = answer.status_code == 200

    async def disable_by_410(self, number: int) -> None:
        """Have a receiver answer 410 until its webhook is disabled; then move it, so that a probe enables it."""
        if (webhook := self.some(number, "probed")) is not None:
            webhook.hook.mood = "disable"
            await asyncio.sleep(2.0 + number % 3)
            webhook.hook.mood = "ok"
            webhook.version += 1
            await self._patch(webhook, {"url": webhook.hook.url(webhook.version)})

    async def replay_delivered(self, number: int) -> None:
        await self.replay(number, ("delivered",))

    async def read(self, number: int) -> None:
        for path in (READS[number % len(READS)], READS[(number + 3) % len(READS)]):
            self._expect(await self.call("GET", path), 200)

    async def deliveries(self, webhook: Registered, state: str, limit: int) -> list[dict[str, Any]]:
        path = f"deliveries?webhook_id={webhook.id}&state={state}&limit={limit}"
        answer = await self.call("GET", path)
        self._expect(answer, 200)
        items: list[dict[str, Any]] = answer.json()["items"] if answer.status_code == 200 else []
        return items

    async def recover(self) -> None:
        """Do once what an operator does after an outage: resume, enable, and retry by hand what a breaker holds."""
        # Most of the many webhooks have good receivers, and no user changes them.
        alive = [one for one in self.webhooks if one.alive and (one.kind != "wide" or one.hook.name in FEW)]
        for webhook, now in zip(alive, await self.shown(alive), strict=True):
            if now["paused_at"] is not None:
                self._expect(await self.call("POST", f"webhooks/{webhook.id}/resume"), 200)
            if not now["enabled"] and webhook.kind == "probed":
                # One that a late 410 disabled after its move is moved once more. A probe follows within 15 s.
                later = f"{datetime.now(UTC) + SOON:%Y-%m-%dT%H:%M:%SZ}"
                if ((now["disabled"] or {}).get("next_probe_at") or "") > later:
                    webhook.version += 1
                    await self._patch(webhook, {"url": webhook.hook.url(webhook.version)})
            elif not now["enabled"]:
                await self._patch(webhook, {"enabled": True})
            if (now["held"] or {}).get("reason") in {"circuit_open", "refused"}:
                for delivery in await self.deliveries(webhook, "pending", 1):
                    self._expect(await self.call("POST", f"deliveries/{delivery['id']}/retry"), 200, 409)

    async def shown(self, webhooks: Sequence[Registered]) -> list[dict[str, Any]]:
        """Read each of *webhooks*, several at once."""
        found: list[dict[str, Any]] = []
        for first in range(0, len(webhooks), AT_ONCE):
            some = webhooks[first : first + AT_ONCE]
            answers = await asyncio.gather(*(self.call("GET", f"webhooks/{webhook.id}") for webhook in some))
            found += [answer.json() for answer in answers]
        return found

    async def _patch(self, webhook: Registered, changes: dict[str, Any]) -> None:
        headers = {"content-type": "application/merge-patch+json"}
        answer = await self.call("PATCH", f"webhooks/{webhook.id}", json=changes, headers=headers)
        self._expect(answer, 200, 404)

    def _expect(self, answer: httpx.Response, *statuses: int) -> None:
        if answer.status_code not in statuses:
            request = answer.request
            self.unexpected.append(f"{request.method} {request.url.path}: {answer.status_code} {answer.text[:300]}")
