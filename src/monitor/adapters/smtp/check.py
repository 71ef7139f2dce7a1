"""Whether the mail server can be used, for ``monitor doctor``: connects, encrypts and logs in, and sends nothing."""

from __future__ import annotations

import asyncio
import ssl
import time

from monitor.adapters.smtp.failures import explain, failure_of, reply_of, without_login
from monitor.adapters.smtp.session import SmtpServer, SmtpSession

REMEDIES = {
    "dns": "check MONITOR_SMTP__HOST",
    "connect": "check MONITOR_SMTP__HOST, MONITOR_SMTP__PORT and the network",
    "tls": "check MONITOR_SMTP__TLS, the host name, and MONITOR_SMTP__CA_FILE",
    "status": "check MONITOR_SMTP__USERNAME and MONITOR_SMTP__PASSWORD",
    "timeout": "check MONITOR_SMTP__PORT and MONITOR_SMTP__TLS: a server of one kind may wait for the other",
}
OTHERS = "ask who runs it"


async def mail_problem(server: SmtpServer, tls: ssl.SSLContext, *, within_s: float) -> str | None:
    """Return what is wrong, with the server's words if it has any, and what to do; null if nothing is."""
    async with SmtpSession(server, tls, time.perf_counter) as session:
        try:
            async with asyncio.timeout(within_s):
                await session.open()
        except TimeoutError:
            return f"no answer within {within_s:g} s {session.step}; {REMEDIES['timeout']}"
        except Exception as error:  # noqa: BLE001 - a check names what fails, and never fails itself
            reply = reply_of(error, session.step)
            if reply is None:
                failure = failure_of(error, session)
                return f"{failure.detail}; {REMEDIES.get(failure.kind, OTHERS)}"
            code, text = reply
            words = without_login(" ".join(text.split()), server)
            return f"{explain(code)} ({words}); {REMEDIES['status']}"
        await session.quit()
    return None
