"""``FeedLog`` on a Redis stream (Redis 6.2 or later, or a fork of it)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Self

import msgspec
import structlog

from monitor.adapters.redis.client import connect, translating
from monitor.domain.live import FeedEntry, FeedTail, Position
from monitor.domain.live.messages import MessageKind
from monitor.domain.live.stream import RING_MESSAGES

CONNECT_S = 1.0
ANSWER_S = 2.0
BLOCK_MS = 1000
READ_COUNT = 256
PRODUCER_TTL_S = 24 * 3600
"""How long the count of a silent producer is kept; far longer than any repeated send."""

log = structlog.get_logger(__name__)

# The state is a hash of the epoch and the last number. The stream's ids are the numbers, so that Redis itself refuses
# one that does not ascend; each entry repeats the epoch, so that a reader of an older one notices the change. Keys that
# something else has written to are deleted, and a new epoch begins. So it does on a server that was restarted or
# promoted, which changes the id of its history: what was appended last may be missing there, and other messages would
# get the numbers that some clients have seen.
_BEGIN = """
local info = redis.call('INFO', 'replication')
if not string.find(info, 'role:master', 1, true) then
  return redis.error_reply('READONLY the feed is read and written on the master alone')
end
local history = string.match(info, 'master_replid:(%w+)') or '-'
local function begin(epoch)
  redis.call('DEL', KEYS[1], KEYS[2])
  redis.call('HSET', KEYS[1], 'epoch', epoch, 'seq', 0, 'history', history)
  return {epoch, '0'}
end
local function is_a(key, wanted)
  local found = redis.call('TYPE', key).ok
  return found == wanted or found == 'none'
end
local function state(epoch)
  if not is_a(KEYS[1], 'hash') or not is_a(KEYS[2], 'stream') then return begin(epoch) end
  local found = redis.call('HMGET', KEYS[1], 'epoch', 'seq', 'history')
  if not found[1] or not found[2] or not tonumber(found[2]) then return begin(epoch) end
  if found[3] ~= history then return begin(epoch) end
  local last = redis.call('XREVRANGE', KEYS[2], '+', '-', 'COUNT', 1)[1]
  if last and last[1] ~= found[2] .. '-0' then return begin(epoch) end
  return found
end
"""

_RESTART = _BEGIN + "return begin(ARGV[1])[1]"

_OPEN = (
    _BEGIN
    + """
local found = state(ARGV[1])
if found[1] == ARGV[2] and tonumber(found[2]) < tonumber(ARGV[3]) then found = begin(ARGV[1]) end
return {found[1], tonumber(found[2]), redis.call('XREVRANGE', KEYS[2], '+', '-', 'COUNT', ARGV[4])}
"""
)

# A repetition whose count was evicted may have been appended before: a new epoch, lest a client sees a message twice.
_APPEND = (
    _BEGIN
    + """
local epoch = state(ARGV[1])[1]
if not is_a(KEYS[3], 'string') then redis.call('DEL', KEYS[3]) end
local counted = redis.call('GET', KEYS[3])
if not counted and ARGV[5] == '1' then epoch = begin(ARGV[1])[1] end
local appended = tonumber(counted or '0') or 0
for i = 6, #ARGV do
  local number = ARGV[4] + i - 6
  if number > appended then
    local seq = redis.call('HINCRBY', KEYS[1], 'seq', 1)
    redis.call('XADD', KEYS[2], 'MAXLEN', ARGV[2], seq .. '-0', 'epoch', epoch, 'entry', ARGV[i])
    appended = number
  end
end
redis.call('SET', KEYS[3], appended, 'EX', ARGV[3])
return {epoch, appended}
"""
)

_Row = tuple[bytes, dict[bytes, bytes]]
"""Id and members of an entry of the stream."""

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(FeedEntry).decode


PREFIX = "{monitor:live:*}:"
"""With the installation in place of ``*``."""


class RedisFeedLog:
    """
    See :class:`monitor.domain.ports.feed_log.FeedLog`. Connects when first used, and again after any failure.

    Args:
        producer: names this process among all that append, never used before.
        new_epoch: makes a name that no feed had before.
        prefix: stands, or returns what stands, in front of every name in Redis; its braces keep the names on one node
            of a cluster. May raise the driver's error: the log counts as unreachable then.
    """

    def __init__(
        self,
        url: str,
        *,
        producer: str,
        new_epoch: Callable[[], str],
        now: Callable[[], datetime],
        prefix: str | Callable[[], str],
    ) -> None:
        self._prefix = prefix if callable(prefix) else lambda: prefix
        self._redis = connect(url, connect_s=CONNECT_S, answer_s=ANSWER_S, key=self._prefix)
        self._new_epoch = new_epoch
        self._now = now
        self._producer = producer
        self._restart = self._redis.register_script(_RESTART)
        self._open = self._redis.register_script(_OPEN)
        self._append = self._redis.register_script(_APPEND)
        self._repeats = False
        """Whether the last call to append may have taken effect without an answer."""
        self.unreadable = 0
        """Entries that this version could not read, since the start of the process."""

    @property
    def _state(self) -> str:
        return f"{self._prefix()}state"

    @property
    def _stream(self) -> str:
        return f"{self._prefix()}stream"

    @property
    def _appended(self) -> str:
        return f"{self._prefix()}appended:{self._producer}"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_exc: object) -> None:
        async with translating(self._redis):
            await self._redis.aclose()

    async def open(self, known: Position) -> FeedTail:
        return await self._read(known, RING_MESSAGES)

    async def follow(self, after: Position) -> FeedTail:
        async with translating(self._redis):
            found = await self._redis.xread({self._stream: f"{after.seq}-0"}, count=READ_COUNT, block=BLOCK_MS)
            if found:
                ((_, rows),) = found
                # A new epoch begins with an empty stream, so one read never spans two.
                entries = [self._entry(row) for row in rows if _is_ours(row)]
                if entries:
                    return FeedTail(Position(rows[0][1][b"epoch"].decode(), entries[-1][0]), entries)
        # Nothing new, or an entry that something else wrote: then opening begins a new epoch.
        return await self._read(after, 0)

    async def append(self, first: int, entries: Sequence[FeedEntry]) -> None:
        packed = [_encode(entry) for entry in entries]
        args: list[Any] = [self._new_epoch(), RING_MESSAGES, PRODUCER_TTL_S, first, int(self._repeats), *packed]
        self._repeats = True
        async with translating(self._redis):
            # The answer of anything else than this script must not pass for success: the messages would be lost.
            epoch, appended = await self._append(keys=[self._state, self._stream, self._appended], args=args)
            if not isinstance(epoch, bytes) or appended < first + len(entries) - 1:
                raise ValueError("not the answer of the script")
        self._repeats = False

    async def restart(self) -> None:
        epoch = self._new_epoch()
        async with translating(self._redis):
            if await self._restart(keys=[self._state, self._stream], args=[epoch]) != epoch.encode():
                raise ValueError("not the answer of the script")

    async def _read(self, known: Position, count: int) -> FeedTail:
        args: list[Any] = [self._new_epoch(), known.epoch, known.seq, max(count, 1)]
        async with translating(self._redis):
            epoch, seq, rows = await self._open(keys=[self._state, self._stream], args=args)
            # From a script, the members of a row are a flat list.
            mapped = [(id_, dict(zip(members[::2], members[1::2], strict=True))) for id_, members in rows[::-1]]
            entries = [self._entry(row) for row in mapped if _is_ours(row)] if count else []
            return FeedTail(Position(epoch.decode(), int(seq)), entries)

    def _entry(self, row: _Row) -> tuple[int, FeedEntry]:
        id_, members = row
        number = int(id_.partition(b"-")[0])
        try:
            return number, _decode(members[b"entry"])
        except msgspec.DecodeError:
            # Written by a later version. Clients get a heartbeat with its number, so none waits for it.
            self.unreadable += 1
            log.warning("live_entry_unreadable", seq=number)
            return number, FeedEntry(MessageKind.HEARTBEAT, self._now(), msgspec.Raw(b"{}"))


def _is_ours(row: _Row) -> bool:
    id_, members = row
    return id_.endswith(b"-0") and members.keys() >= {b"epoch", b"entry"}
