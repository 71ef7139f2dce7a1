"""
Fetches the keys of an identity provider.

The address is the operator's word, so the guard for webhooks does not apply: a provider may well be inside the network.
"""

from __future__ import annotations

import asyncio
import ssl
from urllib.parse import urlsplit

from monitor.adapters.egress.answer import AnswerReader
from monitor.adapters.egress.destination import USER_AGENT
from monitor.adapters.egress.tls import tls_context
from monitor.domain.errors import Unavailable

LIMIT_BYTES = 131_072
"""A hundred keys of 4096 bits, with room."""

TIMEOUT_S = 5.0


class HttpKeySource:
    """
    One GET for each call, on a connection of its own. No redirects, no proxies from the environment, TLS verified.

    Args:
        timeout_s: for everything from the look-up of the name to the last byte.
    """

    def __init__(self, url: str, *, tls: ssl.SSLContext | None = None, timeout_s: float = TIMEOUT_S) -> None:
        self._url = urlsplit(url)
        self._tls = tls
        self._timeout_s = timeout_s

    async def __call__(self) -> bytes:
        """
        Return the body of the answer.

        Raises:
            Unavailable: there is none in time, it is not a 200, not complete, or too long.
        """
        try:
            async with asyncio.timeout(self._timeout_s):
                answer = await self._get()
        except TimeoutError:
            raise Unavailable(f"no complete answer within {self._timeout_s:g} s") from None
        except ssl.SSLCertVerificationError:
            raise Unavailable("the certificate was refused") from None
        except (OSError, ValueError) as error:
            # Its text may repeat the address, and with it a secret in the query.
            raise Unavailable(f"no answer could be had ({type(error).__name__})") from None
        if answer.head is None:
            raise Unavailable(answer.problem or "no answer")
        if answer.head.status != 200:
            raise Unavailable(f"answered {answer.head.status}; only 200 will do, redirects are not followed")
        if len(answer.body) > LIMIT_BYTES:
            raise Unavailable(f"answered more than {LIMIT_BYTES} bytes")
        if answer.note is not None:
            raise Unavailable(answer.note)
        return answer.body

    async def _get(self) -> AnswerReader:
        # Twice the limit leaves room for the framing of chunks.
        answer = AnswerReader(read_bytes=2 * LIMIT_BYTES, kept_bytes=LIMIT_BYTES + 1)
        url, tls = self._url, (self._tls or tls_context()) if self._url.scheme == "https" else None
        reader, writer = await asyncio.open_connection(url.hostname, url.port or (443 if tls else 80), ssl=tls)
        try:
            path = (url.path or "/") + (f"?{url.query}" if url.query else "")
            host = url.netloc.rpartition("@")[2]
            fields = (
                f"Host: {host}\r\nUser-Agent: {USER_AGENT}\r\nAccept: application/json\r\nAccept-Encoding: identity"
            )
            writer.write(f"GET {path} HTTP/1.1\r\n{fields}\r\nConnection: close\r\n\r\n".encode())
            while data := await reader.read(65_536):
                if answer.feed(data):
                    return answer
            answer.end()
            return answer
        finally:
            writer.transport.abort()
