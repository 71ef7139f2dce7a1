"""What must hold in the end, each rule judged by the journals of producer, receivers and users."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from monitor.domain.ids import id_millis
from tests.chaos.people import Registered
from tests.chaos.producer import Promise
from tests.chaos.receivers import Request

PLACE_S = 2.0
"""How far arrivals may be shifted against the claims that a rate limit counts: what waited in a worker for
over a second is charged anew, and this process may be late in reading."""

EDGE = 5
"""Attempts of one webhook that begin so shortly before the end of a minute that their ids are of the next one."""

WIDTH = 4
"""Webhooks of which this is so at once."""

SYSTEM = "the whole system"

CRASHES = 5
"""Workers that must die with a delivery in hand before it is quarantined."""


@dataclass
class Check:
    """One rule: how many cases were tried, and what broke it."""

    name: str
    tried: int = 0
    violations: list[str] = field(default_factory=list)

    def expect(self, holds: bool, what: str) -> None:
        self.tried += 1
        if not holds:
            self.violations.append(what)


@dataclass
class Ended:
    """What is stored when everything has ended."""

    events: list[tuple[str, str]]
    """Id and serial."""
    deliveries: list[dict[str, Any]]
    """Also those that wait, as ``pending``."""
    attempts: list[dict[str, Any]]
    rollups: dict[tuple[str, int], tuple[int, int]]
    """Attempts and failures by webhook, or :data:`SYSTEM`, and minute since 1970."""
    jobs: list[dict[str, Any]] = field(default_factory=list)


class Journals:
    """The journals, in the shapes that the checks need."""

    def __init__(self, promises: list[Promise], webhooks: list[Registered], deaths: int) -> None:
        self.promises = promises
        self.webhooks = webhooks
        self.deaths = deaths
        self.requests: dict[tuple[str, str], list[Request]] = defaultdict(list)
        for webhook in webhooks:
            for request in webhook.hook.journal:
                self.requests[webhook.id, request.event_id].append(request)

    def sure(self, webhook: Registered, promise: Promise) -> bool:
        """Whether *webhook* was a subscriber of the event for certain, up to the end of its fan-out."""
        until = max(promise.accepted_at, promise.fanned_out_at)
        overlaps = any(begin <= until and promise.posted_at <= end for begin, end in webhook.unsure)
        known = webhook.known_at < promise.posted_at and until < webhook.deleted_from
        return self._matches(webhook, promise) and known and not overlaps

    def possible(self, webhook: Registered, promise: Promise) -> bool:
        within = webhook.asked_at < promise.accepted_at and promise.posted_at < webhook.deleted_at
        return self._matches(webhook, promise) and within

    @staticmethod
    def _matches(webhook: Registered, promise: Promise) -> bool:
        return promise.type in webhook.members["event_types"]


def judge(journals: Journals, ended: Ended) -> list[Check]:
    """Judge everything that can be judged afterwards."""
    return [
        once_per_key(journals, ended),
        subscribers(journals, ended),
        ends(journals, ended),
        attempts_made(journals, ended),
        rollups(ended),
        order(journals),
        concurrency(journals),
        one_of_a_key(journals),
        jobs(journals, ended),
        rate(journals),
    ]


def once_per_key(journals: Journals, ended: Ended) -> Check:
    check = Check("one stored event for each key that was answered 202")
    stored = defaultdict(set)
    for id_, serial in ended.events:
        stored[serial].add(id_)
    for promise in journals.promises:
        check.expect(
            stored.pop(promise.serial, set()) == {promise.id}, f"event {promise.id} of {promise.serial} is not the one"
        )
    check.violations += [f"event of {serial} that nobody posted" for serial in stored]
    return check


def subscribers(journals: Journals, ended: Ended) -> Check:
    check = Check("a delivery for each subscriber of an accepted event")
    made: dict[str, set[str]] = defaultdict(set)
    for row in ended.deliveries:
        made[row["event_id"]].add(row["webhook_id"])
    for promise in journals.promises:
        got = made[promise.id]
        sure = {w.id for w in journals.webhooks if journals.sure(w, promise)}
        possible = {w.id for w in journals.webhooks if journals.possible(w, promise)}
        check.expect(sure <= got, f"event {promise.id} has no delivery for {sure - got}")
        check.expect(got <= possible, f"event {promise.id} has a delivery for {got - possible}")
        # What workers are to make is not named.
        named = 0 if promise.fan_out == "running" else len(got)
        check.expect(promise.deliveries == named, f"event {promise.id}: 202 named {promise.deliveries} of {len(got)}")
    twice = Counter((row["webhook_id"], row["event_id"]) for row in ended.deliveries)
    check.violations += [
        f"{count} deliveries of {event} for {id_}" for (id_, event), count in twice.items() if count > 1
    ]
    return check


def ends(journals: Journals, ended: Ended) -> Check:
    """A delivery that is said to be delivered was read and answered 2xx; any other has ended for a reason."""
    check = Check("every delivery was received with 2xx, or ended rightly")
    webhooks = {webhook.id: webhook for webhook in journals.webhooks}
    promised = {promise.id for promise in journals.promises}
    for row in ended.deliveries:
        if row["event_id"] not in promised:
            continue
        webhook = webhooks[row["webhook_id"]]
        found = journals.requests[webhook.id, row["event_id"]]
        check.expect(
            _rightly(journals, webhook, row, found), f"{row} of {webhook.hook.name}: {[r.said_ok for r in found]}"
        )
    return check


def _rightly(journals: Journals, webhook: Registered, row: dict[str, Any], found: list[Request]) -> bool:
    match row["state"]:
        case "delivered":
            return any(request.said_ok is not False for request in found)
        case "failed":
            exhausted = row["attempts"] >= len(webhook.members["retry"]["schedule_s"])
            return any(request.gone for request in found) or (exhausted and webhook.kind == "hostile")
        case "cancelled":
            return row["event_id"] in webhook.cancelled or webhook.deleted_from < math.inf
        case "quarantined":
            return journals.deaths >= CRASHES
    return False


def attempts_made(journals: Journals, ended: Ended) -> Check:
    """Nothing stored says more than a receiver saw."""
    check = Check("no attempt with 2xx that no receiver answered so")
    stored = Counter(
        (row["webhook_id"], row["event_id"]) for row in ended.attempts if 200 <= (row["status_code"] or 0) < 300
    )
    for (webhook_id, event_id), count in stored.items():
        seen = sum(request.said_ok is not False for request in journals.requests[webhook_id, event_id])
        check.expect(count <= seen, f"event {event_id} for {webhook_id}: {count} attempts with 2xx, {seen} answers")
    return check


def rollups(ended: Ended) -> Check:
    check = Check("rollups: attempts and failures of each webhook and minute")
    made: Counter[tuple[str, int, str]] = Counter()
    for row in ended.attempts:
        minute = id_millis(UUID(row["id"])) // 60_000
        for whose in (row["webhook_id"], SYSTEM):
            made[whose, minute, "attempts"] += 1
            made[whose, minute, "failures"] += row["error"] is not None
    rolled: Counter[tuple[str, int, str]] = Counter()
    for (webhook_id, minute), counts in ended.rollups.items():
        rolled.update({(webhook_id, minute, what): n for what, n in zip(("attempts", "failures"), counts, strict=True)})
    ahead: Counter[tuple[str, str]] = Counter()
    for webhook_id, minute, what in sorted(made.keys() | rolled.keys()):
        # An id may be some milliseconds ahead of the start that it stands for, and so fall into the next minute.
        ahead[webhook_id, what] += rolled[webhook_id, minute, what] - made[webhook_id, minute, what]
        too_many = ahead[webhook_id, what]
        edge = EDGE * WIDTH if webhook_id == SYSTEM else EDGE
        check.expect(0 <= too_many <= edge, f"{what} of {webhook_id} in {minute}: {too_many} too many")
    for (webhook_id, what), count in ahead.items():
        check.expect(count == 0, f"{what} of {webhook_id}: {count} more in the rollups than stored")
    return check


def order(journals: Journals) -> Check:
    """What was accepted before another event was posted is received with 2xx before that one is sent at all."""
    check = Check("ordered webhooks: events in the order of acceptance, all or those of each key")
    promises = {promise.id: promise for promise in journals.promises}
    for webhook in journals.webhooks:
        if not (ordered := webhook.members.get("ordered")):
            continue
        begun: set[str] = set()
        done: set[str] = set()
        latest: dict[str | None, tuple[float, str]] = {}
        for request in webhook.hook.journal:
            promise = promises.get(request.event_id)
            if promise is None or (ordered == "key" and promise.order_key is None):
                continue
            line = promise.order_key if ordered == "key" else None
            if promise.id not in begun:
                begun.add(promise.id)
                latest[line] = max(latest.get(line, (-math.inf, "")), (promise.posted_at, promise.id))
            if request.said_ok and promise.id not in done:
                done.add(promise.id)
                late = promise.accepted_at < latest[line][0]
                what = f"{promise.id} was received after {latest[line][1]} was sent"
                check.expect(not late, f"{webhook.hook.name}: {what} (key {line})")
    return check


def one_of_a_key(journals: Journals) -> Check:
    check = Check("webhooks ordered by key: never two of one key at once")
    keys = {promise.id: promise.order_key for promise in journals.promises}
    for webhook in journals.webhooks:
        until: dict[str, tuple[float, str]] = {}
        for request in webhook.hook.journal if webhook.members.get("ordered") == "key" else []:
            if (key := keys.get(request.event_id)) is not None:
                ended_at, before = until.get(key, (-math.inf, ""))
                check.expect(ended_at <= request.at, f"{webhook.hook.name}: {request.event_id} beside {before} ({key})")
                until[key] = max((ended_at, before), (request.ended_at or math.inf, request.event_id))
    return check


def jobs(journals: Journals, ended: Ended) -> Check:
    """A job ends, and is cancelled only if that was asked for."""
    check = Check("every job ended, and none failed")
    stored = {row["id"]: row["state"] for row in ended.jobs}
    for row in ended.jobs:
        check.expect(row["state"] in {"done", "cancelled"}, f"job {row}")
    for webhook in journals.webhooks:
        for id_, cancelled in webhook.jobs.items():
            # None: its cancellation was refused, or is answered by its end.
            expected = {"cancelled"} if cancelled else {"done"} if cancelled is False else {"done", "cancelled"}
            check.expect(stored.get(id_) in expected, f"replay {id_} is {stored.get(id_)}, cancelled: {cancelled}")
    unasked = {id_ for id_, state in stored.items() if state == "cancelled"}
    unasked -= {id_ for webhook in journals.webhooks for id_ in webhook.jobs}
    check.violations += [f"job {id_} was cancelled by no user" for id_ in unasked]
    return check


def concurrency(journals: Journals) -> Check:
    check = Check("never more at once than max_concurrency (one, if ordered)")
    for webhook in journals.webhooks:
        limit = 1 if webhook.members.get("ordered") is True else webhook.members.get("max_concurrency", 10)
        for request in webhook.hook.journal if webhook.kind in {"small", "ordered", "limited", "keyed"} else []:
            check.expect(
                request.beside <= limit, f"{webhook.hook.name}: {request.beside} of {limit} at {request.at:.2f}"
            )
    return check


def rate(journals: Journals) -> Check:
    check = Check("never more in any time than the rate limit allows")
    for webhook in journals.webhooks:
        if (limit := webhook.members.get("rate_limit")) is not None:
            times = [request.at for request in webhook.hook.journal]
            check.tried += len(times)
            check.violations += _too_many(times, limit["per_s"], limit["burst"], webhook.hook.name)
    return check


def _too_many(times: list[float], per_s: float, burst: int, name: str) -> Iterable[str]:
    """Yield each arrival by which more arrived since an earlier one than a bucket gives in that time.

    After ``n`` arrivals, ``n - per_s * t`` may exceed its least value before by at most the burst.
    """
    least = math.inf
    for n, at in enumerate(times):
        least = min(least, n - per_s * at)
        if (n + 1 - per_s * at) - least > burst + per_s * PLACE_S:
            yield f"{name}: arrival {n} at {at:.2f} is above {per_s} a second with a burst of {burst}"
