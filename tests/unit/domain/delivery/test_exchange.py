"""Text of an answer by the charset that it names."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.domain.delivery.exchange import Exchange, response_text
from monitor.domain.delivery.request import OutboundRequest


def read(body: bytes, content_type: str, *, is_cut: bool = False) -> str:
    return response_text(body, [("x", "charset=utf-16"), ("Content-Type", content_type)], is_cut=is_cut)


@pytest.mark.parametrize(
    ("body", "content_type", "text"),
    [
        ("ü".encode(), "application/json", "ü"),
        ("ü".encode(), "text/plain; charset=utf-8", "ü"),
        ("ü".encode("latin-1"), 'text/plain; format=x; Charset="ISO-8859-1"', "ü"),
        ("ü".encode("latin-1"), "text/plain; charset='latin1'", "ü"),
        ("я".encode("cp1251"), "text/html;charset=windows-1251", "я"),
        ("日本".encode("shift_jis"), "text/html; charset=Shift_JIS", "日本"),
        ("ü".encode("utf-16"), "text/plain; charset=utf-16", "ü"),
        ("ü".encode(), "text/plain; charset=no-such", "ü"),
        ("ü".encode(), "text/plain; charset=", "ü"),
        ("ü".encode(), "text/plain; charset=\0", "ü"),
        (b"abc", "text/plain; charset=base64", "abc"),
        (b"abc", "text/plain; charset=punycode", "abc"),
        (b"\xff", "text/plain", "\ufffd"),
    ],
)
def test_the_charset_of_the_answer_counts_where_it_is_one(body: bytes, content_type: str, text: str) -> None:
    assert read(body, content_type) == text


def test_an_e_mail_has_no_content_length() -> None:
    sent = OutboundRequest("mailto:a@b.example", (("Subject", "x"),), b"text", 1.0)
    assert Exchange(sent, method="MAIL").request_headers == (("Subject", "x"),)
    assert Exchange(sent).request_headers == (("Subject", "x"), ("Content-Length", "4"))


def test_without_a_content_type_it_is_utf_8() -> None:
    assert response_text("ü".encode(), [], is_cut=False) == "ü"


def test_half_a_character_where_the_body_was_cut_is_left_out() -> None:
    assert read("aü".encode()[:-1], "text/plain", is_cut=True) == "a"


@given(st.binary(max_size=64), st.text(max_size=20), st.booleans())
def test_whatever_an_answer_claims_there_is_a_text(body: bytes, charset: str, is_cut: bool) -> None:
    assert read(body, f"text/plain; charset={charset}", is_cut=is_cut).encode(errors="replace") is not None
