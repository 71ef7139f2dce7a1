"""How many bytes of request bodies a process holds at once."""

from __future__ import annotations

from collections import Counter

from litestar.enums import ScopeType
from litestar.types import ASGIApp, HTTPReceiveMessage, Receive, Scope, Send, WebSocketReceiveMessage

from monitor.domain.errors import Unavailable
from monitor.http.middleware.rate_limit import BATCH_BODY_BYTES

MIB = 1024 * 1024
SUBJECT_BODY_BYTES = 32 * MIB
PROCESS_BODY_BYTES = 128 * MIB
MAX_DIGITS = 20
"""Of a length; the server's parser refuses a longer one."""


class BodyBudget:
    """
    Bytes of bodies in flight: announced or read, of requests without a response.

    Args:
        subject_bytes: of all requests of one subject; at least one body of the largest size.
        process_bytes: of all requests; as much.
    """

    def __init__(self, *, subject_bytes: int = SUBJECT_BODY_BYTES, process_bytes: int = PROCESS_BODY_BYTES) -> None:
        self._subject_bytes = subject_bytes
        self._process_bytes = process_bytes
        self._of: Counter[str] = Counter()
        self.held_bytes = 0

    def take(self, subject: str, count: int) -> None:
        """Reserve *count* bytes. Raises ``Unavailable`` if that is more than the budget leaves."""
        if self._of[subject] + count > self._subject_bytes:
            size = f"{self._subject_bytes / MIB:g} MiB"
            raise Unavailable(f"Your requests in flight may hold {size} of bodies here; send fewer at once.")
        if self.held_bytes + count > self._process_bytes:
            size = f"{self._process_bytes / MIB:g} MiB"
            raise Unavailable(f"All requests in flight may hold {size} of bodies in this process; try again.")
        self._of[subject] += count
        self.held_bytes += count

    def give_back(self, subject: str, count: int) -> None:
        """Release *count* reserved bytes."""
        self.held_bytes -= count
        self._of[subject] -= count
        if not self._of[subject]:
            del self._of[subject]


class LimitBodies:
    """
    Holds the bodies of authenticated requests to the budget. Stands behind ``Authenticate``.

    An announced length is reserved before anything is read, so that of many large bodies some arrive whole instead of
    all in part; a body without one is counted as it comes.
    """

    def __init__(self, app: ASGIApp, budget: BodyBudget) -> None:
        self.app = app
        self._budget = budget

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        user = scope.get("user")
        if user is None or scope["type"] != ScopeType.HTTP:
            await self.app(scope, receive, send)
            return
        budget, subject = self._budget, user.subject
        # More is refused by its length (413), and never read.
        announced = min(_content_length(scope), BATCH_BODY_BYTES)
        budget.take(subject, announced)
        reserved, received = announced, 0

        async def counted() -> HTTPReceiveMessage | WebSocketReceiveMessage:
            nonlocal reserved, received
            message = await receive()
            received += len(message["body"]) if message["type"] == "http.request" else 0
            if received > reserved:
                budget.take(subject, received - reserved)
                reserved = received
            return message

        try:
            await self.app(scope, counted, send)
        finally:
            budget.give_back(subject, reserved)


def _content_length(scope: Scope) -> int:
    value = next((value for name, value in scope["headers"] if name == b"content-length"), b"0")
    return int(value) if value.isdigit() and len(value) < MAX_DIGITS else 0
