"""Tracing of a process, if its settings enable it: what it needs comes with an extra."""

from __future__ import annotations

from typing import TYPE_CHECKING

from monitor.settings.schema import Settings

if TYPE_CHECKING:
    from monitor.adapters.otel import OtelTracing


def process_tracing(settings: Settings) -> OtelTracing | None:
    """
    Return what traces this process; ``None`` if it is disabled. Starts the thread that exports.

    Raises:
        ValueError: the extra is not installed, or a variable of OpenTelemetry has a wrong value.
    """
    if not settings.tracing.enabled:
        return None
    try:
        from monitor.adapters.otel import build_tracing  # noqa: PLC0415 - its libraries come with the extra
    except ImportError as error:
        raise ValueError(
            f"MONITOR_TRACING__ENABLED needs the extra: pip install 'webhook-monitor[otel]' ({error})"
        ) from None
    return build_tracing()
