"""Compares the encryption keys that stored secrets need with those that this process has."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from uuid import UUID

import structlog

from monitor.adapters.postgres.engine import Database
from monitor.adapters.postgres.repositories.webhooks import headers_context, secret_context
from monitor.adapters.secret_box import SecretBox, SecretBoxError
from monitor.domain.errors import Unavailable

EVERY_S = 30.0

SAMPLED = 5
"""Values of each key that are opened: one may be damaged."""

# Sealed values of each key, by the head that names it. Cost follows the number of webhooks.
SAMPLES = f"""
SELECT head, webhook_id, secret_id, sealed FROM (
    SELECT head, webhook_id, secret_id, sealed, row_number() OVER (PARTITION BY head ORDER BY webhook_id DESC) AS n
    FROM (
        SELECT substring(sealed FROM 1 FOR 2 + get_byte(sealed, 1)) AS head, webhook_id, secret_id, sealed FROM (
            SELECT s.webhook_id, s.id AS secret_id, s.sealed
            FROM webhook_secrets s JOIN webhooks w ON w.id = s.webhook_id
            WHERE w.deleted_at IS NULL AND (s.expires_at IS NULL OR s.expires_at > now())
            UNION ALL
            SELECT id, NULL, headers_sealed FROM webhooks WHERE deleted_at IS NULL AND headers_sealed IS NOT NULL
        ) AS stored WHERE length(sealed) > 2
    ) AS named
) AS numbered WHERE n <= {SAMPLED} ORDER BY head
"""

log = structlog.get_logger(__name__)


class KeyWatch:
    """
    Attributes:
        missing: ids of keys that stored secrets need and this process lacks, as last measured.
        wrong: ids of keys that this process has with other bytes than those that sealed, as last measured.
    """

    def __init__(self, database: Database, secret_box: SecretBox) -> None:
        self._database = database
        self._secret_box = secret_box
        self.missing: list[str] = []
        self.wrong: list[str] = []

    async def examine(self) -> dict[str, str | None]:
        """
        Open stored values of each key in use.

        Returns:
            For each key id why none of its values opens, or ``None``. What no version sealed is left out.

        Raises:
            Unavailable: the database does not answer.
        """
        rows = await self._database.fetch(SAMPLES, reserved=True)
        found: dict[str, str | None] = {}
        for row in rows:
            kid = self._secret_box.kid_of(row["sealed"])
            if kid is not None and found.get(kid, "") is not None:
                found[kid] = self._trouble(row)
        return found

    async def measure(self) -> None:
        """Compare once; an outage changes nothing."""
        try:
            found = await self.examine()
        except Unavailable:
            return  # Its own loops report that the database is away.
        missing = sorted(kid for kid in found if not self._secret_box.has(kid))
        wrong = sorted(kid for kid, trouble in found.items() if trouble is not None and kid not in missing)
        for name, kids, before in (
            ("encryption_key_missing", missing, self.missing),
            ("encryption_key_wrong", wrong, self.wrong),
        ):
            for kid in kids:
                if kid not in before:
                    log.error(name, kid=kid)
        self.missing, self.wrong = missing, wrong

    async def loop(self) -> None:
        while True:
            await self.measure()
            await asyncio.sleep(EVERY_S)

    def problems(self) -> list[str]:
        """Return a line for ``/health/ready`` if keys are missing, and one if keys are wrong."""
        lines = []
        if self.missing:
            needed = f"Stored secrets need the encryption key {_named(self.missing)}, which this process lacks"
            lines.append(f"{needed}; add it to MONITOR_SECRETS__KEYS and restart.")
        if self.wrong:
            other = f"The encryption key {_named(self.wrong)} is not the one that encrypted the stored secrets"
            lines.append(f"{other}; put the right one into MONITOR_SECRETS__KEYS and restart.")
        return lines

    def _trouble(self, row: Mapping[str, UUID | bytes | None]) -> str | None:
        webhook_id, secret_id, sealed = row["webhook_id"], row["secret_id"], row["sealed"]
        assert isinstance(webhook_id, UUID) and isinstance(sealed, bytes)  # noqa: PT018
        context = secret_context(secret_id, webhook_id) if isinstance(secret_id, UUID) else headers_context(webhook_id)
        try:
            self._secret_box.open(sealed, context=context)
        except SecretBoxError as error:
            return str(error)
        return None


def _named(kids: Sequence[str]) -> str:
    return ", ".join(map(repr, kids))
