"""Trouble on real sockets and a real database: what is raised, who hears of it, and what races end in."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID

import msgspec
import pytest

from monitor.adapters.postgres.repositories.detection import encode_tally
from monitor.bootstrap.container import Container
from monitor.domain.alerts.alert import AlertKind, AlertPolicy, HistoryEntry, Identity, replay
from monitor.domain.anomaly.tally import Tally
from monitor.domain.delivery.quarantine import MAX_CRASHES
from monitor.domain.services.detection import NOTE_DELETED, NOTE_MASS_FAILURE, Detector
from monitor.domain.vocab import Role
from tests.integration.detection_support import AT_ONCE, Watch, actions, alert, alerts, fail, recover, report
from tests.integration.support import (
    ONCE,
    Api,
    Receiver,
    answering,
    eventually,
    execute,
    finished,
    sql,
    working,
)

NOWHERE = "http://127.0.0.1:9/hook"
FAST: dict[str, Any] = {"schedule_s": [0, 0.01, 0.01, 0.01, 0.01, 0.01], "jitter_ratio": 0}


@pytest.fixture
def watch(parts: Container) -> Watch:
    return Watch(parts)


async def replayed(parts: Container, alert_id: str) -> bool:
    """Whether the stored history makes the stored alert, but for ``lower_since``, which stands in no history."""
    async with sql(parts) as connection:
        row = await connection.fetchrow("SELECT * FROM alerts WHERE id = $1", UUID(alert_id))
        lines = await connection.fetch("SELECT * FROM alert_history WHERE alert_id = $1 ORDER BY version", row["id"])
    entries = [
        msgspec.convert({**line, "evidence": line["evidence"] and msgspec.json.decode(line["evidence"])}, HistoryEntry)
        for line in lines
    ]
    alert = replay(Identity(row["id"], row["webhook_id"], AlertKind(row["kind"])), entries, AlertPolicy())
    shown = msgspec.structs.asdict(alert) | {
        "transitions": list(alert.transitions),
        "causes": [str(c) for c in alert.causes],
        "told_severities": [str(severity) for severity in alert.told_severities],
        "lower_since": row["lower_since"],
    }
    return shown == {**row, "evidence": msgspec.json.decode(row["evidence"])}


# ---------------------------------------------------------------------------------------------------------- one webhook


async def test_a_failing_webhook_raises_one_critical_alert_resolves_by_itself_and_reopens(
    api: Api, parts: Container, receiver: Receiver, watch: Watch
) -> None:
    receiver.answer = answering(500)
    webhook_id = (await api.create(receiver.url, name="Orders", retry=FAST))["id"]
    async with working(parts):
        await api.publish(1)
        await receiver.takes(5)
        await eventually(lambda: status_is(api, webhook_id, "unavailable"))
        for _ in range(3):
            await watch.look()
        raised = await alert(api, webhook_id)
        assert (raised["state"], raised["severity"], raised["count"], raised["version"]) == (
            "pending",
            "critical",
            1,
            2,
        )
        assert raised["title"].startswith("Orders is unavailable: all of the last 5 attempts failed: HTTP 500")
        assert raised["evidence"]["health"]["status"] == "unavailable"
        assert actions(raised) == ["raised", "notified"]
        receiver.answer = answering(200)
        await execute(parts, "UPDATE webhook_lanes SET breaker_until = now() WHERE breaker_state <> 'closed'")
        await api.publish(*range(20))
        await eventually(lambda: status_is(api, webhook_id, "healthy"))
    await watch.look()
    resolved = await alert(api, webhook_id)
    assert (resolved["state"], resolved["resolved_by"]) == ("resolved", "system")
    await fail(api, webhook_id)
    await watch.look()
    reopened = await alert(api, webhook_id)
    assert (reopened["id"], reopened["state"], reopened["count"]) == (raised["id"], "pending", 2)
    assert actions(reopened) == ["raised", "notified", "resolved", "notified", "reopened", "notified"]
    assert await replayed(parts, raised["id"])


async def status_is(api: Api, webhook_id: str, status: str) -> bool:
    return bool((await api.read(f"webhooks/{webhook_id}"))["health"]["status"] == status)


async def test_410_raises_that_it_is_disabled(api: Api, parts: Container, receiver: Receiver, watch: Watch) -> None:
    receiver.answer = answering(410)
    webhook_id = (await api.create(receiver.url))["id"]
    async with working(parts):
        await api.publish(1)
        await finished(api, 1)
        await eventually(lambda: disabled_at_once(api, watch, webhook_id))
    found = await alert(api, webhook_id, "disabled")
    assert found["severity"] == "critical"
    assert found["title"].startswith("test was disabled: the receiver answered 410 Gone. Its events are kept until ")
    await api.call("PATCH", f"webhooks/{webhook_id}", json={"enabled": True})
    await watch.look()
    assert (await alert(api, webhook_id, "disabled"))["state"] == "resolved"


async def disabled_at_once(api: Api, watch: Watch, webhook_id: str) -> bool:
    """Whether one tick finds it, without waiting for its turn."""
    await watch.watcher.tick()
    return bool(await alerts(api, webhook_id=webhook_id, kind="disabled"))


async def test_who_fails_for_days_is_warned_of_and_then_disabled(
    api: Api, parts: Container, receiver: Receiver, watch: Watch
) -> None:
    receiver.answer = answering(500)
    webhook_id = (await api.create(receiver.url, retry=ONCE))["id"]
    await execute(parts, "UPDATE webhook_lanes SET failing_since = now() - interval '3 days'")
    await watch.look()
    warned = await alert(api, webhook_id, "disabling")
    assert (warned["state"], warned["severity"]) == ("pending", "critical")
    assert "without one success; it will be disabled on" in warned["title"]
    await execute(parts, "UPDATE webhook_lanes SET failing_since = now() - interval '5 days'")
    async with working(parts):
        await api.publish(1)
        await finished(api, 1)
        await eventually(lambda: disabled_at_once(api, watch, webhook_id))
    assert (await alert(api, webhook_id, "disabling"))["note"] == "Every attempt failed for 5 days."
    assert (await alert(api, webhook_id, "disabled"))["state"] == "pending"


async def test_deleting_a_webhook_resolves_its_alerts(api: Api, parts: Container, watch: Watch) -> None:
    webhook_id = (await api.create(NOWHERE))["id"]
    await fail(api, webhook_id)
    await watch.look()
    assert (await api.call("DELETE", f"webhooks/{webhook_id}")).status_code == 204
    await watch.watcher.tick()
    found = await alert(api, webhook_id)
    assert (found["state"], found["note"], found["webhook_name"]) == ("resolved", NOTE_DELETED, "test")
    rows = await parts.database.fetch("SELECT evaluate_at FROM webhook_lanes")
    assert [row["evaluate_at"] for row in rows] == [None]


async def test_a_delivery_that_kills_workers_is_an_alert(api: Api, parts: Container, watch: Watch) -> None:
    webhook_id = (await api.create(NOWHERE))["id"]
    await api.publish(1)
    await execute(parts, "UPDATE deliveries SET leased_by = 'dead', crashes = $1, due_at = now()", MAX_CRASHES - 1)
    async with working(parts):
        await finished(api, 1)
    await watch.look()
    found = await alert(api, webhook_id, "quarantined")
    assert found["title"] == "test: 1 delivery was quarantined because workers stopped while sending it."
    assert found["evidence"] == {"quarantined": {"quarantined": 1}}


async def test_a_delivery_whose_event_was_dropped_is_an_alert(api: Api, parts: Container, watch: Watch) -> None:
    webhook_id = (await api.create(NOWHERE))["id"]
    await api.publish(1)
    await execute(parts, "DELETE FROM events")
    async with working(parts):
        await finished(api, 1)
    (delivery,) = (await api.read("deliveries", params={"error": "expired"}))["items"]
    assert (delivery["state"], delivery["attempts"], delivery["last_error"]) == ("failed", 0, "expired")
    await watch.look()
    found = await alert(api, webhook_id, "expired")
    assert (found["state"], found["severity"]) == ("pending", "critical")
    assert found["title"] == "test: 1 delivery was not sent because its event reached retention."
    assert found["evidence"] == {"expired": {"expired": 1}}


async def test_a_webhook_whose_counts_cannot_be_true_does_not_blind_us_to_the_others(
    api: Api, parts: Container, watch: Watch
) -> None:
    poisoned, failing = [(await api.create(NOWHERE))["id"] for _ in range(2)]
    await fail(api, failing)
    unevaluated = encode_tally(Tally(attempts=1, failures=2))
    await execute(parts, "UPDATE webhook_lanes SET unevaluated = $2 WHERE webhook_id = $1", UUID(poisoned), unevaluated)
    with pytest.raises(ExceptionGroup):
        await watch.look()
    await watch.look()
    assert (await alert(api, failing))["state"] == "pending"


async def test_what_cannot_be_read_is_learned_anew(api: Api, parts: Container, watch: Watch) -> None:
    webhook_id = (await api.create(NOWHERE))["id"]
    await fail(api, webhook_id)
    await watch.look()
    await execute(parts, "UPDATE webhook_baselines SET baselines = 'other'")
    await execute(parts, "UPDATE webhook_lanes SET unevaluated = 'other'")
    await watch.look()
    assert (await api.read(f"webhooks/{webhook_id}"))["signals"]["failures"] == "learning"
    assert (await alert(api, webhook_id))["state"] == "pending"


# ---------------------------------------------------------------------------------------------------------------- races


async def test_64_failures_and_looks_at_once_raise_exactly_one_alert(api: Api, parts: Container) -> None:
    webhook_id = (await api.create(NOWHERE))["id"]
    watchers = [Detector(parts.unit_of_work, parts.clock, AT_ONCE) for _ in range(64)]
    await asyncio.gather(*(report(api, webhook_id, 503) for _ in range(64)), *(watcher.tick() for watcher in watchers))
    await execute(parts, "UPDATE webhook_lanes SET evaluate_at = now()")
    await asyncio.gather(
        *(watcher.tick() for watcher in watchers), *(watcher.check_mass_failure() for watcher in watchers)
    )
    found = await alert(api, webhook_id)
    assert (found["count"], actions(found)) == (1, ["raised", "notified"])
    (row,) = await parts.database.fetch("SELECT count(*) AS n FROM alert_notifications")
    assert row["n"] == 1


async def test_64_surveys_at_once_raise_exactly_one_alert(api: Api, parts: Container) -> None:
    await fail(api, *[(await api.create(NOWHERE))["id"] for _ in range(6)])
    watchers = [Detector(parts.unit_of_work, parts.clock, AT_ONCE) for _ in range(64)]
    await asyncio.gather(*(watcher.check_mass_failure() for watcher in watchers))
    (found,) = await alerts(api, kind="mass_failure")
    assert (found["count"], found["version"]) == (1, 2)


async def test_two_people_acknowledge_at_once_and_both_are_told_who_owns_it(
    api: Api, parts: Container, watch: Watch
) -> None:
    for number in range(5):
        webhook_id = (await api.create(NOWHERE))["id"]
        await fail(api, webhook_id)
        await watch.look()
        (found,) = await alerts(api, webhook_id=webhook_id)
        answers = await asyncio.gather(
            *(
                api.post(f"alerts/{found['id']}/ack", role=Role.OPERATOR, subject=f"{who}-{number}", json={"note": who})
                for who in ("ada", "grace")
            )
        )
        assert [answer.status_code for answer in answers] == [200, 200]
        assert answers[0].json() == answers[1].json()
        owner = answers[0].json()["acknowledged_by"]
        assert (owner, answers[0].json()["note"]) == (owner, owner.split("-")[0])
        assert actions(answers[0].json()).count("acknowledged") == 1
        assert await replayed(parts, found["id"])


async def test_acknowledgements_and_looks_at_once_lose_neither(api: Api, parts: Container, watch: Watch) -> None:
    ids = [(await api.create(NOWHERE))["id"] for _ in range(4)]
    await fail(api, *ids)
    await watch.look()
    found = [one["id"] for one in await alerts(api, kind="failing")]
    await recover(api, *ids[:2])
    await execute(parts, "UPDATE webhook_lanes SET evaluate_at = now()")
    answers, *_ = await asyncio.gather(
        api.post("alerts/ack", json={"ids": found}),
        watch.watcher.tick(),
        api.post("alerts/ack", json={"ids": found[::-1]}),
        watch.watcher.tick(),
    )
    assert answers.status_code == 200
    states = {one["webhook_id"]: one["state"] for one in await alerts(api, kind="failing")}
    assert states == {ids[0]: "resolved", ids[1]: "resolved", ids[2]: "acknowledged", ids[3]: "acknowledged"}
    for id_ in found:
        assert await replayed(parts, id_)


async def test_what_another_transaction_looks_at_is_passed_by(api: Api, parts: Container) -> None:
    ids = {(await api.create(NOWHERE))["id"] for _ in range(3)}
    async with parts.unit_of_work() as first, parts.unit_of_work() as second:
        mine, theirs = await first.detection.due(2), await second.detection.due(10)
        assert (len(mine), len(theirs)) == (2, 1)
        assert {str(watched.webhook_id) for watched in (*mine, *theirs)} == ids


# ------------------------------------------------------------------------------------------------------------- together


async def test_ten_that_fail_together_are_one_alert(api: Api, watch: Watch) -> None:
    ids = [(await api.create(NOWHERE))["id"] for _ in range(12)]
    await recover(api, *ids[10:])
    await fail(api, ids[0])
    await watch.look()
    await fail(api, *ids[1:10])
    await watch.watcher.check_mass_failure()
    await watch.look()
    (mass_failure,) = await alerts(api, kind="mass_failure")
    assert (mass_failure["state"], mass_failure["severity"], mass_failure["webhook_id"]) == (
        "pending",
        "critical",
        None,
    )
    assert mass_failure["title"] == "10 of 12 webhooks began to fail together; check what they have in common."
    assert [(one["webhook_id"], one["state"], one["note"]) for one in await alerts(api, kind="failing")] == [
        (ids[0], "resolved", NOTE_MASS_FAILURE)
    ]
    await recover(api, *ids[:9])
    await watch.look()
    assert (await api.read(f"alerts/{mass_failure['id']}"))["state"] == "resolved"
    await watch.look()
    assert [one["webhook_id"] for one in await alerts(api, state="pending")] == [ids[9]]
