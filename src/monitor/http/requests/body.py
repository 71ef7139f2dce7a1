"""
Request bodies: read once, strictly, by msgspec.

Litestar's own JSON path fails with 500 on deep nesting and on bytes that are not UTF-8, takes any content type, and
builds objects before it builds structs, so that a ``msgspec.Raw`` member would lose its exact bytes. ``JsonBody``
replaces it in ``Litestar(dto=JsonBody)``, for every handler with ``data: JSONBody[SomeStruct]`` or
``data: MergePatch[SomeStruct]``.

Unreadable is 400 (``Malformed``), readable but against a rule is 422 (``Invalid``), another content type or a content
coding is 415.

RFC 8259 section 8.2 allows an escaped surrogate without its other half (``"\\ud800"``), which msgspec refuses. Such a
body is decoded with NUL in place of each, and the bytes are put back under the ``Raw`` members afterwards.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterator
from collections.abc import Set as AbstractSet
from functools import cache
from itertools import accumulate
from typing import Annotated, Any, NoReturn, TypeVar, cast

import msgspec
from litestar.dto.base_dto import AbstractDTO
from litestar.openapi.spec import Reference, Schema
from litestar.params import BodyKwarg
from litestar.typing import FieldDefinition

from monitor.domain.errors import FieldError, Invalid, Malformed, UnsupportedMedia
from monitor.http.responses.problems import field_error

T = TypeVar("T")

JSON = "application/json"

MergePatch = Annotated[T, BodyKwarg(media_type="application/merge-patch+json")]
"""Marks the ``data`` of a PATCH (RFC 7396); ``application/json`` is taken too."""

MAX_DEPTH = 100
"""Lists and objects inside each other; msgspec's own bound depends on how deep the interpreter already stands."""

_INT_MIN, _INT_MAX = -(2**63), 2**63 - 1
"""What a PostgreSQL ``bigint`` holds."""

_STEPS = bytes.maketrans(b"[{]}", b"\x01\x01\xff\xff")
"""Brackets as signed bytes: one deeper, one less deep."""

_NOT_BRACKETS = bytes(byte for byte in range(256) if byte not in b"[]{}")
_NOT_SHAPE = bytes(byte for byte in range(256) if byte not in b'[]{}"')
# Never fails to match at a quote, closed or not, so that hostile input cannot make the scan start over and over.
_STRING = re.compile(rb'"[^"\\]*+(?:\\.?[^"\\]*+)*+(?:"|\Z)', re.DOTALL)
_DIGITS = bytes.maketrans(b"123456789", b"000000000")
_LONG_NUMBER = b"0" * 19
_NAME = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_PARAMETER = rf'\s*;\s*(?:({_NAME})=({_NAME}|"(?:[^"\\]|\\.)*+"))?'
_PARAMETERS = re.compile(_PARAMETER)
_CONTENT_TYPE = re.compile(rf"\s*({_NAME}/{_NAME})((?:{_PARAMETER})*+)\s*")
"""RFC 9110 section 8.3.1, with blanks around the equals sign taken for a mistake."""

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_NUL_ESCAPE = b"\\u0000"
_ESCAPED_BACKSLASH, _NO_UTF8 = b"\\\\", b"\xff\xff"
_HIGH, _LOW = rb"\\u[dD][89abAB][0-9a-fA-F]{2}", rb"\\u[dD][c-fC-F][0-9a-fA-F]{2}"
_SURROGATE = re.compile(rb"%b|%b" % (_HIGH, _LOW))
_LONE_SURROGATE = re.compile(rb"%b(?!%b)|(?<!%b)%b" % (_HIGH, _LOW, _HIGH, _LOW))


def read(body: bytes, type_: type[T]) -> T:
    """
    Decode *body* as *type_*; ``msgspec.Raw`` members keep their exact bytes.

    Raises:
        Malformed: not UTF-8, not JSON, or nested too deeply.
        Invalid: against the type, or with NUL or half of a surrogate pair in text, or an integer beyond 64 bits,
            outside ``Raw`` members.
    """
    _check_readable(body)
    # Raw members are views into this buffer, which is why it can be put back as it was after decoding.
    readable = _without_lone_surrogates(body) if _SURROGATE.search(body) else body
    decoder: msgspec.json.Decoder[T] = _decoder(cast("Hashable", type_))
    try:
        value = decoder.decode(readable)
    except msgspec.ValidationError as exc:
        # msgspec stops at the first broken rule, and has not seen whether the rest is JSON at all.
        _check_grammar(readable)
        _refuse(exc, type_)
    except (msgspec.DecodeError, RecursionError):
        raise Malformed("The body is not valid JSON.") from None
    # Both are rare, and their absence shows in the bytes at a fraction of the cost of a walk.
    if _NUL_ESCAPE in readable or _LONG_NUMBER in body.translate(_DIGITS):
        _check_storable(value)
    if isinstance(readable, bytearray):
        readable[:] = body
    return value


def convert(value: Any, type_: type[T]) -> T:
    """
    Check an already decoded *value*, such as a merged patch, against *type_*.

    Raises:
        Invalid: as :func:`read` would.
    """
    try:
        converted = msgspec.convert(value, type_)
    except msgspec.ValidationError as exc:
        _refuse(exc, type_)
    _check_storable(converted)
    return converted


class JsonBody(AbstractDTO[Any]):
    """Decodes ``data`` with :func:`read` into the handler's annotation; responses are not its task."""

    def decode_bytes(self, value: bytes) -> Any:
        field = self.asgi_connection.route_handler.parsed_data_field
        headers = self.asgi_connection.headers
        check_content_coding(headers.get("content-encoding"))
        check_content_type(headers.get("content-type"), {JSON, field.kwarg_definition.media_type})
        return read(value, field.annotation)

    @classmethod
    def is_supported_model_type_field(cls, field_definition: FieldDefinition) -> bool:
        # Needed for the return type only: answers are encoded by Litestar.
        return False

    @classmethod
    def create_for_field_definition(
        cls, field_definition: FieldDefinition, handler_id: str, backend_cls: Any = None
    ) -> None:
        # Fails at start rather than at the first request if msgspec cannot decode the type.
        _decoder(field_definition.annotation)

    @classmethod
    def create_openapi_schema(
        cls, field_definition: FieldDefinition, handler_id: str, schema_creator: Any
    ) -> Reference | Schema:
        schema: Reference | Schema = schema_creator.for_field_definition(field_definition)
        return schema


def check_content_type(header: str | None, allowed: AbstractSet[str]) -> None:
    """
    Raises:
        UnsupportedMedia: absent, not one of *allowed*, or in another charset than UTF-8.
    """
    match = _CONTENT_TYPE.fullmatch(header or "")
    parameters = _PARAMETERS.findall(match[2]) if match else ()
    charsets = {value.strip('"').lower() for name, value in parameters if name.lower() == "charset"}
    if match is None or match[1].lower() not in allowed or not charsets <= {"utf-8", "utf8"}:
        raise UnsupportedMedia(f"Send {' or '.join(sorted(allowed))}, in UTF-8.")


def check_content_coding(header: str | None) -> None:
    """
    Raises:
        UnsupportedMedia: the body is compressed (RFC 9110 section 8.4).
    """
    if header is not None and header.strip().lower() not in ("", "identity"):
        raise UnsupportedMedia("Send the body as it is, without Content-Encoding.")


@cache
def _decoder(type_: Any) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(type_)


def _without_lone_surrogates(body: bytes) -> bytearray:
    """Return a copy of *body*, as long, with NUL for each escaped surrogate that has no other half."""
    unambiguous = body.replace(_ESCAPED_BACKSLASH, _NO_UTF8)
    without = _LONE_SURROGATE.sub(rb"\\u0000", unambiguous)
    return bytearray(without.replace(_NO_UTF8, _ESCAPED_BACKSLASH))


def _check_readable(body: bytes) -> None:
    if not body.strip():
        raise Malformed("The body is empty; send JSON.")
    if body.startswith(_BYTE_ORDER_MARK):
        raise Malformed("The body begins with a byte order mark; send it without (RFC 8259 section 8.1).")
    try:
        # msgspec does not look inside Raw members and skipped strings.
        str(body, "utf-8")
    except UnicodeDecodeError:
        raise Malformed("The body is not valid UTF-8.") from None
    if body.count(b"[") + body.count(b"{") > MAX_DEPTH and _is_deeper_than(MAX_DEPTH, body):
        raise Malformed(f"The body is nested more than {MAX_DEPTH} deep.")


def _check_grammar(body: bytes | bytearray) -> None:
    try:
        msgspec.json.decode(body, type=msgspec.Raw)
    except (msgspec.DecodeError, RecursionError):
        raise Malformed("The body is not valid JSON.") from None


def _is_deeper_than(limit: int, body: bytes) -> bool:
    """Whether more than *limit* brackets are ever open at once, as far as *body* is JSON. Linear, whatever it holds."""
    brackets = _outside_strings(body).translate(None, _NOT_BRACKETS)
    # Most large bodies are one list of flat objects. Each step takes away one level at most.
    left = brackets.replace(b"{}", b"").replace(b"[]", b"")
    if left.count(b"[") + left.count(b"{") + 2 <= limit:
        return False
    return max(accumulate(memoryview(brackets.translate(_STEPS)).cast("b")), default=0) > limit


def _outside_strings(body: bytes) -> bytes:
    if b"\\" in body:
        return _STRING.sub(b"", body)
    # Nothing escaped: every quote begins or ends a string. Four times as fast, and most large bodies are such.
    # Without a bracket in any string, the two quotes of each stand side by side once all else is gone, and if one held
    # a bracket, its first quote would be left.
    shape = body.translate(None, _NOT_SHAPE).replace(b'""', b"")
    return b"".join(body.split(b'"')[::2]) if b'"' in shape else shape


def _refuse(exc: msgspec.ValidationError, type_: Any) -> NoReturn:
    error = field_error(exc, type_)
    said = f"{error.pointer}: {error.detail[0].lower()}{error.detail[1:]}" if error.pointer else error.detail
    raise Invalid(f"{said}.", errors=(error,)) from None


def _check_storable(value: object) -> None:
    found = tuple(_unstorable(value, ""))
    if found:
        raise Invalid("A value cannot be stored.", errors=found[:100])


def _unstorable(value: object, pointer: str) -> Iterator[FieldError]:
    """Yield the texts with NUL and the integers beyond 64 bits in *value*, which PostgreSQL refuses."""
    if isinstance(value, str):
        if "\x00" in value:
            yield FieldError(pointer, "Text cannot hold the character NUL or half of a surrogate pair.")
    elif isinstance(value, int):
        if not _INT_MIN <= value <= _INT_MAX:
            yield FieldError(pointer, "Integers have at most 64 bits.")
    else:
        for name, member in _members(value):
            if "\x00" in name:
                yield FieldError(pointer, "Names cannot hold the character NUL or half of a surrogate pair.")
            yield from _unstorable(member, f"{pointer}/{name.replace('~', '~0').replace('/', '~1')}")


def _members(value: object) -> Iterator[tuple[str, object]]:
    if isinstance(value, msgspec.Struct):
        names = zip(value.__struct_fields__, value.__struct_encode_fields__, strict=True)
        return ((wire, getattr(value, name)) for name, wire in names)
    if isinstance(value, dict):
        return ((str(key), member) for key, member in value.items())
    if isinstance(value, list | tuple | set | frozenset):
        return ((str(index), member) for index, member in enumerate(value))
    return iter(())
