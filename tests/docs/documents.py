"""
Documents as programs: the code blocks of a Markdown file, run in order in one shell.

A block is run if its language is ``sh``. A comment right above a block says what else is to be done with it:

- ``<!-- background -->``: a command that stays; the next block waits until it is ready.
- ``<!-- file: NAME -->``: the block is a file of this name.
- ``<!-- output -->``: the block is, word for word, what the one before printed.
- ``<!-- not run: WHY -->``: left out. ``<!-- ci:… -->`` is run by ``.ci/run``.

A ``json`` block after a command holds an answer of the same shape: the same members all the way down, other values.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])

_FENCE = re.compile(
    r"(?:<!-- (?P<mark>[^\n]*?) -->\n)?```(?P<language>\w*)\n(?P<text>.*?)^```$", re.DOTALL | re.MULTILINE
)
_MAPS = ("/errors", "/signals")
"""Objects whose names are values: counts by kind of error, states by signal once there was a look."""

_OWN_PORT = re.compile(r"\b(?:800[01]|900\d|9464)\b")


class Block(msgspec.Struct, frozen=True):
    """One fenced block; ``mark`` is the comment above it, ``line`` where it begins, counted from 1."""

    line: int
    mark: str
    language: str
    text: str

    @property
    def is_run(self) -> bool:
        return self.language == "sh" and not self.mark.startswith(("ci:", "not run: "))

    @property
    def file(self) -> str | None:
        return self.mark.removeprefix("file: ") if self.mark.startswith("file: ") else None


def blocks(path: Path) -> list[Block]:
    """Return the code blocks of *path*, in order."""
    text = path.read_text(encoding="utf-8")
    return [
        Block(text.count("\n", 0, found.start()) + 1, found["mark"] or "", found["language"], found["text"])
        for found in _FENCE.finditer(text)
    ]


def adapted(text: str, ports: dict[str, int], values: dict[str, str]) -> str:
    """Return *text* with the ports and other *values* that documents use replaced by those of a test."""
    text = _OWN_PORT.sub(lambda found: str(ports.get(found[0], found[0])), text)
    for shown, real in values.items():
        text = text.replace(shown, real)
    return text


def script(program: list[Block], ports: dict[str, int], values: dict[str, str]) -> str:
    """
    Return the shell script that runs *program*: what block *n* prints goes into the file ``out.n``.

    The last line of ``progress`` is the line of the block that runs.
    """
    parts = ["set -euo pipefail"]
    for number, block in enumerate(program):
        text = adapted(block.text, ports, values)
        if block.file is not None:
            name = adapted(block.file, ports, values)
            parts.append(f"cat > {name} <<'END_OF_FILE'\n{text}END_OF_FILE")
        elif block.is_run:
            parts.append(f"echo {block.line} >> progress")
            if block.mark == "background":
                parts.append(f"{{\n{text}}} > out.{number} 2>&1 &\n{_READY.format(port=ports['8000'])}")
            else:
                parts.append(f"{{\n{text}}} > out.{number}")
    return "\n".join(parts) + "\n"


_READY = "for _ in $(seq 600); do curl -fso /dev/null http://127.0.0.1:{port}/health/ready && break; sleep 0.1; done"


def differences(shown: Any, real: Any, pointer: str = "") -> Iterator[str]:
    """Yield where the *real* answer has another shape than the one *shown*. An empty real list tells nothing."""
    if isinstance(shown, dict) and isinstance(real, dict):
        for name in shown.keys() ^ real.keys():
            if not pointer.endswith(_MAPS):
                yield f"{pointer}/{name} is {'missing' if name in shown else 'not shown'}"
        for name in shown.keys() & real.keys():
            yield from differences(shown[name], real[name], f"{pointer}/{name}")
    elif isinstance(shown, list) and isinstance(real, list):
        for row in zip(shown, real, strict=False):
            yield from differences(*row, f"{pointer}/0")
    elif shown is not None and real is not None and _kind(shown) is not _kind(real):
        yield f"{pointer} is {real!r}, shown as {shown!r}"


def _kind(value: Any) -> type:
    return float if type(value) is int else type(value)
