"""A person who knows JSON but not Python understands what is wrong with a value."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

import msgspec
import pytest
from msgspec import Meta

from monitor.http.responses.plain_words import in_plain_words


class Item(msgspec.Struct, forbid_unknown_fields=True):
    name: str


@pytest.mark.parametrize(
    ("type_", "body", "words"),
    [
        (int, '"5"', "Must be a whole number, not text"),
        (int, "1.5", "Must be a whole number, not a decimal number"),
        (float, "true", "Must be a number, not true or false"),
        (bool, "1", "Must be true or false, not a whole number"),
        (str, "null", "Must be text, not null"),
        (str | None, "[]", "Must be text or null, not a list"),
        (list[str], "{}", "Must be a list, not an object"),
        (Item, "[]", "Must be an object, not a list"),
        (Annotated[str, Meta(min_length=1)], '""', "Must be text of at least 1 character"),
        (Annotated[str, Meta(max_length=3)], '"four"', "Must be text of at most 3 characters"),
        (Annotated[list[int], Meta(max_length=1)], "[1, 2]", "Must be a list of at most 1 element"),
        (Annotated[dict[str, int], Meta(min_length=2)], "{}", "Must be an object of at least 2 members"),
        (Annotated[int, Meta(ge=1)], "0", "Must be a whole number, at least 1"),
        (Annotated[int, Meta(le=200)], "1000", "Must be a whole number, at most 200"),
        (Annotated[float, Meta(gt=0)], "0", "Must be a number, more than 0"),
        (Annotated[float, Meta(le=0.5)], "0.7", "Must be a number, at most 0.5"),
        (Annotated[str, Meta(pattern="^a$")], '"b"', "Must be text matching regex '^a$'"),
        (Annotated[datetime, Meta(tz=True)], '"yesterday"', "Must be a time with an offset, like 2026-01-31T23:59:00Z"),
        (
            Annotated[datetime, Meta(tz=True)],
            '"2026-01-31T23:59:00"',
            "Must be a time with an offset, like 2026-01-31T23:59:00Z",
        ),
        (UUID, '"5"', "Invalid UUID"),
        (Item, "{}", "The required member `name` is missing"),
        (Item, '{"name": "a", "nam": 1}', "Unknown member `nam`"),
    ],
)
def test_what_is_wrong_is_said_without_the_names_of_types(type_: Any, body: str, words: str) -> None:
    with pytest.raises(msgspec.ValidationError) as wrong:
        msgspec.json.decode(body, type=type_)
    assert in_plain_words(str(wrong.value)) == words


def test_other_words_stay_as_they_are() -> None:
    assert in_plain_words("cannot be read") == "cannot be read"
