"""``FakeRateLedger``: what all processes admitted, in memory; shared by as many as hold the same one."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from monitor.domain.errors import Unavailable


class FakeRateLedger:
    """
    Args:
        per_s: how much each subject may do in a second.
        longest_s: how far ahead of the clock a subject can get.
        now_s: the ledger's own clock.

    ``up`` is the way to it; ``calls`` counts how often it was asked.
    """

    def __init__(self, *, per_s: float, longest_s: float, now_s: Callable[[], float]) -> None:
        self.up = True
        self.calls = 0
        self._per_s = per_s
        self._longest_s = longest_s
        self._now_s = now_s
        self._clear_at: dict[str, float] = {}

    def forget(self) -> None:
        """Lose everything, as a server without persistence does when it starts anew."""
        self._clear_at.clear()

    async def spend(self, admitted: Mapping[str, int]) -> list[float]:
        self.calls += 1
        if not self.up:
            raise Unavailable("The ledger is away.")
        now_s = self._now_s()
        for subject, count in admitted.items():
            clear_at = max(self._clear_at.get(subject, now_s), now_s) + count / self._per_s
            self._clear_at[subject] = min(clear_at, now_s + self._longest_s)
        return [self._clear_at[subject] - now_s for subject in admitted]
