"""What the sender writes, and on which connections."""

from __future__ import annotations

import pytest

from monitor import __version__
from monitor.adapters.egress.sender import HttpSender
from monitor.domain.vocab import ErrorKind
from tests.integration.raw_receivers import (
    OK,
    Behaviour,
    Reader,
    Receiver,
    Writer,
    answering,
    receiver,
)
from tests.integration.sender.support import LOCAL, request


async def test_the_request_goes_out_byte_for_byte(sender: HttpSender) -> None:
    body = b'{ "z": 1,\n"a": "\xc3\xa4" }'
    async with receiver(answering(OK)) as there:
        outcome = await sender.send(request(there.url(), body=body))
    assert outcome.ok
    assert (outcome.status_code, outcome.response_body, outcome.error_detail) == (200, b"ok", None)
    head, _, sent = there.requests[0].partition(b"\r\n\r\n")
    assert sent == body
    line, *fields = head.decode().split("\r\n")
    assert line == "POST /hook?a=%20b HTTP/1.1"
    assert dict(field.split(": ", 1) for field in fields) == {
        "Host": f"127.0.0.1:{there.port}",
        "Content-Type": "application/json",
        "webhook-id": "msg_1",
        "User-Agent": f"Monitor/{__version__}",
        "Accept": "*/*",
        "Accept-Encoding": "identity",
        "Content-Length": str(len(body)),
    }


@pytest.mark.parametrize("size", [0, 300_000, 3_000_000])
async def test_a_body_of_any_size_arrives_whole(sender: HttpSender, size: int) -> None:
    async with receiver(answering(OK)) as there:
        outcome = await sender.send(request(there.url(), body=b"x" * size))
    assert outcome.ok
    assert there.requests[0].partition(b"\r\n\r\n")[2] == b"x" * size


async def test_a_pooled_connection_is_reused_and_has_no_connect_time(sender: HttpSender) -> None:
    async with receiver(answering(OK)) as there:
        first = await sender.send(request(there.url("localhost")))
        second = await sender.send(request(there.url("localhost")))
        assert there.connections == 1
    assert first.phases.dns_ms is not None
    assert first.phases.connect_ms is not None
    assert first.phases.tls_ms is None
    assert first.phases.first_byte_ms is not None
    assert (second.phases.dns_ms, second.phases.connect_ms, second.phases.tls_ms) == (None, None, None)
    assert second.phases.first_byte_ms is not None
    assert 0 < second.phases.first_byte_ms <= second.latency_ms


async def test_a_pooled_connection_that_the_receiver_closed_costs_no_attempt(sender: HttpSender) -> None:
    def make(this: Receiver) -> Behaviour:
        async def behave(reader: Reader, writer: Writer) -> None:
            first = this.connections == 1
            await this.read_request(reader)
            writer.write(OK)
            await this.read_request(reader)
            if not first:
                writer.write(OK)

        return behave

    async with receiver(make) as there:
        assert (await sender.send(request(there.url()))).ok
        assert (await sender.send(request(there.url()))).ok
        assert there.connections == 2


async def test_proxies_of_the_environment_are_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    async with receiver(answering(OK)) as proxy, receiver(answering(OK)) as there:
        for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        async with HttpSender(LOCAL) as sender:
            assert (await sender.send(request(there.url()))).ok
        assert proxy.connections == 0


@pytest.mark.parametrize(
    "header",
    [("X-A", "a\r\nX-B: b"), ("X-A", "a\nb"), ("X-A\r\nX-B", "a"), ("X-A", "a\x00b"), ("", "a"), ("X-A", "\ud800")],
)
async def test_a_header_that_would_inject_another_is_refused(sender: HttpSender, header: tuple[str, str]) -> None:
    async with receiver(answering(OK)) as there:
        outcome = await sender.send(request(there.url(), headers=(header,)))
        assert there.connections == 0
    assert outcome.error is ErrorKind.BLOCKED


async def test_no_cookie_is_kept(sender: HttpSender) -> None:
    answer = b"HTTP/1.1 200 OK\r\nSet-Cookie: a=b; Path=/\r\nContent-Length: 0\r\n\r\n"
    async with receiver(answering(answer)) as there:
        await sender.send(request(there.url("localhost")))
        await sender.send(request(there.url("localhost")))
    assert b"cookie" not in there.requests[1].lower()
