"""The index of the audit log by what was changed, for the annotations of a webhook's charts.

Changes through the API wait while it is built, deliveries do not: the audit log has a row for each change by a person.
"""

from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("CREATE INDEX ix_audit_log_target ON audit_log (target, action, at)")


def downgrade() -> None:
    op.execute("DROP INDEX ix_audit_log_target")
