"""Runs generators of clients, and other programs that must succeed."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from monitor.cli.openapi import document


def write_document(folder: Path) -> Path:
    """Write the OpenAPI document into *folder*, and return its path."""
    path = folder / "openapi.json"
    path.write_bytes(document())
    return path


async def run(*command: str | Path, cwd: Path, **env: str) -> str:
    """Return what *command* prints, both streams in one. It must end with exit code 0."""
    process = await asyncio.create_subprocess_exec(
        *command, cwd=cwd, env=os.environ | env, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    try:
        output, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    text = output.decode()
    assert process.returncode == 0, text[-20_000:]
    return text
