"""`monitor tail` on a server that refuses, closes and restarts, and under a reader that leaves."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from websockets.datastructures import Headers
from websockets.http11 import Request, Response
from websockets.sync.server import ServerConnection, serve

from monitor.cli.common import CommandError
from monitor.cli.tail import LONGEST_PAUSE_S, STABLE_S, Tail
from tests.integration.processes import environment

Answer = tuple[int, dict[str, str], str] | int | None
"""An answer to the handshake, or a frame and then a close code, or a frame and a lost connection."""

QUIET = {"type": "metrics_update", "at": "2026-01-31T12:00:00Z", "data": {"queue": {"pending": 1, "in_flight": 0}}}


class Feed:
    """A server of a feed that answers as scripted, the last answer for ever."""

    def __init__(self, answers: list[Answer]) -> None:
        self.answers = answers
        self.first_frames: list[dict[str, Any]] = []
        self._seq = 0

    def refuse(self, _connection: ServerConnection, _request: Request) -> Response | None:
        answer = self.answers[0]
        if not isinstance(answer, tuple):
            return None
        self._next()
        status, headers, detail = answer
        body = json.dumps({"detail": detail}).encode()
        return Response(status, "Refused", Headers({**headers, "Content-Length": str(len(body))}), body)

    def handle(self, connection: ServerConnection) -> None:
        answer = self._next()
        self.first_frames.append(json.loads(connection.recv()))
        self._seq += 1
        connection.send(json.dumps({**QUIET, "epoch": "e", "seq": self._seq}))
        if isinstance(answer, int):
            connection.close(answer)
        else:
            connection.socket.close()

    def _next(self) -> Answer:
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


@contextmanager
def feeding(
    answers: list[Answer], handle: Callable[[ServerConnection], None] | None = None
) -> Iterator[tuple[str, Feed]]:
    feed = Feed(answers)
    with serve(handle or feed.handle, "127.0.0.1", 0, process_request=feed.refuse) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.socket.getsockname()[1]}", feed
        finally:
            server.shutdown()
            thread.join()


def tail(url: str, pauses: list[float]) -> Tail:
    args = argparse.Namespace(url=url, topic=None, webhook=None)
    return Tail(args, "t0ken", sleep=pauses.append, fraction=lambda: 1.0)


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (
            (421, {}, "The host is not served."),
            "421: The host is not served. Give --url a host that MONITOR_HTTP__ALLOWED_HOSTS",
        ),
        ((429, {"Retry-After": "7"}, "Too many requests."), "429: Too many requests. run this again in 7 s."),
        ((429, {}, "Too many feeds."), "429: Too many feeds. run this again later."),
        ((401, {}, "The token expired."), "401: The token expired. Make a new token with `monitor token`."),
        ((404, {}, "Nothing is there."), "404: Nothing is there. is it the right --url?"),
        (4400, "is it of another version?"),
        (4401, "make a new one with `monitor token`"),
        (4403, "use one of the role viewer"),
    ],
)
def test_what_connecting_again_would_not_change_ends_it(answer: Answer, says: str) -> None:
    pauses: list[float] = []
    with feeding([answer]) as (url, _), pytest.raises(CommandError) as refused:
        list(tail(url, pauses).frames())
    assert says in str(refused.value)
    assert pauses == []


@pytest.mark.parametrize(
    ("answer", "pause_s", "says"),
    [
        (1000, 1.0, "the connection was closed (1000)"),
        (1001, 1.0, "the connection was closed (1001)"),
        (1011, 1.0, "the server failed (1011)"),
        (1012, 1.0, "the server restarts (1012)"),
        (1013, 1.0, "this reads too slowly (1013)"),
        (4429, 60.0, "the server received too many frames (4429)"),
        (None, 1.0, "the connection was lost"),
    ],
)
def test_after_another_close_it_goes_on_where_it_was(
    answer: Answer, pause_s: float, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    pauses: list[float] = []
    frames: list[dict[str, Any]] = []
    with feeding([answer, 4401]) as (url, feed), pytest.raises(CommandError, match="expired or was revoked"):
        frames.extend(tail(url, pauses).frames())
    assert pauses == [pause_s]
    assert [frame["type"] for frame in feed.first_frames] == ["subscribe", "resume"]
    assert (feed.first_frames[1]["epoch"], feed.first_frames[1]["seq"]) == ("e", 1)
    assert f"monitor tail: {says}; connecting again in {pause_s:.1f} s …" in capsys.readouterr().err


def test_a_refusal_for_now_is_awaited_as_long_as_it_says() -> None:
    pauses: list[float] = []
    later: list[Answer] = [(503, {"Retry-After": "9"}, "Away."), (502, {}, "Away.")]
    limited: Answer = (429, {"Retry-After": "4"}, "Too many requests.")
    with feeding([*later, 1012, limited, 4401]) as (url, _), pytest.raises(CommandError, match="expired"):
        list(tail(url, pauses).frames())
    assert pauses == [9.0, 2.0, 4.0, 4.0]


def test_a_server_that_is_away_is_tried_again_and_again() -> None:
    pauses: list[float] = []

    class Enough(Exception):
        """As many tries as the test needs."""

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) > 6:
            raise Enough

    with feeding([1012]) as (url, _):
        watching = Tail(
            argparse.Namespace(url=url, topic=None, webhook=None), "t0ken", sleep=pause, fraction=lambda: 1.0
        )
        frames = watching.frames()
        next(frames)
    with pytest.raises(Enough):
        next(frames)
    assert pauses == [1.0, 2.0, 4.0, 8.0, LONGEST_PAUSE_S, LONGEST_PAUSE_S, LONGEST_PAUSE_S]


@pytest.mark.parametrize("code", [1012, 1013])
def test_a_server_that_closes_each_connection_gets_few_of_them(code: int) -> None:
    """The pauses grow, although each connection had a frame, and shrink after one that lasted."""
    now = 0.0
    pauses: list[float] = []

    class Enough(Exception):
        """An hour is over."""

    def pause(seconds: float) -> None:
        nonlocal now
        pauses.append(seconds)
        now += seconds
        if now >= 3600:
            raise Enough

    with feeding([code]) as (url, feed):
        args = argparse.Namespace(url=url, topic=None, webhook=None)
        watching = Tail(args, "t0ken", sleep=pause, fraction=lambda: 0.0, now=lambda: now)
        with pytest.raises(Enough):
            list(watching.frames())
    # Half of each pause, as the least jitter has it.
    assert pauses[:5] == [0.5, 1.0, 2.0, 4.0, LONGEST_PAUSE_S / 2]
    assert set(pauses[4:]) == {LONGEST_PAUSE_S / 2}
    assert len(feed.first_frames) == len(pauses) <= 3600 / (LONGEST_PAUSE_S / 2) + 5


def test_a_connection_that_lasted_makes_the_pauses_short_again() -> None:
    pauses: list[float] = []
    # At the beginning and the end of each connection: the third lasts.
    times = iter([0.0, 1.0, 2.0, 3.0, 4.0, 4.0 + STABLE_S, 50.0, 51.0, 52.0])
    with feeding([1012, 1012, 1012, 1012, 4401]) as (url, _):
        args = argparse.Namespace(url=url, topic=None, webhook=None)
        watching = Tail(args, "t0ken", sleep=pauses.append, fraction=lambda: 1.0, now=lambda: next(times))
        with pytest.raises(CommandError, match="expired"):
            list(watching.frames())
    assert pauses == [1.0, 2.0, 1.0, 2.0]


@pytest.mark.processes
def test_a_reader_that_leaves_ends_it_without_a_word() -> None:
    left = threading.Event()

    def handle(connection: ServerConnection) -> None:
        connection.recv()
        frame = json.dumps({**QUIET, "epoch": "e", "seq": 1})
        connection.send(frame)
        assert left.wait(60)
        connection.send(frame)
        for _ in connection:
            """Until it closes."""

    with feeding([4401], handle) as (url, _):
        watching = subprocess.Popen(
            [sys.executable, "-m", "monitor", "tail", "--url", url],
            env=environment(TOKEN="t0ken"),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert watching.stdout is not None
        assert watching.stderr is not None
        assert b"1 deliveries are pending" in watching.stdout.readline()
        watching.stdout.close()
        left.set()
        said = watching.stderr.read()
        watching.stderr.close()
        assert (watching.wait(60), said) == (141, b"")
