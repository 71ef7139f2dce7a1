"""A client of the live feed that comes back with its last position, and what it may never see."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Sequence
from typing import Any

from websockets.asyncio.client import connect
from websockets.exceptions import WebSocketException

NUMBERED = {"alert_new", "alert_updated", "webhook_status_changed", "anomaly_opened", "anomaly_closed"}


class Follower:
    """
    Applies the frames of one socket after another.

    Attributes:
        statuses: health of each webhook as the latest snapshot and the frames after it say.
        seen: each numbered frame, by epoch and number.
    """

    def __init__(
        self, name: str, bases: Sequence[str], token: str, first: int, *, tls: ssl.SSLContext | None = None
    ) -> None:
        """
        Args:
            bases: ``ws://host:port`` of each server; *first* is the index of the one to begin with.
            tls: what trusts their certificates, for ``wss``.
        """
        self.name = name
        self.connections = 0
        self.snapshots = 0
        self.frames = 0
        self.violations: list[str] = []
        self.statuses: dict[str, str] = {}
        self.seen: dict[tuple[str, int], str] = {}
        self._bases = bases
        self._tls = tls
        self._token = token
        self._turn = first
        self._epoch = ""
        self._seq = 0
        self._has_snapshot = False

    async def follow(self) -> None:
        """Read until cancelled."""
        while True:
            query = f"?epoch={self._epoch}&seq={self._seq}" if self._epoch else ""
            url = f"{self._bases[self._turn % len(self._bases)]}/ws/dashboard{query}"
            headers = {"Authorization": f"Bearer {self._token}"}
            try:
                async with connect(
                    url, additional_headers=headers, proxy=None, compression=None, ssl=self._tls
                ) as socket:
                    self.connections += 1
                    async for text in socket:
                        self.take(json.loads(text))
            except (OSError, WebSocketException, TimeoutError, EOFError):
                self._turn += 1
            await asyncio.sleep(0.2)

    def take(self, frame: dict[str, Any]) -> None:
        """Apply one frame."""
        self.frames += 1
        epoch, seq, kind = frame["epoch"], frame["seq"], frame["type"]
        before = f"{kind} {seq} of {epoch} after {self._seq} of {self._epoch}"
        if kind == "snapshot":
            self.snapshots += 1
            if epoch == self._epoch and seq < self._seq:
                self.violations.append(f"{self.name}: went back: {before}")
            # It has the first page of webhooks; of the others, nothing is known up to their next change.
            self.statuses = {item["id"]: item["health"]["status"] for item in frame["data"]["webhooks"]}
        elif kind in NUMBERED:
            if (epoch, seq) != (self._epoch, self._seq + 1):
                self.violations.append(f"{self.name}: gap or repeat: {before}")
            self.seen[epoch, seq] = json.dumps(frame, sort_keys=True)
            if kind == "webhook_status_changed":
                self.statuses[frame["data"]["webhook_id"]] = frame["data"]["status"]
        elif (epoch, seq) != (self._epoch, self._seq):
            self.violations.append(f"{self.name}: unnumbered and elsewhere: {before}")
        self._epoch, self._seq = epoch, seq
