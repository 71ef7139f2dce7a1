"""What holds for every test: how hard hypothesis tries, which tests are laws, and that unit tests open no socket."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from pytest_socket import disable_socket, enable_socket

UNIT = Path(__file__).parent / "unit"

# A shared machine stalls now and then; a law that is slow for one example has not failed.
for _name, _examples in (("dev", 50), ("ci", 300), ("coherence", 500), ("nightly", 5_000)):
    settings.register_profile(
        _name, max_examples=_examples, deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
    )
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "dev"))


def pytest_configure() -> None:
    # As Ctrl-C does: fixtures are torn down, so a run that a time limit ends leaves no server behind.
    signal.signal(signal.SIGTERM, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if getattr(getattr(item, "obj", None), "is_hypothesis_test", False):
            item.add_marker(pytest.mark.property)


def pytest_runtest_setup(item: pytest.Item) -> None:
    if UNIT in item.path.parents:
        # An event loop wakes itself through a pair of Unix sockets.
        disable_socket(allow_unix_socket=True)


def pytest_runtest_teardown() -> None:
    enable_socket()
