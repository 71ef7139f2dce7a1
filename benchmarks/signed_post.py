"""The POST that the worker and its peers are measured by: signed as the product signs, through aiohttp or requests."""

from __future__ import annotations

import time

import aiohttp

from benchmarks.support import PAYLOAD
from monitor.adapters.clock import SystemClock
from monitor.domain.webhooks.signatures import sign_v1, signed_content

KEY = b"k" * 32
CLOCK = SystemClock()


def signed_headers() -> dict[str, str]:
    """Return the headers of one new message with :data:`PAYLOAD`."""
    message_id, at = str(CLOCK.new_id()), int(time.time())
    return {
        "content-type": "application/json",
        "webhook-id": message_id,
        "webhook-timestamp": str(at),
        "webhook-signature": sign_v1(KEY, signed_content(message_id, at, PAYLOAD)),
    }


def bare_session() -> aiohttp.ClientSession:
    """Return a session without a limit of connections; needs the running loop."""
    return aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))


async def post_signed(session: aiohttp.ClientSession, url: str) -> None:
    """Post one message and read the answer."""
    async with session.post(url, data=PAYLOAD, headers=signed_headers()) as answer:
        await answer.read()
