"""The histogram of responses, against that of the library."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Histogram

from monitor.http.metrics import RequestTimes, request_metric
from monitor.http.metrics.request_times import BOUNDS_S, added

requests = st.lists(
    st.tuples(
        st.sampled_from(["GET", "POST"]),
        st.sampled_from(["", "/api/v1/events", "/api/v1/webhooks/{webhook_id:uuid}"]),
        st.sampled_from([200, 404]),
        st.floats(0, 20) | st.sampled_from(BOUNDS_S),
    )
)


@given(requests)
def test_it_exposes_what_the_library_would(made: list[tuple[str, str, int, float]]) -> None:
    """Samples equal those of a histogram of the library that took the same, but for when each series began."""
    registry = CollectorRegistry()
    theirs = Histogram(
        "monitor_http_request_seconds", "", ("method", "route", "status"), registry=registry, buckets=BOUNDS_S
    )
    ours = RequestTimes()
    for method, route, status, seconds in made:
        ours.observe(method, route, status, seconds)
        theirs.labels(method, route, str(status)).observe(seconds)
    [metric] = registry.collect()
    expected = {(s.name, *sorted(s.labels.items())): s.value for s in metric.samples if "_created" not in s.name}
    samples = request_metric(ours.series).samples
    assert {(s.name, *sorted(s.labels.items())): s.value for s in samples} == expected
    assert len(samples) == len(expected)


@given(requests, requests)
def test_two_processes_add_up(one: list[tuple[str, str, int, float]], other: list[tuple[str, str, int, float]]) -> None:
    """Counts of two are those of one that took all; neither is changed."""
    all_of_them, first, second = RequestTimes(), RequestTimes(), RequestTimes()
    for request in one:
        all_of_them.observe(*request)
        first.observe(*request)
    for request in other:
        all_of_them.observe(*request)
        second.observe(*request)
    before = {key: [*counts] for key, counts in first.series.items()}
    total = added(first.series, second.series)
    assert {key: counts[:-1] for key, counts in total.items()} == {
        key: counts[:-1] for key, counts in all_of_them.series.items()
    }
    assert first.series == before
