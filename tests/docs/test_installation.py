"""The deployment checklist, typed from end to end, and then the drill for each leaked key on what it has set up."""

from __future__ import annotations

from tests.docs.conftest import Reader, check_output
from tests.docs.documents import ROOT, blocks

WITHIN_S = 900.0
"""Servers and workers start nine times."""


def test_the_checklist_sets_up_an_installation_in_which_each_leaked_key_can_be_replaced(installation: Reader) -> None:
    program = [*blocks(ROOT / "docs" / "DEPLOYMENT_CHECKLIST.md"), *blocks(ROOT / "SECURITY.md")]
    check_output(program, installation.run(program, within_s=WITHIN_S))


def test_a_migration_as_the_owner_goes_past_a_pooler_as_the_owner_too() -> None:
    """With MONITOR_DB__DIRECT_URL in the shell, which names the user without DDL, it would run as that user."""
    text = "".join(block.text for block in blocks(ROOT / "docs" / "DEPLOYMENT_CHECKLIST.md") if block.language == "sh")
    migrations = [line for line in text.splitlines() if "monitor migrate" in line]
    assert migrations
    for line in migrations:
        assert line.startswith('MONITOR_DATABASE_URL="$OWNER_URL" MONITOR_DB__DIRECT_URL="$OWNER_URL" ')
