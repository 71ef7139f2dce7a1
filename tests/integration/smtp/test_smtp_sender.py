"""E-mail by a real mail server: TLS, login, replies, and what is said of each."""

from __future__ import annotations

import ssl

import pytest
import structlog

from monitor.adapters.smtp.sender import NOT_SET, SmtpSender
from monitor.domain.delivery.outcome import Outcome
from monitor.domain.delivery.retry import Dead, Retry, RetryPolicy, decide
from monitor.domain.vocab import ErrorKind
from tests.integration.smtp.support import AT, mail, sender_to
from tests.mail_server import PASSWORD, USERNAME, mail_server, raw_mail_server, script

Authority = tuple[ssl.SSLContext, str]


def after(outcome: Outcome) -> Retry | Dead:
    decision = decide(outcome, attempts=1, policy=RetryPolicy(), now=AT, jitter=0.5)
    assert isinstance(decision, Retry | Dead)
    return decision


async def test_a_mail_goes_out_over_starttls_with_a_login(authority: Authority) -> None:
    server_tls, ca_file = authority
    async with (
        mail_server(server_tls, login=True) as server,
        sender_to(server.port, tls="starttls", ca_file=ca_file, username=USERNAME, password=PASSWORD) as sender,
    ):
        outcome = await sender.send(mail("mailto:ops@example.org,dev@example.org"))
    assert (outcome.ok, outcome.status_code, outcome.label) == (True, 250, "ok")
    assert outcome.response_body == b"250 OK queued as 1"
    phases = outcome.phases
    assert None not in (phases.connect_ms, phases.tls_ms, phases.first_byte_ms)
    ((to, arrived),) = server.mails
    assert to == ("ops@example.org", "dev@example.org")
    assert server.logins == 1
    assert arrived["From"] == "Monitor <monitor@monitor.example.org>"
    assert arrived["To"] == "ops@example.org, dev@example.org"
    assert arrived["Subject"] == "[Event] order.paid"
    assert arrived["Auto-Submitted"] == "auto-generated"
    assert arrived["Message-ID"].endswith("@monitor.example.org>")
    assert arrived.get_content().split() == ["order.paid", '{"a":', "1}"]


async def test_tls_from_the_start(authority: Authority) -> None:
    server_tls, ca_file = authority
    async with (
        mail_server(server_tls, implicit=True) as server,
        sender_to(server.port, tls="tls", ca_file=ca_file) as sender,
    ):
        outcome = await sender.send(mail())
    assert outcome.ok
    assert outcome.phases.tls_ms is not None
    assert len(server.mails) == 1


@pytest.mark.parametrize(("tls", "implicit"), [("starttls", False), ("tls", True)])
async def test_a_certificate_that_nobody_vouches_for_is_refused(
    authority: Authority, tls: str, *, implicit: bool
) -> None:
    async with (
        mail_server(authority[0], implicit=implicit) as server,
        sender_to(server.port, tls=tls, username=USERNAME, password=PASSWORD) as sender,
    ):
        outcome = await sender.send(mail())
    assert outcome.error is ErrorKind.TLS
    assert "certificate of the mail server was refused" in (outcome.error_detail or "")
    assert (server.mails, server.logins) == ([], 0)


async def test_a_server_without_starttls_gets_neither_login_nor_mail() -> None:
    async with (
        mail_server() as server,
        sender_to(server.port, tls="starttls", username=USERNAME, password=PASSWORD) as sender,
    ):
        outcome = await sender.send(mail())
    assert (outcome.error, server.mails, server.logins) == (ErrorKind.TLS, [], 0)
    assert outcome.error_detail == "the mail server does not offer STARTTLS; nothing is sent without TLS"


async def test_without_tls_only_loopback_is_spoken_to() -> None:
    # A documentation address: were it dialled, the attempt would time out.
    async with sender_to(25, host="192.0.2.1") as sender:
        outcome = await sender.send(mail(timeout_s=5))
    assert outcome.error is ErrorKind.BLOCKED
    assert "MONITOR_SMTP__TLS" in (outcome.error_detail or "")


async def test_a_wrong_password_is_a_refusal_of_the_login_and_shown_nowhere(authority: Authority) -> None:
    server_tls, ca_file = authority
    wrong = "wrong-Pa55word"
    with structlog.testing.capture_logs() as lines:
        async with (
            mail_server(server_tls, login=True) as server,
            sender_to(server.port, tls="starttls", ca_file=ca_file, username=USERNAME, password=wrong) as sender,
        ):
            outcome = await sender.send(mail())
    assert (outcome.status_code, outcome.label) == (535, "smtp_535")
    assert outcome.error_detail == "SMTP 535: the mail server refuses the login"
    assert isinstance(after(outcome), Retry)
    assert wrong not in f"{outcome}{lines}{sender._server!r}"
    assert server.mails == []


async def test_a_reply_that_repeats_the_password_is_masked() -> None:
    secret = "s3cret-pa55word"
    talk = script(("EHLO", b"250-mail\r\n250 AUTH PLAIN\r\n"), ("AUTH", b"535 no such user with s3cret-pa55word\r\n"))
    async with raw_mail_server(talk) as port, sender_to(port, username="u", password=secret) as sender:
        outcome = await sender.send(mail())
    assert outcome.response_body == b"535 no such user with ***"


@pytest.mark.parametrize(
    ("reply", "label", "throttled"),
    [
        ("421 too many connections", "smtp_421", True),
        ("450 4.7.1 greylisted", "smtp_450", True),
        ("451 4.3.0 try later", "smtp_451", False),
        ("452 4.2.2 mailbox full", "smtp_452", False),
    ],
)
async def test_a_4yz_is_tried_again(reply: str, label: str, *, throttled: bool) -> None:
    async with mail_server() as server, sender_to(server.port) as sender:
        server.replies["ops@example.org"] = reply
        outcome = await sender.send(mail())
    assert (outcome.error, outcome.label, outcome.throttled) == (ErrorKind.STATUS, label, throttled)
    assert outcome.response_body.decode() == reply
    assert isinstance(after(outcome), Retry)


@pytest.mark.parametrize("where", ["recipient", "data"])
async def test_a_5yz_is_final(where: str) -> None:
    async with mail_server() as server, sender_to(server.port) as sender:
        if where == "recipient":
            server.replies["ops@example.org"] = "550 5.1.1 no such user"
        else:
            server.data_reply = "554 5.7.1 spam"
        outcome = await sender.send(mail())
    assert outcome.error is ErrorKind.STATUS
    assert "will not be tried again" in (outcome.error_detail or "")
    assert after(outcome) == Dead()


async def test_one_recipient_that_does_not_exist_keeps_the_mail_from_no_other() -> None:
    async with mail_server() as server, sender_to(server.port) as sender:
        server.replies["gone@example.org"] = "550 5.1.1 no such user"
        outcome = await sender.send(mail("mailto:gone@example.org,ops@example.org"))
    assert [to for to, _ in server.mails] == [("ops@example.org",)]
    assert outcome.error_detail == "SMTP 550: refused for 1 of 2 recipients; the others have it"
    assert outcome.response_body == b"gone@example.org: 550 5.1.1 no such user"
    # The others would get it again.
    assert after(outcome) == Dead()


async def test_a_recipient_that_may_be_taken_later_is_tried_again_whatever_the_others_say() -> None:
    async with mail_server() as server, sender_to(server.port) as sender:
        server.replies |= {"gone@example.org": "550 no such user", "grey@example.org": "450 greylisted"}
        outcome = await sender.send(mail("mailto:gone@example.org,grey@example.org"))
    assert outcome.label == "smtp_450"
    assert isinstance(after(outcome), Retry)


@pytest.mark.parametrize(
    ("talk", "kind", "detail"),
    [
        (script(("", b"554 no service\r\n")), ErrorKind.CONNECT, "the mail server refused the connection: 554"),
        (script(("", b"HTTP/1.1 400 Bad\r\n")), ErrorKind.PROTOCOL, "the mail server did not answer in SMTP"),
        (script(("", b"!")), ErrorKind.RESET, "the mail server closed the connection before it had greeted"),
        (script(("RCPT", b"!")), ErrorKind.RESET, "the mail server closed the connection before it had taken the mail"),
        (script((".", b"!")), ErrorKind.RESET, "the mail server closed the connection before it had taken the mail"),
        (script(("EHLO", b"502 no\r\n")), ErrorKind.CONNECT, "the mail server refused the connection: 502"),
    ],
)
async def test_a_server_that_gives_no_verdict_is_a_failure_in_words(talk: object, kind: ErrorKind, detail: str) -> None:
    async with raw_mail_server(talk) as port, sender_to(port) as sender:  # type: ignore[arg-type]
        outcome = await sender.send(mail())
    assert (outcome.error, outcome.error_detail) == (kind, detail)
    assert isinstance(after(outcome), Retry)


async def test_a_server_that_is_busy_at_the_greeting_throttles() -> None:
    async with raw_mail_server(script(("", b"421 too busy\r\n"))) as port, sender_to(port) as sender:
        outcome = await sender.send(mail())
    assert (outcome.label, outcome.throttled) == ("smtp_421", True)


@pytest.mark.parametrize("verb", ["", "EHLO", "RCPT", "."])
async def test_a_server_that_stalls_is_left_at_the_deadline(verb: str) -> None:
    async with raw_mail_server(script((verb, b""))) as port, sender_to(port) as sender:
        outcome = await sender.send(mail(timeout_s=0.5))
    assert outcome.error is ErrorKind.TIMEOUT
    assert outcome.latency_ms >= 500
    assert (outcome.error_detail or "").startswith("not done within 0.5 s: the time ran out before it had")


async def test_a_goodbye_that_never_comes_changes_nothing() -> None:
    async with raw_mail_server(script(("QUIT", b""))) as port, sender_to(port) as sender:
        outcome = await sender.send(mail())
        assert outcome.ok
        assert outcome.latency_ms < 2_000


async def test_a_closed_port_and_a_name_without_address() -> None:
    async with raw_mail_server(script()) as port:
        pass
    async with sender_to(port) as sender:
        closed = await sender.send(mail())
    async with sender_to(port, host="nothing.invalid", tls="starttls") as sender:
        unknown = await sender.send(mail())
    assert (closed.error, closed.error_detail) == (ErrorKind.CONNECT, "could not connect: connection refused")
    assert unknown.error is ErrorKind.DNS


async def test_without_settings_a_stored_webhook_fails_with_the_name_of_the_setting() -> None:
    async with SmtpSender(None) as sender:
        outcome = await sender.send(mail())
    assert (outcome.error, outcome.error_detail) == (ErrorKind.BLOCKED, NOT_SET)


async def test_an_exchange_shows_the_header_fields_as_they_went_out() -> None:
    async with mail_server() as server, sender_to(server.port) as sender:
        outcome = await sender.send(mail())
        again = await sender.send(mail())
    assert outcome.exchange is not None
    assert outcome.exchange.method == "MAIL"
    fields = dict(outcome.exchange.request_headers)
    first, second = (arrived for _, arrived in server.mails)
    assert {name: str(first[name]) for name in fields} == fields
    assert first["Message-ID"] == second["Message-ID"]
    assert again.exchange is not None
    assert "Content-Length" not in fields


async def test_no_name_or_payload_adds_a_header_field_or_ends_the_mail() -> None:
    payload = b'"x\\r\\n.\\r\\nMAIL FROM:<evil@example.org>\\r\\n"\r\n.\r\nRSET\r\n'
    async with mail_server() as server, sender_to(server.port) as sender:
        outcome = await sender.send(mail(payload=payload))
        hidden = await sender.send(mail(event_type="order.paid\r\nBcc: evil@example.org"))
    assert outcome.ok
    assert (hidden.error, hidden.error_detail) == (
        ErrorKind.BLOCKED,
        "a header field holds characters that e-mail forbids",
    )
    assert len(server.mails) == 1
    assert "evil" not in " ".join(str(value) for value in server.mails[0][1].values())


async def test_text_in_any_script_arrives_and_all_lines_are_ascii() -> None:
    async with mail_server() as server, sender_to(server.port, from_="Überwachung <m@example.org>") as sender:
        outcome = await sender.send(mail(payload='{"name": "Zoë 検査"}'.encode() + b" " * 3_000))
    assert outcome.ok
    assert server.raw[0].isascii()
    assert max(map(len, server.raw[0].splitlines())) <= 998
    arrived = server.mails[0][1]
    assert "Zoë 検査" in arrived.get_content()
    assert arrived["From"] == "Überwachung <m@example.org>"
