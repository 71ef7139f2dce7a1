"""Why a database cannot be used, in its own words, and what an operator does about it: for commands, as they start."""

from __future__ import annotations

import os
import re
import socket
import ssl
from typing import NamedTuple

import asyncpg
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from monitor.adapters.postgres.outages import DRIVER_ERRORS, driver_error
from monitor.adapters.postgres.pooler_answers import DIRECT_URL_MISSING, may_pass, pooler_answer, pooler_remedy
from monitor.domain.errors import Unavailable
from monitor.domain.ports.unit_of_work import DataRejected

DATABASE_ERRORS = (Unavailable, DataRejected, PoolTimeout, DBAPIError, *DRIVER_ERRORS)
"""What a call to the database raises, translated or not."""

DATABASE_URL = "MONITOR_DATABASE_URL"
CHECK_ADDRESS = "check host and port in MONITOR_DATABASE_URL, and that PostgreSQL runs there"
CHECK_FILES = "check the host and the files of certificates in MONITOR_DATABASE_URL, and that PostgreSQL runs there"

REMEDIES: tuple[tuple[type[asyncpg.PostgresError], str], ...] = (
    (asyncpg.InvalidPasswordError, "correct user and password in MONITOR_DATABASE_URL"),
    (
        asyncpg.InvalidAuthorizationSpecificationError,
        (
            "correct the user in MONITOR_DATABASE_URL, or allow it in pg_hba.conf of the server; if that asks for TLS,"
            " add ?sslmode=require"
        ),
    ),
    (asyncpg.InvalidCatalogNameError, "correct the name in MONITOR_DATABASE_URL, or create the database"),
    (asyncpg.InsufficientPrivilegeError, "grant it to the user of MONITOR_DATABASE_URL"),
    (asyncpg.UndefinedTableError, "run `monitor migrate`"),
    (asyncpg.UndefinedColumnError, "run `monitor migrate`"),
    (asyncpg.ReadOnlySQLTransactionError, "name the primary server in MONITOR_DATABASE_URL"),
    (asyncpg.LockNotAvailableError, "another transaction holds a table; run this again"),
    (
        asyncpg.TooManyConnectionsError,
        "raise max_connections of the server, or lower MONITOR_DB__READ_POOL and MONITOR_DB__WRITE_POOL",
    ),
    (asyncpg.CannotConnectNowError, "try again in a moment"),
    (asyncpg.QueryCanceledError, "try again, when the server has less to do"),
    (asyncpg.InvalidSQLStatementNameError, DIRECT_URL_MISSING),
    (asyncpg.DuplicatePreparedStatementError, DIRECT_URL_MISSING),
)
"""By the class of the error: the first that matches."""

MAY_PASS = (asyncpg.CannotConnectNowError, asyncpg.TooManyConnectionsError, asyncpg.OperatorInterventionError)


class Refusal(NamedTuple):
    """
    Attributes:
        words: of the server, else of the driver or the operating system; one line without a full stop.
        remedy: what to do.
        may_pass: by itself, since the server restarts or is not reached.
    """

    words: str
    remedy: str
    may_pass: bool = False

    def __str__(self) -> str:
        return f"{self.words}; {self.remedy}."


def refusal(error: BaseException, setting: str = DATABASE_URL) -> Refusal:
    """
    Return what one of :data:`DATABASE_ERRORS` means. Holds no password: drivers and servers repeat none.

    Args:
        setting: the one that names the database.
    """
    found = _refusal(error)
    return found._replace(remedy=found.remedy.replace(DATABASE_URL, setting))


def lacks_privilege(error: BaseException) -> bool:
    """Whether one of :data:`DATABASE_ERRORS` is that of a role without a privilege."""
    if isinstance(error, Unavailable | DataRejected | PoolTimeout) and error.__cause__ is not None:
        return lacks_privilege(error.__cause__)
    return isinstance(driver_error(error), asyncpg.InsufficientPrivilegeError)


def migration_remedy(words: str, role: str) -> str | None:
    """Return which privilege *role* lacks by the server's *words*, and the statement or command that helps; ``None`` if
    they name neither a schema nor a table."""
    owner = "run `monitor migrate` with the URL of the role that owns the tables"
    if found := re.fullmatch(r"permission denied for schema (\S+)", words):
        return (
            f'"{role}" needs USAGE and CREATE on the schema; as its owner, run GRANT USAGE, CREATE ON SCHEMA'
            f' {found[1]} TO "{role}"; or {owner}'
        )
    if found := re.fullmatch(r"must be owner of (?:table|relation) (\S+)", words):
        return f'"{role}" does not own the table, which is no right to grant; {owner}'
    if found := re.fullmatch(r"permission denied for (?:table|relation) (\S+)", words):
        return f'"{role}" may not write the table {found[1]}, which only migrations do; {owner}'
    return None


def _refusal(error: BaseException) -> Refusal:
    if isinstance(error, Unavailable | DataRejected | PoolTimeout) and error.__cause__ is not None:
        return _refusal(error.__cause__)
    found = driver_error(error)
    if isinstance(found, asyncpg.PostgresError):
        return _refusal_of_server(found)
    if isinstance(found, asyncpg.InterfaceError) and isinstance(found, ValueError):
        return Refusal(_line(str(found)), "correct MONITOR_DATABASE_URL")
    if isinstance(found, ssl.SSLError):
        words = getattr(found, "verify_message", "") or found.reason or str(found)
        return Refusal(
            f"the TLS connection failed: {_line(words)}", "check sslmode and sslrootcert in MONITOR_DATABASE_URL"
        )
    if isinstance(found, ConnectionError) and "SSL" in str(found):
        return Refusal(_line(str(found)), "turn on TLS at the server, or correct sslmode in MONITOR_DATABASE_URL")
    if isinstance(found, TimeoutError) and found.errno is None:
        return Refusal("no answer in time", CHECK_ADDRESS, may_pass=True)
    if isinstance(found, OSError):
        named = found.errno is not None and not isinstance(found, socket.gaierror)
        words = os.strerror(found.errno) if named and found.errno else found.strerror or str(found)
        # Of the socket in a folder, or of certificates.
        remedy = CHECK_FILES if isinstance(found, FileNotFoundError | PermissionError) else CHECK_ADDRESS
        return Refusal(_line(words or type(found).__name__), remedy, may_pass=True)
    return Refusal(_line(str(found)) or type(found).__name__, "see the log of the server")


def _refusal_of_server(error: asyncpg.PostgresError) -> Refusal:
    words = pooler_answer(error) or error.message or str(error)
    if remedy := pooler_remedy(words):
        return Refusal(_line(words), remedy, may_pass(words))
    remedy = next((text for kind, text in REMEDIES if isinstance(error, kind)), "see the log of the server")
    return Refusal(_line(words), remedy, isinstance(error, MAY_PASS))


def _line(text: str) -> str:
    return " ".join(text.split()).rstrip(".")
