"""What the sender was before: aiohttp, with the same limits. An oracle for whatever both must read alike."""

from __future__ import annotations

import asyncio
import time
from types import TracebackType
from typing import Self

import aiohttp
from yarl import URL

from monitor.adapters.egress.answer import READ_LIMIT_BYTES
from monitor.adapters.egress.destination import USER_AGENT
from monitor.domain.delivery.outcome import RESPONSE_BODY_BYTES, Outcome
from monitor.domain.delivery.request import OutboundRequest
from monitor.domain.vocab import ErrorKind

HEADER_LINE_LIMIT_BYTES = 8_190
HEADER_COUNT_LIMIT = 100


class AiohttpSender:
    """Sends to any URL: the guard is not what is compared. Needs a running loop."""

    def __init__(self) -> None:
        self._session = aiohttp.ClientSession(
            auto_decompress=False,
            connector=aiohttp.TCPConnector(limit=0, force_close=True),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"User-Agent": USER_AGENT, "Accept-Encoding": "identity"},
            max_field_size=HEADER_LINE_LIMIT_BYTES,
            max_headers=HEADER_COUNT_LIMIT,
            max_line_size=HEADER_LINE_LIMIT_BYTES,
            read_bufsize=READ_LIMIT_BYTES,
            timeout=aiohttp.ClientTimeout(total=None, connect=None, sock_connect=None, sock_read=None),
            trust_env=False,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        await self._session.close()

    async def send(self, request: OutboundRequest) -> Outcome:
        started = time.perf_counter()
        try:
            async with asyncio.timeout(request.timeout_s):
                status, body = await self._exchange(request)
        except (aiohttp.ClientError, OSError) as error:
            return Outcome((time.perf_counter() - started) * 1000, error=_kind(error), error_detail=repr(error)[:200])
        return Outcome(
            (time.perf_counter() - started) * 1000,
            status_code=status,
            error=None if 200 <= status < 300 else ErrorKind.STATUS,
            response_body=body,
        )

    async def _exchange(self, request: OutboundRequest) -> tuple[int, bytes]:
        url = URL(request.url, encoded=True)
        response = await self._session.post(url, data=request.body, headers=request.headers, allow_redirects=False)
        try:
            return response.status, await _read_some(response.content)
        finally:
            response.close()


async def _read_some(content: aiohttp.StreamReader) -> bytes:
    """Read up to 16 KiB and return the first 4 KiB."""
    kept = b""
    left = READ_LIMIT_BYTES
    while left and not content.at_eof():
        chunk = await content.read(left)
        left -= len(chunk)
        kept += chunk[: RESPONSE_BODY_BYTES - len(kept)]
    return kept


def _kind(error: Exception) -> ErrorKind:
    match error:
        case TimeoutError():
            return ErrorKind.TIMEOUT
        case aiohttp.ClientConnectorError():
            return ErrorKind.CONNECT
        case aiohttp.ClientConnectionError():
            return ErrorKind.RESET
    return ErrorKind.PROTOCOL
