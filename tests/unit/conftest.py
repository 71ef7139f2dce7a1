"""Unit tests reach no network."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from pytest_socket import disable_socket, enable_socket


@pytest.fixture(autouse=True)
def no_sockets() -> Iterator[None]:
    """Refuse every socket but Unix ones: an asyncio loop wakes itself through a pair of those."""
    disable_socket(allow_unix_socket=True)
    yield
    enable_socket()
