"""The header ``traceparent``: what is taken from producers."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.domain.delivery.trace_context import read_traceparent

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
GOOD = f"00-{TRACE}-{PARENT}-01"


@pytest.mark.parametrize(
    ("value", "read"),
    [
        (GOOD, GOOD),
        (f" {GOOD}\t", GOOD),
        (f"00-{TRACE}-{PARENT}-00", f"00-{TRACE}-{PARENT}-00"),
        # Of the flags, only "sampled" is known.
        (f"00-{TRACE}-{PARENT}-ff", GOOD),
        (f"00-{TRACE}-{PARENT}-02", f"00-{TRACE}-{PARENT}-00"),
        # A later version may append.
        (f"cc-{TRACE}-{PARENT}-01", GOOD),
        (f"cc-{TRACE}-{PARENT}-01-what-comes-then", GOOD),
    ],
)
def test_a_trace_goes_on_in_the_form_of_version_00(value: str, read: str) -> None:
    assert read_traceparent(value) == read


@pytest.mark.parametrize(
    "value",
    [
        None,
        "",
        "1",
        f"{GOOD}-more",
        f"{GOOD}, {GOOD}",
        f"ff-{TRACE}-{PARENT}-01",
        f"cc-{TRACE}-{PARENT}-01x",
        f"00-{'0' * 32}-{PARENT}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        GOOD.upper(),
        GOOD.replace("-", "_"),
        GOOD.replace("4", "g", 1),
    ],
)
def test_what_breaks_the_format_is_left_out(value: str | None) -> None:
    assert read_traceparent(value) is None


@given(st.text() | st.from_regex(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}(-\w*)?"))
def test_whatever_is_received_what_goes_on_is_well_formed(value: str) -> None:
    """What is read is read again as itself, and has the format of version 00."""
    read = read_traceparent(value)
    if read is not None:
        assert read_traceparent(read) == read
        assert re.fullmatch("00-[0-9a-f]{32}-[0-9a-f]{16}-0[01]", read)
