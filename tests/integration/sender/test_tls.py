"""TLS towards receivers."""

from __future__ import annotations

import ssl
from pathlib import Path

from monitor.adapters.egress.sender import HttpSender
from monitor.adapters.egress.tls import tls_context
from monitor.bootstrap.container import Container
from monitor.domain.vocab import ErrorKind
from monitor.settings.schema import Egress
from tests.integration.raw_receivers import (
    OK,
    Behaviour,
    Reader,
    Receiver,
    Writer,
    answering,
    receiver,
    reset,
)
from tests.integration.sender.support import LOCAL, certificate, open_connections_to, request
from tests.integration.support import ONCE, api_of, eventually, finished, settings, working


async def test_a_self_signed_certificate_is_refused(sender: HttpSender, tmp_path: Path) -> None:
    server_tls, _ = certificate(tmp_path)
    async with receiver(answering(OK), tls=server_tls) as there:
        outcome = await sender.send(request(there.url(scheme="https")))
    assert outcome.error is ErrorKind.TLS
    assert there.requests == []


async def test_a_certificate_for_another_name_is_refused(tmp_path: Path) -> None:
    server_tls, ca_file = certificate(tmp_path)
    async with (
        receiver(answering(OK), tls=server_tls) as there,
        HttpSender(LOCAL, tls=tls_context(ca_file=ca_file)) as sender,
    ):
        outcome = await sender.send(request(there.url("localhost", scheme="https")))
    assert outcome.error is ErrorKind.TLS
    assert there.requests == []


async def test_a_trusted_receiver_gets_tls_with_its_time_recorded_once(tmp_path: Path) -> None:
    server_tls, ca_file = certificate(tmp_path)
    async with (
        receiver(answering(OK), tls=server_tls) as there,
        HttpSender(LOCAL, tls=tls_context(ca_file=ca_file)) as sender,
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


async def test_a_receiver_that_asks_for_a_certificate_gets_the_one_of_the_settings(tmp_path: Path) -> None:
    server_tls, pem = certificate(tmp_path)
    server_tls.verify_mode = ssl.CERT_REQUIRED
    server_tls.load_verify_locations(cafile=pem)
    async with receiver(answering(OK), tls=server_tls) as there:
        async with HttpSender(LOCAL, tls=tls_context(ca_file=pem, client_cert_file=pem)) as sender:
            assert (await sender.send(request(there.url(scheme="https")))).ok
        async with HttpSender(LOCAL, tls=tls_context(ca_file=pem)) as sender:
            outcome = await sender.send(request(there.url(scheme="https")))
    # TLS 1.3 refuses behind the handshake, so that it is the connection that ends.
    assert outcome.error in {ErrorKind.TLS, ErrorKind.RESET}
    assert len(there.requests) == 1


async def test_an_endless_answer_over_tls_is_cut(tmp_path: Path) -> None:
    server_tls, ca_file = certificate(tmp_path)
    endless = b"HTTP/1.1 200 OK\r\nContent-Length: 9999999\r\n\r\n" + b"x" * 200_000
    async with (
        receiver(answering(endless), tls=server_tls) as there,
        HttpSender(LOCAL, tls=tls_context(ca_file=ca_file)) as sender,
    ):
        outcome = await sender.send(request(there.url(scheme="https")))
        await eventually(lambda: not open_connections_to(there.port))
    assert outcome.ok


async def test_plain_http_on_a_tls_port_is_a_tls_error(sender: HttpSender) -> None:
    def make(this: Receiver) -> Behaviour:
        async def behave(reader: Reader, writer: Writer) -> None:
            await reader.read(100)
            writer.write(OK)
            await writer.drain()

        return behave

    async with receiver(make) as there:
        outcome = await sender.send(request(there.url(scheme="https")))
    assert outcome.error is ErrorKind.TLS


async def test_a_connection_that_breaks_in_the_handshake_is_a_tls_error(sender: HttpSender) -> None:
    def make(this: Receiver) -> Behaviour:
        async def behave(reader: Reader, writer: Writer) -> None:
            await reader.read(10)
            await reset(writer)

        return behave

    async with receiver(make) as there:
        outcome = await sender.send(request(there.url(scheme="https")))
    assert outcome.error is ErrorKind.TLS


async def test_a_worker_delivers_with_the_authority_and_the_certificate_of_the_settings(
    database_url: str, tmp_path: Path
) -> None:
    server_tls, pem = certificate(tmp_path)
    server_tls.verify_mode = ssl.CERT_REQUIRED
    server_tls.load_verify_locations(cafile=pem)
    egress = Egress(profile="local", ca_file=pem, client_cert_file=pem)
    async with (
        receiver(answering(OK), tls=server_tls) as there,
        Container(settings(database_url, egress=egress)) as parts,
        api_of(parts) as api,
        working(parts),
    ):
        await api.create(there.url(scheme="https"), retry=ONCE)
        await api.publish(1)
        (delivery,) = await finished(api, 1)
    assert (delivery["state"], delivery["last_error"], len(there.requests)) == ("delivered", None, 1)
