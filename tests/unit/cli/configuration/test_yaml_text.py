"""YAML as plain values with their places."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from monitor.cli.configuration import yaml_text
from monitor.cli.configuration.export import _dumped
from monitor.cli.configuration.yaml_text import MAX_DEPTH, FileError, Place, read_yaml

json_like: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**17), 10**17)
    | st.text(st.characters(exclude_categories=["Cs", "Cc"])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc", min_size=1), inner, max_size=3),
    max_leaves=8,
)


@given(value=json_like)
def test_what_is_exported_is_read_again(value: Any) -> None:
    """``read_yaml`` inverts the writer, for every text, number and nesting."""
    assert read_yaml(_dumped(value)).value == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("no", "no"),
        ("2026-01-31", "2026-01-31"),
        ("12:30:45", "12:30:45"),
        ("0x1F", "0x1F"),
        ("1e3", 1000.0),
        ("-12", -12),
        (".5", 0.5),
        ("~", None),
        ("True", True),
        ("'1'", "1"),
        ("a: &x [1]\nb: *x", {"a": [1], "b": [1]}),
        ("", None),
    ],
)
def test_plain_texts_are_read_by_the_core_schema(text: str, value: Any) -> None:
    assert read_yaml(text).value == value


@pytest.mark.parametrize(
    ("text", "place", "says"),
    [
        ("a: [1\nb: 2", Place(2, 2), "this is not YAML: "),
        ("a: 1\n\tb: 2", Place(2, 1), "this is not YAML: "),
        ("a: 1\na: 2", Place(2, 1), "'a' stands here twice"),
        ("[a]: 1", Place(1, 1), "a name must be text"),
        ("a: !!python/object:os.system x", Place(1, 4), "the tag tag:yaml.org,2002:python/object:os.system"),
        ("a: !!set {b}", Place(1, 4), "the tag tag:yaml.org,2002:set is not supported"),
        ("a: !!omap [b: 1]", Place(1, 4), "the tag tag:yaml.org,2002:omap is not supported"),
        ("a: !!int x", Place(1, 4), "this is no int"),
        ("a: 1\n---\nb: 2", Place(2, 1), "but found another document"),
        ("a: *b", Place(1, 4), "undefined alias"),
        ("a: &a [*a]", Place(1, 4), "nested deeper"),
        ("[" * 40 + "]" * 40, Place(1, MAX_DEPTH + 2), "nested deeper"),
        ("a: \x00", Place(1, 1), "this is not YAML"),
    ],
)
def test_what_is_refused_has_a_place_and_a_reason(text: str, place: Place, says: str) -> None:
    with pytest.raises(FileError) as refused:
        read_yaml(text)
    (problem,) = refused.value.problems
    assert (problem.place, says in problem.text) == (place, True), problem
    assert refused.value.lines("f.yaml") == [f"f.yaml:{place.line}:{place.column}: {problem.text}"]


def test_aliases_count_as_what_they_stand_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(yaml_text, "MAX_VALUES", 1_000)
    bomb = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
        f"{name}: &{name} [{','.join([f'*{before}'] * 9)}]\n" for before, name in zip("abcdef", "bcdefg", strict=True)
    )
    with pytest.raises(FileError, match="aliases included"):
        read_yaml(bomb)


def test_nesting_far_beyond_the_bound_ends_nothing_but_the_reading() -> None:
    with pytest.raises(FileError):
        read_yaml("[" * 100_000)


def test_the_nearest_place_around_is_that_of_what_is_missing() -> None:
    document = read_yaml("a:\n  b: 1\n")
    assert document.place(("a", "b")) == Place(2, 6)
    assert document.place(("a", "c", 3)) == Place(2, 3)
    assert document.place(("x",)) == Place(1, 1)


def test_the_writer_quotes_what_an_older_yaml_reads_otherwise() -> None:
    texts = ["no", "1e5", "2026-01-31", "0o7", "=", "<<", "1_0", "null", "~", ""]
    assert yaml.safe_load(_dumped(texts)) == texts
