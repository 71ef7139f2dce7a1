"""
One answer for all processes of a group, whichever one a scrape reaches.

What accumulates (counters and histograms) is added up; what each process has of its own now (gauges) gets the label
``process``, the number of its place in the group. A process that takes the place of another one goes on counting where
that one ended, so no sum ever falls.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import msgspec
from prometheus_client.core import Metric

from monitor.http.metrics.memory import SharedMemory
from monitor.http.metrics.request_times import Series, added, request_metric

ACCUMULATING = frozenset({"counter", "histogram", "summary"})
LIVE_S = 10.0
"""A process that has written nothing for so long has ended, or hangs: its gauges are left out."""


class Family(msgspec.Struct, array_like=True):
    """Samples of one name, by the name of the sample and its labels."""

    name: str
    type: str
    help: str
    samples: dict[str, float]
    """By :func:`_key`: as text, since keys of an object of JSON are."""


class Snapshot(msgspec.Struct, array_like=True):
    """The metrics of one process. ``at`` is in monotonic seconds, the same for all processes of a machine."""

    at: float
    families: list[Family]
    times: Series


class GroupMetrics:
    """
    The metrics of this process among those of its group.

    Args:
        ticks_s: monotonic seconds.
    """

    def __init__(self, memory: SharedMemory, ticks_s: Callable[[], float]) -> None:
        self._memory = memory
        self._ticks_s = ticks_s
        before = self._read(memory.own)
        accumulated = () if before is None else (f for f in before.families if f.type in ACCUMULATING)
        self._before = {family.name: family for family in accumulated}
        self._times_before = {} if before is None else before.times

    def share(self, families: Iterable[Metric], times: Series) -> Snapshot:
        """Write the metrics of this process for the others, added to those of the processes before in its place."""
        snapshot = Snapshot(self._ticks_s(), self._since_before(families), added(self._times_before, times))
        self._memory.write(msgspec.msgpack.encode(snapshot))
        return snapshot

    def merged(self, families: Iterable[Metric], times: Series) -> list[Metric]:
        """
        Return the metrics of the group, with the present ones of this process.

        Its own are shared first: what one answer has counted, the next one has, too, whichever process gives it.
        """
        own = self.share(families, times)
        parts: dict[int, Snapshot] = {}
        for part in range(len(self._memory)):
            snapshot = own if part == self._memory.own else self._read(part)
            if snapshot is not None:
                parts[part] = snapshot
        return merge(parts, own.at)

    def _read(self, part: int) -> Snapshot | None:
        data = self._memory.read(part)
        return None if data is None else msgspec.msgpack.decode(data, type=Snapshot)

    def _since_before(self, families: Iterable[Metric]) -> list[Family]:
        found = {metric.name: _family(metric) for metric in families}
        for name, before in self._before.items():
            family = found.setdefault(name, Family(name, before.type, before.help, {}))
            for key, value in before.samples.items():
                family.samples[key] = family.samples.get(key, 0.0) + value
        return list(found.values())


def merge(parts: Mapping[int, Snapshot], now: float) -> list[Metric]:
    """Return the metrics of all *parts*, by the place of each in its group, at *now* in monotonic seconds."""
    found: dict[str, Metric] = {}
    sums: dict[str, dict[str, float]] = {}
    times: Series = {}
    live = 0
    for part, snapshot in sorted(parts.items()):
        is_live = now - snapshot.at < LIVE_S
        live += is_live
        times = added(times, snapshot.times)
        for family in snapshot.families:
            if family.type in ACCUMULATING:
                total = sums.setdefault(family.name, {})
                for key, value in family.samples.items():
                    total[key] = total.get(key, 0.0) + value
            elif not is_live:
                continue
            metric = found.setdefault(family.name, Metric(family.name, family.help, family.type))
            if family.type not in ACCUMULATING:
                for key, value in family.samples.items():
                    sample, labels = _unpacked(key)
                    metric.add_sample(sample, {"process": str(part), **labels}, value)
    for name, samples in sums.items():
        for key, value in samples.items():
            sample, labels = _unpacked(key)
            found[name].add_sample(sample, labels, value)
    return [request_metric(times), *found.values(), processes(live)]


def processes(live: int) -> Metric:
    """Return how many processes the answer covers."""
    metric = Metric("monitor_processes", "Processes that this answer covers", "gauge")
    metric.add_sample("monitor_processes", {}, live)
    return metric


def _family(metric: Metric) -> Family:
    samples: dict[str, float] = {}
    for sample in metric.samples:
        # When a series began is of one process, and none of a sum.
        if not (metric.type in ACCUMULATING and sample.name.endswith("_created")):
            samples[_key(sample.name, sample.labels)] = sample.value
    return Family(metric.name, metric.type, metric.documentation, samples)


_SEPARATOR = "\x1f"


def _key(name: str, labels: Mapping[str, str]) -> str:
    if not labels:
        return name
    return _SEPARATOR.join((name, *(part for pair in labels.items() for part in pair)))


def _unpacked(key: str) -> tuple[str, dict[str, str]]:
    name, *rest = key.split(_SEPARATOR)
    return name, dict(zip(rest[::2], rest[1::2], strict=True))
