"""openapi-typescript reads the document, and a typed program compiles against it and calls every operation."""

from __future__ import annotations

import shutil
from pathlib import Path

import msgspec
import pytest

from monitor.bootstrap.container import Container
from monitor.domain.vocab import Role
from tests.clients.generation import run, write_document
from tests.integration.support import signer
from tests.integration.test_every_route import OPERATIONS, Stage

SOURCE = Path(__file__).parent / "typescript"


@pytest.fixture(scope="module")
async def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program, compiled: every type was checked."""
    folder = tmp_path_factory.mktemp("typescript") / "program"
    shutil.copytree(SOURCE, folder, ignore=shutil.ignore_patterns("node_modules"))
    await run("npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts", cwd=folder)
    # A member of a request that has a default may be left out.
    options = ("--output", "monitor.ts", "--default-non-nullable=false")
    await run("node_modules/.bin/openapi-typescript", write_document(folder), *options, cwd=folder)
    await run("node_modules/.bin/tsc", cwd=folder)
    return folder


async def test_every_operation_is_called_by_a_program_whose_types_fit(
    built: Path, parts: Container, stage: Stage, tmp_path: Path
) -> None:
    told = tmp_path / "stage.json"
    told.write_bytes(
        msgspec.json.encode(
            {
                "url": str(stage.api.client.base_url),
                "token": signer(parts)(Role.ADMIN, "ada"),
                "receiver": stage.url,
                "now": stage.now(),
                "ids": stage.ids,
            }
        )
    )
    called = await run("node", "built/program.js", told, cwd=built)
    assert set(called.splitlines()) == {f"{operation.method} {operation.path}" for operation in OPERATIONS}
