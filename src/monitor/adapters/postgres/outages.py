"""What drivers raise, as outages with their cause, as refusals of a value, or as the bugs that remain."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import asyncpg
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from monitor.adapters.postgres.pooler_answers import DIRECT_URL_MISSING, pooler_outage
from monitor.domain.errors import Unavailable
from monitor.domain.ports.unit_of_work import DataRejected

NO_ANSWER = "The database does not answer"
READ_ONLY = "The database is read-only"
TOO_LONG = "A statement took longer than"
NO_CONNECTION = "All database connections of this process are in use"

DRIVER_ERRORS = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError, TimeoutError)
"""What asyncpg raises."""

CAUSES: tuple[tuple[type[asyncpg.PostgresError], str], ...] = (
    (asyncpg.ReadOnlySQLTransactionError, READ_ONLY),
    (asyncpg.IdleInTransactionSessionTimeoutError, "The database ended a transaction that waited too long"),
    (asyncpg.TransactionTimeoutError, "The database ended a transaction that took too long"),
    (asyncpg.InvalidAuthorizationSpecificationError, "The database refuses the login"),
    (asyncpg.InsufficientPrivilegeError, "The database user lacks a privilege"),
    (asyncpg.InvalidCatalogNameError, "The database does not exist on its server"),
    (asyncpg.UndefinedTableError, "The database lacks a table of this version; run `monitor migrate`"),
    (asyncpg.InvalidSchemaNameError, "The database lacks the schema; run `monitor migrate`"),
    (asyncpg.UndefinedColumnError, "The database lacks a column of this version; run `monitor migrate`"),
    (asyncpg.InvalidCachedStatementError, "The schema was changed a moment ago"),
    (asyncpg.LockNotAvailableError, "The database waited too long for a lock"),
    # A deadlock, for one: nothing was changed.
    (asyncpg.TransactionRollbackError, "The transaction met another one"),
    (asyncpg.TooManyConnectionsError, "The database has no connection left"),
    (asyncpg.DiskFullError, "The database's disk is full"),
    (asyncpg.InsufficientResourcesError, "The database lacks memory or another resource"),
    (asyncpg.CannotConnectNowError, "The database is starting, stopping or recovering"),
    (asyncpg.OperatorInterventionError, "The database ended the connection"),
    # Another connection of the server than the one that prepared the statement, or one on which another client did.
    (asyncpg.InvalidSQLStatementNameError, DIRECT_URL_MISSING),
    (asyncpg.DuplicatePreparedStatementError, DIRECT_URL_MISSING),
    (asyncpg.PostgresConnectionError, NO_ANSWER),
)
"""Refusals that end by themselves or by an operator, not by another request: the first that matches."""

REJECTIONS = (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError)
"""Classes 22 and 23: no repetition of the statement with the same values helps."""


@contextmanager
def translating(statement_timeout_s: float | None = None, *, is_pooled: bool = False) -> Iterator[None]:
    """
    Turn what drivers raise when the database is away, too slow or refuses its service into :class:`Unavailable`, whose
    detail names the cause, and the refusal of a value into :class:`DataRejected`.

    Everything else passes: it is a bug.

    Args:
        statement_timeout_s: limit of a statement, for the detail.
        is_pooled: the limit of the driver includes a wait at a pooler, unlike that of the server.
    """
    try:
        yield
    except PoolTimeout as error:
        raise Unavailable(f"{NO_CONNECTION}; try again in a moment.") from error
    except (DBAPIError, *DRIVER_ERRORS) as error:
        found = driver_error(error)
        detail = outage(found, statement_timeout_s)
        if detail is not None:
            too_long = detail.startswith(TOO_LONG)
            if too_long and is_pooled and isinstance(found, TimeoutError):
                detail += ", or waited so long at the connection pooler"
            less = ", or with less at once" if too_long else ""
            raise Unavailable(f"{detail}; try again in a moment{less}.", took_too_long=too_long) from error
        if isinstance(found, REJECTIONS) or _is_invalid_argument(found):
            raise DataRejected(type(found).__name__) from error
        raise


def driver_error(error: BaseException) -> BaseException:
    """Return what asyncpg raised, also from inside SQLAlchemy's error."""
    if not isinstance(error, DBAPIError):
        return error
    cause = getattr(error.orig, "__cause__", None)
    if isinstance(cause, DRIVER_ERRORS):
        return cause
    return ConnectionError() if error.connection_invalidated else error


def outage(error: BaseException, statement_timeout_s: float | None = None) -> str | None:
    """Return the cause of an outage in words, without a full stop; ``None`` if *error* is none."""
    if isinstance(error, asyncpg.QueryCanceledError) and "user request" in str(error):
        return "The database's operator ended the statement"
    if isinstance(error, asyncpg.QueryCanceledError | TimeoutError):
        limit = "its limit" if statement_timeout_s is None else f"{statement_timeout_s:g} s"
        return f"{TOO_LONG} {limit}"
    if isinstance(error, asyncpg.CheckViolationError):
        # Not of a named constraint: the row met a partition that was attached or detached just then.
        return None if error.constraint_name else "A partition is being moved"
    if isinstance(error, asyncpg.PostgresError):
        return pooler_outage(error) or next((text for kind, text in CAUSES if isinstance(error, kind)), None)
    if isinstance(error, asyncpg.OutdatedSchemaCacheError):
        return "The schema was changed a moment ago"
    if isinstance(error, asyncpg.InternalClientError):
        # The class itself and no subclass: the server ended the connection between two statements, and the second one
        # came between the last message and the end of the stream.
        return NO_ANSWER if type(error) is asyncpg.InternalClientError else None
    if isinstance(error, asyncpg.InterfaceError | OSError) and not _is_invalid_argument(error):
        return NO_ANSWER
    return None


def _is_invalid_argument(error: BaseException) -> bool:
    """Whether asyncpg itself refused an argument: out of range, of another type."""
    return isinstance(error, asyncpg.InterfaceError) and isinstance(error, ValueError)
