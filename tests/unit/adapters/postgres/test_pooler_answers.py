"""What a pooler answers itself, as an outage and as a line for an operator."""

from __future__ import annotations

import asyncpg
import pytest

from monitor.adapters.postgres.outages import NO_ANSWER, outage
from monitor.adapters.postgres.pooler_answers import DIRECT_URL_MISSING, OUTAGES, REMEDIES
from monitor.adapters.postgres.refusals import refusal

ANSWERS = [
    ("query_wait_timeout", "The connection pooler had no connection to the database in time", True),
    ("no more connections allowed (max_client_conn)", "The connection pooler takes no more connections", True),
    ("database does not allow connections: monitor", "The database is disabled in the connection pooler", True),
    ("unsupported startup parameter: jit", DIRECT_URL_MISSING, False),
    ("server login has been failing, try again later (server_login_retry)", "does not reach the database", True),
    ("server login failed: FATAL the database system is starting up", "does not reach the database", True),
    ("pgbouncer cannot connect to server", "does not reach the database", True),
    ("server conn crashed?", "The connection pooler lost the database", True),
    ("no such database: monitor", NO_ANSWER, False),
    ("no such user: ada", NO_ANSWER, False),
    ("SASL authentication failed", NO_ANSWER, False),
]


def answer(words: str) -> asyncpg.PostgresError:
    """Return what asyncpg raises when PgBouncer answers *words*."""
    return asyncpg.PostgresError.new({"S": "FATAL", "C": "08P01", "M": words})


@pytest.mark.parametrize(("words", "cause", "passes"), ANSWERS)
def test_an_answer_of_the_pooler_is_an_outage_in_its_words(words: str, cause: str, passes: bool) -> None:
    assert cause in (outage(answer(words)) or "")
    told = refusal(answer(words))
    assert told.words == words.rstrip(".")
    assert told.may_pass is passes or told.remedy == "see the log of the server"


def test_an_answer_that_ended_the_connection_is_its_cause() -> None:
    ended = asyncpg.ConnectionDoesNotExistError("connection was closed in the middle of operation: query_wait_timeout")
    ended.__cause__ = answer("query_wait_timeout")
    assert outage(ended) == "The connection pooler had no connection to the database in time"
    assert "default_pool_size" in refusal(ended).remedy


def test_each_answer_that_is_known_has_a_case_here() -> None:
    for words, _ in (*OUTAGES, *REMEDIES):
        assert any(words in said for said, _, _ in ANSWERS) or words == "server closed the connection"


@pytest.mark.parametrize("kind", [asyncpg.InvalidSQLStatementNameError, asyncpg.DuplicatePreparedStatementError])
def test_a_statement_of_another_connection_is_a_missing_setting(kind: type[asyncpg.PostgresError]) -> None:
    assert outage(kind("prepared statement")) == DIRECT_URL_MISSING
    assert refusal(kind("prepared statement")).remedy == DIRECT_URL_MISSING


def test_a_refusal_names_the_setting_that_led_to_it() -> None:
    assert "port in MONITOR_DB__DIRECT_URL" in str(refusal(ConnectionRefusedError(111, ""), "MONITOR_DB__DIRECT_URL"))
