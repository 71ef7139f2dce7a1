"""The public names of the domain against ``docs/GLOSSARY.md``."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
GLOSSARY = (ROOT / "docs" / "GLOSSARY.md").read_text(encoding="utf-8")
TERM = re.compile(r"\*\*(.+?)\*\*")
WORD = re.compile(r"[A-Z]+[a-z]*|[a-z]+")
TERMS = [term for line in GLOSSARY.splitlines() if line.startswith("| **") for term in TERM.findall(line)]


def words_of(name: str) -> set[str]:
    """Return the words of a term, or of a name in CamelCase, in lower case and singular."""
    return {word.lower().removesuffix("s") for word in WORD.findall(name)}


def public_classes() -> Iterator[str]:
    for path in (ROOT / "src" / "monitor" / "domain").rglob("*.py"):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                yield node.name


@pytest.mark.parametrize("name", sorted(set(public_classes())))
def test_a_class_of_the_domain_is_built_of_words_of_the_glossary(name: str) -> None:
    assert words_of(name) - words_of(" ".join(TERMS)) == set()


def test_a_term_is_explained_once() -> None:
    assert sorted(TERMS) == sorted(set(TERMS))
