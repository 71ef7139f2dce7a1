"""Tracing is off by default, and says what it lacks."""

from __future__ import annotations

import sys

import pytest

from monitor.bootstrap.tracing import process_tracing
from monitor.settings.schema import Settings, Tracing

ENABLED = Settings(tracing=Tracing(enabled=True))


def test_by_default_nothing_is_traced_and_no_library_of_it_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "monitor.adapters.otel", None)
    assert process_tracing(Settings()) is None


def test_without_the_extra_the_start_fails_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "monitor.adapters.otel", None)
    with pytest.raises(ValueError, match=r"pip install 'webhook-monitor\[otel\]'"):
        process_tracing(ENABLED)


async def test_with_it_the_process_has_a_tracer_that_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    tracing = process_tracing(ENABLED)
    assert tracing is not None
    await tracing.aclose()
