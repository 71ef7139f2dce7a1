"""Reminders are queued once for each step, and only while an alert needs them."""

from __future__ import annotations

from uuid import UUID

import msgspec
import pytest

from monitor.domain.alerts import AlertState
from monitor.domain.errors import UnreadableRow
from monitor.domain.services.alerts import Acknowledgement
from monitor.domain.services.reminders import BATCH, AlertReminders
from monitor.domain.vocab import Actor, Role
from tests.fakes.postgres.repositories.alerts import FakeAlertRepository
from tests.fakes.postgres.repositories.webhooks import FakeWebhookRepository
from tests.unit.domain.services.detection_harness import POLICY, DetectionHarness

ADA = Actor("ada", Role.OPERATOR, None)


class ReminderHarness(DetectionHarness):
    def __init__(self) -> None:
        super().__init__()
        self.reminders = AlertReminders(self.unit_of_work, POLICY.alert)

    async def look(self, after_s: float = 0.0) -> list[tuple[UUID, str]]:
        """Advance the clock, look at the alerts, and return who gets a reminder, with its sentence."""
        self.clock.advance(after_s)
        tables = self.database.tables
        known = set(tables.deliveries)
        await self.reminders.run()
        await self.notifier.run()
        tables = self.database.tables
        new = [made for id_, made in sorted(tables.deliveries.items()) if id_ not in known]
        payloads = [(made.webhook_id, msgspec.json.decode(tables.events[made.event_id].event.payload)) for made in new]
        return [(to, payload["data"]["reminder"]["text"]) for to, payload in payloads]

    async def raise_alert(self, name: str = "Orders") -> UUID:
        failing = await self.add(name=name)
        self.make_unavailable(failing)
        await self.evaluate_all()
        await self.notifier.run()
        return failing


@pytest.fixture
def harness() -> ReminderHarness:
    return ReminderHarness()


def said(after: str) -> str:
    return f"Still failing after {after}, nobody acknowledged it: Orders is unavailable."


async def test_each_destination_gets_the_steps_it_asked_for(harness: ReminderHarness) -> None:
    chat = await harness.add(event_types=("monitor.alert.*",))
    own = await harness.add(event_types=("monitor.alert.reminder",), reminders=(1_800, 3_600))
    await harness.add(event_types=("monitor.alert.*",), reminders=())
    failing = await harness.raise_alert()
    title = harness.alert(failing).title
    got = {after_s: await harness.look(300) for after_s in range(300, 18_000, 300)}
    begins = {after_s: [(to, text.partition(",")[0]) for to, text in found] for after_s, found in got.items() if found}
    assert begins == {
        900: [(chat, "Still failing after 15 min")],
        1_800: [(own, "Still failing after 30 min")],
        3_600: [(chat, "Still failing after 1 h"), (own, "Still failing after 1 h")],
        14_400: [(chat, "Still failing after 4 h")],
    }
    assert got[900][0][1].endswith(title)
    history = [entry.action for entry in harness.database.tables.history_of(harness.alert(failing).id)]
    assert history == ["raised", "notified", *["reminded"] * 4]


async def test_a_look_that_is_repeated_says_nothing_twice(harness: ReminderHarness) -> None:
    await harness.add(event_types=("monitor.alert.*",))
    await harness.raise_alert()
    assert len(await harness.look(900)) == 1
    assert await harness.look() == []
    assert await harness.look(299) == []


async def test_what_an_outage_held_back_is_told_once(harness: ReminderHarness) -> None:
    chat = await harness.add(event_types=("monitor.alert.*",))
    first = await harness.add(event_types=("monitor.alert.*",), reminders=(300,))
    await harness.raise_alert()
    [one, other] = await harness.look(5 * 3_600)
    assert {one[0], other[0]} == {chat, first}
    assert one[1].startswith("Still failing after 5 h, ")
    assert await harness.look(300) == []


async def test_a_transaction_that_fails_is_repeated_and_tells_once(harness: ReminderHarness) -> None:
    await harness.add(event_types=("monitor.alert.*",))
    await harness.raise_alert()
    harness.clock.advance(900)
    async with harness.unit_of_work() as uow:
        assert len(await uow.reminders.due(10)) == 1
    assert len(await harness.look()) == 1


async def test_an_acknowledged_alert_is_looked_at_no_more(harness: ReminderHarness) -> None:
    await harness.add(event_types=("monitor.alert.*",))
    failing = await harness.raise_alert()
    await harness.commands.acknowledge(harness.alert(failing).id, Acknowledgement(), ADA)
    harness.clock.advance(300)
    await harness.reminders.run()
    assert harness.database.tables.reminders == {}
    assert harness.alert(failing).state is AlertState.ACKNOWLEDGED


async def test_a_silence_passes_steps_over(harness: ReminderHarness) -> None:
    await harness.add(event_types=("monitor.alert.*",))
    failing = await harness.raise_alert()
    await harness.silence(1_800, webhook_id=failing)
    assert await harness.look(900) == []
    assert await harness.look(300) == []
    [(_, text)] = await harness.look(2_400)
    assert text.startswith("Still failing after 1 h, ")


async def test_nobody_is_told_of_a_deleted_webhook(harness: ReminderHarness) -> None:
    await harness.add(event_types=("monitor.alert.*",))
    failing = await harness.raise_alert()
    harness.delete(failing)
    assert await harness.look(900) == []


async def test_without_destinations_the_history_stays_as_it_is(harness: ReminderHarness) -> None:
    failing = await harness.raise_alert()
    assert await harness.look(900) == []
    history = harness.database.tables.history_of(harness.alert(failing).id)
    assert [entry.action for entry in history] == ["raised", "notified"]


async def test_an_alert_about_all_webhooks_has_reminders(harness: ReminderHarness) -> None:
    chat = await harness.add(event_types=("monitor.alert.*",))
    failing = [await harness.add() for _ in range(9)]
    harness.make_unavailable(*failing)
    await harness.check_mass_failure()
    await harness.notifier.run()
    [(to, text)] = await harness.look(900)
    assert to == chat
    assert text.startswith("Still failing after 15 min, ")


async def test_after_a_day_it_is_looked_at_no_more(harness: ReminderHarness) -> None:
    await harness.add(event_types=("monitor.alert.*",), reminders=(86_400,))
    await harness.raise_alert()
    assert await harness.look(86_100) == []
    [(_, text)] = await harness.look(300)
    assert text.startswith("Still failing after 24 h, ")
    assert harness.database.tables.reminders == {}


async def test_an_alert_of_another_version_is_left_to_a_process_that_reads_it(
    harness: ReminderHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    await harness.add(event_types=("monitor.alert.*",))
    await harness.raise_alert()
    get = FakeAlertRepository.get

    async def unreadable(_: FakeAlertRepository, alert_id: UUID) -> None:
        raise UnreadableRow("Another version wrote it.")

    monkeypatch.setattr(FakeAlertRepository, "get", unreadable)
    assert await harness.look(900) == []
    monkeypatch.setattr(FakeAlertRepository, "get", get)
    assert await harness.look(299) == []
    assert len(await harness.look(1)) == 1


async def test_a_webhook_of_another_version_is_told_of_without_its_name(
    harness: ReminderHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    await harness.add(event_types=("monitor.alert.*",))
    await harness.raise_alert()

    async def unreadable(_: FakeWebhookRepository, webhook_id: UUID) -> None:
        raise UnreadableRow("Another version wrote it.")

    monkeypatch.setattr(FakeWebhookRepository, "read", unreadable)
    assert len(await harness.look(900)) == 1


async def test_more_alerts_than_one_batch_are_all_looked_at(harness: ReminderHarness) -> None:
    await harness.add(event_types=("monitor.alert.*",))
    healthy = 4 * BATCH
    for _ in range(healthy):
        await harness.add()
    failing = [await harness.add(name=f"Webhook {n}") for n in range(BATCH + 2)]
    harness.make_unavailable(*failing)
    await harness.evaluate_all()
    await harness.notifier.run()
    assert len(await harness.look(900)) == BATCH + 2
