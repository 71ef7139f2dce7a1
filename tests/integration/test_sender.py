"""The sender against hostile and ordinary receivers on real loopback sockets."""

from __future__ import annotations

import asyncio
import gzip
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import psutil
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from monitor import __version__
from monitor.adapters.egress.connector import tls_context
from monitor.adapters.egress.guard import EgressPolicy, Target
from monitor.adapters.egress.resolver import Lookup, Resolver
from monitor.adapters.egress.sender import AiohttpSender
from monitor.domain.delivery.outcome import Outcome
from monitor.domain.delivery.request import OutboundRequest
from monitor.domain.vocab import ErrorKind
from tests.integration.raw_receivers import (
    OK,
    Behaviour,
    Reader,
    Receiver,
    Writer,
    after_request,
    answering,
    continue_for_ever,
    drip_body,
    drip_head,
    flood,
    hang,
    receiver,
    reset,
)

LOCAL = EgressPolicy(profile="local")
TOLERANCE_S = 5.0
"""Beyond a deadline, on a slow machine whose loop serves the receiver as well."""


@pytest.fixture
async def sender() -> AsyncIterator[AiohttpSender]:
    async with AiohttpSender(LOCAL) as opened:
        yield opened


def request(
    url: str,
    *,
    body: bytes = b'{"a": 1}',
    headers: tuple[tuple[str, str], ...] = (("Content-Type", "application/json"), ("webhook-id", "msg_1")),
    timeout_s: float = 5.0,
) -> OutboundRequest:
    return OutboundRequest(url=url, headers=headers, body=body, timeout_s=timeout_s)


def certificate(folder: Path) -> tuple[ssl.SSLContext, str]:
    """Return a server context for 127.0.0.1 and the PEM file that vouches for it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "receiver")])
    now = datetime.now(UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = folder / "receiver.pem"
    pem.write_bytes(
        signed.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(pem)
    return context, str(pem)


# What goes out --------------------------------------------------------------------------------------------------------


async def test_the_request_goes_out_byte_for_byte(sender: AiohttpSender) -> None:
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
async def test_a_body_of_any_size_arrives_whole(sender: AiohttpSender, size: int) -> None:
    async with receiver(answering(OK)) as there:
        outcome = await sender.send(request(there.url(), body=b"x" * size))
    assert outcome.ok
    assert there.requests[0].partition(b"\r\n\r\n")[2] == b"x" * size


async def test_a_pooled_connection_is_reused_and_has_no_connect_time(sender: AiohttpSender) -> None:
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


async def test_a_pooled_connection_that_the_receiver_closed_costs_no_attempt(sender: AiohttpSender) -> None:
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
        async with AiohttpSender(LOCAL) as sender:
            assert (await sender.send(request(there.url()))).ok
        assert proxy.connections == 0


@pytest.mark.parametrize(
    "header", [("X-A", "a\r\nX-B: b"), ("X-A", "a\nb"), ("X-A\r\nX-B", "a"), ("X-A", "a\x00b"), ("", "a")]
)
async def test_a_header_that_would_inject_another_is_refused(sender: AiohttpSender, header: tuple[str, str]) -> None:
    async with receiver(answering(OK)) as there:
        outcome = await sender.send(request(there.url(), headers=(header,)))
        assert there.connections == 0
    assert outcome.error is ErrorKind.BLOCKED


async def test_no_cookie_is_kept(sender: AiohttpSender) -> None:
    answer = b"HTTP/1.1 200 OK\r\nSet-Cookie: a=b; Path=/\r\nContent-Length: 0\r\n\r\n"
    async with receiver(answering(answer)) as there:
        await sender.send(request(there.url("localhost")))
        await sender.send(request(there.url("localhost")))
    assert b"cookie" not in there.requests[1].lower()


# What comes back ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_a_redirect_is_a_failed_attempt_and_one_request(sender: AiohttpSender, status: int) -> None:
    async with receiver(
        lambda this: answering(f"HTTP/1.1 {status} Go\r\nLocation: {this.url()}\r\nContent-Length: 0\r\n\r\n".encode())(
            this
        )
    ) as there:
        outcome = await sender.send(request(there.url()))
        assert len(there.requests) == 1
    assert (outcome.status_code, outcome.error) == (status, ErrorKind.STATUS)


async def test_a_204_is_a_success_without_a_body(sender: AiohttpSender) -> None:
    async with receiver(answering(b"HTTP/1.1 204 No Content\r\n\r\n")) as there:
        outcomes = [await sender.send(request(there.url())) for _ in range(2)]
        assert there.connections == 1
    assert all(outcome.ok and outcome.response_body == b"" for outcome in outcomes)


async def test_retry_after_is_kept_raw_and_short(sender: AiohttpSender) -> None:
    answer = b"HTTP/1.1 503 Busy\r\nRetry-After: " + b"9" * 500 + b"\r\nContent-Length: 0\r\n\r\n"
    async with receiver(answering(answer)) as there:
        outcome = await sender.send(request(there.url()))
    assert (outcome.status_code, outcome.retry_after, outcome.label) == (503, "9" * 64, "503")


async def test_only_the_first_4_kib_of_an_answer_are_kept_and_a_whole_one_keeps_its_connection(
    sender: AiohttpSender,
) -> None:
    body = bytes(range(256)) * 40
    async with receiver(answering(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))) as there:
        outcome = await sender.send(request(there.url()))
        assert outcome.response_body == body[:4096]
        assert (await sender.send(request(there.url()))).ok
        assert there.connections == 1


async def test_an_answer_beyond_16_kib_is_cut_and_its_connection_closed(sender: AiohttpSender) -> None:
    async with receiver(answering(b"HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\n" + b"x" * 99_999)) as there:
        for expected in (1, 2):
            outcome = await sender.send(request(there.url()))
            assert outcome.ok
            assert there.connections == expected


async def test_an_endless_answer_ends_at_16_kib_and_takes_no_memory(sender: AiohttpSender) -> None:
    before = psutil.Process().memory_info().rss
    async with receiver(after_request(flood)) as there:
        outcomes = await asyncio.gather(*(sender.send(request(there.url())) for _ in range(50)))
        grown = psutil.Process().memory_info().rss - before
    assert all(outcome.ok and len(outcome.response_body) == 4096 for outcome in outcomes)
    # Sender and fifty receivers together.
    assert grown < 64 * 2**20


async def test_a_gzip_bomb_stays_packed(sender: AiohttpSender) -> None:
    bomb = gzip.compress(b"\x00" * 20_000_000)
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(bomb)
    before = psutil.Process().memory_info().rss
    async with receiver(answering(head + bomb)) as there:
        outcome = await sender.send(request(there.url()))
    assert outcome.response_body == bomb[:4096]
    assert psutil.Process().memory_info().rss - before < 8 * 2**20


# Deadlines ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("act", [hang, drip_body, drip_head, continue_for_ever])
async def test_the_deadline_covers_head_and_body(
    sender: AiohttpSender, act: Callable[[Writer], Awaitable[None]]
) -> None:
    async with receiver(after_request(act)) as there:
        started = time.perf_counter()
        outcome = await sender.send(request(there.url(), timeout_s=0.6))
        took_s = time.perf_counter() - started
    assert (outcome.status_code, outcome.error) == (None, ErrorKind.TIMEOUT)
    assert 0.6 <= took_s < 0.6 + TOLERANCE_S
    assert outcome.latency_ms == pytest.approx(took_s * 1000, rel=0.2)


async def test_the_deadline_covers_the_name_lookup() -> None:
    async def lookup(host: str) -> Sequence[str]:
        await asyncio.get_running_loop().create_future()
        return []

    async with AiohttpSender(LOCAL, lookup=lookup) as sender:
        outcome = await sender.send(request("https://a.com/", timeout_s=0.2))
    assert outcome.error is ErrorKind.TIMEOUT


async def test_the_deadline_covers_the_tls_handshake(sender: AiohttpSender) -> None:
    def make(this: Receiver) -> Behaviour:
        async def behave(reader: Reader, writer: Writer) -> None:
            await hang(writer)

        return behave

    async with receiver(make) as there:
        outcome = await sender.send(request(there.url(scheme="https"), timeout_s=0.3))
    assert outcome.error is ErrorKind.TIMEOUT
    assert outcome.phases.connect_ms is not None
    assert outcome.phases.tls_ms is None


async def test_a_receiver_that_never_reads_is_dropped_at_the_deadline(sender: AiohttpSender) -> None:
    def make(this: Receiver) -> Behaviour:
        async def behave(reader: Reader, writer: Writer) -> None:
            writer.transport.pause_reading()  # type: ignore[attr-defined]
            await hang(writer)

        return behave

    async with receiver(make) as there:
        body = b"x" * 20_000_000
        outcome = await sender.send(request(there.url(), body=body, timeout_s=0.3))
        assert outcome.error is ErrorKind.TIMEOUT
        await until(lambda: not open_connections_to(there.port))


def open_connections_to(port: int) -> list[object]:
    return [c for c in psutil.Process().net_connections(kind="tcp") if c.raddr and c.raddr.port == port]


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(3):
        while not true():
            await asyncio.sleep(0.01)


async def test_slow_receivers_do_not_hold_up_others(sender: AiohttpSender) -> None:
    async with receiver(after_request(hang)) as slow, receiver(answering(OK)) as quick:
        waiting = [asyncio.create_task(sender.send(request(slow.url(), timeout_s=10))) for _ in range(200)]
        await until(lambda: len(slow.requests) == 200)
        outcome = await sender.send(request(quick.url()))
        for task in waiting:
            task.cancel()
        results = await asyncio.gather(*waiting, return_exceptions=True)
    assert outcome.ok
    assert outcome.latency_ms < 500
    assert all(isinstance(result, asyncio.CancelledError) for result in results)


# Failures -------------------------------------------------------------------------------------------------------------


async def close_silently(writer: Writer) -> None:
    writer.close()


async def half_close_mid_body(writer: Writer) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
    writer.write_eof()
    await hang(writer)


async def half_close_mid_head(writer: Writer) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-")
    writer.write_eof()
    await hang(writer)


@pytest.mark.parametrize(
    ("act", "kind"),
    [
        (reset, ErrorKind.RESET),
        (close_silently, ErrorKind.RESET),
        (half_close_mid_head, ErrorKind.RESET),
        (half_close_mid_body, ErrorKind.PROTOCOL),
    ],
)
async def test_a_connection_that_ends_early_is_told_apart(
    sender: AiohttpSender, act: Callable[[Writer], Awaitable[None]], kind: ErrorKind
) -> None:
    async with receiver(after_request(act)) as there:
        outcome = await sender.send(request(there.url()))
        assert len(there.requests) == 1
    assert (outcome.status_code, outcome.error) == (None, kind)


@pytest.mark.parametrize(
    "answer",
    [
        b"\x00\x01garbage\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX-Huge: " + b"x" * 100_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X-Many: x\r\n" * 10_000 + b"\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nnot-hex\r\n",
    ],
)
async def test_an_answer_that_is_no_http_is_a_protocol_error(sender: AiohttpSender, answer: bytes) -> None:
    async with receiver(answering(answer)) as there:
        outcome = await sender.send(request(there.url(), timeout_s=2))
    assert (outcome.status_code, outcome.error) == (None, ErrorKind.PROTOCOL)


async def test_a_closed_port_is_a_connect_error(sender: AiohttpSender) -> None:
    async with receiver(answering(OK)) as there:
        url = there.url()
    outcome = await sender.send(request(url))
    assert outcome.error is ErrorKind.CONNECT
    assert outcome.error_detail == "could not connect: connection refused"


async def test_an_unknown_name_is_a_dns_error() -> None:
    async def lookup(host: str) -> Sequence[str]:
        return []

    async with AiohttpSender(LOCAL, lookup=lookup) as sender:
        outcome = await sender.send(request("https://a.com/"))
    assert outcome.error is ErrorKind.DNS


async def test_a_detail_repeats_neither_headers_nor_answer(sender: AiohttpSender) -> None:
    secret = "canary-7f3a"
    headers = (("Authorization", secret),)
    answers = [f"{secret}\r\n\r\n", f"HTTP/1.1 500 {secret}\r\nContent-Length: 0\r\n\r\n"]
    for answer in answers:
        async with receiver(answering(answer.encode())) as there:
            outcome = await sender.send(request(there.url() + secret, headers=headers))
        assert outcome.error_detail is not None
        assert secret not in outcome.error_detail
        assert len(outcome.error_detail) <= 200


# TLS ------------------------------------------------------------------------------------------------------------------


async def test_a_self_signed_certificate_is_refused(sender: AiohttpSender, tmp_path: Path) -> None:
    server_tls, _ = certificate(tmp_path)
    async with receiver(answering(OK), tls=server_tls) as there:
        outcome = await sender.send(request(there.url(scheme="https")))
    assert outcome.error is ErrorKind.TLS
    assert there.requests == []


async def test_a_certificate_for_another_name_is_refused(tmp_path: Path) -> None:
    server_tls, ca_file = certificate(tmp_path)
    async with (
        receiver(answering(OK), tls=server_tls) as there,
        AiohttpSender(LOCAL, tls=tls_context(ca_file=ca_file)) as sender,
    ):
        outcome = await sender.send(request(there.url("localhost", scheme="https")))
    assert outcome.error is ErrorKind.TLS
    assert there.requests == []


async def test_a_trusted_receiver_gets_tls_with_its_time_recorded_once(tmp_path: Path) -> None:
    server_tls, ca_file = certificate(tmp_path)
    async with (
        receiver(answering(OK), tls=server_tls) as there,
        AiohttpSender(LOCAL, tls=tls_context(ca_file=ca_file)) as sender,
    ):
        first = await sender.send(request(there.url(scheme="https")))
        second = await sender.send(request(there.url(scheme="https")))
        large = await sender.send(request(there.url(scheme="https"), body=b"x" * 500_000))
    assert first.ok
    assert first.phases.connect_ms is not None
    assert first.phases.tls_ms is not None
    assert first.phases.tls_ms > 0
    assert second.phases.tls_ms is None
    assert large.ok
    assert there.connections == 1


async def test_an_endless_answer_over_tls_is_cut(tmp_path: Path) -> None:
    server_tls, ca_file = certificate(tmp_path)
    endless = b"HTTP/1.1 200 OK\r\nContent-Length: 9999999\r\n\r\n" + b"x" * 200_000
    async with (
        receiver(answering(endless), tls=server_tls) as there,
        AiohttpSender(LOCAL, tls=tls_context(ca_file=ca_file)) as sender,
    ):
        outcome = await sender.send(request(there.url(scheme="https")))
        await until(lambda: not open_connections_to(there.port))
    assert outcome.ok


async def test_plain_http_on_a_tls_port_is_a_tls_error(sender: AiohttpSender) -> None:
    def make(this: Receiver) -> Behaviour:
        async def behave(reader: Reader, writer: Writer) -> None:
            await reader.read(100)
            writer.write(OK)
            await writer.drain()

        return behave

    async with receiver(make) as there:
        outcome = await sender.send(request(there.url(scheme="https")))
    assert outcome.error is ErrorKind.TLS


async def test_a_connection_that_breaks_in_the_handshake_is_a_tls_error(sender: AiohttpSender) -> None:
    def make(this: Receiver) -> Behaviour:
        async def behave(reader: Reader, writer: Writer) -> None:
            await reader.read(10)
            await reset(writer)

        return behave

    async with receiver(make) as there:
        outcome = await sender.send(request(there.url(scheme="https")))
    assert outcome.error is ErrorKind.TLS


# The guard ------------------------------------------------------------------------------------------------------------


async def send_to(url: str, policy: EgressPolicy, lookup: Lookup | None = None) -> Outcome:
    async with AiohttpSender(policy, lookup=lookup) as sender:
        return await sender.send(request(url))


async def test_a_refused_url_gets_no_connection() -> None:
    async with receiver(answering(OK)) as there:
        policy = EgressPolicy()
        for url in (there.url(), f"https://127.0.0.1:{there.port}/", there.url("localhost"), "not a url"):
            assert (await send_to(url, policy)).error is ErrorKind.BLOCKED
        assert there.connections == 0


async def test_a_name_that_leads_inside_gets_no_connection() -> None:
    async def lookup(host: str) -> Sequence[str]:
        return ["127.0.0.1"]

    assert (await send_to("https://rebind.attacker.net/", EgressPolicy(), lookup)).error is ErrorKind.BLOCKED


async def test_the_checked_address_is_dialled_and_looked_up_once_per_connection() -> None:
    asked: list[str] = []

    async def lookup(host: str) -> Sequence[str]:
        asked.append(host)
        return ["127.0.0.1"] if len(asked) == 1 else ["169.254.169.254"]

    async with receiver(answering(OK)) as there:
        async with AiohttpSender(LOCAL, lookup=lookup, keepalive_s=30) as sender:
            first = await sender.send(request(there.url("hooks.receiver.net")))
            pooled = await sender.send(request(there.url("hooks.receiver.net")))
            assert asked == ["hooks.receiver.net"]
        rebound = await send_to(there.url("hooks.receiver.net"), LOCAL, lookup)
        assert there.connections == 1
    assert first.ok
    assert pooled.ok
    assert rebound.error is ErrorKind.BLOCKED
    assert f"Host: hooks.receiver.net:{there.port}".encode() in there.requests[0]


async def test_a_resolver_that_lies_is_stopped_before_the_dial(monkeypatch: pytest.MonkeyPatch) -> None:
    async def lie(self: Resolver, target: Target) -> tuple[str, ...]:
        return ("127.0.0.1",)

    monkeypatch.setattr(Resolver, "addresses", lie)
    async with receiver(answering(OK)) as there:
        policy = EgressPolicy(allow_cidrs=("10.20.0.0/16",))
        outcome = await send_to(there.url("orders.svc"), policy)
        assert there.connections == 0
    assert outcome.error is ErrorKind.BLOCKED


async def test_a_peer_that_is_not_the_address_dialled_gets_no_byte(monkeypatch: pytest.MonkeyPatch) -> None:
    async with receiver(answering(OK)) as there:
        divert_connections(monkeypatch, ("127.0.0.1", there.port))
        outcome = await send_to("http://10.20.0.1/", EgressPolicy(allow_cidrs=("10.20.0.0/16",)))
        await until(lambda: there.connections == 1)
        await until(lambda: not open_connections_to(there.port))
        assert there.requests == []
    assert outcome.error is ErrorKind.BLOCKED


def divert_connections(monkeypatch: pytest.MonkeyPatch, to: tuple[str, int]) -> None:
    """Make the loop connect elsewhere, as a transparent proxy would."""
    loop = asyncio.get_running_loop()
    connect = loop.sock_connect
    monkeypatch.setattr(loop, "sock_connect", lambda sock, address: connect(sock, to))
