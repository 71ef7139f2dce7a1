"""The sender beside the one it replaced, on generated answers."""

from __future__ import annotations

import asyncio
import os

import pytest

from monitor.adapters.egress.sender import HttpSender
from monitor.domain.delivery.outcome import Outcome
from tests.answer_scripts import Script, script
from tests.integration.raw_receivers import Behaviour, Reader, Receiver, Writer, receiver
from tests.integration.sender.support import request
from tests.oracle.aiohttp_sender import AiohttpSender
from tests.oracle.differences import DIFFERENCES

LONG = "MONITOR_TEST_LONG" in os.environ
ANSWERS = 10_000 if LONG else 300


@pytest.mark.asyncio(loop_factories=["asyncio"])
async def test_generated_answers_give_the_outcome_of_aiohttp_or_one_of_the_listed_differences(
    sender: HttpSender,
) -> None:
    """Status, error and kept body agree, or a row of the table says why not; the long form meets each row."""
    met: set[str] = set()
    unexplained: list[tuple[int, Outcome, Outcome]] = []
    async with receiver(scripted) as there, AiohttpSender() as oracle:

        async def compare(number: int) -> None:
            posted = request(there.url(), headers=(("X-Number", str(number)),))
            ours, theirs = await sender.send(posted), await oracle.send(posted)
            if verdict(ours) != verdict(theirs):
                rows = [row.name for row in DIFFERENCES if row.applies(script(number), ours)]
                met.update(rows)
                if not rows:
                    unexplained.append((number, ours, theirs))

        for start in range(0, ANSWERS, 20):
            await asyncio.gather(*(compare(number) for number in range(start, start + 20)))
    assert unexplained == []
    assert met == {row.name for row in DIFFERENCES} or not LONG


def verdict(outcome: Outcome) -> tuple[object, ...]:
    return outcome.status_code, outcome.error, outcome.response_body


def scripted(this: Receiver) -> Behaviour:
    """Answer with the script that the request names."""

    async def behave(reader: Reader, writer: Writer) -> None:
        while await this.read_request(reader):
            number = this.requests.pop().partition(b"X-Number: ")[2].partition(b"\r\n")[0]
            answer: Script = script(int(number))
            for piece in answer.pieces():
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(0)
            if answer.then == "close":
                return

    return behave
