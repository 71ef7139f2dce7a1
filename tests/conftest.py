"""
What holds for every test: how hard hypothesis tries, which tests are laws, that unit tests open no socket, and that the
processes of one run share their servers.
"""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path

import pytest
import structlog
from hypothesis import HealthCheck, Phase, settings
from pytest_socket import disable_socket, enable_socket

from tests import servers

UNIT = Path(__file__).parent / "unit"

# A shared machine stalls now and then; a law that is slow for one example has not failed. CI gives one answer for one
# commit; each run elsewhere tries other examples.
for _name, _examples in (("dev", 50), ("ci", 300), ("coherence", 500), ("nightly", 5_000)):
    settings.register_profile(
        _name,
        max_examples=_examples,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow],
        print_blob=True,
        derandomize=os.environ.get("CI") == "true",
    )
# Only whether a law fails is asked of a mutant; reducing its example would take minutes.
settings.register_profile("mutants", settings.get_profile("dev"), phases=[Phase.explicit, Phase.generate])
# Coverage asks for each branch and not for each value. It finds the same everywhere, so the branches that five examples
# miss have examples of their own.
settings.register_profile("few", settings.get_profile("dev"), max_examples=5, derandomize=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "dev"))


def pytest_configure() -> None:
    # A run that a time limit ends tears its fixtures down and leaves no server behind. A shell's background job begins
    # with SIGINT ignored, and so would the programs that it starts.
    for ending in (signal.SIGINT, signal.SIGTERM):
        signal.signal(ending, signal.default_int_handler)
    # As the product logs, and not with the variables of each frame, which take a second each to draw.
    processors = structlog.get_config()["processors"]
    processors[-1] = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)


@pytest.hookimpl(tryfirst=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    """Start the servers before the workers of xdist, which inherit the environment."""
    config = session.config
    only_unit = all((config.invocation_params.dir / path).is_relative_to(UNIT) for path in config.args)
    if config.pluginmanager.hasplugin("dsession") and not only_unit:
        stack = contextlib.ExitStack()
        config.add_cleanup(stack.close)
        stack.enter_context(servers.shared())


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
