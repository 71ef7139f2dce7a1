"""
Task queues that do what the worker does: take a job, make the same signed POST, end the job.

``nox -s bench`` installs them, as the dependency group ``peers``. One that is not installed is left out.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from benchmarks.receivers import Receivers

Drain = Callable[[str, Receivers, int, int, Path], Awaitable[float]]
"""
Enqueues so many jobs and lets one worker of the peer drain them.

Takes the DSN of a database, the receivers, the jobs, how many run at once, and a directory for logs; returns the
seconds from the first arrival at the receivers to the end of the last job.
"""

PEERS = {
    "PgQueuer": "pgqueuer",
    "procrastinate": "procrastinate",
    "Celery with requests": "celery",
}
"""Module here, and package of the same name, by what it is called."""


def installed() -> dict[str, Drain]:
    """Return the peers that can be measured here."""
    return {
        name: import_module(f"{__name__}.{module}").drain
        for name, module in PEERS.items()
        if find_spec(module) is not None
    }
