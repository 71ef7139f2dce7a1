"""
``python -m tests.mutants [WORD...]``: apply each mutant to a copy of the source, and run the tests that must notice it.

Only mutants whose module or line contains a *WORD* are run. Prints those that are alive, and ends with status 1 if
there are any.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tests import servers
from tests.mutants.mutant import Mutant
from tests.mutants.table import MUTANTS

ROOT = Path(__file__).parents[2]
LONGEST_S = 300.0
"""A mutant that hangs the tests is noticed, too."""


def outdated(mutant: Mutant) -> str | None:
    """Return what no longer holds for a row of the table."""
    module = ROOT / "src/monitor" / mutant.module
    count = module.read_text(encoding="utf-8").count(mutant.line) if module.exists() else 0
    if count != 1:
        return f"{mutant.module} holds {count} times: {mutant.line!r}"
    missing = [name for name in mutant.tests.split() if not (ROOT / "tests" / name).exists()]
    return f"there are no tests {missing}" if missing else None


def copy(folder: Path) -> Path:
    """Copy the package into *folder* with its migrations, as an installed one has them; return where it is."""
    package = folder / "monitor"
    shutil.rmtree(package, ignore_errors=True)
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "src/monitor", package, ignore=ignored)
    shutil.copytree(ROOT / "alembic", package / "migrations", ignore=ignored)
    return package


def is_alive(mutant: Mutant, folder: Path) -> bool:
    """Whether the tests pass on a copy of the source with *mutant*, made in *folder*."""
    module = copy(folder) / mutant.module
    source = module.read_text(encoding="utf-8")
    module.write_text(source.replace(mutant.line, mutant.replacement), encoding="utf-8")
    return passes(mutant.tests, folder)


def passes(suites: str, folder: Path) -> bool:
    """Whether *suites* pass on the package in *folder*."""
    tests = [f"tests/{name}" for name in suites.split()]
    ours = {
        "PYTHONPATH": str(folder),
        "HYPOTHESIS_PROFILE": "mutants",
        "HYPOTHESIS_STORAGE_DIRECTORY": str(folder / "examples"),
    }
    command = [sys.executable, "-m", "pytest", "-x", "-q", "--no-header", "-p", "no:cacheprovider", *tests]
    with subprocess.Popen(command, cwd=ROOT, env={**os.environ, **ours}, stdout=subprocess.DEVNULL) as run:
        try:
            status = run.wait(LONGEST_S)
        except subprocess.TimeoutExpired:
            # pytest tears its servers down when it is interrupted.
            run.terminate()
            return False
    # Tests that failed are 1; what cannot be imported or collected proves nothing.
    if status not in (0, 1):
        raise RuntimeError(f"pytest ended with status {status}: {' '.join(command)}")
    return status == 0


def main(words: list[str]) -> int:
    chosen = [one for one in MUTANTS if not words or any(word in one.module or word in one.line for word in words)]
    if rows := [found for found in map(outdated, chosen) if found is not None]:
        raise SystemExit("\n".join(rows))
    alive = []
    with tempfile.TemporaryDirectory() as folder, servers.shared():
        copy(Path(folder))
        for suites in dict.fromkeys(mutant.tests for mutant in chosen):
            if not passes(suites, Path(folder)):
                raise RuntimeError(f"these tests fail without a mutant: {suites}")
        for number, mutant in enumerate(chosen, 1):
            lives = is_alive(mutant, Path(folder))
            alive += [mutant] if lives else []
            state = f"{number}/{len(chosen)} {'alive' if lives else 'killed'}"
            print(f"{state}: {mutant.module}: {mutant.line!r} -> {mutant.replacement!r}", flush=True)
    print(f"{len(chosen) - len(alive)} of {len(chosen)} killed")
    return 1 if alive else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
