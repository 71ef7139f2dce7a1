"""The contract of the port, by mails: ``start`` calls back once, and what is abandoned leaves nothing behind."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from monitor.adapters.smtp.sender import SmtpSender
from monitor.domain.delivery.outcome import Outcome
from monitor.domain.ports.sender import WebhookSender
from monitor.domain.vocab import ErrorKind
from tests.fakes.egress.sender import FakeWebhookSender
from tests.integration.sender.support import open_connections_to
from tests.integration.smtp.support import mail, sender_to
from tests.integration.support import eventually
from tests.mail_server import MailServer, mail_server, raw_mail_server, script


@pytest.fixture
async def server() -> AsyncIterator[MailServer]:
    async with mail_server() as listening:
        yield listening


@pytest.fixture(params=["real", "fake"])
async def either(request: pytest.FixtureRequest, server: MailServer) -> AsyncIterator[WebhookSender]:
    if request.param == "fake":
        yield FakeWebhookSender(lambda _: Outcome(1.0, status_code=250, smtp=True))
        return
    async with sender_to(server.port) as sender:
        yield sender


async def test_start_calls_back_once_and_not_before_it_has_returned(either: WebhookSender) -> None:
    outcomes: list[Outcome] = []
    for number in range(1, 4):
        pending = either.start(mail(), outcomes.append)
        assert len(outcomes) == number - 1
        await eventually(lambda number=number: len(outcomes) == number)  # type: ignore[misc]
        pending.abandon()
    assert (await either.send(mail())).ok
    assert [outcome.status_code for outcome in outcomes] == [250] * 3


async def test_what_may_no_longer_be_written_is_not(either: WebhookSender, server: MailServer) -> None:
    outcomes: list[Outcome] = []
    either.start(mail(), outcomes.append, may_write=lambda: False)
    await eventually(lambda: len(outcomes) == 1)
    assert [(one.local, one.exchange) for one in outcomes] == [(True, None)]
    assert server.mails == []


async def test_what_is_abandoned_is_not_called_back_and_closes_its_connection() -> None:
    outcomes: list[Outcome] = []
    async with raw_mail_server(script(("MAIL", b""))) as port, sender_to(port) as sender:
        pending = sender.start(mail(), outcomes.append)
        await eventually(lambda: open_connections_to(port))
        pending.abandon()
        pending.abandon()
        await eventually(lambda: not open_connections_to(port))
    assert outcomes == []


async def test_a_sender_that_closes_ends_what_is_under_way() -> None:
    outcomes: list[Outcome] = []
    async with raw_mail_server(script(("MAIL", b""))) as port:
        async with sender_to(port) as sender:
            sender.start(mail(), outcomes.append)
            await eventually(lambda: open_connections_to(port))
        assert [(one.error, one.local) for one in outcomes] == [(ErrorKind.OTHER, True)]
        await eventually(lambda: not open_connections_to(port))


async def test_a_callback_that_raises_harms_no_other_mail(server: MailServer) -> None:
    def fail(_: Outcome) -> None:
        raise RuntimeError

    async with sender_to(server.port) as sender:
        sender.start(mail(), fail)
        await eventually(lambda: len(server.mails) == 1)
        assert (await sender.send(mail())).ok
        assert isinstance(sender, SmtpSender)
