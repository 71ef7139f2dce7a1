"""Frames of a client, their rate, and the token of its socket."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Annotated
from uuid import UUID

import msgspec

from monitor.domain.errors import Forbidden, Invalid, Malformed, TooManyRequests, Unauthenticated
from monitor.domain.live.stream import Position
from monitor.domain.vocab import Role

MAX_FRAMES = 100
RATE_WINDOW_S = 60.0
"""A client may send this many frames in this many seconds."""

FrameList = msgspec.Meta(max_length=1000)


class UnknownFrame(Invalid):
    """A ``type`` of a later version; the socket stays open."""

    slug = "unknown_type"
    title = "The type of frame does not exist"


class SocketGrant(msgspec.Struct, frozen=True):
    """The token by which a socket is open, until Unix second ``expires_at`` without leeway; ``key_id`` names the key
    that signed it."""

    subject: str
    role: Role
    jti: str
    expires_at: float
    key_id: str = ""


class Auth(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Replaces the token before it expires."""

    token: str
    type: str = "auth"

    def __repr__(self) -> str:
        return "Auth(…)"


class Subscribe(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Replaces the filter; ``None`` matches all. The response is a snapshot."""

    topics: Annotated[list[str], FrameList] | None = None
    webhooks: Annotated[list[UUID], FrameList] | None = None
    type: str = "subscribe"


class Resume(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The first frame of a client that reconnects, with the filter it had before."""

    epoch: str
    seq: Annotated[int, msgspec.Meta(ge=0)]
    topics: Annotated[list[str], FrameList] | None = None
    webhooks: Annotated[list[UUID], FrameList] | None = None
    type: str = "resume"

    @property
    def position(self) -> Position:
        return Position(self.epoch, self.seq)


class _AnyFrame(msgspec.Struct):
    type: str


_FRAMES: dict[str, type[Auth | Subscribe | Resume]] = {"auth": Auth, "subscribe": Subscribe, "resume": Resume}


class Session:
    """One client's token, and the times of its newest frames."""

    __slots__ = ("_frame_times", "grant")

    def __init__(self, grant: SocketGrant) -> None:
        self.grant = grant
        self._frame_times: deque[float] | None = None

    def read_frame(self, payload: str | bytes | None, now_s: float) -> Auth | Subscribe | Resume:
        """
        Read a frame.

        Args:
            payload: the text; ``None`` or bytes for a binary frame.

        Raises:
            MonitorError: the frame is refused; most errors close the socket.
        """
        self._limit_rate(now_s)
        if not isinstance(payload, str):
            raise Malformed("Send JSON in text frames.")
        try:
            frame = msgspec.json.decode(payload, type=_AnyFrame)
            kind = _FRAMES.get(frame.type)
            if kind is None:
                raise UnknownFrame("Known types: auth, subscribe, resume.")
            return msgspec.json.decode(payload, type=kind)
        except msgspec.ValidationError:
            raise Invalid("A member of the frame is missing, unknown or of the wrong kind.") from None
        except (ValueError, RecursionError):
            raise Malformed("The frame is not valid JSON.") from None

    def renew_token(self, new: SocketGrant) -> None:
        """
        Replace the token by a newer one.

        Raises:
            Forbidden: it is of another subject, or gives rights that the old one did not.
        """
        if new.subject != self.grant.subject:
            raise Forbidden("The new token is for another subject.")
        if not self.grant.role.includes(new.role):
            raise Forbidden("The new token has more rights; connect again to use them.")
        if not new.role.includes(Role.VIEWER):
            raise Forbidden("This needs the role viewer.")
        self.grant = new

    def check_token(self, now: float, is_revoked: Callable[[str], bool], holds_key: Callable[[str], bool]) -> None:
        """
        Check the token at Unix second *now*.

        Raises:
            Unauthenticated: it has expired or is revoked, or its key was taken away.
        """
        if now >= self.grant.expires_at:
            raise Unauthenticated("The token has expired.")
        if is_revoked(self.grant.jti):
            raise Unauthenticated("The token has been revoked.")
        if not holds_key(self.grant.key_id):
            raise Unauthenticated("The key that signed the token was taken away.")

    def _limit_rate(self, now_s: float) -> None:
        if self._frame_times is None:
            # Most clients never send a frame.
            self._frame_times = deque(maxlen=MAX_FRAMES)
        if len(self._frame_times) == MAX_FRAMES and now_s - self._frame_times[0] < RATE_WINDOW_S:
            raise TooManyRequests("Too many frames.", retry_after_s=RATE_WINDOW_S)
        self._frame_times.append(now_s)
