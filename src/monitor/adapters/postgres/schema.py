"""The schema of a database as its migrations recorded it: the revision, and which code can work with it."""

from __future__ import annotations

from typing import Any

import msgspec

from monitor.adapters.postgres.engine import Database

_decode = msgspec.json.Decoder(dict[str, Any]).decode


class StoredSchema(msgspec.Struct, frozen=True):
    """
    ``compatible_from`` is the oldest revision whose code works with this schema.

    Both are ``None`` on a database without a schema, the second one also before migration 0027.
    """

    revision: str | None = None
    compatible_from: str | None = None


async def stored_schema(database: Database) -> StoredSchema:
    """Return the schema of *database*. Raises ``Unavailable``."""
    found = await database.fetchrow("SELECT to_regclass('alembic_version') AS name", reserved=True)
    if found is None or found["name"] is None:
        return StoredSchema()
    # The whole row, since a schema may be too old to have both columns.
    row = await database.fetchrow("SELECT to_jsonb(v)::text AS members FROM alembic_version v", reserved=True)
    members = {} if row is None else _decode(row["members"])
    return StoredSchema(members.get("version_num"), members.get("compatible_from"))
