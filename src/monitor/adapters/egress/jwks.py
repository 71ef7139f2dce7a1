"""
Fetches the keys of an identity provider.

The address is the operator's word, so the guard for webhooks does not apply: a provider may well be inside the network.
"""

from __future__ import annotations

import asyncio
import ssl

import aiohttp
from yarl import URL

from monitor.adapters.egress.connector import tls_context
from monitor.adapters.egress.sender import HEADER_COUNT_LIMIT, HEADER_LINE_LIMIT_BYTES, USER_AGENT
from monitor.domain.errors import Unavailable

LIMIT_BYTES = 131_072
"""A hundred keys of 4096 bits, with room."""

TIMEOUT_S = 5.0


class AiohttpKeySource:
    """
    One GET for each call, on a connection of its own. No redirects, no proxies from the environment, TLS verified.

    Args:
        timeout_s: for everything from the look-up of the name to the last byte.
    """

    def __init__(self, url: str, *, tls: ssl.SSLContext | None = None, timeout_s: float = TIMEOUT_S) -> None:
        self._url = URL(url)
        self._tls = tls
        self._timeout_s = timeout_s

    async def __call__(self) -> bytes:
        """
        Return the body of the answer.

        Raises:
            Unavailable: there is none in time, it is not a 200, or it is too long.
        """
        try:
            async with asyncio.timeout(self._timeout_s):
                return await self._get()
        except TimeoutError:
            raise Unavailable(f"no complete answer within {self._timeout_s:g} s") from None
        except aiohttp.ClientConnectorCertificateError:
            raise Unavailable("the certificate was refused") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            # Its text may repeat the address, and with it a secret in the query.
            raise Unavailable(f"no answer could be had ({type(error).__name__})") from None

    async def _get(self) -> bytes:
        async with self._session() as session, session.get(self._url, allow_redirects=False) as response:
            if response.status != 200:
                raise Unavailable(f"answered {response.status}; only 200 will do, redirects are not followed")
            body = b""
            while chunk := await response.content.read(LIMIT_BYTES):
                body += chunk
                if len(body) > LIMIT_BYTES:
                    raise Unavailable(f"answered more than {LIMIT_BYTES} bytes")
            return body

    def _session(self) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            auto_decompress=False,
            connector=aiohttp.TCPConnector(
                force_close=True,
                resolver=aiohttp.ThreadedResolver(),
                ssl=self._tls or tls_context(),
                use_dns_cache=False,
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"User-Agent": USER_AGENT, "Accept": "application/json", "Accept-Encoding": "identity"},
            max_field_size=HEADER_LINE_LIMIT_BYTES,
            max_headers=HEADER_COUNT_LIMIT,
            max_line_size=HEADER_LINE_LIMIT_BYTES,
            timeout=aiohttp.ClientTimeout(total=None, connect=None, sock_connect=None, sock_read=None),
            trust_env=False,
        )
