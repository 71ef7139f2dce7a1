"""The allowed values of an enumeration, for errors about a value that is none of them; msgspec does not name them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from msgspec import inspect

REFUSED = "Not one of the allowed values"


def refusal(type_: Any, path: Sequence[str] = (), *, is_key: bool = False) -> str:
    """
    Return the words about a value that an enumeration does not have, with those that it has.

    Args:
        type_: what was decoded.
        path: leads to the enumeration: names of members, indices, ``...`` for a value of a mapping.
        is_key: the value is a key of the mapping at *path*.
    """
    values = allowed_values(type_, path, is_key=is_key)
    return f"{REFUSED} ({', '.join(values)})" if values else REFUSED


def allowed_values(type_: Any, path: Sequence[str] = (), *, is_key: bool = False) -> tuple[str, ...]:
    """Return the values of the enumeration that :func:`refusal` is about; none if there is no enumeration."""
    nodes = [*_nodes_at(inspect.type_info(type_), tuple(path))]
    if is_key:
        nodes = [key for node in nodes if isinstance(node, inspect.DictType) for key in _nodes_at(node.key_type, ())]
    values = [value for node in nodes for value in _values(node)]
    if values and any(isinstance(node, inspect.BoolType) for node in nodes):
        values = ["false", "true", *values]
    return tuple(values)


def _nodes_at(node: inspect.Type, path: tuple[str, ...]) -> Iterator[inspect.Type]:
    """Yield what may stand at *path*: several types in a union, none if *path* leads nowhere."""
    if isinstance(node, inspect.Metadata):
        yield from _nodes_at(node.type, path)
    elif isinstance(node, inspect.UnionType):
        for one in node.types:
            yield from _nodes_at(one, path)
    elif not path:
        yield node
    else:
        for child in _children(node, path[0]):
            yield from _nodes_at(child, path[1:])


def _children(node: inspect.Type, step: str) -> Iterator[inspect.Type]:
    if isinstance(node, inspect.StructType):
        yield from (field.type for field in node.fields if field.encode_name == step)
    elif isinstance(node, inspect.DictType):
        yield node.value_type
    elif isinstance(node, inspect.CollectionType):
        yield node.item_type


def _values(node: inspect.Type) -> Iterator[str]:
    if isinstance(node, inspect.EnumType):
        yield from (str(member.value) for member in node.cls)
    elif isinstance(node, inspect.LiteralType):
        yield from map(str, node.values)
