"""
Disconnects at the worst moments: nobody misses a message, nobody gets one twice.

A thousand of them by default, ten thousand with ``HYPOTHESIS_PROFILE=nightly``.
"""

from __future__ import annotations

import asyncio
import json
import random  # noqa: TID251 - the dice of the simulation, thrown from a seed
from typing import Any

import pytest
from hypothesis import settings

from monitor.domain.live import Position, Tail
from monitor.domain.live.reader import Filter
from monitor.http.live.frames import text_of
from monitor.http.live.socket import Socket
from tests.unit.http.live.live_support import FakeFrameTransport, World

DISCONNECTS = min(10_000, 20 * settings().max_examples)
RING = 64
"""Small, so that clients and slow readers are overtaken by it."""

CLIENTS = 12
KINDS = ("alert_new", "alert_updated", "anomaly_opened")


class Viewer:
    """
    A client that believes only what reached it, and checks every frame against what it had before.

    What it would show on the page are the facts below ``shown``, told by a snapshot, and those in ``heard``.
    """

    def __init__(self, name: str, topics: list[str] | None) -> None:
        self.name = name
        self.topics = topics
        self.position: Position | None = None
        self.shown = 0
        self.heard: set[int] = set()
        self.snapshots = self.resumed = 0
        self.socket: Socket | None = None
        self.transport = FakeFrameTransport()
        self._read = 0

    def connect(self, world: World) -> None:
        self.socket, self.transport = world.open(self.name)
        self.socket.reader.filter = Filter.of(self.topics, None)
        self._read = 0
        world.hub.begin(self.socket, self.position)
        self.resumed += self.socket.reader.cursor >= 0

    def disconnect(self, world: World, dice: random.Random) -> None:
        """Hang up with frames still under way, which are lost."""
        self.read(dice.randint(0, len(self.transport.messages) - self._read))
        assert self.socket is not None
        world.hub.release(self.name, self.socket)
        self.socket = None

    def read(self, count: int | None = None) -> None:
        messages = self.transport.messages[self._read :][:count]
        self._read += len(messages)
        for message in messages:
            self.take(json.loads(text_of(message)))

    def take(self, frame: dict[str, Any]) -> None:
        position = Position(frame["epoch"], frame["seq"])
        if frame["type"] == "snapshot":
            assert frame["data"] >= self.shown
            self.shown, self.heard = frame["data"], set()
            self.snapshots += 1
        else:
            assert self.position is not None
            assert position.epoch == self.position.epoch
            assert position.seq > self.position.seq, "told twice"
            if self.topics is None:
                assert position.seq == self.position.seq + 1, "left out"
            # A snapshot may already show what a later message tells; two messages never tell the same.
            assert frame["data"] not in self.heard
            self.heard.add(frame["data"])
        self.position = position


class Simulation:
    """One process, its viewers, and all that ever happened, by kind."""

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)
        self.world = World(max_per_user=1, capacity=RING)
        self.world.state = 0
        self.world.reading = self.interfere
        self.facts: list[str] = []
        self.viewers = [Viewer(f"user-{i}", None if i % 3 else ["alerts"]) for i in range(CLIENTS)]
        self.disconnects = 0

    async def happen(self) -> None:
        for _ in range(self.dice.choice((1, 1, 1, 3, 20))):
            self.facts.append(self.dice.choice(KINDS))
            self.world.state = len(self.facts)
            self.world.feed.publish(self.facts[-1], len(self.facts) - 1)
        await self.world.tell()

    def interfere(self) -> None:
        """Happens while a snapshot is read, too."""
        viewer = self.dice.choice(self.viewers)
        if viewer.socket is None:
            return
        viewer.transport.congested = not viewer.transport.congested
        if not viewer.transport.congested:
            viewer.transport.on_drained()

    def come_or_go(self, viewer: Viewer) -> None:
        if viewer.socket is None:
            viewer.connect(self.world)
        elif viewer.transport.ended or self.dice.random() < 0.5:
            viewer.disconnect(self.world, self.dice)
            self.disconnects += 1

    def begin_anew(self) -> None:
        self.world.stream.restart(Tail(Position(f"anew-{self.disconnects}", self.dice.randrange(5))))
        self.world.hub.restart()

    async def step(self) -> None:
        viewer = self.dice.choice(self.viewers)
        match self.dice.randrange(7):
            case 0:
                await self.happen()
            case 1:
                await asyncio.gather(self.world.hub.send_snapshots(), self.happen())
            case 2:
                viewer.read()
            case 3:
                self.interfere()
            case 4 if self.dice.random() < 0.005:
                self.begin_anew()
            case _:
                self.come_or_go(viewer)

    async def settle(self) -> None:
        """Let everybody connect and catch up."""
        for viewer in self.viewers:
            viewer.transport.drain()
            if viewer.socket is not None and viewer.transport.ended:
                viewer.disconnect(self.world, self.dice)
            if viewer.socket is None:
                viewer.connect(self.world)
        self.world.reading = lambda: None
        while self.world.hub._waiting:
            await self.world.hub.send_snapshots()
        for viewer in self.viewers:
            viewer.read()


@pytest.mark.parametrize("seed", [1, 2])
async def test_nothing_is_lost_and_nothing_is_told_twice(seed: int) -> None:
    simulation = Simulation(seed)
    while simulation.disconnects < DISCONNECTS // 2:
        await simulation.step()
    await simulation.settle()
    facts = simulation.facts
    for viewer in simulation.viewers:
        unknown = range(viewer.shown, len(facts))
        wanted = {i for i in unknown if viewer.topics is None or facts[i] != "anomaly_opened"}
        assert wanted <= viewer.heard
        assert viewer.snapshots > 1
        assert viewer.resumed > 3
