"""Each migration states which code can work with what it makes; the rule is in CONTRIBUTING.md under "Migrations"."""

from __future__ import annotations

import pytest
from alembic.script import ScriptDirectory

from monitor.adapters.postgres.migrate import _config, is_newer, newest_revision, schema_problem
from monitor.adapters.postgres.schema import StoredSchema

SCRIPTS = [*ScriptDirectory.from_config(_config()).walk_revisions()][::-1]
REVISIONS = [script.revision for script in SCRIPTS]
STATED = [getattr(script.module, "compatible_from", None) for script in SCRIPTS]
FIRST = REVISIONS.index("0027")
"""The first one that is asked for it."""


def test_revisions_have_one_order() -> None:
    assert sorted(REVISIONS) == REVISIONS
    assert [script.down_revision for script in SCRIPTS] == [None, *REVISIONS[:-1]]


@pytest.mark.parametrize("place", range(FIRST, len(REVISIONS)), ids=REVISIONS[FIRST:])
def test_each_migration_states_the_oldest_revision_that_works_with_it(place: int) -> None:
    assert STATED[place] in REVISIONS[FIRST : place + 1], (
        f"{REVISIONS[place]} needs compatible_from, see CONTRIBUTING.md"
    )


def test_what_a_migration_broke_stays_broken() -> None:
    since = [REVISIONS.index(str(revision)) for revision in STATED[FIRST:]]
    assert since == sorted(since)


def test_what_came_before_states_nothing() -> None:
    assert STATED[:FIRST] == [None] * FIRST


@pytest.mark.parametrize("compatible_from", REVISIONS[FIRST:])
def test_a_newer_schema_that_names_a_revision_of_ours_can_be_worked_with(compatible_from: str) -> None:
    schema = StoredSchema("9999", compatible_from)
    assert is_newer(schema)
    assert schema_problem(schema) is None


@pytest.mark.parametrize("compatible_from", [None, "9998", "9999"])
def test_any_other_newer_schema_cannot(compatible_from: str | None) -> None:
    problem = schema_problem(StoredSchema("9999", compatible_from))
    assert problem is not None
    assert problem.startswith("The database schema is 9999, which is newer than this Monitor (")
    assert problem.endswith("install the version that migrated it, or a later one.")


def test_an_older_schema_asks_to_migrate_and_the_newest_for_nothing() -> None:
    problem = schema_problem(StoredSchema(REVISIONS[-2], REVISIONS[FIRST]))
    assert problem is not None
    assert problem.endswith("run `monitor migrate`.")
    assert not is_newer(StoredSchema(REVISIONS[-2]))
    assert schema_problem(StoredSchema(newest_revision(), REVISIONS[FIRST])) is None
