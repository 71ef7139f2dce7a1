"""
schemathesis with all its checks, as every role: no answer that the document does not know, none of 500.

``nox -s fuzz`` runs this; FUZZ_EXAMPLES says how many requests each operation gets in each phase, FUZZ_SEED which ones.
"""

from __future__ import annotations

import os

import pytest

from monitor.bootstrap.container import Container
from monitor.domain.vocab import Role
from tests.fuzz.fuzzing import fuzz

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "100"))
SEED = os.environ.get("FUZZ_SEED")


@pytest.mark.parametrize("role", [*Role, None], ids=str)
async def test_every_answer_is_documented(parts: Container, role: Role | None) -> None:
    await fuzz(parts, role, "--max-examples", str(EXAMPLES), *(("--seed", SEED) if SEED else ()))
