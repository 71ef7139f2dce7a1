"""What a pooler answers itself, by its words: PgBouncer has one code for most of it, 08P01."""

from __future__ import annotations

import asyncpg

DIRECT_URL_MISSING = (
    "MONITOR_DATABASE_URL leads to a pooler in transaction mode, so set MONITOR_DB__DIRECT_URL to the URL of PostgreSQL"
    " itself"
)

WAITED = "The connection pooler had no connection to the database in time"

OUTAGES = (
    ("query_wait_timeout", WAITED),
    ("no more connections allowed", "The connection pooler takes no more connections"),
    ("does not allow connections", "The database is disabled in the connection pooler"),
    ("unsupported startup parameter", DIRECT_URL_MISSING),
    ("login failed", "The connection pooler does not reach the database"),
    # What clients get until the next try, after server_login_retry.
    ("login has been failing", "The connection pooler does not reach the database"),
    ("cannot connect", "The connection pooler does not reach the database"),
    ("server conn crashed", "The connection pooler lost the database"),
    ("server closed the connection", "The connection pooler lost the database"),
)

REMEDIES = (
    (
        "unsupported startup parameter",
        (
            "this is PgBouncer: in transaction mode, set MONITOR_DB__DIRECT_URL to the URL of PostgreSQL itself; in"
            " session mode, name the parameter in its ignore_startup_parameters"
        ),
    ),
    ("no such database", "name the database in [databases] of PgBouncer, or correct MONITOR_DATABASE_URL"),
    ("no such user", "name the user in PgBouncer's auth_file, or correct MONITOR_DATABASE_URL"),
    (
        "SASL authentication failed",
        "correct user and password in MONITOR_DATABASE_URL, or those in PgBouncer's auth_file",
    ),
    ("does not allow connections", "ENABLE the database in PgBouncer's console"),
    ("no more connections allowed", "raise max_client_conn of PgBouncer"),
    (
        "query_wait_timeout",
        (
            "check that PgBouncer reaches PostgreSQL, see its log; if it does, raise its default_pool_size, or find out"
            " what its connections do"
        ),
    ),
    ("login has been failing", "check that PgBouncer reaches PostgreSQL, and with which user; see its log"),
    ("login failed", "check that PgBouncer reaches PostgreSQL, and with which user; see its log"),
    ("cannot connect", "check that PgBouncer reaches PostgreSQL; see its log"),
)

PERMANENT = ("unsupported startup parameter", "no such database", "no such user", "SASL authentication failed")


def pooler_answer(error: BaseException) -> str | None:
    """
    Return the words by which a server or pooler refused the protocol, ``None`` if *error* is something else.

    asyncpg makes the last answer before the end of a connection the cause of the error about this end.
    """
    for found in (error, error.__cause__):
        if isinstance(found, asyncpg.ProtocolViolationError):
            return str(found)
    return None


def pooler_outage(error: BaseException) -> str | None:
    """Return the cause in words if *error* is an answer of the pooler itself that :data:`OUTAGES` has."""
    text = pooler_answer(error) or ""
    return next((cause for words, cause in OUTAGES if words in text), None)


def pooler_remedy(text: str) -> str | None:
    """Return what an operator does about *text*, an answer of the pooler itself."""
    return next((remedy for words, remedy in REMEDIES if words in text), None)


def may_pass(text: str) -> bool:
    """Whether *text*, an answer of the pooler itself, may be another one in a moment."""
    return not any(words in text for words in PERMANENT)
