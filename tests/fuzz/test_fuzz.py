"""
schemathesis with all its checks, as every role: no answer that the document does not know, none of 500.

``nox -s fuzz`` runs this; FUZZ_EXAMPLES says how many requests each operation gets in each phase, FUZZ_SEED which ones.
With fewer than by default, only an admin goes through the phase that tries the boundaries of each member, whose number
of requests is always the same: what others may do is answered the same, and refusals are in every phase.
"""

from __future__ import annotations

import os

import pytest

from monitor.bootstrap.container import Container
from monitor.domain.vocab import Role
from tests.fuzz.fuzzing import fuzz

WHOLE = 100
EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", WHOLE))
SEED = os.environ.get("FUZZ_SEED")


@pytest.mark.parametrize("role", [*Role, None], ids=str)
async def test_every_answer_is_documented(parts: Container, role: Role | None) -> None:
    seed = ("--seed", SEED) if SEED else ()
    phases = ("--phases", "examples,fuzzing,stateful") if EXAMPLES < WHOLE and role is not Role.ADMIN else ()
    await fuzz(parts, role, "--max-examples", str(EXAMPLES), *seed, *phases)
