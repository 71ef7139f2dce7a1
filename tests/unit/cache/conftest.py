"""One world per test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.unit.cache.world import World
from tests.unit.cache.world import world as new_world


@pytest.fixture
def world() -> Iterator[World]:
    with new_world() as made:
        yield made
