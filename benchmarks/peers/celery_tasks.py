"""The tasks of Celery's worker, which imports this module."""

from __future__ import annotations

import threading

import requests

from benchmarks.peers.celery import TASK, app_of_environment
from benchmarks.signed_post import signed_headers

app, _urls = app_of_environment()
_of_thread = threading.local()


def deliver(number: int, payload: str) -> None:
    """Post one message on a connection that this thread keeps open."""
    if not hasattr(_of_thread, "session"):
        _of_thread.session = requests.Session()
        # Otherwise each request reads the environment for proxies, which costs more than all the rest.
        _of_thread.session.trust_env = False
    answer = _of_thread.session.post(_urls[number % len(_urls)], data=payload.encode(), headers=signed_headers())
    answer.raise_for_status()


app.task(name=TASK)(deliver)
