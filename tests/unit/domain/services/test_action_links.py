"""What links in messages do, once."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import pytest
from msgspec.structs import replace

from monitor.domain.alerts import AlertKind, AlertState
from monitor.domain.alerts.action_links import ActionLink, ActionLinks, LinkAction, link_digest
from monitor.domain.services.action_links import LinkCommands, LinkStatus, LinkView
from monitor.domain.services.alerts import Acknowledgement, AlertNote
from monitor.domain.vocab import Actor, Role
from tests.unit.domain.services.detection_harness import DetectionHarness

LINKS = ActionLinks("https://monitor.example.com", (b"k" * 32,))
ADA = Actor("ada", Role.OPERATOR)


class LinkHarness(DetectionHarness):
    def __init__(self) -> None:
        super().__init__()
        self.links = LinkCommands(self.unit_of_work, self.commands, self.silencer, LINKS)
        self.destination = UUID(int=0)
        self.failing = UUID(int=0)

    async def raise_alert(self) -> None:
        self.destination = await self.add(name="Ops channel", event_types=("monitor.alert.*",))
        self.failing = await self.add(name="Orders")
        self.make_unavailable(self.failing)
        await self.evaluate_all()

    def link(self, action: LinkAction = LinkAction.ACKNOWLEDGE) -> ActionLink:
        expires_at = self.clock.now().replace(microsecond=0) + timedelta(days=1)
        return ActionLink(action, self.alert(self.failing).id, self.destination, expires_at)

    def token(self, action: LinkAction = LinkAction.ACKNOWLEDGE) -> str:
        return LINKS.token(self.link(action))

    async def act(self, token: str) -> LinkView:
        return await self.links.act(token, request_id="r1", client="192.0.2.7")


@pytest.fixture
async def harness() -> LinkHarness:
    harness = LinkHarness()
    await harness.raise_alert()
    return harness


async def test_looking_changes_nothing(harness: LinkHarness) -> None:
    before = harness.database.tables
    view = await harness.links.look(harness.token())
    assert (view.status, view.action) == (LinkStatus.READY, LinkAction.ACKNOWLEDGE)
    assert view.title == harness.alert(harness.failing).title
    assert view.page == f"https://monitor.example.com/#/alerts/{harness.alert(harness.failing).id}"
    assert harness.database.tables is before


async def test_a_link_acknowledges_once_in_the_name_of_its_destination(harness: LinkHarness) -> None:
    token = harness.token()
    done = await harness.act(token)
    assert (done.status, done.by, done.until) == (LinkStatus.DONE, "link of Ops channel", None)
    alert = harness.alert(harness.failing)
    assert (alert.state, alert.acknowledged_by) == (AlertState.ACKNOWLEDGED, "link of Ops channel")
    [row] = harness.database.tables.audit.values()
    assert (row.subject, row.role, row.action) == ("link of Ops channel", None, "alert.acknowledge")
    assert row.target == f"alert:{alert.id}"
    assert row.request_id == "r1"
    harness.clock.advance(60)
    again = await harness.act(token)
    assert (again.status, again.by, again.at) == (LinkStatus.USED, "link of Ops channel", done.at)
    assert harness.alert(harness.failing) == alert
    assert len(harness.database.tables.audit) == 1


async def test_a_used_link_stays_used_after_the_acknowledgement_is_taken_back(harness: LinkHarness) -> None:
    token = harness.token()
    await harness.act(token)
    await harness.commands.unacknowledge(harness.alert(harness.failing).id, AlertNote(), ADA)
    assert (await harness.act(token)).status is LinkStatus.USED
    assert harness.alert(harness.failing).state is AlertState.PENDING


@pytest.mark.parametrize(("action", "seconds"), [(LinkAction.SILENCE_HOUR, 3_600), (LinkAction.SILENCE_DAY, 86_400)])
async def test_a_link_silences_the_alert_alone_for_its_time(
    harness: LinkHarness, action: LinkAction, seconds: int
) -> None:
    done = await harness.act(harness.token(action))
    [silence] = harness.database.tables.silences.values()
    assert silence.created_by == "link of Ops channel"
    assert (silence.webhook_id, silence.kind) == (harness.failing, AlertKind.FAILING)
    assert done.until == silence.ends_at == harness.clock.now() + timedelta(seconds=seconds)
    assert harness.alert(harness.failing).state is AlertState.PENDING
    [row] = harness.database.tables.audit.values()
    assert (row.subject, row.action) == ("link of Ops channel", "silence.create")
    assert (await harness.act(harness.token(action))).status is LinkStatus.USED
    assert len(harness.database.tables.silences) == 1


async def test_an_alert_about_all_webhooks_can_be_silenced(harness: LinkHarness) -> None:
    others = [await harness.add() for _ in range(9)]
    harness.make_unavailable(*others)
    await harness.check_mass_failure()
    [mass] = [alert for alert in harness.database.tables.alerts.values() if alert.kind is AlertKind.MASS_FAILURE]
    done = await harness.act(LINKS.token(replace(harness.link(LinkAction.SILENCE_HOUR), alert_id=mass.id)))
    assert done.status is LinkStatus.DONE
    [silence] = harness.database.tables.silences.values()
    assert (silence.webhook_id, silence.kind) == (None, AlertKind.MASS_FAILURE)


async def test_after_a_day_a_link_says_that_it_has_expired(harness: LinkHarness) -> None:
    token = harness.token()
    harness.clock.advance(86_401)
    for view in (await harness.links.look(token), await harness.act(token)):
        assert view.status is LinkStatus.EXPIRED
    assert harness.alert(harness.failing).state is AlertState.PENDING
    assert harness.database.tables.used_links == {}


@pytest.mark.parametrize("action", LinkAction)
async def test_of_a_resolved_alert_it_says_who_resolved_it(harness: LinkHarness, action: LinkAction) -> None:
    await harness.commands.resolve(harness.alert(harness.failing).id, AlertNote(), ADA)
    view = await harness.act(harness.token(action))
    assert (view.status, view.by) == (LinkStatus.RESOLVED, "ada")
    assert view.at == harness.alert(harness.failing).resolved_at
    assert harness.database.tables.silences == {}


async def test_of_an_acknowledged_alert_it_says_who_works_on_it(harness: LinkHarness) -> None:
    alert_id = harness.alert(harness.failing).id
    expires_at = harness.clock.now() + timedelta(seconds=60)
    await harness.commands.acknowledge(alert_id, Acknowledgement(expires_at=expires_at), ADA)
    view = await harness.act(harness.token())
    assert (view.status, view.by) == (LinkStatus.ACKNOWLEDGED, "ada")
    assert (await harness.links.look(harness.token(LinkAction.SILENCE_HOUR))).status is LinkStatus.READY
    harness.clock.advance(60)
    assert (await harness.act(harness.token())).status is LinkStatus.DONE
    assert harness.alert(harness.failing).acknowledged_by == "link of Ops channel"


@pytest.mark.parametrize("member", ["alert_id", "destination_id"])
async def test_a_link_to_what_is_gone_is_unknown(harness: LinkHarness, member: str) -> None:
    assert (
        await harness.act(LINKS.token(replace(harness.link(), **{member: UUID(int=77)})))
    ).status is LinkStatus.UNKNOWN


async def test_deleting_a_destination_ends_its_links(harness: LinkHarness) -> None:
    token = harness.token()
    harness.delete(harness.destination)
    assert (await harness.act(token)).status is LinkStatus.UNKNOWN
    assert harness.alert(harness.failing).state is AlertState.PENDING


async def test_a_forged_token_does_nothing(harness: LinkHarness) -> None:
    forged = ActionLinks("https://monitor.example.com", (b"x" * 32,)).token(
        ActionLink(LinkAction.ACKNOWLEDGE, harness.alert(harness.failing).id, harness.destination, harness.clock.now())
    )
    assert harness.links.read(forged) is None
    assert await harness.links.look(forged) == await harness.act(forged) == LinkView(LinkStatus.UNKNOWN)


async def test_what_is_stored_of_a_used_link_does_not_use_it(harness: LinkHarness) -> None:
    token = harness.token()
    await harness.act(token)
    [(digest, used)] = harness.database.tables.used_links.items()
    assert digest == used.digest == link_digest(token)
    assert used.expires_at <= harness.clock.now() + timedelta(days=1)
