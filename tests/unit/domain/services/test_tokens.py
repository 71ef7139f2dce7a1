"""Revocations, and the audit rows of tokens."""

from __future__ import annotations

from datetime import timedelta

import pytest

from monitor.domain.errors import Invalid
from monitor.domain.ports.unit_of_work import UnitOfWorkFactory
from monitor.domain.services.tokens import TokenCommands
from monitor.domain.views.tokens import Revocation
from monitor.domain.vocab import Role
from tests import samples
from tests.fakes.clock import START, FakeClock
from tests.fakes.postgres.database import FakeDatabase

DAY = timedelta(days=1)


@pytest.fixture
def commands(unit_of_work: UnitOfWorkFactory) -> TokenCommands:
    return TokenCommands(unit_of_work, kept_s=DAY.total_seconds())


async def test_a_revocation_is_kept_as_long_as_a_token_can_be_valid_and_leaves_one_audit_row(
    commands: TokenCommands, database: FakeDatabase, clock: FakeClock
) -> None:
    made = await commands.revoke("jti-1", samples.ACTOR)
    assert made == Revocation("jti-1", START, START + DAY)
    clock.advance(5.0)
    assert await commands.revoke("jti-1", samples.ACTOR) == made
    (row,) = database.tables.audit.values()
    assert (row.subject, row.action, row.target, row.at) == ("ada", "token.revoke", "token:jti-1", START)
    assert row.after == {"expires_at": "2026-01-06T12:00:00Z"}


async def test_a_token_whose_revocation_ran_out_can_be_revoked_again(
    commands: TokenCommands, database: FakeDatabase, clock: FakeClock
) -> None:
    await commands.revoke("jti-1", samples.ACTOR)
    clock.advance(DAY.total_seconds())
    assert (await commands.revoke("jti-1", samples.ACTOR)).revoked_at == START + DAY
    assert len(database.tables.audit) == 2


@pytest.mark.parametrize("jti", ["a\nb", "\x00", "\u202e"])
async def test_what_no_token_can_be_named_is_refused(commands: TokenCommands, database: FakeDatabase, jti: str) -> None:
    with pytest.raises(Invalid) as refused:
        await commands.revoke(jti, samples.ACTOR)
    assert [error.pointer for error in refused.value.errors] == ["/jti"]
    assert database.tables.revocations == {}


async def test_a_token_that_is_issued_leaves_an_audit_row_without_the_token(
    commands: TokenCommands, database: FakeDatabase
) -> None:
    await commands.record_issue("jti-1", subject="ci", role=Role.PUBLISHER, expires_at=START + DAY, actor=samples.ACTOR)
    (row,) = database.tables.audit.values()
    assert (row.subject, row.action, row.target, row.before) == ("ada", "token.issue", "token:jti-1", None)
    assert row.after is not None
    assert {name: row.after[name] for name in ("subject", "role")} == {"subject": "ci", "role": "publisher"}
