"""E-mail from the settings. Light to import, for `monitor doctor`."""

from __future__ import annotations

import ssl

from monitor.adapters.egress.tls import mail_tls_context
from monitor.adapters.smtp.session import SmtpServer
from monitor.settings.schema import Settings


def mail_server(settings: Settings) -> SmtpServer | None:
    """Return the mail server; null if there is none."""
    smtp = settings.smtp
    if smtp.host is None or smtp.from_ is None:
        return None
    return SmtpServer(
        host=smtp.host, port=smtp.port, tls=smtp.tls, username=smtp.username, password=smtp.password, from_=smtp.from_
    )


def mail_tls(settings: Settings) -> ssl.SSLContext:
    """Return the TLS context towards the mail server. Raises ``ValueError`` for a file that is not valid."""
    return mail_tls_context(ca_file=settings.smtp.ca_file)
