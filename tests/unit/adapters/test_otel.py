"""Spans of OpenTelemetry, kept in memory."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from opentelemetry.sdk.trace import TracerProvider, sampling
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from monitor import __version__
from monitor.adapters import otel
from monitor.adapters.otel import OtelTracing, build_tracing
from monitor.domain.delivery.outcome import Outcome
from monitor.domain.delivery.trace_context import read_traceparent
from monitor.domain.ports.queue import ClaimedDelivery
from monitor.domain.vocab import ErrorKind

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
RECEIVED = f"00-{TRACE}-{PARENT}-01"
UNSAMPLED = f"00-{TRACE}-{PARENT}-00"
EVENT, WEBHOOK = UUID(int=2), UUID(int=3)
AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
URL = "https://orders.example/hook?***"


class Kept:
    """Tracing whose spans stay here."""

    def __init__(self, **options: Any) -> None:
        self.exporter = InMemorySpanExporter()
        provider = TracerProvider(shutdown_on_exit=False, **options)
        provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.tracing = OtelTracing(provider)

    @property
    def spans(self) -> Sequence[Any]:
        spans: tuple[Any, ...] = self.exporter.get_finished_spans()
        return spans

    def attempt(self, traceparent: str | None, outcome: Outcome, attempts: int = 0, url: str = URL) -> str | None:
        claimed = ClaimedDelivery(UUID(int=1), EVENT, WEBHOOK, 1, attempts, "order.paid", b"{}", 0, False, traceparent)
        span = self.tracing.attempt(claimed, url, AT)
        span.end(outcome)
        return span.traceparent


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OTEL_SDK_DISABLED", "OTEL_TRACES_SAMPLER", "OTEL_SERVICE_NAME", "OTEL_RESOURCE_ATTRIBUTES"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def kept() -> Kept:
    return Kept()


def test_a_request_goes_on_with_the_trace_that_it_received(kept: Kept) -> None:
    with kept.tracing.publish(RECEIVED) as span:
        stored = span.traceparent
        span.published([EVENT])
    assert read_traceparent(stored) == stored
    assert stored
    assert stored.startswith(f"00-{TRACE}-")
    assert stored.endswith("-01")
    [made] = kept.spans
    assert (made.kind, f"{made.parent.span_id:016x}", made.parent.is_remote) == (SpanKind.PRODUCER, PARENT, True)
    assert dict(made.attributes) == {
        "messaging.system": "monitor",
        "messaging.operation.name": "publish",
        "messaging.operation.type": "send",
        "messaging.message.id": str(EVENT),
    }


def test_a_request_without_a_trace_begins_one_and_a_batch_is_counted(kept: Kept) -> None:
    with kept.tracing.publish(None) as span:
        span.published([EVENT, WEBHOOK])
    [made] = kept.spans
    assert made.parent is None
    assert made.attributes["messaging.batch.message_count"] == 2


def test_a_request_that_fails_says_how_and_not_why(kept: Kept) -> None:
    with pytest.raises(KeyError), kept.tracing.publish(RECEIVED):
        raise KeyError("canary")
    [made] = kept.spans
    assert (made.status.status_code, made.status.description) == (StatusCode.ERROR, None)
    assert made.attributes["error.type"] == "KeyError"
    assert "canary" not in made.to_json()


def test_an_attempt_is_a_child_with_the_times_and_names_of_the_conventions(kept: Kept) -> None:
    sent = kept.attempt(RECEIVED, Outcome(latency_ms=12.5, status_code=503, error=ErrorKind.STATUS), attempts=2)
    [made] = kept.spans
    assert sent == f"00-{TRACE}-{made.context.span_id:016x}-01"
    assert (made.name, made.kind, f"{made.parent.span_id:016x}") == ("POST", SpanKind.CLIENT, PARENT)
    assert made.end_time - made.start_time == 12_500_000
    assert made.start_time == int(AT.timestamp() * 1e9)
    assert dict(made.attributes) == {
        "http.request.method": "POST",
        "http.request.resend_count": 2,
        "http.response.status_code": 503,
        "error.type": "503",
        "url.full": URL,
        "server.address": "orders.example",
        "server.port": 443,
        "messaging.system": "monitor",
        "messaging.message.id": str(EVENT),
        "monitor.delivery.id": str(UUID(int=1)),
        "monitor.webhook.id": str(WEBHOOK),
        "monitor.event.type": "order.paid",
    }
    assert made.status.status_code is StatusCode.ERROR


@pytest.mark.parametrize(
    ("outcome", "attributes"),
    [
        (Outcome(latency_ms=1.0, status_code=204), {"http.response.status_code": 204, "error.type": None}),
        (
            Outcome(latency_ms=1.0, error=ErrorKind.TIMEOUT, error_detail="canary"),
            {"http.response.status_code": None, "error.type": "timeout"},
        ),
    ],
)
def test_an_attempt_ends_with_its_outcome(kept: Kept, outcome: Outcome, attributes: Mapping[str, object]) -> None:
    kept.attempt(None, outcome, url="http://127.0.0.1:8080/")
    [made] = kept.spans
    assert {name: made.attributes.get(name) for name in attributes} == attributes
    assert (made.attributes["server.address"], made.attributes["server.port"]) == ("127.0.0.1", 8080)
    assert "canary" not in made.to_json()
    assert made.status.status_code is (StatusCode.UNSET if outcome.ok else StatusCode.ERROR)


def test_an_e_mail_is_no_http_request_and_its_address_is_left_out(kept: Kept) -> None:
    kept.attempt(None, Outcome(latency_ms=1.0), url="mailto:canary@example.com")
    [made] = kept.spans
    assert made.name == "send mail"
    assert not {name for name in made.attributes if name.startswith(("http.", "url.", "server."))}
    assert "canary" not in made.to_json()


def test_what_the_producer_does_not_sample_is_not_recorded_and_goes_on_so(kept: Kept) -> None:
    with kept.tracing.publish(UNSAMPLED) as span:
        stored = span.traceparent
        span.published([EVENT])
    sent = kept.attempt(stored, Outcome(latency_ms=1.0, status_code=200))
    assert kept.spans == ()
    for one in (stored, sent):
        assert one
        assert one.startswith(f"00-{TRACE}-")
        assert one.endswith("-00")


def test_what_this_sampler_leaves_out_is_not_recorded_either() -> None:
    kept = Kept(sampler=sampling.ParentBased(sampling.ALWAYS_OFF))
    with kept.tracing.publish(None) as span:
        assert (span.traceparent or "").endswith("-00")
    assert kept.spans == ()


def test_while_the_sdk_is_disabled_a_trace_goes_on_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    kept = Kept()
    for received in (RECEIVED, None):
        with kept.tracing.publish(received) as span:
            assert span.traceparent == received
            span.published([EVENT])
        assert kept.attempt(received, Outcome(latency_ms=1.0, status_code=200)) == received


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, {"service.name": "monitor", "service.version": __version__}),
        ({"OTEL_SERVICE_NAME": "hooks"}, {"service.name": "hooks", "service.version": __version__}),
        ({"OTEL_RESOURCE_ATTRIBUTES": "service.version=7,a=b"}, {"service.version": "7", "a": "b"}),
    ],
)
async def test_the_variables_name_the_service(
    monkeypatch: pytest.MonkeyPatch, variables: Mapping[str, str], expected: Mapping[str, str]
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    tracing = build_tracing()
    attributes = tracing._provider.resource.attributes
    assert {name: attributes.get(name) for name in expected} == expected
    await tracing.aclose()


class Stuck(InMemorySpanExporter):  # type: ignore[misc]
    """An exporter whose collector does not answer."""

    def __init__(self) -> None:
        super().__init__()
        self.go_on = threading.Event()

    def export(self, spans: Sequence[Any]) -> Any:
        self.go_on.wait(60)
        return super().export(spans)


async def test_a_collector_that_does_not_answer_holds_nothing_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(otel, "FLUSH_S", 0.05)
    stuck, provider = Stuck(), TracerProvider(shutdown_on_exit=False)
    queue = BatchSpanProcessor(stuck, max_queue_size=64, max_export_batch_size=32, schedule_delay_millis=10)
    provider.add_span_processor(queue)
    tracing = OtelTracing(provider)
    for _ in range(1_000):
        with tracing.publish(None) as span:
            span.published([EVENT])
    assert len(queue._batch_processor._queue) <= 64
    await tracing.aclose()
    stuck.go_on.set()
