"""Failures that nobody foresaw, in any method of a fake: before its effect, or after it."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, Literal

import pytest

When = Literal["before", "after"]


def methods(*ports: type) -> Iterator[tuple[type, str]]:
    """Yield each port with the name of each asynchronous method that it declares itself."""
    for port in ports:
        for name, member in vars(port).items():
            if inspect.iscoroutinefunction(member) and not name.startswith("__"):
                yield port, name


class Trouble:
    """
    Makes the first *times* calls of a method fail.

    Args:
        when: whether the failing call has its effect nonetheless, as when an answer is lost.

    Attributes:
        left: how many more calls will fail; as many as at first if the method was never called.
    """

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, fake: type, method: str, error: Exception, when: When, times: int = 2
    ) -> None:
        self.left = times
        real: Callable[..., Awaitable[Any]] = getattr(fake, method)

        async def troubled(*args: Any, **options: Any) -> Any:
            if not self.left:
                return await real(*args, **options)
            self.left -= 1
            if when == "after":
                await real(*args, **options)
            raise error

        monkeypatch.setattr(fake, method, troubled)
