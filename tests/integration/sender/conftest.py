"""Every test runs on asyncio's own loop and on uvloop, which production uses; they write and read in another order."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Mapping

import pytest
import uvloop

from monitor.adapters.egress.sender import HttpSender
from monitor.adapters.egress.tls import tls_context
from tests.integration.sender.support import LOCAL


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"asyncio": asyncio.SelectorEventLoop, "uvloop": uvloop.new_event_loop}


@pytest.fixture(scope="session")
def trusted() -> ssl.SSLContext:
    """What production trusts; loading it takes a while."""
    return tls_context()


@pytest.fixture
async def sender(trusted: ssl.SSLContext) -> AsyncIterator[HttpSender]:
    async with HttpSender(LOCAL, tls=trusted) as opened:
        yield opened
