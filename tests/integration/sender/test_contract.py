"""The contract of the port: ``start`` calls back once, ``send`` waits, and what is abandoned leaves nothing behind."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from monitor.adapters.egress.sender import HttpSender
from monitor.domain.delivery.outcome import Outcome
from monitor.domain.ports.sender import WebhookSender
from monitor.domain.vocab import ErrorKind
from tests.fakes.egress.sender import FakeWebhookSender
from tests.integration.raw_receivers import OK, after_request, answering, hang, receiver, reset
from tests.integration.sender.support import LOCAL, open_connections_to, request
from tests.integration.support import eventually


@pytest.fixture(params=["real", "fake"])
def either(request: pytest.FixtureRequest, sender: HttpSender) -> WebhookSender:
    return sender if request.param == "real" else FakeWebhookSender()


async def test_start_calls_back_once_and_not_before_it_has_returned(either: WebhookSender) -> None:
    outcomes: list[Outcome] = []
    async with receiver(answering(OK)) as there:
        for number in range(1, 4):
            pending = either.start(request(there.url()), outcomes.append)
            assert len(outcomes) == number - 1
            await eventually(lambda number=number: len(outcomes) == number)  # type: ignore[misc]
            pending.abandon()
        assert (await either.send(request(there.url()))).ok
    assert [outcome.status_code for outcome in outcomes] == [200] * 3


async def test_what_may_no_longer_be_written_is_not_and_says_nothing_about_the_receiver(either: WebhookSender) -> None:
    outcomes: list[Outcome] = []
    async with receiver(answering(OK)) as there:
        either.start(request(there.url()), outcomes.append, may_write=lambda: False)
        await eventually(lambda: len(outcomes) == 1)
        await eventually(lambda: not open_connections_to(there.port))
        assert there.requests == []
    assert [(one.local, one.exchange) for one in outcomes] == [(True, None)]


@pytest.mark.parametrize("url", ["not a url", "http://10.0.0.1/", "https://nothing.invalid/"])
async def test_a_refusal_is_called_back_too_and_later(sender: HttpSender, url: str) -> None:
    outcomes: list[Outcome] = []
    sender.start(request(url), outcomes.append)
    assert outcomes == []
    await eventually(lambda: len(outcomes) == 1)
    await asyncio.sleep(0.01)
    assert [outcome.error for outcome in outcomes] == [ErrorKind.BLOCKED]


async def test_what_is_abandoned_is_not_called_back_and_closes_its_connection(either: WebhookSender) -> None:
    if isinstance(either, FakeWebhookSender):
        either.open.clear()
    outcomes: list[Outcome] = []
    async with receiver(after_request(hang)) as there:
        pending = either.start(request(there.url()), outcomes.append)
        if isinstance(either, HttpSender):
            await eventually(lambda: len(there.requests) == 1)
        pending.abandon()
        pending.abandon()
        await eventually(lambda: not open_connections_to(there.port))
    assert outcomes == []


async def test_what_is_abandoned_while_it_dials_is_not_called_back() -> None:
    asked: list[str] = []

    async def lookup(host: str) -> Sequence[str]:
        asked.append(host)
        await asyncio.get_running_loop().create_future()
        return []

    outcomes: list[Outcome] = []
    async with HttpSender(LOCAL, lookup=lookup) as sender:
        pending = sender.start(request("https://a.com/"), outcomes.append)
        await eventually(lambda: asked == ["a.com"])
        pending.abandon()
        await asyncio.sleep(0.01)
    assert outcomes == []


async def test_a_callback_that_raises_harms_no_other_exchange(sender: HttpSender) -> None:
    def fail(outcome: Outcome) -> None:
        raise RuntimeError

    async with receiver(answering(OK)) as there:
        sender.start(request(there.url()), fail)
        await eventually(lambda: len(there.requests) == 1)
        assert (await sender.send(request(there.url()))).ok
        assert there.connections == 1


async def test_a_callback_may_start_the_next_request_on_the_same_connection(sender: HttpSender) -> None:
    left = 50
    done = asyncio.Event()

    async with receiver(answering(OK)) as there:

        def go_on(outcome: Outcome) -> None:
            nonlocal left
            assert outcome.ok
            left -= 1
            if left:
                sender.start(request(there.url()), go_on)
            else:
                done.set()

        sender.start(request(there.url()), go_on)
        await done.wait()
        assert (len(there.requests), there.connections) == (50, 1)


async def test_what_is_under_way_when_the_sender_closes_fails_as_ours() -> None:
    outcomes: list[Outcome] = []
    async with receiver(after_request(hang)) as there:
        async with HttpSender(LOCAL) as sender:
            sender.start(request(there.url()), outcomes.append)
            await eventually(lambda: len(there.requests) == 1)
            sender.start(request("http://127.0.0.1:1/"), outcomes.append)
        await eventually(lambda: not open_connections_to(there.port))
        await sender.aclose()
    assert [(outcome.error, outcome.local) for outcome in outcomes] == [(ErrorKind.OTHER, True)] * 2


async def test_an_exchange_says_what_was_sent_and_answered(sender: HttpSender) -> None:
    answer = b"HTTP/1.1 200 OK\r\nX-Trace: 7\r\nContent-Length: 0\r\n\r\n"
    sent = request("", body=b"{}", headers=(("X-A", "1"),))
    async with receiver(answering(answer)) as there:
        outcome = await sender.send(request(there.url(), body=sent.body, headers=sent.headers))
        head = there.requests[0].partition(b"\r\n\r\n")[0].decode()
    exchange = outcome.exchange
    assert exchange is not None
    assert (exchange.method, exchange.request.url) == ("POST", there.url())
    assert [f"{name}: {value}" for name, value in exchange.request_headers] == head.split("\r\n")[1:]
    assert exchange.response_headers == (("X-Trace", "7"), ("Content-Length", "0"))
    assert exchange.note is None


async def test_an_exchange_that_failed_says_what_was_sent_and_one_that_was_not_made_nothing(sender: HttpSender) -> None:
    async with receiver(after_request(reset)) as there:
        failed = await sender.send(request(there.url()))
    blocked = await sender.send(request("http://10.0.0.1/"))
    refused = await sender.send(request(there.url()))
    assert failed.exchange is not None
    assert (failed.exchange.request.url, failed.exchange.response_headers) == (there.url(), ())
    assert (blocked.exchange, refused.exchange) == (None, None)
    assert (blocked.error, refused.error) == (ErrorKind.BLOCKED, ErrorKind.CONNECT)
