"""Every command of the documents is run, in order, as a reader would, and prints what they say it prints."""

from __future__ import annotations

import asyncio

import pytest

from tests import servers
from tests.docs.conftest import Reader, check_output
from tests.docs.documents import ROOT, blocks

DATABASE = "postgresql://monitor:password@db.internal/monitor"
REDIS = "redis://redis.internal:6379/0"
"""What the checklist calls the servers of its reader."""


@pytest.mark.parametrize("name", ["README.md", "docs/API_DOCUMENTATION.md"])
def test_the_examples_run_against_a_monitor_up(name: str, reader: Reader) -> None:
    program = blocks(ROOT / name)
    assert any(block.is_run for block in program)
    check_output(program, reader.run(program))


async def test_the_deployment_checklist_runs_on_servers_of_ones_own(
    reader: Reader, postgres: servers.Postgres, redis_url: str
) -> None:
    program = blocks(ROOT / "docs" / "DEPLOYMENT_CHECKLIST.md")
    async with postgres.empty_database() as dsn:
        reader.values = {DATABASE: dsn, REDIS: redis_url}
        check_output(program, await asyncio.to_thread(reader.run, program))
