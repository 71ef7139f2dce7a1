"""Requests admitted per subject, summed over processes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol


class RateLedger(Protocol):
    """Sums the admitted requests of all processes, by its own clock."""

    async def spend(self, admitted: Mapping[str, int]) -> Sequence[float]:
        """
        Add the requests *admitted* per subject since the last call.

        Returns:
            For each subject, in the same order, how many seconds its admitted requests of all processes are ahead of
            its rate; limited, so that a clock that is set back blocks no subject for long.

        Raises:
            Unavailable: the requests may or may not have been added.
        """
        ...
