"""Alerts and silences over HTTP: every route with what it answers, and what it refuses."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from monitor.bootstrap.container import Container
from monitor.domain.vocab import Role
from tests.integration.detection_support import Watch, actions, alert, fail, recover
from tests.integration.support import Api, assert_problem, execute

NOWHERE = "http://127.0.0.1:9/hook"
NOBODY = "00000000-0000-7000-8000-000000000000"


@pytest.fixture
def watch(parts: Container) -> Watch:
    return Watch(parts)


@pytest.fixture
async def webhook_id(api: Api) -> str:
    """A webhook that fails."""
    webhook_id: str = (await api.create(NOWHERE, name="Orders", labels={"team": "blue"}))["id"]
    await fail(api, webhook_id)
    return webhook_id


@pytest.fixture
async def alert_id(api: Api, watch: Watch, webhook_id: str) -> str:
    await watch.look()
    found: str = (await alert(api, webhook_id))["id"]
    return found


def in_days(days: float) -> str:
    return (datetime.now(UTC) + timedelta(days=days)).isoformat()


# -------------------------------------------------------------------------------------------------------------- reading


async def test_an_alert_tells_what_is_wrong_with_its_history_and_evidence(
    api: Api, alert_id: str, webhook_id: str
) -> None:
    found = await api.read(f"alerts/{alert_id}", role=Role.VIEWER)
    assert found["title"] == "Orders is unavailable: all of the last 5 attempts failed: HTTP 503."
    assert (found["kind"], found["severity"], found["state"], found["count"]) == ("failing", "critical", "pending", 1)
    assert (found["webhook_id"], found["webhook_name"], found["causes"]) == (webhook_id, "Orders", ["health"])
    assert found["evidence"]["health"]["reason"] == "All of the last 5 attempts failed: HTTP 503."
    assert [(line["action"], line["actor"]) for line in found["history"]] == [
        ("raised", "system"),
        ("notified", "system"),
    ]
    unset = ("acknowledged_at", "acknowledged_by", "ack_expires_at", "note", "resolved_at", "resolved_by")
    assert {found[name] for name in unset} == {None}
    (listed,) = (await api.read("alerts"))["items"]
    details = {"history", "now", "last_failed_attempt"}
    assert listed == {name: value for name, value in found.items() if name not in details}


async def test_an_alert_that_has_not_changed_answers_304(api: Api, alert_id: str) -> None:
    for path in (f"alerts/{alert_id}", "alerts", "alerts?state=all"):
        tag = (await api.get(path)).headers["etag"]
        again = await api.get(path, headers={"If-None-Match": tag})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
    tag = (await api.get(f"alerts/{alert_id}")).headers["etag"]
    await api.post(f"alerts/{alert_id}/ack")
    assert (await api.get(f"alerts/{alert_id}", headers={"If-None-Match": tag})).status_code == 200


async def test_pending_alerts_are_listed_unless_told_otherwise(api: Api, watch: Watch, alert_id: str) -> None:
    other = (await api.create(NOWHERE))["id"]
    await fail(api, other)
    await watch.look()
    second = (await alert(api, other))["id"]
    assert await api.ids("alerts") == [second, alert_id]
    await api.post(f"alerts/{alert_id}/ack")
    await api.post(f"alerts/{second}/resolve")
    for state, expected in {
        "pending": [],
        "acknowledged": [alert_id],
        "resolved": [second],
        "open": [alert_id],
        "all": [second, alert_id],
    }.items():
        assert await api.ids("alerts", state=state) == expected
    assert await api.ids("alerts") == []


async def test_alerts_are_found_by_each_filter(api: Api, parts: Container, watch: Watch, alert_id: str) -> None:
    other = (await api.create(NOWHERE))["id"]
    await execute(
        parts,
        "UPDATE webhook_lanes SET failing_since = now() - interval '4 d' WHERE webhook_id = $1::text::uuid",
        other,
    )
    await watch.look()
    second = (await alert(api, other, "disabling"))["id"]
    await execute(parts, "UPDATE alerts SET severity = 'warning' WHERE id = $1", UUID(second))
    raised_at = (await api.read(f"alerts/{second}"))["raised_at"]
    for params, expected in (
        ({"severity": "critical"}, [alert_id]),
        ({"kind": "disabling"}, [second]),
        ({"webhook_id": other}, [second]),
        ({"webhook_id": NOBODY}, []),
        ({"from": raised_at}, [second]),
        ({"to": raised_at}, [alert_id]),
        ({"severity": "warning", "kind": "failing"}, []),
    ):
        assert await api.ids("alerts", **params) == expected, params


async def test_pages_hold_every_alert_once(api: Api, watch: Watch) -> None:
    ids = [(await api.create(NOWHERE))["id"] for _ in range(4)]
    await fail(api, *ids)
    await watch.watcher.tick()
    pages = [[row["webhook_id"] for row in page] async for page in api.pages("alerts", limit=3)]
    assert [len(page) for page in pages] == [3, 1]
    assert sorted(id_ for page in pages for id_ in page) == sorted(ids)


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("state=closed", 400),
        ("severity=fatal", 400),
        ("kind=other", 400),
        ("webhook_id=7", 400),
        ("limit=0", 400),
        ("limit=201", 400),
        ("cursor=x", 400),
        ("from=yesterday", 400),
        ("from=1", 400),
        ("to=2026-01-01T00:00:00", 422),
    ],
)
async def test_a_query_that_makes_no_sense_is_refused(api: Api, query: str, status: int) -> None:
    assert_problem(await api.get(f"alerts?{query}"), status)


@pytest.mark.parametrize("days", ["0", "366", "x"])
async def test_statistics_cover_a_day_to_a_year(api: Api, days: str) -> None:
    assert_problem(await api.get(f"alerts/stats/summary?days={days}"), 400)


async def test_statistics_count_alerts_and_time_people(
    api: Api, parts: Container, watch: Watch, alert_id: str, webhook_id: str
) -> None:
    await api.post(f"alerts/{alert_id}/ack")
    await recover(api, webhook_id)
    await watch.look()
    await execute(
        parts,
        "UPDATE alerts SET first_acknowledged_at = raised_at + interval '30 s',"
        " resolved_at = raised_at + interval '90 s'",
    )
    stats = await api.read("alerts/stats/summary", params={"days": 3}, role=Role.VIEWER)
    assert stats["counts"] == [{"state": "resolved", "severity": "critical", "kind": "failing", "count": 1}]
    assert stats["time_to_acknowledge"] == {"n": 1, "median_s": 30.0, "p90_s": 30.0, "mean_s": 30.0}
    assert stats["time_to_resolve"] == {"n": 1, "median_s": 90.0, "p90_s": 90.0, "mean_s": 90.0}
    assert len(stats["series"]) == stats["days"] == 3
    assert stats["oldest_pending_age_s"] is None


async def test_a_statistic_is_never_older_than_the_last_change(api: Api, alert_id: str) -> None:
    before = await api.read("alerts/stats/summary")
    assert before["oldest_pending_age_s"] > 0
    await api.post(f"alerts/{alert_id}/resolve")
    after = await api.read("alerts/stats/summary")
    assert (after["oldest_pending_age_s"], after["time_to_resolve"]["n"]) == (None, 1)
    assert await api.ids("alerts") == []


# ------------------------------------------------------------------------------------------------------------- handling


async def test_the_first_to_acknowledge_owns_it_and_a_repeat_answers_the_same(api: Api, alert_id: str) -> None:
    expires_at = in_days(1)
    body = {"note": "Mine.", "expires_at": expires_at}
    first = await api.post(f"alerts/{alert_id}/ack", role=Role.OPERATOR, subject="grace", json=body)
    second = await api.post(f"alerts/{alert_id}/ack", subject="ada", json={"note": "No, mine."})
    assert (first.status_code, second.status_code) == (200, 200)
    assert first.json() == second.json()
    assert (first.json()["state"], first.json()["acknowledged_by"], first.json()["note"]) == (
        "acknowledged",
        "grace",
        "Mine.",
    )
    assert datetime.fromisoformat(first.json()["ack_expires_at"]) == datetime.fromisoformat(expires_at)
    assert actions(first.json()) == ["raised", "notified", "acknowledged"]
    rows = [row for row in (await api.read("audit-log"))["items"] if row["target"] == f"alert:{alert_id}"]
    assert [(row["action"], row["subject"], row["before"], row["after"]) for row in rows] == [
        ("alert.acknowledge", "grace", {"state": "pending"}, {"note": "Mine."})
    ]


@pytest.mark.parametrize("verb", ["ack", "resolve"])
@pytest.mark.parametrize("options", [{}, {"json": {}}, {"json": None}, {"json": {"note": None}}])
async def test_nothing_need_be_said(api: Api, alert_id: str, verb: str, options: dict[str, Any]) -> None:
    assert (await api.post(f"alerts/{alert_id}/{verb}", **options)).status_code == 200


@pytest.mark.parametrize("verb", ["ack", "resolve"])
@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"other": 1}, 422),
        ({"note": 1}, 422),
        ({"note": "x" * 2001}, 422),
        ({"note": "a\x00b"}, 422),
        ([], 422),
        ("{", 400),
    ],
)
async def test_what_is_said_must_make_sense(api: Api, alert_id: str, verb: str, body: Any, status: int) -> None:
    options = {"content": body, "headers": {"content-type": "application/json"}} if body == "{" else {"json": body}
    assert_problem(await api.post(f"alerts/{alert_id}/{verb}", **options), status)
    assert (await api.read(f"alerts/{alert_id}"))["state"] == "pending"


@pytest.mark.parametrize("expires_at", ["2020-01-01T00:00:00Z", "2199-01-01T00:00:00", "soon", 1])
async def test_an_acknowledgement_ends_in_the_future_or_never(api: Api, alert_id: str, expires_at: Any) -> None:
    for path, more in ((f"alerts/{alert_id}/ack", {}), ("alerts/ack", {"ids": [alert_id]})):
        assert_problem(await api.post(path, json={"expires_at": expires_at, **more}), 422)


async def test_a_resolved_alert_cannot_be_acknowledged(api: Api, alert_id: str) -> None:
    said = {"note": "It was me."}
    first = await api.post(f"alerts/{alert_id}/resolve", role=Role.OPERATOR, subject="grace", json=said)
    assert (first.json()["state"], first.json()["resolved_by"], first.json()["note"]) == (
        "resolved",
        "grace",
        "It was me.",
    )
    assert_problem(await api.post(f"alerts/{alert_id}/ack"), 409, "conflict")
    assert (await api.post(f"alerts/{alert_id}/resolve")).json() == first.json()


async def test_what_does_not_exist_is_not_found(api: Api) -> None:
    for method, path in (
        ("GET", f"alerts/{NOBODY}"),
        ("POST", f"alerts/{NOBODY}/ack"),
        ("POST", f"alerts/{NOBODY}/resolve"),
        ("GET", f"silences/{NOBODY}"),
        ("DELETE", f"silences/{NOBODY}"),
        ("GET", "alerts/7"),
    ):
        assert_problem(await api.call(method, path), 404)


async def test_many_are_acknowledged_at_once(api: Api, watch: Watch, alert_id: str) -> None:
    other = (await api.create(NOWHERE))["id"]
    await fail(api, other)
    await watch.look()
    over = (await alert(api, other))["id"]
    await api.post(f"alerts/{over}/resolve")
    body = {"ids": [over, NOBODY, alert_id, alert_id], "note": "All mine."}
    answer = await api.post("alerts/ack", role=Role.OPERATOR, subject="grace", json=body)
    assert answer.json() == {
        "acknowledged": [alert_id],
        "skipped": [
            {"id": NOBODY, "reason": "There is no alert with this id."},
            {"id": over, "reason": "This alert is resolved; there is nothing to acknowledge."},
        ],
    }
    assert (await api.read(f"alerts/{alert_id}"))["acknowledged_by"] == "grace"
    assert (await api.post("alerts/ack", json=body)).json() == answer.json()


@pytest.mark.parametrize(
    "body", [{}, {"ids": []}, {"ids": ["x"]}, {"ids": [NOBODY] * 201}, {"ids": [NOBODY], "other": 1}]
)
async def test_a_list_of_alerts_to_acknowledge_makes_sense(api: Api, body: Any) -> None:
    assert_problem(await api.post("alerts/ack", json=body), 422)


async def test_200_alerts_are_acknowledged_at_once(api: Api, parts: Container) -> None:
    await execute(
        parts,
        "INSERT INTO alerts (id, webhook_id, kind, severity, state, title, count, causes, evidence, raised_at,"
        " transitions, flapping, notified, pending_notification, version)"
        " SELECT gen_random_uuid(), gen_random_uuid(), 'failing', 'critical', 'pending', 'It fails.', 1,"
        " ARRAY['health'], '{}', now(), ARRAY[now()], false, true, false, 1"
        " FROM generate_series(1, 200)",
    )
    ids = await api.ids("alerts", limit=200)
    answer = (await api.post("alerts/ack", json={"ids": ids})).json()
    assert (sorted(answer["acknowledged"]), answer["skipped"]) == (sorted(ids), [])
    assert await api.ids("alerts") == []


# ------------------------------------------------------------------------------------------------------------- silences


async def test_a_silence_says_who_why_and_until_when(api: Api, alert_id: str) -> None:
    spec = {"reason": "Maintenance.", "ends_at": in_days(1), "label": "team=blue", "kind": "failing"}
    preview = await api.post("silences/preview", role=Role.OPERATOR, json=spec)
    assert (preview.status_code, preview.json()["webhooks"]) == (200, 1)
    assert [one["id"] for one in preview.json()["alerts"]] == [alert_id]
    assert (await api.read("silences"))["items"] == []
    made = await api.post("silences", role=Role.OPERATOR, subject="grace", json=spec)
    view = made.json()
    assert (made.status_code, made.headers["location"]) == (201, f"/api/v1/silences/{view['id']}")
    assert (view["created_by"], view["reason"], view["active"], view["matches"]) == ("grace", "Maintenance.", True, 1)
    assert (view["webhook_id"], view["label"], view["kind"]) == (None, "team=blue", "failing")
    assert await api.read(f"silences/{view['id']}") == view
    assert (await api.read(f"alerts/{alert_id}"))["silenced"] is True
    assert [one["silenced"] for one in (await api.read("alerts"))["items"]] == [True]

    assert await api.ids("silences", active=True) == [view["id"]]
    for _ in range(2):
        assert (await api.call("DELETE", f"silences/{view['id']}", role=Role.OPERATOR)).status_code == 204
    ended = await api.read(f"silences/{view['id']}")
    assert (ended["active"], ended["matches"]) == (False, 0)
    assert await api.ids("silences", active=True) == []
    assert await api.ids("silences", active=False) == await api.ids("silences") == [view["id"]]
    assert [one["silenced"] for one in (await api.read("alerts"))["items"]] == [False]
    rows = (await api.read("audit-log"))["items"]
    assert [row["action"] for row in rows if row["target"] == f"silence:{view['id']}"] == [
        "silence.end",
        "silence.create",
    ]


async def test_silences_come_in_pages(api: Api) -> None:
    spec = {"reason": "Maintenance.", "ends_at": in_days(1), "kind": "volume"}
    ids = [(await api.post("silences", json=spec)).json()["id"] for _ in range(3)]
    pages = [[row["id"] for row in page] async for page in api.pages("silences", limit=2)]
    assert pages == [ids[:0:-1], ids[:1]]


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"kind": None}, ""),
        ({"ends_at": "2020-01-01T00:00:00Z"}, "/ends_at"),
        ({"ends_at": "2199-01-01T00:00:00Z"}, "/ends_at"),
        ({"ends_at": "2199-01-01T00:00:00"}, "/ends_at"),
        ({"webhook_id": "00000000-0000-0000-0000-000000000000"}, "/webhook_id"),
        ({"webhook_id": "7"}, "/webhook_id"),
        ({"kind": "other"}, "/kind"),
        ({"reason": ""}, "/reason"),
        ({"reason": "a\x00b"}, "/reason"),
        ({"label": "a\x00b"}, "/label"),
        ({"label": ""}, "/label"),
        ({"other": 1}, "/other"),
    ],
)
async def test_a_silence_that_breaks_a_rule_is_refused(api: Api, changes: dict[str, Any], pointer: str) -> None:
    spec = {"reason": "Maintenance.", "ends_at": in_days(1), "kind": "failing"} | changes
    for path in ("silences", "silences/preview"):
        problem = assert_problem(await api.post(path, json=spec), 422)
        assert [error["pointer"] for error in problem["errors"]] == [pointer]


# ------------------------------------------------------------------------------------------------------------ anomalies


async def test_anomalies_are_listed_open_or_closed(api: Api, parts: Container, webhook_id: str) -> None:
    await execute(
        parts,
        "INSERT INTO anomalies (id, webhook_id, signal, severity, sentence, evidence, opened_at, closed_at)"
        " SELECT gen_random_uuid(), $1, signal, 'warning', 'It departs.',"
        """ '{"observed": 1, "expected": 0.5, "n": 9, "window_s": 300, "p_value": 1e-7}', now(), closed_at"""
        " FROM (VALUES ('latency', NULL), ('failures', now())) AS v (signal, closed_at)",
        UUID(webhook_id),
    )
    (opened,) = (await api.read("dashboard/anomalies", role=Role.VIEWER))["items"]
    assert (opened["signal"], opened["webhook_name"], opened["closed_at"]) == ("latency", "Orders", None)
    assert opened["evidence"] == {"observed": 1, "expected": 0.5, "n": 9, "window_s": 300, "p_value": 1e-7}
    (closed,) = (await api.read("dashboard/anomalies", params={"state": "closed"}))["items"]
    assert closed["signal"] == "failures"
    assert await api.ids("dashboard/anomalies", webhook_id=NOBODY) == []
    assert_problem(await api.get("dashboard/anomalies?state=all"), 400)


async def test_a_mistake_is_named_as_the_caller_knows_it(api: Api) -> None:
    empty = assert_problem(await api.post("alerts/ack"), 400, "malformed")
    assert empty["errors"] == [{"pointer": "", "detail": "The body is empty; send JSON."}]
    wrong = assert_problem(await api.get("alerts", params={"state": "bad"}), 400, "malformed")
    detail = "Not one of the allowed values (acknowledged, all, open, pending, resolved)"
    assert wrong["errors"] == [{"pointer": "/query/state", "detail": detail}]
