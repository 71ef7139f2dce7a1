"""Jobs, of which a replay is one kind, and when a webhook was resumed.

The stored replays become jobs. Their table stays, empty, for processes of the version before.
"""

from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        """
        CREATE TABLE jobs (
            id uuid CONSTRAINT pk_jobs PRIMARY KEY,
            kind text NOT NULL,
            parameters jsonb NOT NULL,
            state text NOT NULL,
            done integer NOT NULL,
            total integer,
            cursor uuid,
            error text,
            created_by text NOT NULL,
            created_at timestamptz NOT NULL,
            stepped_at timestamptz NOT NULL,
            finished_at timestamptz
        )
        """
    )
    op.execute("CREATE INDEX ix_jobs_running ON jobs (stepped_at, id) WHERE finished_at IS NULL")
    op.execute("CREATE INDEX ix_jobs_finished_at ON jobs (finished_at)")
    op.execute("ALTER TABLE webhook_lanes ADD COLUMN resumed_at timestamptz, ADD COLUMN release_at timestamptz")
    op.execute(
        """
        WITH stored AS (DELETE FROM replays RETURNING *)
        INSERT INTO jobs (id, kind, parameters, state, done, total, cursor, created_by, created_at, stepped_at,
                          finished_at)
        SELECT id, 'replay', jsonb_build_object(
                   'kind', 'replay', 'webhook_id', webhook_id, 'from_at', from_at, 'to_at', to_at, 'states', states),
               CASE WHEN finished_at IS NULL THEN 'running' ELSE 'done' END, queued, total, cursor, created_by,
               created_at, created_at, finished_at
        FROM stored
        """
    )


def downgrade() -> None:
    op.execute(
        """
        INSERT INTO replays (id, webhook_id, from_at, to_at, states, created_by, created_at, total, queued, cursor,
                             finished_at)
        SELECT id, (parameters ->> 'webhook_id')::uuid, (parameters ->> 'from_at')::timestamptz,
               (parameters ->> 'to_at')::timestamptz, ARRAY(SELECT jsonb_array_elements_text(parameters -> 'states')),
               created_by, created_at, coalesce(total, 0), done, cursor, finished_at
        FROM jobs WHERE kind = 'replay'
        """
    )
    op.execute("ALTER TABLE webhook_lanes DROP COLUMN resumed_at, DROP COLUMN release_at")
    op.execute("DROP TABLE jobs")
