"""What `monitor doctor` says of the mail server."""

from __future__ import annotations

import ssl
from typing import Any

import pytest

from monitor.adapters.egress.tls import mail_tls_context
from monitor.adapters.smtp.check import mail_problem
from monitor.adapters.smtp.session import SmtpServer
from monitor.cli.doctor import examine
from monitor.settings.schema import Settings, Smtp
from tests.mail_server import FROM, PASSWORD, USERNAME, Talk, mail_server, raw_mail_server, script

Authority = tuple[ssl.SSLContext, str]


async def said(**smtp: Any) -> tuple[str, str]:
    """Return state and text of the only finding about mail."""
    findings = await examine(Settings(smtp=Smtp(host="127.0.0.1", from_=FROM, **smtp)))
    ((state, text),) = [(finding.state, finding.text) for finding in findings if finding.check == "mail"]
    return state, text


async def test_without_a_mail_server_nothing_is_said() -> None:
    assert "mail" not in {finding.check for finding in await examine(Settings())}


async def test_a_mail_server_that_works(authority: Authority) -> None:
    server_tls, ca_file = authority
    login = {"username": USERNAME, "password": PASSWORD}
    async with mail_server(server_tls, login=True) as server:
        state, text = await said(port=server.port, ca_file=ca_file, **login)
    assert state == "ok"
    assert text == f"127.0.0.1:{server.port} answers over TLS and takes the login; mails come from {FROM}"
    assert server.mails == []
    async with mail_server() as plain:
        assert (await said(port=plain.port, tls="none"))[1].startswith(f"127.0.0.1:{plain.port} answers without TLS;")


async def test_a_login_that_is_refused_has_the_servers_words_and_what_to_do(authority: Authority) -> None:
    server_tls, ca_file = authority
    async with mail_server(server_tls, login=True) as server:
        state, text = await said(port=server.port, ca_file=ca_file, username=USERNAME, password="wrong-Pa55word")
    assert state == "error"
    assert "SMTP 535: the mail server refuses the login (5.7.8 Authentication credentials invalid)" in text
    assert text.endswith("; check MONITOR_SMTP__USERNAME and MONITOR_SMTP__PASSWORD")
    assert "wrong-Pa55word" not in text


async def test_a_certificate_that_nobody_vouches_for(authority: Authority) -> None:
    async with mail_server(authority[0]) as server:
        state, text = await said(port=server.port)
    assert (state, "MONITOR_SMTP__CA_FILE" in text) == ("error", True)


async def test_a_file_of_authorities_that_is_none(tmp_path: Any) -> None:
    (tmp_path / "ca.pem").write_text("no certificate")
    state, text = await said(ca_file=str(tmp_path / "ca.pem"))
    assert (state, text) == ("error", "MONITOR_SMTP__CA_FILE holds no certificate in PEM")


@pytest.mark.parametrize(
    ("talk", "words"),
    [
        (script(("", b"")), "no answer within 0.5 s before it had greeted; check MONITOR_SMTP__PORT"),
        (script(("", b"554 no service\r\n")), "refused the connection: 554; check MONITOR_SMTP__HOST"),
        (script(("", b"!")), "closed the connection before it had greeted; ask who runs it"),
    ],
)
async def test_a_server_that_does_not_work(talk: Talk, words: str) -> None:
    async with raw_mail_server(talk) as port:
        server = SmtpServer(host="127.0.0.1", port=port, from_=FROM, tls="none")
        problem = await mail_problem(server, mail_tls_context(), within_s=0.5)
    assert problem is not None
    assert words in problem
