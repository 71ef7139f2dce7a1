"""A plain event is accepted in front of the framework; both paths answer alike, header by header."""

from __future__ import annotations

from functools import cache
from typing import Any

import httpx
import pytest

from monitor.bootstrap.container import Container
from monitor.domain.errors import Unavailable
from monitor.domain.services.publish import Publisher
from monitor.domain.vocab import Role
from monitor.http.middleware.publish_fast_path import MAX_BYTES, PublishFastPath
from tests.integration.support import Api, execute, served

FAST, FULL = "application/json", "application/json; charset=utf-8"
"""The full path alone reads parameters of a content type."""

OK = b'{"type":"order.paid","payload":{"a":1.0}}'
BATCH = b'{"events":[' + b",".join([OK] * 20) + b"]}"


@pytest.fixture
def fast(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The statuses that the fast path answered."""
    statuses: list[int] = []
    respond = PublishFastPath._respond

    async def watched(self: PublishFastPath, *args: Any) -> Any:
        answer = await respond(self, *args)
        statuses.append(answer[0])
        return answer

    monkeypatch.setattr(PublishFastPath, "_respond", watched)
    return statuses


@cache
def token_of(api: Api, role: Role, subject: str) -> str:
    """Return one token for all calls, since the fast path takes those alone that were verified before."""
    return api._sign(role, subject)


async def post(api: Api, content: bytes, content_type: str, **options: Any) -> httpx.Response:
    role, subject = options.pop("role", Role.PUBLISHER), options.pop("subject", "ada")
    headers = {"content-type": content_type, **options.pop("headers", {})}
    if role is not None:
        headers.setdefault("authorization", f"Bearer {token_of(api, role, subject)}")
    return await api.post("events", content=content, headers=headers, role=None, **options)


def comparable(response: httpx.Response) -> tuple[int, dict[str, str], Any]:
    """Return the response without what differs from call to call."""
    headers = {name: value for name, value in response.headers.items() if name not in {"x-request-id", "date"}}
    body = response.json()
    for one in (body, *body.get("events", ())):
        one.pop("id", None)
        one.pop("request_id", None)
    if "content-encoding" in headers:
        del headers["content-length"]  # the ids compress differently
    return response.status_code, headers, body


CASES: list[tuple[bytes, dict[str, str], int]] = [
    (OK, {}, 202),
    (OK, {"accept-encoding": "identity"}, 202),
    (BATCH, {"accept-encoding": "gzip"}, 202),
    (OK, {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}, 202),
    (OK, {"idempotency-key": "reused"}, 422),
    (b'{"type":"order paid","payload":1}', {}, 422),
    (b'{"type":"a","payload":1,"labels":{"a":1}}', {}, 422),
    (b'{"type":"a"}', {}, 422),
    (b'{"type":"a","payload":', {}, 400),
    (b"  ", {}, 400),
    (b"\xff", {}, 400),
]

OTHERS: list[tuple[bytes, dict[str, Any]]] = [
    (OK, {"headers": {"content-encoding": "gzip"}}),
    (OK, {"headers": {"origin": "https://dash.example.com"}}),
    (OK, {"headers": {"idempotency-key": ""}}),
    (OK, {"headers": {"idempotency-key": "k" * 256}}),
    (OK, {"headers": {"authorization": "Basic YTpi"}}),
    (OK, {"role": Role.VIEWER}),
    (OK, {"role": None}),
    (OK, {"params": {"a": "b"}}),
    (OK, {"subject": "never seen before"}),
    (b"", {}),
    (b'{"type":"a","payload":"' + b"x" * MAX_BYTES + b'"}', {}),
]


@pytest.mark.parametrize("socket", [False, True], ids=["in process", "on a socket"])
async def test_both_paths_answer_alike(api: Api, parts: Container, fast: list[int], socket: bool) -> None:
    async with served(parts) as live:
        caller = live if socket else api
        await post(caller, b'{"type":"a","payload":1}', FULL, headers={"idempotency-key": "reused"})
        for content, headers, status in CASES:
            full = await post(caller, content, FULL, headers=headers)
            assert fast == []
            quick = await post(caller, content, FAST, headers=headers)
            assert (quick.status_code, fast) == (status, [status]), content
            assert comparable(quick) == comparable(full)
            fast.clear()


async def test_any_other_request_takes_the_full_path(api: Api, fast: list[int]) -> None:
    await post(api, OK, FULL)
    for content, options in OTHERS:
        await post(api, content, FAST, **options)
        assert fast == [], options


async def test_a_repeat_gets_the_first_answer_whichever_path_it_takes(api: Api, fast: list[int]) -> None:
    key = {"idempotency-key": "k"}
    answers = [await post(api, OK, content_type, headers=key) for content_type in (FULL, FAST, FAST, FULL)]
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert fast == [202, 202]


async def test_a_revoked_token_is_refused_on_the_fast_path_as_well(
    api: Api, parts: Container, fast: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    await post(api, OK, FULL)
    monkeypatch.setattr(parts, "revoked", None)
    assert (await post(api, OK, FAST)).status_code == 503
    assert fast == []


@pytest.mark.parametrize(("error", "status"), [(Unavailable("The database is away."), 503), (RuntimeError("bug"), 500)])
async def test_trouble_is_the_same_problem_on_both_paths(
    api: Api, fast: list[int], monkeypatch: pytest.MonkeyPatch, error: Exception, status: int
) -> None:
    await post(api, OK, FULL)

    async def fail(*_args: Any, **_options: Any) -> None:
        raise error

    monkeypatch.setattr(Publisher, "publish", fail)
    full, quick = await post(api, OK, FULL), await post(api, OK, FAST)
    assert fast == [status]
    assert comparable(quick) == comparable(full)


async def test_what_an_accepted_event_writes_is_one_transaction_and_its_request_is_logged_by_its_route(
    api: Api, parts: Container, fast: list[int]
) -> None:
    await post(api, OK, FULL)
    answer = await post(api, OK, FAST)
    assert fast == [202]
    await execute(parts, "SELECT 1 / count(*)::int FROM events WHERE id = $1::uuid", answer.json()["id"])
    metrics = await api.get("/metrics")
    assert 'monitor_http_request_seconds_count{method="POST",route="/api/v1/events",status="202"} 2' in metrics.text
