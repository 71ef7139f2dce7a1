"""Which code can work with the schema, beside the revision: the oldest revision of a process that stays ready.

A column without a default, in the table of one row that Alembic keeps; it reads and writes the other column by name.
``env.py`` writes what each migration from here on states as ``compatible_from``. Processes of revisions before this one
do not read it, and are ready on their own revision alone.
"""

from alembic import op

revision = "0027"
down_revision = "0026"
branch_labels = None
depends_on = None

compatible_from = "0027"


def upgrade() -> None:
    op.execute("ALTER TABLE alembic_version ADD COLUMN compatible_from text")


def downgrade() -> None:
    op.execute("ALTER TABLE alembic_version DROP COLUMN compatible_from")
