"""The answers of cases/answers.json on real sockets, whole and in pieces."""

from __future__ import annotations

import asyncio
import json
import random
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from monitor.adapters.egress.sender import HttpSender
from tests.integration.raw_receivers import OK, Behaviour, Reader, Receiver, Writer, receiver
from tests.integration.sender.support import request

CASES: list[dict[str, Any]] = json.loads((Path(__file__).parents[2] / "cases" / "answers.json").read_text())["cases"]


@pytest.mark.parametrize("seed", [None, 1, 2], ids=["whole", "cut-1", "cut-2"])
@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
async def test_a_listed_answer_gets_its_verdict(sender: HttpSender, case: dict[str, Any], seed: int | None) -> None:
    await check_answer(sender, case, seed)


async def check_answer(sender: HttpSender, case: dict[str, Any], seed: int | None) -> None:
    """Check what *sender* makes of the answer of *case*, in pieces by *seed*, and of one more to the same receiver."""
    pieces = cut(case["answer"].encode("latin-1"), seed)

    def make(this: Receiver) -> Behaviour:
        async def behave(reader: Reader, writer: Writer) -> None:
            first = this.connections == 1
            if first and await this.read_request(reader):
                for piece in pieces:
                    writer.write(piece)
                    await writer.drain()
                    await asyncio.sleep(0.001)
                if case["then"] == "close":
                    return
            while await this.read_request(reader):
                writer.write(OK)

        return behave

    async with receiver(make) as there:
        outcome = await sender.send(request(there.url()))
        again = await sender.send(request(there.url()))
        reused = there.connections == 1
    assert outcome.ok == case["delivered"]
    assert outcome.error == case.get("error")
    assert reused == case.get("connection_reused", reused)
    assert again.ok
    assert len(there.requests) == 2


def cut(answer: bytes, seed: int | None) -> list[bytes]:
    """Return *answer* in up to six pieces."""
    if seed is None or len(answer) < 2:
        return [answer]
    chosen = random.Random(f"{answer!r} {seed}")
    at = [0, *sorted(chosen.sample(range(1, len(answer)), 5)), len(answer)]
    return [answer[a:b] for a, b in pairwise(at)]
