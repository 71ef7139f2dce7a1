"""
YAML as plain values, each with its line and column.

Plain scalars are read by the core schema of YAML 1.2: `no` and `2026-01-31` are texts. Tags are refused, a key may
stand once, and depth and size are bounded with every alias counted as what it stands for.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, NamedTuple

import yaml

MAX_DEPTH = 16
MAX_VALUES = 2_000_000

Path = tuple[str | int, ...]

_CORE = "tag:yaml.org,2002:"


class Place(NamedTuple):
    """Where a value begins, counted from 1."""

    line: int
    column: int


class Problem(NamedTuple):
    place: Place
    text: str


class FileError(Exception):
    """A file cannot be used; *problems* are in its order."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__(problems[0].text)
        self.problems = problems

    def lines(self, name: str) -> list[str]:
        """Return one line for each problem of the file *name*."""
        return [f"{name}:{place.line}:{place.column}: {text}" for place, text in self.problems]


class Document(NamedTuple):
    """A value, and the places of all values inside it by their paths."""

    value: Any
    places: dict[Path, Place]

    def place(self, path: Path) -> Place:
        """Return the place of *path*, or of what is nearest around it."""
        while path and path not in self.places:
            path = path[:-1]
        return self.places.get(path, Place(1, 1))


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 - replaces that of the base class


def add_core_resolvers(kind: Any) -> None:
    """Make a loader or dumper read, or quote, plain texts that are values in the core schema of YAML 1.2."""
    for name, pattern, first in (
        ("null", r"(~|null|Null|NULL|)\Z", ["~", "n", "N", ""]),
        ("bool", r"(true|True|TRUE|false|False|FALSE)\Z", list("tTfF")),
        ("int", r"[-+]?[0-9]{1,18}\Z", list("-+0123456789")),
        ("float", r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?\Z", list("-+.0123456789")),
    ):
        kind.add_implicit_resolver(f"{_CORE}{name}", re.compile(pattern), first)


add_core_resolvers(_Loader)


def read_yaml(text: str) -> Document:
    """Read the one document of *text*. Raises :class:`FileError`."""
    try:
        node = yaml.compose(text, _Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = Place(1, 1) if mark is None else Place(mark.line + 1, mark.column + 1)
        raise FileError([Problem(place, f"this is not YAML: {error.problem or error.context}")]) from None
    except (yaml.YAMLError, RecursionError) as error:
        raise FileError([Problem(Place(1, 1), f"this is not YAML: {error}")]) from None
    if node is None:
        return Document(None, {})
    reader = _Reader()
    value = reader.read(node, ())
    return Document(value, reader.places)


class _Reader:
    def __init__(self) -> None:
        self.places: dict[Path, Place] = {}

    def read(self, node: yaml.Node, path: Path) -> Any:
        place = _place(node)
        if len(path) > MAX_DEPTH:
            raise FileError([Problem(place, f"this is nested deeper than {MAX_DEPTH} levels.")])
        if len(self.places) >= MAX_VALUES:
            raise FileError([Problem(place, f"the file has more than {MAX_VALUES:,} values, aliases included.")])
        self.places[path] = place
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            _check_tag(node, "seq")
            return [self.read(child, (*path, index)) for index, child in enumerate(node.value)]
        return _scalar(node)

    def _mapping(self, node: yaml.MappingNode, path: Path) -> dict[str, Any]:
        _check_tag(node, "map")
        read: dict[str, Any] = {}
        for key_node, child in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                raise FileError([Problem(_place(key_node), "a name must be text.")])
            key: str = key_node.value
            if key in read:
                raise FileError([Problem(_place(key_node), f"{key!r} stands here twice; remove one of both.")])
            read[key] = self.read(child, (*path, key))
        return read


def _scalar(node: yaml.Node) -> Any:
    kind = node.tag.removeprefix(_CORE)
    if kind not in _KINDS:
        raise FileError([Problem(_place(node), f"the tag {node.tag} is not supported; remove it.")])
    try:
        return _KINDS[kind](node.value)
    except ValueError:
        raise FileError([Problem(_place(node), f"this is no {kind}; remove the tag.")]) from None


_KINDS: dict[str, Callable[[str], Any]] = {
    "null": lambda _: None,
    "bool": lambda text: text.lower() == "true",
    "int": int,
    "float": float,
    "str": str,
}


def _check_tag(node: yaml.Node, kind: str) -> None:
    if node.tag != f"{_CORE}{kind}":
        raise FileError([Problem(_place(node), f"the tag {node.tag} is not supported; remove it.")])


def _place(node: yaml.Node) -> Place:
    return Place(node.start_mark.line + 1, node.start_mark.column + 1)
