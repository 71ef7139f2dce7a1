"""
Traces by the SDK of OpenTelemetry, sent by OTLP over HTTP: the extra ``webhook-monitor[otel]``.

The SDK reads the standard ``OTEL_*`` variables itself. Spans leave by a thread of its own out of a queue that is
bounded; when the queue is full, as while the collector is away, spans are dropped.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExportResult
from opentelemetry.trace import NonRecordingSpan, SpanContext, SpanKind, StatusCode, TraceFlags, set_span_in_context

from monitor import __version__
from monitor.domain.delivery.outcome import Outcome
from monitor.domain.ports.queue import ClaimedDelivery

SERVICE = "monitor"
FLUSH_S = 5.0
"""How long a process that ends waits for the collector to take the last spans."""

_PUBLISH = {
    "messaging.system": SERVICE, "messaging.operation.name": "publish", "messaging.operation.type": "send",
}  # fmt: skip
_PORTS = {"https": 443, "http": 80}


class OtelTracing:
    """
    See :class:`monitor.domain.ports.tracing.Tracing`. Names of attributes are those of the semantic conventions for
    HTTP clients and for messaging; ``monitor.*`` are our own.
    """

    def __init__(self, provider: TracerProvider) -> None:
        self._provider = provider
        self._tracer = provider.get_tracer("monitor", __version__)

    @contextmanager
    def publish(self, traceparent: str | None) -> Iterator[OtelPublishSpan]:
        context = _context(traceparent)
        span = self._tracer.start_span("publish events", context, SpanKind.PRODUCER, attributes=_PUBLISH)
        try:
            yield OtelPublishSpan(span)
        except BaseException as error:
            span.set_attribute("error.type", type(error).__name__)
            # Without the text and the traceback, which may hold what the request held.
            span.set_status(StatusCode.ERROR)
            raise
        finally:
            span.end()

    def attempt(self, delivery: ClaimedDelivery, url: str, at: datetime) -> OtelAttemptSpan:
        started_ns = int(at.timestamp() * 1e9)
        parent = _context(delivery.traceparent)
        is_mail = url.startswith("mailto:")
        name = "send mail" if is_mail else "POST"
        span = self._tracer.start_span(name, parent, SpanKind.CLIENT, start_time=started_ns)
        if span.is_recording():
            span.set_attributes(_delivery(delivery))
            if not is_mail:
                span.set_attributes(_http(delivery, url))
        return OtelAttemptSpan(span, started_ns)

    @staticmethod
    def collector_answers(within_s: float) -> bool:
        """Whether the collector takes an empty export. Blocks for *within_s* at most; the library logs why not."""
        result: bool = OTLPSpanExporter(timeout=within_s).export([]) is SpanExportResult.SUCCESS
        return result

    async def aclose(self) -> None:
        """Send what is left, for :data:`FLUSH_S` at most. Safe to repeat."""
        loop, done = asyncio.get_running_loop(), asyncio.Event()

        def shut_down() -> None:
            self._provider.shutdown()
            if not loop.is_closed():
                loop.call_soon_threadsafe(done.set)

        # Not by the loop's executor: the end of the process would wait for its threads.
        threading.Thread(target=shut_down, name="otel.shutdown", daemon=True).start()
        try:
            async with asyncio.timeout(FLUSH_S):
                await done.wait()
        except TimeoutError:
            pass


class OtelPublishSpan:
    """See :class:`monitor.domain.ports.tracing.PublishSpan`."""

    __slots__ = ("_span",)

    def __init__(self, span: Any) -> None:
        self._span = span

    @property
    def traceparent(self) -> str | None:
        return _traceparent(self._span)

    def published(self, event_ids: Sequence[UUID]) -> None:
        if len(event_ids) == 1:
            self._span.set_attribute("messaging.message.id", str(event_ids[0]))
        else:
            self._span.set_attribute("messaging.batch.message_count", len(event_ids))


class OtelAttemptSpan:
    """See :class:`monitor.domain.ports.tracing.AttemptSpan`."""

    __slots__ = ("_span", "_started_ns")

    def __init__(self, span: Any, started_ns: int) -> None:
        self._span = span
        self._started_ns = started_ns

    @property
    def traceparent(self) -> str | None:
        return _traceparent(self._span)

    def end(self, outcome: Outcome) -> None:
        span = self._span
        if outcome.status_code is not None:
            span.set_attribute("http.response.status_code", outcome.status_code)
        if not outcome.ok:
            span.set_attribute("error.type", outcome.label)
            span.set_status(StatusCode.ERROR)
        # By the clock that measured it: the one of the machine may have been set meanwhile.
        span.end(self._started_ns + int(outcome.latency_ms * 1e6))


def build_tracing() -> OtelTracing:
    """Return what traces this process, as the ``OTEL_*`` variables have it. Starts the thread that exports."""
    resource = Resource.create()
    if str(resource.attributes.get("service.name", "unknown_service")).startswith("unknown_service"):
        resource = resource.merge(Resource({"service.name": SERVICE}))
    resource = Resource({"service.version": __version__}).merge(resource)
    # Ended by `aclose`: at the exit of the interpreter nothing would bound it.
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return OtelTracing(provider)


def _context(traceparent: str | None) -> Context:
    if traceparent is None:
        return Context()
    _, trace, parent, flags = traceparent.split("-")
    remote = SpanContext(int(trace, 16), int(parent, 16), is_remote=True, trace_flags=TraceFlags(int(flags, 16)))
    return set_span_in_context(NonRecordingSpan(remote), Context())


def _traceparent(span: Any) -> str | None:
    context = span.get_span_context()
    if not context.is_valid:
        return None
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags & 1:02x}"


def _delivery(delivery: ClaimedDelivery) -> dict[str, str]:
    return {
        "messaging.system": SERVICE,
        "messaging.message.id": str(delivery.event_id),
        "monitor.delivery.id": str(delivery.id),
        "monitor.webhook.id": str(delivery.webhook_id),
        "monitor.event.type": delivery.event_type,
    }


def _http(delivery: ClaimedDelivery, url: str) -> dict[str, str | int]:
    target = urlsplit(url)
    attributes: dict[str, str | int] = {
        "http.request.method": "POST",
        "url.full": url,
        "server.address": target.hostname or "",
        "server.port": target.port or _PORTS.get(target.scheme, 0),
    }
    if delivery.attempts:
        attributes["http.request.resend_count"] = delivery.attempts
    return attributes
