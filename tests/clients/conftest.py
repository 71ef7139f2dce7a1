"""A server on a real socket, with something of each kind there, for the clients that are generated."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from monitor.bootstrap.container import Container
from tests.integration.conftest import module_parts, parts, postgres
from tests.integration.support import Receiver, served
from tests.integration.test_every_route import Stage

__all__ = ["module_parts", "parts", "postgres"]


@pytest.fixture
async def stage(parts: Container) -> AsyncIterator[Stage]:
    async with served(parts) as api, Receiver() as receiver:
        stage = Stage(api, parts.clock.now)
        await stage.set(parts, receiver)
        yield stage
