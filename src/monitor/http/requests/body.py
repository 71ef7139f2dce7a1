"""
Request bodies: read once, strictly, by msgspec.

Litestar's own JSON path fails with 500 on deep nesting and on bytes that are not UTF-8, takes any content type, and
builds objects before it builds structs, so that a ``msgspec.Raw`` member would lose its exact bytes. ``JsonBody``
replaces it in ``Litestar(dto=JsonBody)``, for every handler with ``data: JSONBody[SomeStruct]`` or
``data: MergePatch[SomeStruct]``.

Unreadable is 400 (``Malformed``), readable but against a rule is 422 (``Invalid``), another content type is 415.
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
# Never fails to match at a quote, closed or not, so that hostile input cannot make the scan start over and over.
_STRING = re.compile(rb'"[^"\\]*+(?:\\.?[^"\\]*+)*+(?:"|\Z)', re.DOTALL)
_DIGITS = bytes.maketrans(b"123456789", b"000000000")
_LONG_NUMBER = b"0" * 19
_CONTENT_TYPE = re.compile(r'\s*([a-z0-9.+/-]+)\s*(?:;\s*charset\s*=\s*("?)utf-?8\2\s*)?;?\s*', re.IGNORECASE)


def read(body: bytes, type_: type[T]) -> T:
    """
    Decode *body* as *type_*; ``msgspec.Raw`` members keep their exact bytes.

    Raises:
        Malformed: not UTF-8, not JSON, or nested too deeply.
        Invalid: against the type, or with NUL in text or an integer beyond 64 bits outside ``Raw`` members.
    """
    _check_readable(body)
    decoder: msgspec.json.Decoder[T] = _decoder(cast("Hashable", type_))
    try:
        value = decoder.decode(body)
    except msgspec.ValidationError as exc:
        # msgspec stops at the first broken rule, and has not seen whether the rest is JSON at all.
        _check_grammar(body)
        _refuse(exc)
    except (msgspec.DecodeError, RecursionError):
        raise Malformed("The body is not valid JSON.") from None
    # Both are rare, and their absence shows in the bytes at a fraction of the cost of a walk.
    if b"\\u0000" in body or _LONG_NUMBER in body.translate(_DIGITS):
        _check_storable(value)
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
        _refuse(exc)
    _check_storable(converted)
    return converted


class JsonBody(AbstractDTO[Any]):
    """Decodes ``data`` with :func:`read` into the handler's annotation; responses are not its task."""

    def decode_bytes(self, value: bytes) -> Any:
        field = self.asgi_connection.route_handler.parsed_data_field
        check_content_type(self.asgi_connection.headers.get("content-type"), {JSON, field.kwarg_definition.media_type})
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
    if match is None or match[1].lower() not in allowed:
        raise UnsupportedMedia(f"Send {' or '.join(sorted(allowed))}, in UTF-8.")


@cache
def _decoder(type_: Any) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(type_)


def _check_readable(body: bytes) -> None:
    try:
        # msgspec does not look inside Raw members and skipped strings.
        str(body, "utf-8")
    except UnicodeDecodeError:
        raise Malformed("The body is not valid UTF-8.") from None
    if body.count(b"[") + body.count(b"{") > MAX_DEPTH and _is_deeper_than(MAX_DEPTH, body):
        raise Malformed(f"The body is nested more than {MAX_DEPTH} deep.")


def _check_grammar(body: bytes) -> None:
    try:
        msgspec.json.decode(body, type=msgspec.Raw)
    except (msgspec.DecodeError, RecursionError):
        raise Malformed("The body is not valid JSON.") from None


def _is_deeper_than(limit: int, body: bytes) -> bool:
    """Whether more than *limit* brackets are ever open at once, as far as *body* is JSON. Linear, whatever it holds."""
    steps = memoryview(_outside_strings(body).translate(_STEPS, _NOT_BRACKETS)).cast("b")
    return max(accumulate(steps), default=0) > limit


def _outside_strings(body: bytes) -> bytes:
    if b"\\" in body:
        return _STRING.sub(b"", body)
    # Nothing escaped: every quote begins or ends a string. Four times as fast, and most large bodies are such.
    return b"".join(body.split(b'"')[::2])


def _refuse(exc: msgspec.ValidationError) -> NoReturn:
    error = field_error(exc)
    raise Invalid(f"{error.detail}{f' at {error.pointer}' if error.pointer else ''}.", errors=(error,)) from None


def _check_storable(value: object) -> None:
    found = tuple(_unstorable(value, ""))
    if found:
        raise Invalid("A value cannot be stored.", errors=found[:100])


def _unstorable(value: object, pointer: str) -> Iterator[FieldError]:
    """Yield the texts with NUL and the integers beyond 64 bits in *value*, which PostgreSQL refuses."""
    if isinstance(value, str):
        if "\x00" in value:
            yield FieldError(pointer, "Text cannot hold the character NUL.")
    elif isinstance(value, int):
        if not _INT_MIN <= value <= _INT_MAX:
            yield FieldError(pointer, "Integers have at most 64 bits.")
    else:
        for name, member in _members(value):
            if "\x00" in name:
                yield FieldError(pointer, "Names cannot hold the character NUL.")
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
