"""What went over the wire in one attempt: as it was, and as it is stored."""

from __future__ import annotations

import codecs
from collections.abc import Iterable

import msgspec

from monitor.domain.delivery.request import OutboundRequest

HeaderFields = tuple[tuple[str, str], ...]
"""Names and values in their order; a name may repeat."""

_CHARSETS = frozenset(
    codecs.lookup(name).name
    for name in (
        "ascii", "big5", "cp1250", "cp1251", "cp1252", "cp1253", "cp1254", "cp1255", "cp1256", "cp1257", "cp1258",
        "euc_jp", "euc_kr", "gb18030", "gb2312", "gbk", "iso2022_jp", "koi8_r", "koi8_u", "latin_1", "shift_jis",
        "utf_16", "utf_16_be", "utf_16_le", "utf_32", "utf_8",
        *(f"iso8859_{part}" for part in (2, 3, 4, 5, 6, 7, 8, 9, 10, 13, 14, 15, 16)),
    )
)  # fmt: skip
"""Charsets that answers are read by. Python has more codecs, some of which take long or are no charsets."""


class Exchange(msgspec.Struct, frozen=True):
    """The request as it was written to a connection, and the head of its answer. Header values are not masked.

    ``fixed_headers`` are the sender's own ones. ``response_headers`` hold at most 200 fields and 16 KiB, none without a
    valid answer. ``note`` is what was odd about an answer that counted, null if nothing was. ``http_version`` is that
    of the answer, such as ``1.1``. ``method`` is ``MAIL`` of an e-mail; its body is the text.
    """

    request: OutboundRequest
    fixed_headers: HeaderFields = ()
    response_headers: HeaderFields = ()
    note: str | None = None
    method: str = "POST"
    http_version: str | None = None

    @property
    def request_headers(self) -> HeaderFields:
        length = (("Content-Length", str(len(self.request.body))),) if self.method == "POST" else ()
        return (*self.fixed_headers, *self.request.headers, *length)


class HeaderField(msgspec.Struct, frozen=True):
    """One header field as it was sent; secret parts of its value are replaced by ``***``."""

    name: str
    value: str


class StoredExchange(msgspec.Struct, frozen=True):
    """
    The request of an attempt as it was written, and the head of its answer, without secrets.

    ``body_bytes`` and ``body_sha256`` describe the body as sent. ``response_headers`` hold at most 200 fields and
    16 KiB; of the cookies that they set only the names. ``note`` says what was odd about an answer that counted.
    ``http_version`` is that of the answer, such as ``1.1``; null without an answer, and for older attempts.
    """

    method: str
    url: str
    request_headers: tuple[HeaderField, ...]
    body_bytes: int
    body_sha256: str
    response_headers: tuple[HeaderField, ...]
    note: str | None = None
    http_version: str | None = None


class RequestBody(msgspec.Struct, frozen=True):
    """
    The body of a request, byte for byte.

    ``rebuilt``: it was made again from the event, and no stored hash proves that these are the bytes that were sent.
    """

    base64: bytes
    rebuilt: bool


def response_text(body: bytes, headers: Iterable[tuple[str, str]], *, is_cut: bool) -> str:
    """
    Decode *body* by the charset in *headers*: by UTF-8 without one, or with an unknown one.

    Args:
        is_cut: the body goes on; half a character at its end is left out then.
    """
    charset = _charset(headers)
    if not is_cut and charset == "utf-8":
        return body.decode(errors="replace")
    decoder = codecs.getincrementaldecoder(charset)("replace")
    return decoder.decode(body, final=not is_cut)


def _charset(headers: Iterable[tuple[str, str]]) -> str:
    for name, value in headers:
        if name.lower() == "content-type":
            for parameter in value.split(";")[1:]:
                key, _, label = parameter.partition("=")
                if key.strip().lower() == "charset":
                    return _known(label.strip().strip("\"'"))
    return "utf-8"


def _known(label: str) -> str:
    try:
        name = codecs.lookup(label).name
    except (LookupError, ValueError):
        return "utf-8"
    return name if name in _CHARSETS else "utf-8"
