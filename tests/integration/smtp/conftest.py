"""What the tests of e-mail share."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from tests.integration.sender.support import certificate


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> tuple[ssl.SSLContext, str]:
    """A server context for 127.0.0.1, and the PEM file of the authority that vouches for it."""
    folder: Path = tmp_path_factory.mktemp("authority")
    return certificate(folder)
