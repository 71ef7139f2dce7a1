"""Where and how to send: URL, secrets and headers, decrypted."""

from __future__ import annotations

import msgspec

from monitor.domain.vocab import BodyFormat, SignatureScheme


class Destination(msgspec.Struct, frozen=True):
    """Where and how to send: secrets and header values decrypted. Never logged."""

    url: str
    timeout_s: float
    headers: tuple[tuple[str, str], ...]
    signature: SignatureScheme
    keys: tuple[bytes, ...]
    body_format: BodyFormat = BodyFormat.STANDARD

    def __repr__(self) -> str:
        return "Destination(…)"
