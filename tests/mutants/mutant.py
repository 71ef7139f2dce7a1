"""A mutant: a change of one line, and the tests of which one must fail."""

from __future__ import annotations

from typing import NamedTuple


class Mutant(NamedTuple):
    """``line`` stands once in ``module``, below ``src/monitor``; ``tests`` are arguments of pytest, below ``tests``."""

    module: str
    line: str
    replacement: str
    tests: str
