"""Whatever a port raises, before or after its effect: the loops go on, and everything is delivered in the end."""

from __future__ import annotations

import asyncio

import pytest

from monitor.domain.errors import Unavailable
from monitor.domain.ports.queue import DeliveryQueue
from monitor.domain.ports.repositories.attempts import AttemptLog
from monitor.worker.config import DeliveryConfig
from tests import samples
from tests.fakes.postgres.queries.resources import FakeQueries
from tests.fakes.postgres.queue import FakeDeliveryQueue
from tests.fakes.postgres.repositories.attempts import FakeAttemptLog
from tests.fakes.postgres.unit_of_work import FakeUnitOfWork
from tests.fakes.trouble import Trouble, When, methods
from tests.unit.worker.delivery_site import Site, running

ERRORS = [Unavailable("The database does not answer."), ValueError("a bug"), KeyError("a row"), OSError(28, "no space")]
CONFIG = DeliveryConfig(poll_s=0.002, renew_s=0.002, retry_s=0.001, gather_s=0.001, drain_s=5.0)
FAKES: dict[type, type] = {DeliveryQueue: FakeDeliveryQueue, AttemptLog: FakeAttemptLog}
CALLS = [
    *((FAKES[port], name) for port, name in methods(*FAKES)),
    (FakeUnitOfWork, "__aenter__"),
    (FakeUnitOfWork, "commit"),
    (FakeQueries, "destinations"),
]
UNUSED = {"get", "has_event", "requeue", "wake", "step_aside", "cancel_waiting", "left_behind", "released"}
UNUSED |= {"count_finished", "requeue_finished", "add_reported"}
"""Methods that people and jobs call, and the worker does not for webhooks that were never paused."""
TROUBLES = [
    (fake, method, when)
    for fake, method in CALLS
    for when in ("before", "after")
    # A transaction that began and whose block did not would keep the one lock of the fake.
    if method not in UNUSED and (method, when) != ("__aenter__", "after")
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize(("fake", "method", "when"), TROUBLES, ids=str)
async def test_everything_is_delivered_in_spite_of_it(
    site: Site, monkeypatch: pytest.MonkeyPatch, fake: type, method: str, when: When, error: Exception
) -> None:
    for _ in range(2):
        await site.webhook(3)
    answers = iter([samples.REFUSED])
    site.sender.receiver = lambda _: next(answers, samples.OK)
    trouble = Trouble(monkeypatch, fake, method, error, when)

    async with running(site.worker(CONFIG)), asyncio.timeout(30):
        while site.delivered < 6:
            # Leases of what was dropped run out, and postponed deliveries fall due.
            site.clock.advance(5)
            await asyncio.sleep(0.002)

    # Not every run calls these; the last two take messages about alerts, and silences.
    rare = {"release", "renew", "stored", "locked_elsewhere", "clock", "replace_older", "add_silenced"}
    assert trouble.left == 0 or method in rare
    assert len(site.sender.requests) >= 7
