"""Webhooks over HTTP: what is stored, shown, hidden and refused."""

from __future__ import annotations

import asyncio
import base64
from typing import Any

import pytest
from structlog.testing import capture_logs

from monitor.bootstrap.container import Container
from monitor.domain.vocab import BodyFormat
from tests.integration.support import Api, Receiver, assert_problem, execute, sql

CANARY = "canary-7d1f0a5c"
DETAILS = ("backlog", "previous_secrets_expire_at", "status", "status_reason")
"""Of one webhook, and not of a new one."""

URL = "http://127.0.0.1:9/hook"


async def test_a_new_webhook_is_answered_with_its_place_and_its_secret(api: Api) -> None:
    response = await api.post("webhooks", json={"name": "orders", "url": URL, "event_types": ["order.*"]})
    assert response.status_code == 201
    created = response.json()
    assert response.headers["location"] == f"/api/v1/webhooks/{created['id']}"
    assert created["secret"].startswith("whsec_")
    stored = await api.get(response.headers["location"])
    assert stored.headers["etag"].startswith('"1.')
    del created["secret"]
    details = {name: stored.json()[name] for name in DETAILS}
    assert stored.json() == created | details
    assert created["health"] | {"changed_at": None} == {
        "status": "unknown",
        "reason": "No attempts yet.",
        "failure_probability": 0.05,
        "changed_at": None,
    }


async def test_a_secret_is_shown_once_and_never_again(api: Api, parts: Container) -> None:
    with capture_logs() as logs:
        created = await api.create(URL, headers={"X-Api-Key": CANARY})
        rotated = (await api.post(f"webhooks/{created['id']}/rotate-secret")).json()
        assert created["headers"] == {"X-Api-Key": "***"}
        answers = [
            await api.get(f"webhooks/{created['id']}"),
            await api.get("webhooks"),
            await api.call("PATCH", f"webhooks/{created['id']}", json={"name": "renamed"}),
            await api.post(f"webhooks/{created['id']}/test"),
            await api.get("audit-log"),
            await api.get("/metrics"),
        ]
    async with sql(parts) as connection:
        stored = [
            str([dict(row) for row in await connection.fetch(f"SELECT * FROM {table}")])
            for table in ("webhooks", "webhook_secrets", "audit_log", "idempotency_keys", "attempts")
        ]
    secrets = [created["secret"], rotated["secret"]]
    keys = [base64.b64decode(secret.removeprefix("whsec_")) for secret in secrets]
    for text in (*(answer.text for answer in answers), str(logs), *stored):
        for word in (CANARY, *secrets, *(key.hex() for key in keys), *(repr(key)[2:-1] for key in keys)):
            assert word not in text


async def test_put_sets_what_is_left_out_back_to_its_default(api: Api) -> None:
    created = await api.create(
        URL, description="d", labels={"a": "b"}, headers={"X-A": "1"}, enabled=False, timeout_s=3, ordered=True
    )
    response = await api.call("PUT", f"webhooks/{created['id']}", json={"name": "new", "url": URL})
    assert response.status_code == 200
    view = response.json()
    fresh = await api.create(URL, name="new")
    moving = {"id", "secret", "version", "created_at", "updated_at"}
    moving = {*moving, *DETAILS}
    assert {k: v for k, v in view.items() if k not in moving} == {k: v for k, v in fresh.items() if k not in moving}
    assert view["version"] == 2
    assert view["created_at"] == created["created_at"]


@pytest.mark.parametrize(
    ("patch", "changed"),
    [
        ({"name": "new"}, {"name": "new"}),
        ({"labels": {"a": None, "c": "3"}}, {"labels": {"b": "2", "c": "3"}}),
        ({"labels": None}, {"labels": {}}),
        ({"description": None, "timeout_s": None}, {"description": "", "timeout_s": 15.0}),
        ({"headers": {"X-B": "v"}}, {"headers": {"X-A": "***", "X-B": "***"}}),
        ({"headers": {"X-A": None}}, {"headers": {}}),
        ({"retry": {"jitter_ratio": 0}}, {"retry": {"schedule_s": [0, 1], "jitter_ratio": 0}}),
        ({"rate_limit": {"per_s": 5}}, {"rate_limit": {"per_s": 5, "burst": 1}}),
        ({"event_types": ["x.*", "x.*"]}, {"event_types": ["x.*"]}),
        (
            {"ordered": True, "enabled": False},
            {"ordered": True, "enabled": False, "held": {"reason": "disabled", "until": None, "detail": None}},
        ),
        ({}, {}),
    ],
    ids=str,
)
async def test_patch_merges_as_rfc_7396_says(api: Api, patch: dict[str, Any], changed: dict[str, Any]) -> None:
    created = await api.create(
        URL,
        description="d",
        labels={"a": "1", "b": "2"},
        headers={"X-A": "1"},
        timeout_s=3,
        retry={"schedule_s": [0, 1], "jitter_ratio": 0.5},
    )
    del created["secret"]
    response = await api.call(
        "PATCH",
        f"webhooks/{created['id']}",
        json=patch,
        headers={"Content-Type": "application/merge-patch+json"},
    )
    assert response.status_code == 200
    view = response.json()
    times = {"updated_at": view["updated_at"], "disabled_at": None if view["enabled"] else view["updated_at"]}
    details = {name: view[name] for name in DETAILS}
    assert view == {**created, **changed, "version": 2} | times | details
    assert view == (await api.get(f"webhooks/{created['id']}")).json()


@pytest.mark.parametrize(
    ("member", "value", "pointer"),
    [
        ("event_types", ["order..paid"], "/event_types/0"),
        ("event_types", ["*.paid"], "/event_types/0"),
        ("event_types", [], "/event_types"),
        ("headers", {"Webhook-Id": "x"}, "/headers/Webhook-Id"),
        ("headers", {"Host": "x"}, "/headers/Host"),
        ("headers", {"X-A": "a\r\nX-B: b"}, "/headers/X-A"),
        ("headers", {"X-A": "***"}, "/headers/X-A"),
        ("headers", {"a b": "x"}, "/headers/a b"),
        ("name", "pay\u202epal", "/name"),
        ("name", "two\nlines", "/name"),
        ("description", "\u001b[31mred", "/description"),
        ("labels", {"te\u2066am": "blue"}, "/labels"),
        ("labels", {"team": "blue\u0007"}, "/labels"),
        ("url", "https://hooks.slack.com/***", "/url"),
        ("timeout_s", 31, "/timeout_s"),
        ("timeout_s", 0.5, "/timeout_s"),
        ("max_concurrency", 0, "/max_concurrency"),
        ("retry", {"schedule_s": []}, "/retry/schedule_s"),
        ("retry", {"jitter_ratio": 2}, "/retry/jitter_ratio"),
        ("rate_limit", {"per_s": 0}, "/rate_limit"),
        ("name", "", "/name"),
        ("name", None, "/name"),
        ("nmae", "typo", "/nmae"),
        ("signature", "v2", "/signature"),
    ],
)
async def test_a_webhook_that_breaks_a_rule_is_refused_at_the_member(
    api: Api, member: str, value: object, pointer: str
) -> None:
    refused = await api.post("webhooks", json={"name": "n", "url": URL, member: value})
    problem = assert_problem(refused, 422, "invalid")
    assert [error["pointer"] for error in problem["errors"]] == [pointer]
    assert await api.ids("webhooks") == []


async def test_a_patch_that_breaks_a_rule_changes_nothing(api: Api) -> None:
    created = await api.create(URL)
    path = f"webhooks/{created['id']}"
    refused: tuple[dict[str, Any], ...] = (
        {"url": None},
        {"name": None},
        {"timeout_s": 99},
        {"unknown": 1},
        {"retry": 5},
        {"labels": []},
    )
    for patch in refused:
        assert_problem(await api.call("PATCH", path, json=patch), 422)
    assert_problem(await api.call("PATCH", path, json=[1]), 422)
    assert_problem(await api.call("PATCH", path, json={"signature": "v1a"}), 409, "conflict")
    assert (await api.read(path))["version"] == 1


async def test_the_mask_keeps_a_stored_header_and_the_receiver_gets_its_value(api: Api, receiver: Receiver) -> None:
    created = await api.create(receiver.url, headers={"X-Api-Key": CANARY, "X-Old": "old"})
    changed = {"name": "n", "url": receiver.url, "headers": {"X-Api-Key": "***", "X-New": "new"}}
    assert (await api.call("PUT", f"webhooks/{created['id']}", json=changed)).status_code == 200
    assert (await api.post(f"webhooks/{created['id']}/test")).json()["ok"]
    got = receiver.requests[0].headers
    assert got["x-api-key"] == CANARY
    assert got["x-new"] == "new"
    assert "x-old" not in got


async def test_stored_header_values_are_not_sent_to_another_server(api: Api, receiver: Receiver) -> None:
    created = await api.create(receiver.url, headers={"X-Api-Key": CANARY, "X-Env": "test"})
    path, elsewhere = f"webhooks/{created['id']}", "http://127.0.0.1:9/hook"
    masked = {"X-Api-Key": "***", "X-Env": "test"}
    for method, body in (
        ("PATCH", {"url": elsewhere}),
        ("PATCH", {"url": elsewhere, "headers": masked}),
        ("PUT", {"name": "n", "url": elsewhere, "headers": masked}),
    ):
        problem = assert_problem(await api.call(method, path, json=body), 422, "invalid")
        assert "/headers/X-Api-Key" in [error["pointer"] for error in problem["errors"]]
        assert all("value again" in error["detail"] for error in problem["errors"])
    assert (await api.read(path))["version"] == 1
    assert (await api.call("PATCH", path, json={"url": f"{receiver.url}?moved=1"})).status_code == 200
    anew = {"url": elsewhere, "headers": {"X-Api-Key": "anew", "X-Env": None}}
    assert (await api.call("PATCH", path, json=anew)).json()["headers"] == {"X-Api-Key": "***"}


async def test_a_webhook_of_an_older_version_is_changed_without_being_renamed(api: Api, parts: Container) -> None:
    path = f"webhooks/{(await api.create(URL))['id']}"
    async with sql(parts) as connection:
        await connection.execute("UPDATE webhooks SET name = $1, labels = $2", "pay\u202epal", '{"a\\n": "b"}')
    changed = await api.call("PATCH", path, json={"timeout_s": 3})
    assert (changed.status_code, changed.json()["name"]) == (200, "pay\u202epal")
    assert_problem(await api.call("PATCH", path, json={"name": "x\u202e"}), 422, "invalid")


async def test_an_etag_saves_reading_what_is_known(api: Api) -> None:
    path = f"webhooks/{(await api.create(URL))['id']}"
    tag = (await api.get(path)).headers["etag"]
    for header in (tag, f"W/{tag}", f'"other", {tag}', "*"):
        known = await api.get(path, headers={"If-None-Match": header})
        assert known.status_code == 304
        assert known.content == b""
        assert known.headers["etag"] == tag
    assert (await api.get(path, headers={"If-None-Match": '"1.00000000"'})).status_code == 200
    await api.call("PATCH", path, json={"name": "new"})
    assert (await api.get(path, headers={"If-None-Match": tag})).status_code == 200


@pytest.mark.parametrize(
    ("member", "value", "allowed"),
    [
        ("ordered", "keys", "false, true, key"),
        ("signature", "v2", "v1, v1a"),
        ("body_format", "irc", ", ".join(BodyFormat)),
        ("reenable", "always", "never, probe"),
    ],
)
async def test_a_value_that_is_none_of_the_allowed_ones_is_answered_with_them(
    api: Api, member: str, value: str, allowed: str
) -> None:
    created = await api.create(URL)
    for method, path in (("POST", "webhooks"), ("PATCH", f"webhooks/{created['id']}")):
        refused = await api.call(method, path, json={"name": "n", "url": URL, member: value})
        problem = assert_problem(refused, 422, "invalid")
        detail = f"Not one of the allowed values ({allowed})"
        assert problem["errors"] == [{"pointer": f"/{member}", "detail": detail}]
        assert problem["detail"] == f"/{member}: not one of the allowed values ({allowed})."


@pytest.mark.parametrize("changed_tag", ["W/{}", '{:.11}-gzip"'])
async def test_a_save_through_a_proxy_that_compresses_works_and_a_stale_one_does_not(
    api: Api, changed_tag: str
) -> None:
    created = await api.post("webhooks", json={"name": "n", "url": URL})
    path = created.headers["location"]
    match = {"If-Match": changed_tag.format(created.headers["etag"])}
    assert (await api.call("PATCH", path, json={"name": "new"}, headers=match)).status_code == 200
    assert_problem(await api.call("PATCH", path, json={"name": "newer"}, headers=match), 412, "stale")
    assert (await api.read(path))["name"] == "new"


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
async def test_a_change_based_on_an_old_version_is_refused(api: Api, method: str) -> None:
    created = await api.post("webhooks", json={"name": "n", "url": URL})
    path, first = created.headers["location"], created.headers["etag"]
    changed = await api.call("PATCH", path, json={"name": "new"}, headers={"If-Match": first})
    assert changed.status_code == 200
    body: dict[str, Any] = {} if method == "DELETE" else {"json": {"name": "newer", "url": URL}}
    assert_problem(await api.call(method, path, headers={"If-Match": first}, **body), 412, "stale")
    assert (await api.read(path))["name"] == "new"
    fresh = await api.call(method, path, headers={"If-Match": changed.headers["etag"]}, **body)
    assert fresh.status_code == (204 if method == "DELETE" else 200)


async def test_of_two_changes_based_on_the_same_version_one_wins(api: Api) -> None:
    created = await api.post("webhooks", json={"name": "n", "url": URL})
    match = {"If-Match": created.headers["etag"]}
    answers = await asyncio.gather(
        *(api.call("PATCH", created.headers["location"], json={"name": f"n{i}"}, headers=match) for i in range(8))
    )
    assert sorted(answer.status_code for answer in answers) == [200] + [412] * 7


async def test_pages_hold_every_row_once_while_rows_are_added_and_removed(api: Api) -> None:
    ids = [(await api.create(URL, name=f"w{i}"))["id"] for i in range(120)]
    seen: list[str] = []
    sizes = []
    async for items in api.pages("webhooks", limit=50):
        seen += [item["id"] for item in items]
        sizes.append(len(items))
        # A newer row belongs before the first page, a removed one to a page already read.
        await api.create(URL)
        await api.call("DELETE", f"webhooks/{seen[-1]}")
    assert seen == ids[::-1]
    assert sizes == [50, 50, 20]
    assert len(await api.ids("webhooks")) == 50


async def test_the_last_page_says_so_even_when_it_is_full(api: Api) -> None:
    for _ in range(4):
        await api.create(URL)
    assert [len(items) async for items in api.pages("webhooks", limit=2)] == [2, 2]


async def test_every_filter_finds_exactly_its_rows(api: Api, parts: Container) -> None:
    made = {
        "paid": await api.create(URL, name="Paid 100%", event_types=["order.paid"], labels={"team": "a", "x": "1"}),
        "orders": await api.create(URL, name="all_orders", event_types=["order.*"], labels={"team": "b"}),
        "all": await api.create(URL, name="sink", description="takes ORDERS too", enabled=False),
        "users": await api.create("http://127.0.0.1:9/users", name="users", event_types=["user.*"]),
    }
    await execute(parts, "UPDATE webhook_lanes SET health_status = 'degraded' WHERE webhook_id = $1", made["all"]["id"])
    for params, names in (
        ({"enabled": "false"}, {"all"}),
        ({"enabled": "true"}, {"paid", "orders", "users"}),
        ({"status": "degraded"}, {"all"}),
        ({"status": "unknown"}, {"paid", "orders", "users"}),
        ({"event_type": "order.paid"}, {"paid", "orders", "all"}),
        ({"event_type": "order.refunded"}, {"orders", "all"}),
        ({"event_type": "user.signed_up"}, {"users", "all"}),
        ({"label": "team"}, {"paid", "orders"}),
        ({"label": "team=a"}, {"paid"}),
        ({"label": "team=c"}, set()),
        ({"q": "orders"}, {"orders", "all"}),
        ({"q": "100%"}, {"paid"}),
        ({"q": "l_o"}, {"orders"}),
        ({"q": "/USERS"}, {"users"}),
        ({"q": "orders", "enabled": "true", "label": "team=b", "event_type": "order.paid"}, {"orders"}),
    ):
        assert set(await api.ids("webhooks", **params)) == {made[name]["id"] for name in names}, params


async def test_a_repeated_key_gets_the_first_answer_with_its_secret(api: Api) -> None:
    body = {"name": "n", "url": URL}
    first, second = [
        (await api.post("webhooks", json=body, headers={"Idempotency-Key": "k-1"})).json() for _ in range(2)
    ]
    assert first == second
    assert first["secret"].startswith("whsec_")
    other = await api.post("webhooks", json={**body, "name": "m"}, headers={"Idempotency-Key": "k-1"})
    assert_problem(other, 422, "idempotency_mismatch")
    # Keys belong to who sent them.
    assert (await api.post("webhooks", json=body, headers={"Idempotency-Key": "k-1"}, subject="bob")).status_code == 201
    assert len(await api.ids("webhooks")) == 2


async def test_a_key_is_forgotten_after_a_day(api: Api, parts: Container) -> None:
    for name in ("old", "new"):
        response = await api.post("webhooks", json={"name": name, "url": URL}, headers={"Idempotency-Key": "k"})
        assert response.status_code == 201
        await execute(parts, "UPDATE idempotency_keys SET created_at = now() - interval '24 hours 1 second'")
    assert len(await api.ids("webhooks")) == 2


async def test_64_posts_at_once_with_one_key_make_one_webhook(api: Api) -> None:
    answers = await asyncio.gather(
        *(api.post("webhooks", json={"name": "n", "url": URL}, headers={"Idempotency-Key": "same"}) for _ in range(64))
    )
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.text for answer in answers}) == 1
    assert len(await api.ids("webhooks")) == 1


@pytest.mark.parametrize(
    ("changes", "wrong"),
    [
        ({"body_format": "pagerduty"}, {"/headers"}),
        ({"body_format": "opsgenie"}, {"/headers", "/url"}),
        ({"body_format": "alertmanager", "event_types": ["*"]}, {"/event_types/0"}),
        ({"body_format": "ntfy", "url": "https://ntfy.sh/"}, {"/url"}),
    ],
)
async def test_what_a_format_needs_is_said_at_each_member(api: Api, changes: dict[str, Any], wrong: set[str]) -> None:
    spec = {"name": "On call", "url": "https://pager.example/hook", "event_types": ["monitor.alert.*"]}
    refused = await api.post("webhooks", json=spec | changes)
    assert refused.status_code == 422
    assert {error["pointer"] for error in refused.json()["errors"]} == wrong


async def test_the_key_of_a_pager_is_never_returned(api: Api) -> None:
    key = "0123456789abcdef0123456789abcdef"
    spec = {"headers": {"X-Routing-Key": key}, "event_types": ["monitor.alert.*"]}
    pager = await api.create("https://events.pagerduty.com/v2/enqueue", body_format="pagerduty", **spec)
    assert pager["headers"] == {"X-Routing-Key": "***"}
    renamed = await api.call("PATCH", f"webhooks/{pager['id']}", json={"name": "On call"})
    assert renamed.status_code == 200, renamed.text
    for path in (f"webhooks/{pager['id']}", "webhooks", "audit-log", "notifications/destinations"):
        assert key not in (await api.get(path)).text
