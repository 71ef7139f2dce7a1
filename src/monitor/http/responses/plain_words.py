"""What msgspec reports about a value, in the words of the documents instead of the names of Python's types."""

from __future__ import annotations

import re

_TYPES = {
    "int": "a whole number", "float": "a number", "bool": "true or false", "str": "text", "array": "a list",
    "object": "an object", "null": "null", "bytes": "text in base64", "datetime": "a time", "date": "a date",
    "uuid": "a UUID",
}  # fmt: skip
_UNITS = {"str": "character", "bytes": "byte", "array": "element", "object": "member"}
_BOUNDS = {">=": "at least", "<=": "at most", ">": "more than", "<": "less than"}

_WRONG_TYPE = re.compile(r"Expected `([^`]+)`, got `([^`]+)`")
_WRONG_LENGTH = re.compile(r"Expected `(\w+)` of length (>=|<=) (\d+)")
_OUT_OF_BOUNDS = re.compile(r"Expected `(int|float)` (>=|<=|>|<) (\S+)")
_NO_OFFSET = "Expected `datetime` with a timezone component"
_NOT_A_TIME = "Invalid RFC3339 encoded datetime"
_ELSE = re.compile(r"Expected `([^`]+)`")
_MEMBER = re.compile(r"Object (contains unknown|missing required) field `(.*)`", re.DOTALL)


def in_plain_words(text: str) -> str:
    """Return *text*, a message of msgspec without the place, in plain words; unchanged if it is none."""
    if found := _WRONG_TYPE.fullmatch(text):
        given = "a decimal number" if found[2] == "float" else _types(found[2])
        return f"Must be {_types(found[1])}, not {given}"
    if found := _WRONG_LENGTH.fullmatch(text):
        unit = _UNITS.get(found[1], "element")
        return f"Must be {_types(found[1])} of {_BOUNDS[found[2]]} {found[3]} {unit}{'' if found[3] == '1' else 's'}"
    if found := _OUT_OF_BOUNDS.fullmatch(text):
        return f"Must be {_types(found[1])}, {_BOUNDS[found[2]]} {found[3].removesuffix('.0')}"
    if text in {_NO_OFFSET, _NOT_A_TIME}:
        return "Must be a time with an offset, like 2026-01-31T23:59:00Z"
    if found := _MEMBER.fullmatch(text):
        return (
            f"Unknown member `{found[2]}`" if "unknown" in found[1] else f"The required member `{found[2]}` is missing"
        )
    return _ELSE.sub(lambda one: f"Must be {_types(one[1])}", text, count=1)


def _types(names: str) -> str:
    return " or ".join(_TYPES.get(name, name) for name in names.split(" | "))
