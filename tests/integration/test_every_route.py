"""
Every status that the documentation promises is answered here, by every operation that promises it.

The table is made from the routes: a new one fails until somebody shows how it succeeds and how it fails.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from typing import Any, NamedTuple

import httpx
import msgspec
import pytest

from monitor.bootstrap.container import Container
from monitor.cli.openapi import document
from monitor.domain.services.jobs import JobCommands
from monitor.domain.services.webhooks import MAX_SECRETS
from monitor.domain.vocab import Role
from monitor.http.middleware.authentication import Authenticate
from monitor.http.middleware.rate_limit import API_BODY_BYTES, BATCH_BODY_BYTES
from monitor.settings.schema import Http
from tests.integration.detection_support import Watch, alert, fail
from tests.integration.support import API, Api, Receiver, api_of, assert_problem, execute, finished, settings, working
from tests.servers import free_port

NOBODY = "00000000-0000-7000-8000-000000000000"
JSON = {"Content-Type": "application/json"}
KEY = {"Idempotency-Key": "one"}
SENDING = {"test_webhook", "send_sample_alert"}
"""Operations without a body that an Idempotency-Key makes safe to repeat."""
STALE = {"If-Match": '"999.00000000"'}


class Operation(NamedTuple):
    id: str
    method: str
    path: str
    role: str | None
    has_body: bool
    filters: tuple[str, ...]
    statuses: tuple[int, ...]


def operations() -> Iterator[Operation]:
    for path, item in msgspec.json.decode(document())["paths"].items():
        for method, told in item.items():
            filters = (parameter["name"] for parameter in told.get("parameters", ()) if parameter["in"] == "query")
            yield Operation(
                told["operationId"],
                method.upper(),
                path,
                told["x-role"],
                "requestBody" in told,
                tuple(filters),
                tuple(map(int, told["responses"])),
            )


OPERATIONS = tuple(operations())
SOMEBODY_ELSE_WAS_FIRST = """
CREATE FUNCTION too_late() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
CREATE TRIGGER too_late BEFORE UPDATE ON alerts FOR EACH ROW EXECUTE FUNCTION too_late();
"""
"""A conditional update that finds no row, as when another transaction changed it meanwhile."""


def answering(status: int) -> list[Operation]:
    found = [operation for operation in OPERATIONS if status in operation.statuses]
    assert found
    # What ends a thing comes last.
    return sorted(found, key=lambda operation: (operation.method == "DELETE", operation.id == "resolve_alert"))


class Stage:
    """Something of each kind, and what to send to whom."""

    def __init__(self, api: Api, now: Callable[[], Any]) -> None:
        self.api = api
        self.now = now
        self.ids: dict[str, str] = {}

    async def set(self, parts: Container, receiver: Receiver) -> None:
        self.url = receiver.url
        self.ids["webhook_id"] = (await self.api.create(receiver.url))["id"]
        (self.ids["event_id"],) = await self.api.publish(1)
        (self.ids["delivery_id"],) = await self.api.ids("deliveries")
        await fail(self.api, self.ids["webhook_id"])
        self.ids["attempt_id"] = (await self.api.ids(f"webhooks/{self.ids['webhook_id']}/attempts"))[0]
        await Watch(parts).look()
        self.ids["alert_id"] = (await alert(self.api, self.ids["webhook_id"]))["id"]
        bodies, replay = self.bodies(), f"webhooks/{self.ids['webhook_id']}/replay"
        self.ids["silence_id"] = (await self.api.post("silences", json=bodies["create_silence"])).json()["id"]
        self.ids["replay_id"] = (await self.api.post(replay, json=bodies["replay"])).json()["id"]
        self.ids["job_id"] = self.ids["replay_id"]

    def bodies(self) -> dict[str, Any]:
        now = self.now()
        webhook = {"name": "n", "url": self.url}
        silence = {"reason": "r", "ends_at": (now + timedelta(hours=1)).isoformat(), "kind": "volume"}
        return {
            "create_webhook": webhook,
            "replace_webhook": webhook,
            "patch_webhook": {"name": "m"},
            "rotate_secret": {"overlap_s": 60},
            "replay": {"from": (now - timedelta(hours=1)).isoformat(), "to": now.isoformat()},
            "bulk_deliveries": {"action": "retry", "filter": {"state": "failed"}},
            "resend_event": {},
            "report_attempts": {"attempts": [{"delivered_at": now.isoformat(), "status_code": 200, "latency_ms": 1}]},
            "publish": {"type": "a.b", "payload": 1},
            "acknowledge_alert": {"note": "n"},
            "resolve_alert": {"note": "n"},
            "unacknowledge_alert": {"note": "n"},
            "comment_on_alert": {"text": "t"},
            "acknowledge_alerts": {"ids": [self.ids.get("alert_id", NOBODY)]},
            "create_silence": silence,
            "preview_silence": silence,
            "revoke_token": {"jti": "another"},
        }

    async def call(
        self, operation: Operation, /, ids: Mapping[str, str] | None = None, **options: Any
    ) -> httpx.Response:
        """Call *operation* as it should be called, but for *options*."""
        address = operation.path.format_map(self.ids if ids is None else ids)
        if operation.has_body and not {"content", "json"} & options.keys():
            options["json"] = self.bodies()[operation.id]
        options.setdefault("role", None if operation.role is None else Role(operation.role))
        return await self.api.call(operation.method, address, **options)


class Nobodies(dict[str, str]):
    def __missing__(self, name: str) -> str:
        return NOBODY


@pytest.fixture
async def stage(api: Api, parts: Container, receiver: Receiver) -> Stage:
    stage = Stage(api, parts.clock.now)
    await stage.set(parts, receiver)
    return stage


def test_every_status_has_a_test_below() -> None:
    shown = {int(name[-3:]) for name in globals() if re.fullmatch(r"test_.*_[2-5]\d\d", name)} | {200, 201, 202, 204}
    assert {status for operation in OPERATIONS for status in operation.statuses} <= shown


async def test_every_operation_succeeds(stage: Stage) -> None:
    for operation in answering(200) + answering(201) + answering(202) + answering(204):
        if operation.id in {"replay", "bulk_deliveries"}:
            # They have two ways to succeed; see below.
            continue
        response = await stage.call(operation)
        assert response.status_code == min(operation.statuses), (operation, response.text)
    created = await stage.api.create(stage.url)
    stage.ids["webhook_id"] = created["id"]
    for id_ in ("replay", "bulk_deliveries"):
        operation = next(operation for operation in OPERATIONS if operation.id == id_)
        assert (await stage.call(operation)).status_code == 202
        counted = await stage.call(operation, json=stage.bodies()[id_] | {"dry_run": True})
        assert counted.status_code == 200


async def test_what_has_not_changed_304(stage: Stage) -> None:
    for operation in answering(304):
        # A closed range: an open one may count another second meanwhile.
        params = {"from": "2026-01-01T00:00:00Z", "to": "2026-01-01T01:00:00Z"} if operation.id == "get_metrics" else {}
        first = await stage.call(operation, params=params)
        assert first.headers["etag"], operation
        again = await stage.call(operation, params=params, headers={"If-None-Match": first.headers["etag"]})
        assert (again.status_code, again.content) == (304, b""), operation


async def test_what_cannot_be_read_400(stage: Stage) -> None:
    for operation in answering(400):
        if operation.has_body:
            response = await stage.call(operation, content=b"{", headers=JSON)
        elif operation.filters:
            response = await stage.call(operation, params={operation.filters[-1]: "\x00"})
        else:
            response = await stage.call(operation, headers={"Host": "a b"})
        assert_problem(response, 400, "malformed")


async def test_without_a_token_401(stage: Stage) -> None:
    for operation in answering(401):
        assert_problem(await stage.call(operation, role=None), 401, "missing_token")
        bad = await stage.call(operation, role=None, headers={"Authorization": "Bearer a.b.c"})
        assert_problem(bad, 401, "invalid_token")


async def test_with_less_than_the_role_403(stage: Stage) -> None:
    for operation in answering(403):
        needed = Role(operation.role or "")
        refused = [role for role in Role if not role.includes(needed)]
        assert refused
        for role in refused:
            assert_problem(await stage.call(operation, role=role), 403, "insufficient_scope")


async def test_what_is_not_there_404(stage: Stage) -> None:
    assert {operation for operation in OPERATIONS if "{" in operation.path} == set(answering(404))
    for operation in answering(404):
        assert_problem(await stage.call(operation, ids=Nobodies()), 404, "not_found")


async def test_what_its_state_forbids_409(stage: Stage, parts: Container) -> None:
    async with working(parts):
        await finished(stage.api, 1)
    await JobCommands(parts.unit_of_work).run()
    resolve = next(operation for operation in OPERATIONS if operation.id == "resolve_alert")
    await execute(parts, SOMEBODY_ELSE_WAS_FIRST)
    comment = next(operation for operation in OPERATIONS if operation.id == "comment_on_alert")
    for operation in (resolve, comment):
        assert_problem(await stage.call(operation), 409, "raced")
    await execute(parts, "DROP TRIGGER too_late ON alerts")
    assert (await stage.call(resolve)).status_code == 200
    changes: dict[str, dict[str, Any]] = {
        "replace_webhook": {"name": "n", "url": stage.url, "signature": "v1a"},
        "patch_webhook": {"signature": "v1a"},
        "rotate_secret": {"overlap_s": 3600},
    }
    rotate = next(operation for operation in OPERATIONS if operation.id == "rotate_secret")
    for _ in range(MAX_SECRETS - 1):
        assert (await stage.call(rotate, json=changes["rotate_secret"])).status_code == 200
    await execute(parts, "DELETE FROM events")
    async with parts.unit_of_work() as uow:
        # As of messages that are being sent.
        for kind in ("test", "sample"):
            scope = f"ada {kind} {stage.ids['webhook_id']}"
            await uow.idempotency.begin(scope, KEY["Idempotency-Key"], b"")
            begun = msgspec.json.encode({"began_at": uow.now})
            await uow.idempotency.finish(scope, KEY["Idempotency-Key"], begun)
        await uow.commit()
    disabled = stage.ids | {"webhook_id": (await stage.api.create(stage.url, enabled=False))["id"]}
    for operation in answering(409):
        if operation not in (resolve, comment):
            options: dict[str, Any] = {"json": changes[operation.id]} if operation.id in changes else {}
            if operation.id in SENDING:
                options["headers"] = KEY
            ids = disabled if operation.id == "send_now" else None
            assert_problem(await stage.call(operation, ids, **options), 409, "conflict")


async def test_a_change_of_what_has_changed_412(stage: Stage) -> None:
    for operation in answering(412):
        assert_problem(await stage.call(operation, headers=STALE), 412, "stale")


async def test_a_body_too_large_413(stage: Stage) -> None:
    for operation in answering(413):
        limit = BATCH_BODY_BYTES if operation.role == "publisher" else API_BODY_BYTES
        assert_problem(await stage.call(operation, content=b" " * (limit + 1), headers=JSON), 413, "too_large")


async def test_a_body_of_another_type_415(stage: Stage) -> None:
    for operation in answering(415):
        response = await stage.call(operation, content=b"{}", headers={"Content-Type": "text/plain"})
        assert_problem(response, 415, "unsupported_media_type")


async def test_what_breaks_a_rule_422(stage: Stage) -> None:
    for operation in answering(422):
        slug = "invalid"
        if operation.has_body:
            response = await stage.call(operation, json={"unknown": 1})
        elif operation.id in SENDING:
            assert (await stage.call(operation, headers=KEY)).status_code == 200
            response, slug = await stage.call(operation, headers=KEY, content=b"{}"), "idempotency_mismatch"
        else:
            response = await stage.call(operation, params={"from": "2026-01-01T00:00:00"})
        assert_problem(response, 422, slug)


async def test_too_many_requests_429(parts: Container, stage: Stage) -> None:
    limited = settings(parts.database.dsn, http=Http(rate_limit_per_s=0.001, rate_burst=1))
    async with Container(limited) as own, api_of(own) as api:
        held = Stage(api, parts.clock.now)
        held.ids, held.url = stage.ids, stage.url
        for operation in answering(429):
            await held.call(operation, ids=Nobodies(), subject=operation.id)
            response = await held.call(operation, ids=Nobodies(), subject=operation.id)
            assert_problem(response, 429, "too_many_requests")
            assert int(response.headers["retry-after"]) >= 1


async def test_a_fault_of_ours_500(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(*_: object) -> None:
        raise RuntimeError("password=hunter2")

    monkeypatch.setattr(Authenticate, "__call__", broken)
    assert set(answering(500)) == set(OPERATIONS)
    for operation in answering(500):
        assert_problem(await stage.call(operation), 500, "internal")


async def test_without_a_database_503(parts: Container, stage: Stage) -> None:
    gone = settings(f"postgresql://postgres@127.0.0.1:{free_port()}/monitor")
    async with Container(gone) as own, api_of(own) as api:
        alone = Stage(api, parts.clock.now)
        alone.ids, alone.url = stage.ids, stage.url
        for operation in answering(503):
            response = await alone.call(operation)
            assert_problem(response, 503, "unavailable")
            assert int(response.headers["retry-after"]) >= 1


def test_all_of_the_api_is_among_them(api: Api) -> None:
    served = {route.path_format for route in api.app.routes if route.path.startswith(API)}
    assert served == {operation.path for operation in OPERATIONS if operation.path.startswith(API)}
