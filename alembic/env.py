"""Alembic's entry point. ``monitor migrate`` hands it an open connection; the alembic command line is not used."""

from alembic import context

from monitor.adapters.postgres.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    transaction_per_migration=True,
)
with context.begin_transaction():
    context.run_migrations()
