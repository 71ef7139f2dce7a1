"""Entity tags of encoded responses."""

from __future__ import annotations

from hashlib import blake2b


def entity_tag(body: bytes) -> str:
    """Return the quoted entity tag of *body*: the same bytes have the same tag in every process (RFC 9110 8.8.3)."""
    return f'"{blake2b(body, digest_size=8).hexdigest()}"'
