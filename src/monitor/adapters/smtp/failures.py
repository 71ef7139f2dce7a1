"""What an SMTP transaction that failed means, in plain words and without secrets."""

from __future__ import annotations

import base64
import os
import ssl

import structlog
from aiosmtplib import SMTPException, SMTPRecipientRefused, SMTPResponseException

from monitor.adapters.egress.pending import LOCAL_ERRNOS, Failure
from monitor.adapters.smtp.session import NoAddress, SmtpServer, SmtpSession, Step, Unsafe
from monitor.domain.vocab import LOGIN_REFUSED, SMTP_LABEL, ErrorKind
from monitor.domain.webhooks.webhook import MASK

_log = structlog.get_logger(__name__)


def reply_of(error: Exception, step: Step) -> tuple[int, str] | None:
    """Return code and text of the reply that *error* is, if it is about the mail, the login or the rate."""
    if not isinstance(error, SMTPResponseException) or not 400 <= error.code < 600:
        return None
    temporary = error.code < 500
    if step is Step.LOGIN:
        counts = temporary or f"{SMTP_LABEL}{error.code}" in LOGIN_REFUSED
    elif step is Step.TLS:
        counts = error.code == 421
    else:
        counts = temporary or step is Step.MAIL
    return (error.code, error.message) if counts else None


def failure_of(error: Exception, session: SmtpSession) -> Failure:
    """Name why there is no reply that counts."""
    error = _root(error)
    found = _of_server(error, session.step) if isinstance(error, SMTPException) else _of_connection(error, session)
    if found is None:
        _log.error("mail_failed_unexpectedly", error=type(error).__name__)
        return Failure(ErrorKind.OTHER, f"unexpected {type(error).__name__}")
    return found


def _of_connection(error: Exception, session: SmtpSession) -> Failure | None:
    match error:
        case NoAddress():
            return Failure(ErrorKind.DNS, "the name of the mail server has no address", error.temporary)
        case Unsafe():
            return Failure(ErrorKind.BLOCKED, "the mail server is not on loopback; MONITOR_SMTP__TLS must not be none")
        case ssl.SSLCertVerificationError():
            return Failure(ErrorKind.TLS, f"the certificate of the mail server was refused: {error.verify_message}")
        case ssl.SSLError():
            return Failure(ErrorKind.TLS, "the TLS handshake with the mail server failed")
        case OSError():
            reason = os.strerror(error.errno).lower() if error.errno else "closed by the mail server"
            if session.connected is None:
                return Failure(ErrorKind.CONNECT, f"could not connect: {reason}", error.errno in LOCAL_ERRNOS)
            return Failure(ErrorKind.RESET, f"the connection to the mail server broke: {reason}")
    return None


def _of_server(error: SMTPException, step: Step) -> Failure | None:
    code = error.code if isinstance(error, SMTPResponseException) else None
    if code is None and isinstance(error, ConnectionError):
        return Failure(ErrorKind.RESET, f"the mail server closed the connection {step}")
    if code is not None and not 200 <= code < 600:
        return Failure(ErrorKind.PROTOCOL, "the mail server did not answer in SMTP")
    if step is Step.TLS:
        return Failure(ErrorKind.TLS, "the mail server does not offer STARTTLS; nothing is sent without TLS")
    if step is Step.LOGIN:
        how = "offers no way to log in" if code is None else f"refused the login: {code}"
        return Failure(ErrorKind.OTHER, f"the mail server {how}; look at MONITOR_SMTP__USERNAME")
    return None if code is None else Failure(ErrorKind.CONNECT, f"the mail server refused the connection: {code}")


def worst(refused: list[SMTPRecipientRefused]) -> SMTPRecipientRefused:
    """Return the first of *refused* that may be taken later, for which the mail is tried again; else the first one."""
    return next((one for one in refused if one.code < 500), refused[0])


def explain(code: int) -> str:
    """Return what a reply means that refuses the mail."""
    if f"{SMTP_LABEL}{code}" in LOGIN_REFUSED:
        return f"SMTP {code}: the mail server refuses the login"
    later = "not now, it is tried again" if code < 500 else "it will not be tried again"
    return f"SMTP {code}: the mail server refuses the mail; {later}"


def without_login(text: str, server: SmtpServer) -> str:
    """Return *text* without the password of *server*, which the reply to a login may repeat."""
    if not server.password:
        return text
    forms = (f"\0{server.username}\0{server.password}", server.password)
    for secret in (server.password, *(base64.b64encode(form.encode()).decode() for form in forms)):
        text = text.replace(secret, MASK)
    return text


def _root(error: Exception) -> Exception:
    """Return what the client library wrapped, if that is more specific."""
    cause = error.__cause__
    return cause if isinstance(cause, OSError) and not isinstance(error, SMTPResponseException) else error
