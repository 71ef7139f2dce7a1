"""What people do about alerts and silences."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from uuid import UUID

import pytest

from monitor.domain.alerts import AlertKind, AlertState, SilenceSpec
from monitor.domain.errors import Conflict, Invalid, NotFound
from monitor.domain.services.alerts import Acknowledgement, Decision, ManyAcknowledgements
from monitor.domain.vocab import Actor, Role
from tests import samples
from tests.unit.domain.services.detection_fixture import MINUTE, House

GRACE = Actor("grace", Role.OPERATOR, "request-2")


@pytest.fixture
def house() -> House:
    return House()


@pytest.fixture
async def webhook_id(house: House) -> UUID:
    return await house.add(labels={"team": "blue"})


@pytest.fixture
async def alert_id(house: House, webhook_id: UUID) -> UUID:
    """One that subscribers know of."""
    house.fails(webhook_id)
    await house.look()
    assert house.heard() == ["raised"]
    house.domain_events()
    return house.alert(webhook_id).id


def audited(house: House) -> list[tuple[str, str]]:
    return [(row.action, row.subject) for row in house.database.tables.audit.values()]


async def test_the_first_to_acknowledge_owns_it_and_the_second_gets_the_same_answer(
    house: House, alert_id: UUID
) -> None:
    first = await house.triage.acknowledge(alert_id, Acknowledgement("Mine."), samples.ACTOR)
    assert (first.state, first.acknowledged_by, first.note) == (AlertState.ACKNOWLEDGED, "ada", "Mine.")
    assert first.acknowledged_at == house.clock.now()
    house.clock.advance(1)
    assert await house.triage.acknowledge(alert_id, Acknowledgement("No, mine."), GRACE) == first
    assert audited(house) == [("alert.acknowledge", "ada")]
    assert (house.heard(), house.domain_events()) == (["acknowledged"], ["AlertAcknowledged"])
    house.check_replay()


async def test_of_64_people_at_once_one_owns_it(house: House, alert_id: UUID) -> None:
    said = [
        house.triage.acknowledge(alert_id, Acknowledgement(), Actor(f"user-{number}", Role.OPERATOR))
        for number in range(64)
    ]
    answers = await asyncio.gather(*said)
    assert len({answer.acknowledged_by for answer in answers}) == 1
    assert len(audited(house)) == 1


async def test_an_acknowledgement_ends_when_it_said(house: House, alert_id: UUID, webhook_id: UUID) -> None:
    expires_at = house.clock.now() + timedelta(minutes=5)
    view = await house.triage.acknowledge(alert_id, Acknowledgement(expires_at=expires_at), samples.ACTOR)
    assert view.ack_expires_at == expires_at
    await house.look(after_s=5 * MINUTE - 1)
    assert house.alert(webhook_id).state is AlertState.ACKNOWLEDGED
    await house.look(after_s=1)
    assert (house.alert(webhook_id).state, house.heard()) == (AlertState.PENDING, ["acknowledged", "raised"])
    assert house.domain_events() == ["AlertAcknowledged", "AlertUpdated"]


async def test_an_acknowledgement_that_ended_unseen_makes_room_for_the_next(house: House, alert_id: UUID) -> None:
    expires_at = house.clock.now() + timedelta(minutes=5)
    await house.triage.acknowledge(alert_id, Acknowledgement(expires_at=expires_at), samples.ACTOR)
    house.clock.advance(5 * MINUTE)
    assert (await house.triage.acknowledge(alert_id, Acknowledgement(), GRACE)).acknowledged_by == "grace"


async def test_an_acknowledgement_cannot_end_before_it_began(house: House, alert_id: UUID) -> None:
    with pytest.raises(Invalid) as refused:
        await house.triage.acknowledge(alert_id, Acknowledgement(expires_at=house.clock.now()), samples.ACTOR)
    assert [error.pointer for error in refused.value.errors] == ["/expires_at"]
    many = ManyAcknowledgements(ids=[alert_id], expires_at=house.clock.now())
    with pytest.raises(Invalid):
        await house.triage.acknowledge_many(many, samples.ACTOR)
    assert audited(house) == []


async def test_a_resolved_alert_cannot_be_acknowledged(house: House, alert_id: UUID) -> None:
    view = await house.triage.resolve(alert_id, Decision("It was me."), samples.ACTOR)
    assert (view.state, view.resolved_by, view.note) == (AlertState.RESOLVED, "ada", "It was me.")
    with pytest.raises(Conflict):
        await house.triage.acknowledge(alert_id, Acknowledgement(), GRACE)
    assert await house.triage.resolve(alert_id, Decision("Or me."), GRACE) == view
    assert audited(house) == [("alert.resolve", "ada")]
    assert (house.heard(), house.domain_events()) == (["resolved"], ["AlertResolved"])


async def test_what_a_person_resolved_stays_quiet_while_it_holds(
    house: House, alert_id: UUID, webhook_id: UUID
) -> None:
    await house.triage.resolve(alert_id, Decision(), samples.ACTOR)
    await house.look(after_s=60 * MINUTE)
    assert house.alert(webhook_id).state is AlertState.RESOLVED
    house.works(webhook_id)
    await house.look()
    house.fails(webhook_id)
    await house.look()
    assert [alert.state for alert in house.alerts] == [AlertState.RESOLVED, AlertState.PENDING]


async def test_many_are_acknowledged_and_the_rest_skipped_with_the_reason(house: House, alert_id: UUID) -> None:
    other = await house.add()
    house.fails(other)
    await house.look()
    over = house.alert(other).id
    await house.triage.resolve(over, Decision(), samples.ACTOR)
    unknown = house.clock.new_id()
    said = ManyAcknowledgements(ids=[unknown, over, alert_id, alert_id], note="On it.")
    answer = await house.triage.acknowledge_many(said, samples.ACTOR)
    assert answer.acknowledged == [alert_id]
    assert {skipped.id: skipped.reason for skipped in answer.skipped} == {
        over: "This alert is resolved; there is nothing to acknowledge.",
        unknown: "There is no alert with this id.",
    }
    assert house.database.tables.alerts[alert_id].note == "On it."
    assert (await house.triage.acknowledge_many(said, GRACE)).acknowledged == [alert_id]
    assert house.database.tables.alerts[alert_id].acknowledged_by == "ada"


async def test_an_unknown_alert_cannot_be_handled(house: House) -> None:
    with pytest.raises(NotFound):
        await house.triage.acknowledge(house.clock.new_id(), Acknowledgement(), samples.ACTOR)
    with pytest.raises(NotFound):
        await house.triage.resolve(house.clock.new_id(), Decision(), samples.ACTOR)


async def test_an_alert_of_a_deleted_webhook_can_be_handled(house: House, alert_id: UUID, webhook_id: UUID) -> None:
    async with house.unit_of_work() as uow:
        await uow.webhooks.remove(webhook_id)
        await uow.commit()
    await house.triage.acknowledge(alert_id, Acknowledgement(), samples.ACTOR)
    [announced] = house.database.tables.notifications
    assert b'"a deleted webhook"' in announced.payload


async def test_the_alert_about_all_can_be_handled(house: House) -> None:
    house.fails(*[await house.add() for _ in range(6)])
    await house.survey()
    assert house.heard() == ["raised"]
    view = await house.triage.acknowledge(house.alert(kind=AlertKind.MASS_FAILURE).id, Acknowledgement(), samples.ACTOR)
    assert (view.webhook_id, view.webhook_name, view.acknowledged_by) == (None, None, "ada")
    [announced] = house.database.tables.notifications
    assert b'"webhook":null' in announced.payload


async def test_what_is_silenced_is_handled_without_telling(house: House, alert_id: UUID, webhook_id: UUID) -> None:
    await house.silence(MINUTE, label="team=blue")
    view = await house.triage.acknowledge(alert_id, Acknowledgement(), samples.ACTOR)
    assert (view.silenced, house.heard()) == (True, [])


async def test_a_silence_is_kept_with_who_made_it_and_ended_once(house: House, webhook_id: UUID) -> None:
    spec = SilenceSpec(
        reason="Maintenance.", ends_at=house.clock.now() + timedelta(hours=1), label="team=blue", kind=AlertKind.FAILING
    )
    assert (await house.triage.preview(spec)).webhooks == 1
    assert house.database.tables.silences == {}
    made = await house.triage.silence(spec, samples.ACTOR)
    assert (made.created_by, made.reason, made.active, made.label) == ("ada", "Maintenance.", True, "team=blue")
    house.clock.advance(1)
    for _ in range(2):
        await house.triage.end_silence(made.id, GRACE)
    ended = await house.alert_queries.silence(made.id)
    assert (ended.active, ended.ends_at) == (False, house.clock.now())
    assert audited(house) == [("silence.create", "ada"), ("silence.end", "grace")]
    assert house.domain_events() == ["SilencesChanged"] * 2
    with pytest.raises(NotFound):
        await house.triage.end_silence(house.clock.new_id(), GRACE)


async def test_a_silence_that_breaks_a_rule_is_not_made(house: House) -> None:
    spec = SilenceSpec(reason="Why not.", ends_at=house.clock.now())
    for call in (house.triage.silence(spec, samples.ACTOR), house.triage.preview(spec)):
        with pytest.raises(Invalid) as refused:
            await call
        assert [error.pointer for error in refused.value.errors] == ["", "/ends_at"]
    assert (house.database.tables.silences, audited(house)) == ({}, [])
