"""The servers and the product of the integration suite."""

from __future__ import annotations

from tests.integration.conftest import database_url, parts, postgres, stack

__all__ = ["database_url", "parts", "postgres", "stack"]
