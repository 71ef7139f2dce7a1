"""Requests admitted per subject, summed over processes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol


class RateLedger(Protocol):
    """Where the processes put together what they admitted. Counts by a clock of its own."""

    async def spend(self, admitted: Mapping[str, int]) -> Sequence[float]:
        """
        Add what was admitted for each subject.

        Returns:
            for each subject, in the same order, how many seconds of its rate all that was admitted for it, anywhere, is
            ahead of the clock; bounded, so that a clock that is set back shuts nobody out for long.

        Raises:
            Unavailable: nobody knows whether it was added.
        """
