"""Every command of the documents is run, in order, as a reader would, and prints what they say it prints."""

from __future__ import annotations

import pytest

from tests.docs.conftest import Reader, check_output
from tests.docs.documents import ROOT, blocks


@pytest.mark.parametrize("name", ["README.md", "docs/API_DOCUMENTATION.md"])
def test_the_examples_run_against_a_monitor_up(name: str, reader: Reader) -> None:
    program = blocks(ROOT / name)
    assert any(block.is_run for block in program)
    check_output(program, reader.run(program))
