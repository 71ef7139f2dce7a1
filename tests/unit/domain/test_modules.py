"""Every module of the domain is imported, so that the coverage of its own tests has those which only declare."""

from __future__ import annotations

import importlib
import pkgutil

import monitor.domain


def test_every_module_can_be_imported() -> None:
    names = [found.name for found in pkgutil.walk_packages(monitor.domain.__path__, "monitor.domain.")]
    assert [importlib.import_module(name).__name__ for name in names] == names
    assert names
