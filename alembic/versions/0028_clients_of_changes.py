"""The address of the client in the audit log.

A nullable column without a default, added without a rewrite. Grants on the table cover it. Processes of the version
before name the columns that they write and read, so their rows have none.
"""

from alembic import op

revision = "0028"
down_revision = "0027"
branch_labels = None
depends_on = None

compatible_from = "0027"


def upgrade() -> None:
    op.execute("ALTER TABLE audit_log ADD COLUMN client text")


def downgrade() -> None:
    op.execute("ALTER TABLE audit_log DROP COLUMN client")
