"""``FeedLog`` on a Redis stream (Redis 6 or later, or a fork of it)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Self

import msgspec
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from monitor.domain.errors import Unavailable
from monitor.domain.live import FeedEntry, Position, Tail
from monitor.domain.live.stream import RING

CONNECT_S = 1.0
ANSWER_S = 2.0
BLOCK_MS = 1000
READ_COUNT = 256
PRODUCER_TTL_S = 24 * 3600
"""How long a producer that fell silent is remembered; far longer than any try to send again."""

# The state is a hash of the epoch and the last number. The stream's ids are the numbers, so that Redis itself refuses
# one that does not ascend; each entry repeats the epoch, so that a reader of the old one cannot take it for its own.
_BEGIN = """
local function begin(epoch)
  redis.call('DEL', KEYS[1], KEYS[2])
  redis.call('HSET', KEYS[1], 'epoch', epoch, 'seq', 0)
end
"""

_RESTART = _BEGIN + "begin(ARGV[1])"

_OPEN = (
    _BEGIN
    + """
local state = redis.call('HMGET', KEYS[1], 'epoch', 'seq')
if not state[1] or (state[1] == ARGV[2] and tonumber(state[2]) < tonumber(ARGV[3])) then
  begin(ARGV[1])
  state = {ARGV[1], 0}
end
return {state[1], tonumber(state[2]), redis.call('XREVRANGE', KEYS[2], '+', '-', 'COUNT', ARGV[4])}
"""
)

_APPEND = (
    _BEGIN
    + """
if redis.call('HEXISTS', KEYS[1], 'epoch') == 0 then begin(ARGV[1]) end
local epoch = redis.call('HGET', KEYS[1], 'epoch')
local told = tonumber(redis.call('GET', KEYS[3]) or '0')
for i = 5, #ARGV do
  local number = ARGV[4] + i - 5
  if number > told then
    local seq = redis.call('HINCRBY', KEYS[1], 'seq', 1)
    redis.call('XADD', KEYS[2], 'MAXLEN', ARGV[2], seq .. '-0', 'epoch', epoch, 'entry', ARGV[i])
    told = number
  end
end
redis.call('SET', KEYS[3], told, 'EX', ARGV[3])
"""
)

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(FeedEntry).decode


class RedisFeedLog:
    """
    See :class:`monitor.domain.ports.feed_log.FeedLog`. Connects when first used, and again after any failure.

    Args:
        producer: names this process among all that append, never used before.
        new_epoch: makes a name that no feed had before.
        prefix: in front of every name in Redis; its braces keep the names on one node of a cluster.
    """

    def __init__(
        self, url: str, *, producer: str, new_epoch: Callable[[], str], prefix: str = "{monitor:live}:"
    ) -> None:
        # Any, since the driver's types speak of text and bytes, and of calls with and without a wait, at once.
        self._redis: Any = Redis.from_url(
            url,
            protocol=2,
            socket_connect_timeout=CONNECT_S,
            socket_timeout=ANSWER_S,
            retry=Retry(NoBackoff(), 0),
        )
        self._new_epoch = new_epoch
        self._state, self._stream = f"{prefix}state", f"{prefix}stream"
        self._told = f"{prefix}told:{producer}"
        self._restart = self._redis.register_script(_RESTART)
        self._open = self._redis.register_script(_OPEN)
        self._append = self._redis.register_script(_APPEND)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_exc: object) -> None:
        with _translated():
            await self._redis.aclose()

    async def open(self, known: Position) -> Tail:
        return await self._read(known, RING)

    async def follow(self, after: Position) -> Tail:
        with _translated():
            found = await self._redis.xread({self._stream: f"{after.seq}-0"}, count=READ_COUNT, block=BLOCK_MS)
            if not found:
                return await self._read(after, 0)
            ((_, rows),) = found
            # A new epoch begins with an empty stream, so one read never spans two.
            entries = [_entry(row) for row in rows]
            return Tail(Position(rows[0][1][b"epoch"].decode(), entries[-1][0]), entries)

    async def append(self, first: int, entries: Sequence[FeedEntry]) -> None:
        packed = [_encode(entry) for entry in entries]
        args: list[Any] = [self._new_epoch(), RING, PRODUCER_TTL_S, first, *packed]
        with _translated():
            await self._append(keys=[self._state, self._stream, self._told], args=args)

    async def restart(self) -> None:
        with _translated():
            await self._restart(keys=[self._state, self._stream], args=[self._new_epoch()])

    async def _read(self, known: Position, count: int) -> Tail:
        args: list[Any] = [self._new_epoch(), known.epoch, known.seq, max(count, 1)]
        with _translated():
            epoch, seq, rows = await self._open(keys=[self._state, self._stream], args=args)
            entries = [_entry(row) for row in rows[::-1]] if count else []
            return Tail(Position(epoch.decode(), seq), entries)


def _entry(row: Any) -> tuple[int, FeedEntry]:
    """Read one row of the stream: from a script its members are a flat list, else a mapping."""
    id_, members = row
    packed = members[b"entry"] if isinstance(members, dict) else members[members.index(b"entry") + 1]
    return int(id_.partition(b"-")[0]), _decode(packed)


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except (RedisError, OSError) as error:
        raise Unavailable("Redis does not answer.") from error
    except msgspec.DecodeError as error:
        # Written by a later version. What cannot be read must not be skipped.
        raise Unavailable("The feed holds what this version cannot read.") from error
