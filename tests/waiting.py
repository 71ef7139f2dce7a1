"""Waiting for what the turns of the event loop bring about; what takes time is waited for by ``eventually``."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable


async def until(holds: Callable[[], object], *, within_s: float = 20.0) -> None:
    """Let the event loop turn until *holds*."""
    try:
        async with asyncio.timeout(within_s):
            while not holds():
                await asyncio.sleep(0)
    except TimeoutError:
        raise AssertionError(f"still not so after {within_s} s: {inspect.getsource(holds).strip()}") from None
