"""The cache is coherent whatever happens, in any order."""

from __future__ import annotations

import pytest
from hypothesis import settings

from tests.unit.cache.machine import CacheMachine

TestCoherence = CacheMachine.TestCase
# The long form, `nox -s property`, has 300 and more.
TestCoherence.settings = settings(stateful_step_count=50)
TestCoherence = pytest.mark.property(TestCoherence)
