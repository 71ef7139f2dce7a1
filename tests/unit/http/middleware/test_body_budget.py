"""How many bytes of bodies may be in flight."""

from __future__ import annotations

from collections import Counter
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.domain.errors import Unavailable
from monitor.http.middleware.body_budget import BodyBudget, LimitBodies
from monitor.http.middleware.rate_limit import BATCH_BODY_BYTES

subjects = st.sampled_from(["ada", "bob", "eve"])


@given(st.lists(st.tuples(subjects, st.integers(0, 60), st.booleans()), max_size=60))
def test_what_is_held_stays_within_both_budgets(steps: list[tuple[str, int, bool]]) -> None:
    """Law: take succeeds if and only if the subject's and the process's bytes stay within their budgets."""
    budget = BodyBudget(subject_bytes=100, process_bytes=150)
    held: list[tuple[str, int]] = []
    for subject, count, gives_back in steps:
        if gives_back and held:
            budget.give_back(*held.pop())
            continue
        of = Counter[str]()
        for holder, size in held:
            of[holder] += size
        if of[subject] + count <= 100 and sum(of.values()) + count <= 150:
            budget.take(subject, count)
            held.append((subject, count))
        else:
            with pytest.raises(Unavailable, match="MiB"):
                budget.take(subject, count)
        assert budget.held_bytes == sum(size for _, size in held)


class Call:
    """One request whose body comes in pieces; reads it as the application does."""

    def __init__(
        self, budget: BodyBudget, *pieces: bytes, length: bytes | None = None, user: str | None = "ada"
    ) -> None:
        self._pieces = list(pieces)
        self._held: list[int] = []
        self._budget = budget
        headers = [] if length is None else [(b"content-length", length)]
        self._scope: Any = {"type": "http", "headers": headers, "user": user and SimpleNamespace(subject=user)}

    async def run(self) -> list[int]:
        """Return what the budget held after each piece."""
        application: Any = self._read
        nothing: Any = None
        receive: Any = self._receive
        await LimitBodies(application, self._budget)(self._scope, receive, nothing)
        return self._held

    async def _read(self, _scope: Any, receive: Any, _send: Any) -> None:
        for _ in range(len(self._pieces)):
            await receive()
            self._held.append(self._budget.held_bytes)

    async def _receive(self) -> dict[str, Any]:
        return {"type": "http.request", "body": self._pieces.pop(0)}


@pytest.mark.parametrize(
    ("length", "held"),
    [(None, [10, 30]), (b"30", [30, 30]), (b"5", [10, 30]), (b"x", [10, 30]), (b"9" * 30, [10, 30])],
)
async def test_a_body_is_counted_as_announced_or_as_it_comes(length: bytes | None, held: list[int]) -> None:
    budget = BodyBudget()
    assert await Call(budget, b"a" * 10, b"b" * 20, length=length).run() == held
    assert budget.held_bytes == 0


async def test_a_length_beyond_every_limit_takes_no_more_than_the_largest_body() -> None:
    assert await Call(BodyBudget(), b"", length=b"9" * 12).run() == [BATCH_BODY_BYTES]


async def test_a_request_of_no_subject_is_not_counted() -> None:
    assert await Call(BodyBudget(), b"a" * 10, user=None).run() == [0]


@pytest.mark.parametrize("length", [b"101", None])
async def test_a_body_beyond_the_budget_is_refused_and_given_back(length: bytes | None) -> None:
    budget = BodyBudget(subject_bytes=100)
    with pytest.raises(Unavailable):
        await Call(budget, b"a" * 60, b"b" * 41, length=length).run()
    assert budget.held_bytes == 0
