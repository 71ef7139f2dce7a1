"""``RateLedger`` on Redis 6 or later, or a fork of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Self

from monitor.adapters.redis.client import connect, translating

CONNECT_S = 0.5
ANSWER_S = 0.5

# A subject's key holds the time at which nothing is left of what was admitted for it (GCRA's theoretical arrival time),
# and ends then, so that only active subjects take memory. It is written as text, since a number in a reply loses its
# fraction.
_SPEND = """
local t = redis.call('TIME')
local now = t[1] + t[2] / 1000000
local ahead = {}
for i, key in ipairs(KEYS) do
    local clear = math.max(tonumber(redis.call('GET', key) or '0'), now) + ARGV[i + 2] / ARGV[1]
    clear = math.min(clear, now + ARGV[2])
    redis.call('SET', key, string.format('%.6f', clear), 'PX', math.ceil((clear - now) * 1000))
    ahead[i] = string.format('%.6f', clear - now)
end
return ahead
"""


class RedisRateLedger:
    """
    See :class:`monitor.domain.ports.rate_ledger.RateLedger`. Connects when first used, and again after any failure.

    Args:
        per_s: how much each subject may do in a second; more than 0.
        longest_s: how far ahead of the clock a subject can get; more is forgiven.
        prefix: stands, or returns what stands, in front of every name in Redis, another one for every other rate; its
            braces keep the names on one node of a cluster. May raise the driver's error: the ledger counts as
            unreachable then.
    """

    def __init__(self, url: str, *, per_s: float, longest_s: float, prefix: str | Callable[[], str]) -> None:
        self._prefix = prefix if callable(prefix) else lambda: prefix
        self._redis = connect(url, connect_s=CONNECT_S, answer_s=ANSWER_S, key=self._prefix)
        self._rate = (per_s, longest_s)
        self._spend = self._redis.register_script(_SPEND)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_exc: object) -> None:
        await self._redis.aclose()

    async def spend(self, admitted: Mapping[str, int]) -> list[float]:
        async with translating(self._redis):
            keys = [self._prefix() + subject for subject in admitted]
            ahead_s = await self._spend(keys=keys, args=[*self._rate, *admitted.values()])
            return [float(seconds) for _, seconds in zip(keys, ahead_s, strict=True)]
