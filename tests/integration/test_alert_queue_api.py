"""The queue of open alerts, taking an acknowledgement back, comments, and who is told, over HTTP."""

from __future__ import annotations

from typing import Any

import pytest

from monitor.bootstrap.container import Container
from monitor.domain.services.notifications import AlertNotifier
from monitor.domain.vocab import Role
from tests.integration.detection_support import Watch, alert, fail
from tests.integration.support import Api, Receiver, assert_problem, execute, finished, working

NOWHERE = "http://127.0.0.1:9/hook"


@pytest.fixture
async def alert_id(api: Api, parts: Container) -> str:
    webhook_id = (await api.create(NOWHERE, name="Orders"))["id"]
    await fail(api, webhook_id)
    await Watch(parts).look()
    found: str = (await alert(api, webhook_id))["id"]
    return found


async def last_line(api: Api, alert_id: str) -> dict[str, Any]:
    line: dict[str, Any] = (await api.read(f"alerts/{alert_id}"))["history"][-1]
    return line


async def test_open_alerts_are_paged_worst_first(api: Api, parts: Container, alert_id: str) -> None:
    ids = [(await api.create(NOWHERE))["id"] for _ in range(3)]
    await fail(api, *ids)
    await Watch(parts).look()
    newer = [(await alert(api, id_))["id"] for id_ in ids]
    await execute(parts, "UPDATE alerts SET severity = 'warning' WHERE id = $1::text::uuid", newer[2])
    expected = [*sorted([newer[0], newer[1], alert_id], reverse=True), newer[2]]
    await api.post(f"alerts/{newer[0]}/ack")
    assert await api.ids("alerts", state="open", sort="worst") == expected
    found: list[str] = []
    cursor: str | None = None
    while len(found) < len(expected):
        page = await api.read(
            "alerts",
            params={"state": "open", "sort": "worst", "limit": 1} | ({} if cursor is None else {"cursor": cursor}),
        )
        found += [one["id"] for one in page["items"]]
        cursor = page["next_cursor"]
    assert (found, cursor) == (expected, None)
    assert await api.ids("alerts", state="open", sort="worst", severity="warning") == [newer[2]]


async def test_only_open_alerts_are_sorted_by_severity(api: Api) -> None:
    for state in ("resolved", "all"):
        refused = await api.get("alerts", params={"state": state, "sort": "worst"})
        problem = assert_problem(refused, 422, "invalid")
        assert [error["pointer"] for error in problem["errors"]] == ["/query/sort"]
    for cursor in ("AAAA", "not one"):
        refused = await api.get("alerts", params={"state": "open", "sort": "worst", "cursor": cursor})
        assert_problem(refused, 400)


async def test_an_acknowledgement_is_taken_back(api: Api, alert_id: str) -> None:
    await api.post(f"alerts/{alert_id}/ack", json={"note": "Mine."})
    for _ in range(2):
        answer = await api.post(f"alerts/{alert_id}/unack", json={"note": "Off shift."}, role=Role.OPERATOR)
        assert (answer.status_code, answer.json()["state"], answer.json()["note"]) == (200, "pending", None)
    actions = [line["action"] for line in (await api.read(f"alerts/{alert_id}"))["history"]]
    assert actions == ["raised", "notified", "acknowledged", "unacknowledged", "notified"]
    assert alert_id in await api.ids("alerts")
    await api.post(f"alerts/{alert_id}/resolve")
    assert_problem(await api.post(f"alerts/{alert_id}/unack"), 409)


async def test_a_comment_is_added_once_for_its_key(api: Api, alert_id: str) -> None:
    await api.post(f"alerts/{alert_id}/resolve")
    for _ in range(2):
        answer = await api.post(
            f"alerts/{alert_id}/comments", json={"text": "It was\nthe proxy."}, headers={"Idempotency-Key": "c-1"}
        )
        assert answer.status_code == 201, answer.text
    history = (await api.read(f"alerts/{alert_id}"))["history"]
    comments = [(line["actor"], line["note"]) for line in history if line["action"] == "commented"]
    assert comments == [("ada", "It was\nthe proxy.")]
    for text in ("", "  ", "x" * 2001, "a\u0000b"):
        assert_problem(await api.post(f"alerts/{alert_id}/comments", json={"text": text}), 422)


async def test_an_alert_shows_now_and_the_last_failed_attempt(api: Api, alert_id: str) -> None:
    found = await api.read(f"alerts/{alert_id}", role=Role.VIEWER)
    webhook_id = found["webhook_id"]
    failed = (await api.read(f"webhooks/{webhook_id}/attempts", params={"ok": False, "limit": 1}))["items"][0]
    assert found["last_failed_attempt"] == {
        name: failed[name] for name in ("id", "webhook_id", "at", "status_code", "error")
    }
    assert (found["now"]["status"], found["now"]["window_s"], found["now"]["p50_ms"]) == ("unavailable", 300, None)
    assert found["now"]["failures"] == found["now"]["attempts"] > 0
    [listed] = (await api.read("alerts"))["items"]
    assert not {"now", "last_failed_attempt", "history"} & listed.keys()


async def test_the_history_says_who_was_told(api: Api, parts: Container, receiver: Receiver, alert_id: str) -> None:
    await AlertNotifier(parts.unit_of_work, parts.clock).run()
    line = await last_line(api, alert_id)
    assert (line["action"], line["told"]) == (
        "notified",
        {"destinations": 0, "delivered": 0, "failed": 0, "replaced": 0},
    )
    assert (await api.read("notifications/coverage")) == {"critical": False}
    pager = (await api.create(receiver.url, name="Pager", event_types=["monitor.alert.*"]))["id"]
    assert (await api.read("notifications/coverage", role=Role.VIEWER)) == {"critical": True}
    await api.post(f"alerts/{alert_id}/ack")
    await AlertNotifier(parts.unit_of_work, parts.clock).run()
    assert (await last_line(api, alert_id))["told"] == {"destinations": 1, "delivered": 0, "failed": 0, "replaced": 0}
    async with working(parts):
        await finished(api, 1)
    line = await last_line(api, alert_id)
    assert line["told"] == {"destinations": 1, "delivered": 1, "failed": 0, "replaced": 0}
    assert (await api.read(f"events/{line['event_id']}"))["type"] == "monitor.alert.acknowledged"
    [destination] = (await api.read("notifications/destinations", role=Role.VIEWER))["items"]
    assert (destination["webhook_id"], destination["critical"], destination["labels"]) == (pager, True, {})
    assert destination["last_told"]["error"] is None
    webhook = await api.read(f"webhooks/{pager}")
    assert (destination["status"], destination["status_reason"]) == (webhook["status"], webhook["status_reason"])
    await api.post(f"webhooks/{pager}/pause")
    [destination] = (await api.read("notifications/destinations"))["items"]
    assert destination["status"] == "paused"


@pytest.mark.parametrize("body_format", ["standard", "slack", "discord", "teams"])
async def test_a_sample_alert_is_sent_in_the_format_of_the_destination(
    api: Api, receiver: Receiver, body_format: str
) -> None:
    created = await api.create(receiver.url, event_types=["monitor.alert.*"], body_format=body_format)
    path = f"notifications/destinations/{created['id']}/test"
    answer = await api.post(path, role=Role.OPERATOR)
    assert (answer.status_code, answer.json()["event_type"]) == (200, "monitor.alert.raised")
    assert (answer.json()["kind"], answer.json()["ok"]) == ("test", True)
    [received] = receiver.requests
    assert b"This is a sample. Alerts of Monitor arrive here." in received.body
    [destination] = (await api.read("notifications/destinations"))["items"]
    assert destination["last_told"] is None
    assert_problem(await api.post("notifications/destinations/00000000-0000-7000-8000-000000000000/test"), 404)
