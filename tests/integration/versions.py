"""Other versions beside this one: the last release, and imagined next ones, each in a folder to run it from."""

from __future__ import annotations

import io
import shutil
import subprocess
import tarfile
from pathlib import Path

import msgspec
import pytest

from monitor.adapters.postgres.migrate import newest_revision

LAST_RELEASE = "184919a32c167ef0342a91dee0ed52f9cfc68284"
"""The commit that is replaced by the next release. A release sets it to its own commit (CONTRIBUTING.md)."""

ROOT = Path(__file__).parents[2]
MIGRATION = """
from alembic import op

revision, down_revision = {revision!r}, {down_revision!r}
compatible_from = {compatible_from!r}


def upgrade() -> None:
    for statement in {sql!r}.split(";"):
        op.execute(statement)
"""


def last_release(folder: Path) -> str:
    """Unpack the last release into *folder*, and return what runs from it."""
    packed = subprocess.run(
        ["git", "archive", LAST_RELEASE, "src", "alembic"], cwd=ROOT, capture_output=True, check=False
    )
    if packed.returncode:
        pytest.skip(f"this is no clone with the history of {LAST_RELEASE}, the last release")
    with tarfile.open(fileobj=io.BytesIO(packed.stdout)) as archive:
        archive.extractall(folder, filter="data")
    return str(folder / "src")


class Step(msgspec.Struct, frozen=True):
    """One migration of an imagined version."""

    sql: str
    breaks: bool = False


def next_version(folder: Path, *steps: Step) -> str:
    """Make this version with more migrations in *folder*, and return what runs from it."""
    shutil.copytree(ROOT / "src", folder / "src", ignore=shutil.ignore_patterns("static"))
    shutil.copytree(ROOT / "alembic", folder / "alembic")
    before = compatible_from = newest_revision()
    for number, step in enumerate(steps, 9901):
        revision = str(number)
        compatible_from = revision if step.breaks else compatible_from
        text = MIGRATION.format(revision=revision, down_revision=before, compatible_from=compatible_from, sql=step.sql)
        (folder / "alembic" / "versions" / f"{revision}_next.py").write_text(text)
        before = revision
    return str(folder / "src")
