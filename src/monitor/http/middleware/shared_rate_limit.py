"""One rate limit for all processes, at the cost of a local one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import islice

from monitor.domain.ports.rate_ledger import RateLedger
from monitor.http.middleware.rate_limit import LocalRateLimiter

REPORT_S = 0.1
"""How often a process adds its counts to the shared ledger."""

SUBJECTS_AT_ONCE = 1000
"""Reported in one call, which takes about a millisecond of the ledger's time."""


class SharedRateLimiter(LocalRateLimiter):
    """
    The local buckets, lowered every ``REPORT_S`` by what other processes admitted.

    No request waits for another process. Between two reports a process may admit too much: beyond
    rate and burst, all together at most what each admits between two of its reports, and never more than a
    bucket each. That is counted like the rest, and so paid back before more is admitted; of it at most a whole burst.
    Without the ledger each process goes by its own buckets.

    Args:
        ledger: what is shared.
    """

    def __init__(
        self,
        ledger: RateLedger,
        *,
        per_s: float,
        burst: int,
        ticks_s: Callable[[], float],
        max_subjects: int = 10_000,
    ) -> None:
        super().__init__(per_s=per_s, burst=burst, ticks_s=ticks_s, max_subjects=max_subjects)
        self._ledger = ledger
        self._admitted: dict[str, int] = {}

    def check(self, subject: str) -> float | None:
        wait_s = super().check(subject)
        if wait_s is None:
            self._admitted[subject] = self._admitted.get(subject, 0) + 1
        return wait_s

    async def report(self) -> None:
        """
        Exchange counts with the ledger. Costs nothing when nothing was admitted since the last report.

        Raises:
            Unavailable: the ledger is away. The counts are dropped: added later, these would hold callers back
                for what each process had found within their rate.
        """
        admitted, self._admitted = self._admitted, {}
        for chunk in _chunks(admitted):
            spent_s = await self._ledger.spend(chunk)
            for subject, seconds in zip(chunk, spent_s, strict=True):
                self._lower(subject, self._burst - seconds * self._per_s)

    def _lower(self, subject: str, left: float) -> None:
        """Lower the bucket of *subject*, which held *left* tokens when its last report was counted."""
        if subject not in self._buckets:
            return
        now_s = self._ticks_s()
        tokens, since_s = self._buckets[subject]
        tokens = min(self._burst, tokens + (now_s - since_s) * self._per_s)
        # Never raised: a ledger that was restarted counts less than this process.
        self._buckets[subject] = (min(tokens, left - self._admitted.get(subject, 0)), now_s)


def _chunks(admitted: Mapping[str, int]) -> Iterator[dict[str, int]]:
    rest = iter(admitted.items())
    while chunk := dict(islice(rest, SUBJECTS_AT_ONCE)):
        yield chunk
