"""The product's detector and two yardsticks behind one interface. Each can be copied with its state."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from math import sqrt
from typing import Protocol

from benchmarks.detection.traffic import DAY_S, Attempt
from monitor.domain.anomaly import Baselines, SignalState, observe_all, start_baselines
from monitor.domain.anomaly.tally import tally_of, to_sample


class Detector(Protocol):
    """What the benchmark scores."""

    name: str

    def observe(self, at: float, attempts: list[Attempt]) -> list[str]:
        """Add the attempts since the last call; return the signals that open now."""

    def open_signals(self) -> set[str]:
        """Return the signals that are open."""

    def is_learning(self) -> bool:
        """Return whether it cannot open failures yet."""

    def copy(self) -> Detector:
        """Return an independent detector in the same state."""


class Monitor:
    """The detector of the product."""

    name = "Monitor"

    def __init__(self, baselines: Baselines) -> None:
        self.baselines = baselines
        self._learning = True
        self._open: frozenset[str] = frozenset()

    @classmethod
    def start(cls, at: float) -> Monitor:
        return cls(start_baselines(at))

    def observe(self, at: float, attempts: list[Attempt]) -> list[str]:
        self.baselines, verdicts = observe_all(self.baselines, to_sample(tally_of(attempts), at, held=False))
        self._learning = verdicts[0].state is SignalState.LEARNING
        # Identity comparisons keep the benchmark's own share of the time small.
        opened = [str(v.signal) for v in verdicts if v.state is SignalState.OPENED]
        self._open = frozenset(str(v.signal) for v in verdicts if v.state is SignalState.OPEN).union(opened)
        return opened

    def open_signals(self) -> set[str]:
        return set(self._open)

    def is_learning(self) -> bool:
        return self._learning

    def copy(self) -> Monitor:
        twin = Monitor(self.baselines)
        twin._learning, twin._open = self._learning, self._open
        return twin


@dataclass
class FiveInARow:
    """Opens at the fifth failure in a row, closes at a success. Ignores latency and volume."""

    name: str = "5 in a row"
    run: int = 0

    def observe(self, at: float, attempts: list[Attempt]) -> list[str]:
        opened = []
        for succeeded, _ in attempts:
            self.run = 0 if succeeded else self.run + 1
            if self.run == 5:
                opened.append("failures")
        return opened

    def open_signals(self) -> set[str]:
        return {"failures"} if self.run >= 5 else set()

    def is_learning(self) -> bool:
        return False

    def copy(self) -> FiveInARow:
        return replace(self)


@dataclass
class Moving:
    """Mean and variance with a half-life of a day of minutes."""

    n: float = 0.0
    mean: float = 0.0
    variance: float = 0.0

    def z(self, value: float) -> float:
        return (value - self.mean) / max(sqrt(self.variance), 1e-9)

    def learn(self, value: float) -> None:
        self.n = min(self.n + 1, 1_440 / 0.693)
        off = value - self.mean
        self.mean += off / self.n
        self.variance += (off * (value - self.mean) - self.variance) / self.n


@dataclass
class MinuteZ:
    """Opens a signal in a minute that is four standard deviations off, closes it in the next that is not."""

    name: str = "per-minute z > 4"
    minute: int = 0
    started: int | None = None
    attempts: int = 0
    failures: int = 0
    latency_ms: float = 0.0
    seen: int = 0
    minutes: int = 0
    moving: dict[str, Moving] = field(default_factory=lambda: {s: Moving() for s in ("failures", "latency", "volume")})
    opened: frozenset[str] = frozenset()

    def observe(self, at: float, attempts: list[Attempt]) -> list[str]:
        minute = int((at - 1e-6) // 60)
        opened: list[str] = []
        if self.started is None:
            self.started = self.minute = minute
        if minute != self.minute:
            opened = self._finish_minute()
            self.minute, self.attempts, self.failures, self.latency_ms = minute, 0, 0, 0.0
        for succeeded, latency_ms in attempts:
            self.attempts += 1
            self.failures += not succeeded
            self.latency_ms += latency_ms if succeeded else 0.0
        return opened

    def _finish_minute(self) -> list[str]:
        self.seen += self.attempts
        self.minutes += 1
        values = {"volume": float(self.attempts)}
        if self.attempts:
            values["failures"] = self.failures / self.attempts
        if self.attempts > self.failures:
            values["latency"] = self.latency_ms / (self.attempts - self.failures)
        high = set(self.opened - values.keys())
        for signal, value in values.items():
            z = self.moving[signal].z(value)
            if not self.is_learning() and (z > 4 or (signal == "volume" and z < -4)):
                high.add(signal)
            else:
                self.moving[signal].learn(value)
        new = [signal for signal in values if signal in high and signal not in self.opened]
        self.opened = frozenset(high)
        return new

    def open_signals(self) -> set[str]:
        return set(self.opened)

    def is_learning(self) -> bool:
        return self.seen < 200 and self.minutes < DAY_S / 60

    def copy(self) -> MinuteZ:
        return replace(self, moving={signal: replace(moving) for signal, moving in self.moving.items()})


def all_detectors(at: float) -> list[Detector]:
    """Return one fresh detector of each kind."""
    return [Monitor.start(at), FiveInARow(), MinuteZ()]
