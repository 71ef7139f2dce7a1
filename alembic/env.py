"""Alembic's entry point. ``monitor migrate`` hands it an open connection; the alembic command line is not used."""

from typing import Any

from alembic import context
from alembic.runtime.migration import MigrationContext, MigrationInfo
from sqlalchemy import text

from monitor.adapters.postgres.tables import metadata


def record_compatibility(ctx: MigrationContext, step: MigrationInfo, heads: set[str], **_: Any) -> None:
    """Store which code works with the schema that *step* has made, in its transaction."""
    for head in heads:
        compatible_from = getattr(step.revision_map.get_revision(head).module, "compatible_from", None)
        if compatible_from is not None:
            ctx.connection.execute(text("UPDATE alembic_version SET compatible_from = :c"), {"c": compatible_from})


context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    transaction_per_migration=True,
    on_version_apply=record_compatibility,
)
with context.begin_transaction():
    context.run_migrations()
