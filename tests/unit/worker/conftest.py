"""Fixtures of the worker's tests."""

from __future__ import annotations

import pytest

from tests.unit.worker.delivery_site import Site


@pytest.fixture
def site() -> Site:
    return Site()
