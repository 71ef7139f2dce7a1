"""``monitor tail``."""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from monitor.cli.api_client import REMEDIES
from monitor.cli.common import CommandError
from monitor.cli.feed_lines import line_of
from monitor.cli.server_access import find_token, server_url
from monitor.domain.vocab import Role
from monitor.settings.schema import Settings

OPEN_S = 15.0
SILENT_S = 75.0
"""Heartbeats come every 30 s; a connection without any for this long is lost."""

FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 15.0
STABLE_S = 30.0
"""A connection that lasted this long makes the pauses short again; a first frame alone does not, since a server that is
overloaded sends one and closes."""

LARGEST_FRAME_BYTES = 64 * 1024 * 1024

_DEFAULT_TOPICS = ["alerts", "anomalies", "webhooks"]
_FINAL = {
    4400: "the server cannot read a frame; is it of another version?",
    4401: "the token expired or was revoked; make a new one with `monitor token`.",
    4403: "the token has not the right to read the feed; use one of the role viewer.",
}
"""Close codes after which connecting again would change nothing."""

_CLOSED = {
    1006: ("the connection was lost", None),
    1011: ("the server failed (1011)", None),
    1012: ("the server restarts (1012)", None),
    1013: ("this reads too slowly (1013)", None),
    4429: ("the server received too many frames (4429)", 60.0),
}
"""Other close codes: what happened, and how long to wait."""

_LATER = frozenset({429, 502, 503, 504})


class Lost(Exception):
    """The connection ended; *pause_s* is how long to wait at least before the next one, ``None`` for no wish."""

    def __init__(self, why: str, pause_s: float | None = None) -> None:
        super().__init__(why)
        self.pause_s = pause_s


def run(args: argparse.Namespace, settings: Settings) -> int:
    tail = Tail(args, find_token(args, settings, Role.VIEWER))
    for frame in tail.frames():
        text = json.dumps(frame, ensure_ascii=False) if args.json else line_of(frame)
        if text is not None:
            print(text, flush=True)
    return 0


class Tail:
    """The frames of the feed over one connection after the other, each from where the one before ended."""

    def __init__(
        self,
        args: argparse.Namespace,
        token: str,
        *,
        sleep: Callable[[float], object] = time.sleep,
        fraction: Callable[[], float] = random.random,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """*fraction* is in [0, 1): a pause without a wish of the server is between its half and its whole, so that not
        all clients of a server that restarts come back at once."""
        parts = urlsplit(server_url(args))
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise CommandError(f"{server_url(args)!r} is not the URL of a server; write it like http://127.0.0.1:8000.")
        scheme = "wss" if parts.scheme == "https" else "ws"
        self._url = f"{scheme}://{parts.netloc}{parts.path.rstrip('/')}/ws/dashboard"
        self._token = token
        self._sleep = sleep
        self._fraction = fraction
        self._now = now
        self._filter = {"topics": args.topic or _DEFAULT_TOPICS, "webhooks": args.webhook}
        self._position: dict[str, Any] | None = None
        self._is_first = True

    def frames(self) -> Iterator[dict[str, Any]]:
        """Yield every frame but heartbeats. Raises :class:`CommandError` where connecting again is of no use."""
        pause_s = FIRST_PAUSE_S
        while True:
            started_s = self._now()
            try:
                yield from self._connection_frames()
            except Lost as lost:
                if self._now() - started_s >= STABLE_S:
                    pause_s = FIRST_PAUSE_S
                wait_s = pause_s * (0.5 + self._fraction() / 2) if lost.pause_s is None else lost.pause_s
                print(f"monitor tail: {lost}; connecting again in {wait_s:.1f} s …", file=sys.stderr, flush=True)
                self._sleep(wait_s)
                pause_s = min(pause_s * 2, LONGEST_PAUSE_S)

    def _connection_frames(self) -> Iterator[dict[str, Any]]:
        try:
            with self._open() as socket:
                self._is_first = False
                first = {"type": "subscribe"} if self._position is None else {"type": "resume", **self._position}
                socket.send(json.dumps(first | self._filter))
                yield from self._received(socket)
        except ConnectionClosed as error:
            code = 1006 if error.rcvd is None else error.rcvd.code
            if code in _FINAL:
                raise CommandError(_FINAL[code]) from None
            raise Lost(*_CLOSED.get(code, (f"the connection was closed ({code})", None))) from None

    def _open(self) -> ClientConnection:
        try:
            return connect(
                self._url,
                additional_headers={"Authorization": f"Bearer {self._token}"},
                open_timeout=OPEN_S,
                max_size=LARGEST_FRAME_BYTES,
                proxy=None,
            )
        except InvalidStatus as error:
            raise self._refusal(error) from None
        except (OSError, InvalidHandshake) as error:
            text = f"{self._url} does not answer ({error})"
            if self._is_first:
                raise CommandError(f"{text}; is it the right --url?") from None
            raise Lost(text) from None

    def _refusal(self, error: InvalidStatus) -> Exception:
        response = error.response
        try:
            detail = json.loads(response.body or b"")["detail"]
        except (ValueError, KeyError, TypeError):
            detail = response.reason_phrase
        wait = response.headers.get("Retry-After", "")
        remedies = {
            **REMEDIES,
            404: "is it the right --url?",
            429: f"run this again {f'in {wait} s' if wait.isdecimal() else 'later'}.",
        }
        remedy = remedies.get(response.status_code)
        text = f"the server answers {response.status_code}: {detail}"
        if response.status_code not in _LATER or (self._is_first and response.status_code == 429):
            return CommandError(" ".join(filter(None, [text, remedy])))
        return Lost(text.rstrip("."), float(wait) if wait.isdecimal() else None)

    def _received(self, socket: ClientConnection) -> Iterator[dict[str, Any]]:
        resumed = self._position is not None
        while True:
            try:
                frame: dict[str, Any] = json.loads(socket.recv(timeout=SILENT_S))
            except TimeoutError:
                raise Lost(f"nothing came for {SILENT_S:.0f} s") from None
            if frame["type"] == "snapshot" and resumed:
                print("monitor tail: what was missed is no longer kept; going on from now", file=sys.stderr, flush=True)
            resumed = False
            if frame["type"] != "error":
                self._position = {"epoch": frame["epoch"], "seq": frame["seq"]}
            if frame["type"] != "heartbeat":
                yield frame
