"""What happens when: a schedule made of one seed."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

PROCESSES = (
    "kill_worker", "stop_worker", "kill_server", "stop_server", "kill_worker", "unwritable_log", "restart_worker",
    "restart_server",
)  # fmt: skip
STORES = (
    "crash_database", "read_only", "cut_transaction", "swallow_transaction", "kill_redis", "stop_redis", "flush_redis",
    "garble_redis", "cut_redis", "delay_redis", "swallow_redis", "poison_retry", "poison_labels", "poison_job",
    "poison_notification", "poison_outbox", "poison_lane", "cut_database", "swallow_database",
)  # fmt: skip
MOODS = (
    "slow", "hang", "error", "throttle", "interims", "reset", "garbage", "early", "twice", "script", "error", "ok",
    "slow", "gone", "refuse", "refuse",
)  # fmt: skip
PEOPLE = (
    "create", "patch_url", "patch_timeout", "pause", "cancel", "retry", "replay", "delete", "replay_delivered", "read",
    "cancel_job", "create", "delete", "disable_by_410",
)  # fmt: skip

POOLER = ("kill_pooler",)
"""Beside the stores, where there is one."""

LANES = {
    # Lane: what happens in it, and the shortest and longest pause between two beginnings, in seconds.
    "processes": (PROCESSES, 3.0, 7.0),
    "stores": (STORES, 2.0, 4.0),
    "moods": (MOODS, 0.8, 2.5),
    "people": (PEOPLE, 0.4, 1.5),
}


@dataclass(frozen=True)
class Step:
    """
    One thing that happens, at the earliest *at_s* after the begin and after the one before it in its lane.

    Attributes:
        number: chooses the target among those that there are at that time.
    """

    at_s: float
    lane: str
    name: str
    number: int

    def __str__(self) -> str:
        return f"{self.at_s:7.1f} s  {self.lane:<9}  {self.name} {self.number}"


def plan(seed: int, duration_s: float, *, pooled: bool = False) -> list[Step]:
    """Return the steps of *seed*, in the order of their times. Each lane deals all of its cards before it shuffles."""
    rng = Random(seed)
    steps: list[Step] = []
    lanes = LANES | ({"stores": (STORES + POOLER, *LANES["stores"][1:])} if pooled else {})
    for lane, (cards, shortest_s, longest_s) in lanes.items():
        deck: list[str] = []
        at_s = rng.uniform(0.5, 2.0)
        while at_s < duration_s:
            if not deck:
                deck = rng.sample(cards, len(cards))
            steps.append(Step(at_s, lane, deck.pop(), rng.randrange(1_000)))
            at_s += rng.uniform(shortest_s, longest_s)
    return sorted(steps, key=lambda step: step.at_s)
