"""The values that structs are made of."""

from __future__ import annotations

import string
from datetime import UTC, datetime

from hypothesis import strategies as st

from monitor.domain.vocab import OK_LABEL

instants = st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
"""Aware UTC."""

jitters = st.floats(0, 1, exclude_max=True)
ratios = st.floats(0.01, 1)
latencies_ms = st.floats(0, 100_000, allow_subnormal=False)
status_codes = st.integers(300, 999)
failure_labels = st.sampled_from(["404", "500", "503", "timeout", "dns", "reset"])
labels = st.just(OK_LABEL) | failure_labels
"""Outcome labels, about half of them ``ok``."""

recents = st.lists(labels, max_size=25).map(tuple)
"""Outcome labels of a webhook's latest attempts, oldest first."""

samples = st.lists(st.tuples(labels, latencies_ms), max_size=50)
segments = st.text(string.ascii_letters + string.digits + "_-", min_size=1, max_size=6)
names = st.text(st.characters(exclude_categories=("Cc", "Cf", "Cs", "Zl", "Zp")), min_size=1, max_size=12)
event_types = st.lists(segments, min_size=1, max_size=4).map(".".join)
patterns = st.just("*") | event_types | event_types.map("{}.*".format)
label_maps = st.dictionaries(segments, segments, max_size=3)
message_ids = st.uuids().map("msg_{}".format)
timestamps_s = st.integers(0, 4_102_444_800)
signing_keys = st.binary(min_size=24, max_size=64)
_json_characters = st.one_of(
    st.characters(min_codepoint=0x20, exclude_characters='"\\', exclude_categories=["Cs"]),
    st.sampled_from(["\\n", '\\"', "\\\\", "\\/", "\\u0000", "\\u00e4", "\\ud83d\\ude00"]),
    st.integers(0xD800, 0xDFFF).flatmap(lambda half: st.sampled_from([f"\\u{half:x}", f"\\u{half:X}"])),
)
_json_strings = st.lists(_json_characters, max_size=6).map(lambda parts: '"' + "".join(parts) + '"')
_json_numbers = st.from_regex(r"-?(0|[1-9][0-9]{0,30})(\.[0-9]{1,9})?([eE][+-]?[0-9]{1,4})?", fullmatch=True)
json_texts: st.SearchStrategy[bytes] = st.recursive(
    st.sampled_from(["null", "true", "1e400", "-1E+400"]) | _json_numbers.filter(str.isascii) | _json_strings,
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda items: "[" + " ,".join(items) + "]")
        | st.lists(st.tuples(_json_strings, inner).map(":\t".join), max_size=3).map(lambda m: "{" + ", ".join(m) + "}")
    ),
    max_leaves=8,
).map(str.encode)
"""JSON by its grammar (RFC 8259), not by a writer: lone surrogates, numbers beyond doubles, names given twice."""
