"""Commands of users on alerts and silences."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from uuid import UUID

import pytest

from monitor.domain.alerts import (
    AlertKind,
    AlertPolicy,
    AlertState,
    Cause,
    Condition,
    Identity,
    SilenceSpec,
    UpdateConditions,
)
from monitor.domain.errors import Conflict, Invalid, NotFound, Unavailable
from monitor.domain.services.alerts import (
    Acknowledgement,
    AlertComment,
    AlertNote,
    BulkAcknowledgement,
    WebhookRef,
    transition_alert,
)
from monitor.domain.vocab import Actor, Role, Severity
from tests import samples
from tests.unit.domain.services.detection_harness import MINUTE, DetectionHarness

GRACE = Actor("grace", Role.OPERATOR, "request-2")


@pytest.fixture
def harness() -> DetectionHarness:
    return DetectionHarness()


@pytest.fixture
async def webhook_id(harness: DetectionHarness) -> UUID:
    return await harness.add(labels={"team": "blue"})


@pytest.fixture
async def alert_id(harness: DetectionHarness, webhook_id: UUID) -> UUID:
    """An alert that was published."""
    harness.make_unavailable(webhook_id)
    await harness.evaluate_all()
    assert harness.take_notifications() == ["raised"]
    harness.take_domain_events()
    return harness.alert(webhook_id).id


def audited(harness: DetectionHarness) -> list[tuple[str, str]]:
    return [(row.action, row.subject) for row in harness.database.tables.audit.values()]


async def test_that_what_holds_is_less_severe_is_noted_before_anything_is_told(
    harness: DetectionHarness, webhook_id: UUID, alert_id: UUID
) -> None:
    alert = harness.alert(webhook_id)
    milder = UpdateConditions((Condition(Cause.HEALTH, Severity.WARNING, "Orders is degraded.", {}),))
    identity = Identity(alert_id, webhook_id, alert.kind)
    async with harness.unit_of_work() as uow:
        await transition_alert(uow, alert, milder, identity=identity, webhook=WebhookRef(), policy=AlertPolicy())
        await uow.commit()
    stored = harness.alert(webhook_id)
    assert (stored.severity, stored.lower_since) == (Severity.CRITICAL, harness.clock.now())
    assert (harness.take_notifications(), harness.take_domain_events()) == ([], [])
    assert harness.actions(stored) == ["raised", "notified"]


async def test_the_first_acknowledgement_counts_and_the_second_returns_it(
    harness: DetectionHarness, alert_id: UUID
) -> None:
    first = await harness.commands.acknowledge(alert_id, Acknowledgement("Mine."), samples.ACTOR)
    assert (first.state, first.acknowledged_by, first.note) == (AlertState.ACKNOWLEDGED, "ada", "Mine.")
    assert first.acknowledged_at == harness.clock.now()
    harness.clock.advance(1)
    assert await harness.commands.acknowledge(alert_id, Acknowledgement("No, mine."), GRACE) == first
    assert audited(harness) == [("alert.acknowledge", "ada")]
    assert (harness.take_notifications(), harness.take_domain_events()) == (["acknowledged"], ["AlertAcknowledged"])
    harness.check_replay()


async def test_of_64_concurrent_acknowledgements_one_counts(harness: DetectionHarness, alert_id: UUID) -> None:
    calls = [
        harness.commands.acknowledge(alert_id, Acknowledgement(), Actor(f"user-{number}", Role.OPERATOR))
        for number in range(64)
    ]
    answers = await asyncio.gather(*calls)
    assert len({answer.acknowledged_by for answer in answers}) == 1
    assert len(audited(harness)) == 1


async def test_an_acknowledgement_ends_when_it_expires(
    harness: DetectionHarness, alert_id: UUID, webhook_id: UUID
) -> None:
    expires_at = harness.clock.now() + timedelta(minutes=5)
    view = await harness.commands.acknowledge(alert_id, Acknowledgement(expires_at=expires_at), samples.ACTOR)
    assert view.ack_expires_at == expires_at
    await harness.evaluate_all(after_s=5 * MINUTE - 1)
    assert harness.alert(webhook_id).state is AlertState.ACKNOWLEDGED
    await harness.evaluate_all(after_s=1)
    assert (harness.alert(webhook_id).state, harness.take_notifications()) == (
        AlertState.PENDING,
        ["acknowledged", "raised"],
    )
    assert harness.take_domain_events() == ["AlertAcknowledged", "AlertUpdated"]


async def test_an_expired_acknowledgement_can_be_replaced_before_the_next_evaluation(
    harness: DetectionHarness, alert_id: UUID
) -> None:
    expires_at = harness.clock.now() + timedelta(minutes=5)
    await harness.commands.acknowledge(alert_id, Acknowledgement(expires_at=expires_at), samples.ACTOR)
    harness.clock.advance(5 * MINUTE)
    assert (await harness.commands.acknowledge(alert_id, Acknowledgement(), GRACE)).acknowledged_by == "grace"


async def test_an_acknowledgement_cannot_end_before_it_began(harness: DetectionHarness, alert_id: UUID) -> None:
    with pytest.raises(Invalid) as refused:
        await harness.commands.acknowledge(alert_id, Acknowledgement(expires_at=harness.clock.now()), samples.ACTOR)
    assert [error.pointer for error in refused.value.errors] == ["/expires_at"]
    many = BulkAcknowledgement(ids=[alert_id], expires_at=harness.clock.now())
    with pytest.raises(Invalid):
        await harness.commands.acknowledge_many(many, samples.ACTOR)
    assert audited(harness) == []


async def test_a_note_holds_nothing_that_reorders_text(harness: DetectionHarness, alert_id: UUID) -> None:
    bad = "fixed\u202e"
    for call in (
        harness.commands.acknowledge(alert_id, Acknowledgement(bad), samples.ACTOR),
        harness.commands.acknowledge_many(BulkAcknowledgement(ids=[alert_id], note=bad), samples.ACTOR),
        harness.commands.resolve(alert_id, AlertNote(bad), samples.ACTOR),
    ):
        with pytest.raises(Invalid) as refused:
            await call
        assert [error.pointer for error in refused.value.errors] == ["/note"]
    assert audited(harness) == []


async def test_a_resolved_alert_cannot_be_acknowledged(harness: DetectionHarness, alert_id: UUID) -> None:
    view = await harness.commands.resolve(alert_id, AlertNote("It was me."), samples.ACTOR)
    assert (view.state, view.resolved_by, view.note) == (AlertState.RESOLVED, "ada", "It was me.")
    with pytest.raises(Conflict):
        await harness.commands.acknowledge(alert_id, Acknowledgement(), GRACE)
    assert await harness.commands.resolve(alert_id, AlertNote("Or me."), GRACE) == view
    assert audited(harness) == [("alert.resolve", "ada")]
    assert (harness.take_notifications(), harness.take_domain_events()) == (["resolved"], ["AlertResolved"])


async def test_a_cause_is_suppressed_after_a_user_resolved_its_alert(
    harness: DetectionHarness, alert_id: UUID, webhook_id: UUID
) -> None:
    await harness.commands.resolve(alert_id, AlertNote(), samples.ACTOR)
    await harness.evaluate_all(after_s=60 * MINUTE)
    assert harness.alert(webhook_id).state is AlertState.RESOLVED
    harness.make_healthy(webhook_id)
    await harness.evaluate_all()
    harness.make_unavailable(webhook_id)
    await harness.evaluate_all()
    assert [alert.state for alert in harness.alerts] == [AlertState.RESOLVED, AlertState.PENDING]


async def test_many_are_acknowledged_and_the_rest_skipped_with_the_reason(
    harness: DetectionHarness, alert_id: UUID
) -> None:
    other = await harness.add()
    harness.make_unavailable(other)
    await harness.evaluate_all()
    over = harness.alert(other).id
    await harness.commands.resolve(over, AlertNote(), samples.ACTOR)
    unknown = harness.clock.new_id()
    bulk = BulkAcknowledgement(ids=[unknown, over, alert_id, alert_id], note="On it.")
    answer = await harness.commands.acknowledge_many(bulk, samples.ACTOR)
    assert answer.acknowledged == [alert_id]
    assert {skipped.id: skipped.reason for skipped in answer.skipped} == {
        over: "This alert is resolved; there is nothing to acknowledge.",
        unknown: "There is no alert with this id.",
    }
    assert harness.database.tables.alerts[alert_id].note == "On it."
    assert (await harness.commands.acknowledge_many(bulk, GRACE)).acknowledged == [alert_id]
    assert harness.database.tables.alerts[alert_id].acknowledged_by == "ada"


async def test_an_outage_in_the_midst_of_many_leaves_what_is_done_and_says_what_is_not(
    harness: DetectionHarness, alert_id: UUID
) -> None:
    later = await harness.add()
    harness.make_unavailable(later)
    await harness.evaluate_all()
    second, third = harness.alert(later).id, harness.clock.new_id()
    harness.database.falls_after_commit = True
    bulk = BulkAcknowledgement(ids=[third, second, alert_id])
    answer = await harness.commands.acknowledge_many(bulk, samples.ACTOR)
    assert answer.acknowledged == [alert_id]
    assert [skipped.id for skipped in answer.skipped] == [second, third]
    with pytest.raises(Unavailable):
        await harness.commands.acknowledge_many(bulk, samples.ACTOR)
    harness.database.down = harness.database.falls_after_commit = False
    assert (await harness.commands.acknowledge_many(bulk, samples.ACTOR)).acknowledged == [alert_id, second]


async def test_an_unknown_alert_cannot_be_handled(harness: DetectionHarness) -> None:
    with pytest.raises(NotFound):
        await harness.commands.acknowledge(harness.clock.new_id(), Acknowledgement(), samples.ACTOR)
    with pytest.raises(NotFound):
        await harness.commands.resolve(harness.clock.new_id(), AlertNote(), samples.ACTOR)


async def test_an_alert_of_a_deleted_webhook_can_be_handled(
    harness: DetectionHarness, alert_id: UUID, webhook_id: UUID
) -> None:
    async with harness.unit_of_work() as uow:
        await uow.webhooks.remove(webhook_id)
        await uow.commit()
    await harness.commands.acknowledge(alert_id, Acknowledgement(), samples.ACTOR)
    [announced] = harness.database.tables.notifications
    assert b'"a deleted webhook"' in announced.payload


async def test_the_alert_about_all_can_be_handled(harness: DetectionHarness) -> None:
    harness.make_unavailable(*[await harness.add() for _ in range(6)])
    await harness.check_mass_failure()
    assert harness.take_notifications() == ["raised"]
    view = await harness.commands.acknowledge(
        harness.alert(kind=AlertKind.MASS_FAILURE).id, Acknowledgement(), samples.ACTOR
    )
    assert (view.webhook_id, view.webhook_name, view.acknowledged_by) == (None, None, "ada")
    [announced] = harness.database.tables.notifications
    assert b'"webhook":null' in announced.payload


async def test_changes_of_a_silenced_alert_are_not_published(
    harness: DetectionHarness, alert_id: UUID, webhook_id: UUID
) -> None:
    await harness.silence(MINUTE, label="team=blue")
    view = await harness.commands.acknowledge(alert_id, Acknowledgement(), samples.ACTOR)
    assert (view.silenced, harness.take_notifications()) == (True, [])


async def test_a_silence_records_its_creator_and_ends_once(harness: DetectionHarness, webhook_id: UUID) -> None:
    spec = SilenceSpec(
        reason="Maintenance.",
        ends_at=harness.clock.now() + timedelta(hours=1),
        label="team=blue",
        kind=AlertKind.FAILING,
    )
    assert (await harness.silencer.preview(spec)).webhooks == 1
    assert harness.database.tables.silences == {}
    made = await harness.silencer.create(spec, samples.ACTOR)
    assert (made.created_by, made.reason, made.active, made.label) == ("ada", "Maintenance.", True, "team=blue")
    harness.clock.advance(1)
    for _ in range(2):
        await harness.silencer.end(made.id, GRACE)
    ended = await harness.alert_queries.silence(made.id)
    assert (ended.active, ended.ends_at) == (False, harness.clock.now())
    assert audited(harness) == [("silence.create", "ada"), ("silence.end", "grace")]
    assert harness.take_domain_events() == ["SilencesChanged"] * 2
    with pytest.raises(NotFound):
        await harness.silencer.end(harness.clock.new_id(), GRACE)


async def test_a_silence_that_breaks_a_rule_is_not_created(harness: DetectionHarness) -> None:
    spec = SilenceSpec(reason="Why not.", ends_at=harness.clock.now())
    for call in (harness.silencer.create(spec, samples.ACTOR), harness.silencer.preview(spec)):
        with pytest.raises(Invalid) as refused:
            await call
        assert [error.pointer for error in refused.value.errors] == ["", "/ends_at"]
    assert (harness.database.tables.silences, audited(harness)) == ({}, [])


# ------------------------------------------------------------------------------------------- unacknowledge and comment


async def test_an_acknowledgement_is_taken_back_once(harness: DetectionHarness, alert_id: UUID) -> None:
    await harness.commands.acknowledge(alert_id, Acknowledgement("Mine."), samples.ACTOR)
    harness.take_domain_events()
    view = await harness.commands.unacknowledge(alert_id, AlertNote("Off shift."), GRACE)
    assert (view.state, view.acknowledged_by, view.note) == (AlertState.PENDING, None, None)
    assert await harness.commands.unacknowledge(alert_id, AlertNote("Again."), GRACE) == view
    assert audited(harness) == [("alert.acknowledge", "ada"), ("alert.unacknowledge", "grace")]
    assert harness.take_notifications() == ["acknowledged", "raised"]
    assert harness.take_domain_events() == ["AlertUnacknowledged"]
    harness.check_replay()


async def test_a_resolved_alert_is_not_unacknowledged(harness: DetectionHarness, alert_id: UUID) -> None:
    await harness.commands.resolve(alert_id, AlertNote(), samples.ACTOR)
    with pytest.raises(Conflict):
        await harness.commands.unacknowledge(alert_id, AlertNote(), samples.ACTOR)


async def test_a_comment_is_stored_once_for_its_key(harness: DetectionHarness, alert_id: UUID) -> None:
    for _ in range(2):
        view = await harness.commands.comment(alert_id, AlertComment("Looking."), GRACE, key="k", body=b"{}")
    assert view.history
    assert [(line.action, line.actor, line.note) for line in view.history[2:]] == [("commented", "grace", "Looking.")]
    assert audited(harness) == [("alert.comment", "grace")]
    assert (harness.take_notifications(), harness.take_domain_events()) == ([], ["AlertUpdated"])
    harness.check_replay()


@pytest.mark.parametrize("text", [" \n\t", "a\u202eb"])
async def test_a_comment_says_something_readable(harness: DetectionHarness, alert_id: UUID, text: str) -> None:
    with pytest.raises(Invalid) as caught:
        await harness.commands.comment(alert_id, AlertComment(text), GRACE)
    assert [error.pointer for error in caught.value.errors] == ["/text"]
    assert harness.actions(harness.alerts[0]) == ["raised", "notified"]
