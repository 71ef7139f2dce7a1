"""The servers and the product of the integration suite."""

from __future__ import annotations

from tests.integration.conftest import module_parts, parts, postgres, stack

__all__ = ["module_parts", "parts", "postgres", "stack"]
