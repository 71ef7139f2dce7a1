"""Where and how to send: URL, secrets and headers, decrypted."""

from __future__ import annotations

import msgspec

from monitor.domain.delivery.formats.pagerduty import ROUTING_KEY
from monitor.domain.vocab import BodyFormat, SignatureScheme


class Destination(msgspec.Struct, frozen=True):
    """Where and how to send: secrets and header values decrypted. Never logged."""

    url: str
    timeout_s: float
    headers: tuple[tuple[str, str], ...]
    signature: SignatureScheme
    keys: tuple[bytes, ...]
    body_format: BodyFormat = BodyFormat.STANDARD

    @property
    def routing_key(self) -> str:
        """The integration key of PagerDuty, a header of the webhook; empty without one."""
        return next((value for name, value in self.headers if self._is_routing_key(name)), "")

    @property
    def sent_headers(self) -> tuple[tuple[str, str], ...]:
        """The webhook's headers but for what moves into the body."""
        return tuple((name, value) for name, value in self.headers if not self._is_routing_key(name))

    def _is_routing_key(self, name: str) -> bool:
        return self.body_format is BodyFormat.PAGERDUTY and name.lower() == ROUTING_KEY.lower()

    def __repr__(self) -> str:
        return "Destination(…)"
