"""The deployment checklist, typed from end to end, and then the drill for each leaked key on what it has set up."""

from __future__ import annotations

from tests.docs.conftest import Reader, check_output
from tests.docs.documents import ROOT, blocks

WITHIN_S = 900.0
"""Servers and workers start nine times."""


def test_the_checklist_sets_up_an_installation_in_which_each_leaked_key_can_be_replaced(installation: Reader) -> None:
    program = [*blocks(ROOT / "docs" / "DEPLOYMENT_CHECKLIST.md"), *blocks(ROOT / "SECURITY.md")]
    check_output(program, installation.run(program, within_s=WITHIN_S))
