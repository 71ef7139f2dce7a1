"""Group commit: which calls share a transaction, and that none of them suffers from another."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from monitor.domain.services import group_commit
from monitor.domain.services.group_commit import BYTES_MAX, ROWS_MAX, SECOND_FROM, GroupCommit


class Call:
    def __init__(self, name: str, *, rows: int = 1, size_bytes: int = 1, key: str | None = None) -> None:
        self.name = name
        self.rows = rows
        self.size_bytes = size_bytes
        self.exclusive_key = key


class Database:
    """Commits when the test says so; ``begun`` has the calls of each transaction, by name."""

    def __init__(self) -> None:
        self.begun: list[list[str]] = []
        self.rolled_back = 0
        self.may_commit = asyncio.Event()
        self.most = 1_000
        self.broken: set[str] = set()
        self.group: GroupCommit[Call, str] = GroupCommit(self.commit)

    async def commit(self, calls: Sequence[Call]) -> list[str | Exception]:
        self.begun.append([call.name for call in calls])
        try:
            await self.may_commit.wait()
        except asyncio.CancelledError:
            self.rolled_back += 1
            raise
        if "all" in self.broken:
            raise RuntimeError("all")
        return [
            RuntimeError(call.name) if call.name in self.broken else f"{call.name} is stored"
            for call in calls[: self.most]
        ]

    def call(self, name: str, *, rows: int = 1, size_bytes: int = 1, key: str | None = None) -> asyncio.Task[str]:
        return asyncio.create_task(self.group.run(Call(name, rows=rows, size_bytes=size_bytes, key=key)))

    async def first(self) -> asyncio.Task[str]:
        """Return a call whose transaction is under way."""
        task = self.call("first")
        await self.until(1)
        return task

    async def until(self, transactions: int) -> None:
        async with asyncio.timeout(30):
            while len(self.begun) < transactions:
                await asyncio.sleep(0)


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(group_commit, "STALLED_S", 3_600.0)


@pytest.fixture
async def database() -> Database:
    return Database()


async def test_an_idle_process_commits_a_call_at_once_and_what_comes_meanwhile_together(database: Database) -> None:
    tasks = [await database.first(), *(database.call(name) for name in "abc")]
    await asyncio.sleep(0)
    assert database.begun == [["first"]]
    database.may_commit.set()
    assert await asyncio.gather(*tasks) == [f"{name} is stored" for name in ("first", "a", "b", "c")]
    assert database.begun == [["first"], ["a", "b", "c"]]


async def test_many_calls_get_a_second_transaction_beside_the_first_and_none_a_third(database: Database) -> None:
    tasks = [await database.first(), *(database.call(f"{n}") for n in range(SECOND_FROM))]
    await database.until(2)
    tasks += [database.call(f"late {n}") for n in range(SECOND_FROM)]
    await asyncio.sleep(0)
    assert [len(names) for names in database.begun] == [1, SECOND_FROM]
    database.may_commit.set()
    await asyncio.gather(*tasks)
    assert [len(names) for names in database.begun] == [1, SECOND_FROM, SECOND_FROM]


async def test_a_transaction_is_bounded_by_rows_and_by_bytes(database: Database) -> None:
    sizes: list[dict[str, Any]] = [
        {"rows": ROWS_MAX},
        {"rows": 1},
        {"rows": 5 * ROWS_MAX},
        {"size_bytes": BYTES_MAX},
        {"size_bytes": 1},
    ]
    tasks = [await database.first(), *(database.call(str(n), **size) for n, size in enumerate(sizes))]
    database.may_commit.set()
    await asyncio.gather(*tasks)
    assert database.begun == [["first"], ["0"], ["1"], ["2"], ["3"], ["4"]]


async def test_two_calls_with_one_key_never_share_a_transaction(database: Database) -> None:
    tasks = [await database.first(), *(database.call(name, key=name[0]) for name in ("a1", "a2", "b1", "a3"))]
    database.may_commit.set()
    await asyncio.gather(*tasks)
    assert database.begun == [["first"], ["a1", "b1"], ["a2"], ["a3"]]


async def test_a_call_that_fails_fails_alone(database: Database) -> None:
    database.broken = {"b"}
    tasks = [await database.first(), *(database.call(name) for name in "abc")]
    database.may_commit.set()
    found = await asyncio.gather(*tasks, return_exceptions=True)
    assert [isinstance(one, RuntimeError) for one in found] == [False, False, True, False]


async def test_a_transaction_that_fails_fails_for_all_its_calls(database: Database) -> None:
    database.broken = {"all"}
    tasks = [await database.first(), *(database.call(name) for name in "ab")]
    database.may_commit.set()
    assert all(isinstance(one, RuntimeError) for one in await asyncio.gather(*tasks, return_exceptions=True))


async def test_calls_that_were_too_many_wait_for_the_next_transaction_in_their_order(database: Database) -> None:
    database.most = 2
    tasks = [await database.first(), *(database.call(name) for name in "abcde")]
    database.may_commit.set()
    assert await asyncio.gather(*tasks) == [f"{name} is stored" for name in ("first", *"abcde")]
    assert database.begun == [["first"], ["a", "b", "c", "d", "e"], ["c", "d", "e"], ["e"]]


async def test_a_caller_that_is_gone_leaves_the_others_their_transaction(database: Database) -> None:
    one = await database.first()
    others = [database.call(name) for name in "abc"]
    await asyncio.sleep(0)
    others[0].cancel()  # before its transaction
    first, database.may_commit = database.may_commit, asyncio.Event()
    first.set()
    await one
    await database.until(2)
    others[1].cancel()  # during it
    await asyncio.wait([others[1]])
    database.may_commit.set()
    assert await others[2] == "c is stored"
    assert database.begun == [["first"], ["b", "c"]]
    assert database.rolled_back == 0


async def test_a_transaction_whose_callers_are_all_gone_is_rolled_back(database: Database) -> None:
    one = await database.first()
    waiting = database.call("a")
    await asyncio.sleep(0)
    one.cancel()
    await asyncio.wait([one])
    assert database.rolled_back == 1
    await database.until(2)
    database.may_commit.set()
    assert await waiting == "a is stored"


async def test_a_call_that_is_gone_before_its_transaction_begins_is_not_made(database: Database) -> None:
    task = database.call("a")
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    database.may_commit.set()
    assert await database.call("b") == "b is stored"
    assert database.begun == [["b"]]


async def test_a_transaction_that_is_cancelled_cancels_its_callers(database: Database) -> None:
    one = await database.first()
    (transaction,) = database.group._under_way
    assert transaction.task is not None
    transaction.task.cancel()
    await asyncio.wait([one])
    assert one.cancelled()


async def test_a_stalled_transaction_holds_the_next_one_up_no_longer(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(group_commit, "STALLED_S", 0.0)
    tasks = [await database.first()]
    for count in range(2, group_commit.UNDER_WAY_MAX + 1):
        tasks.append(database.call(f"{count}"))
        await database.until(count)
    tasks.append(database.call("last"))
    await asyncio.sleep(0.01)
    assert len(database.begun) == group_commit.UNDER_WAY_MAX
    database.may_commit.set()
    await asyncio.gather(*tasks)
    assert database.begun[-1] == ["last"]
