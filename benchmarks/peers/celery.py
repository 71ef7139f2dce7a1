"""
Celery with requests, on a Redis of its own. ``python -m celery -A benchmarks.peers.celery_tasks`` is its worker.

Its threads share one process, as the worker's attempts do. A task is acknowledged after it has ended, so that a worker
that dies loses none.
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import msgspec
from celery import Celery

from benchmarks.receivers import Receivers
from benchmarks.support import PAYLOAD, process
from tests.servers import own_redis

TASK = "deliver"
URLS = "BENCH_PEER_URLS"
BROKER = "BENCH_PEER_BROKER"


async def drain(dsn: str, targets: Receivers, jobs: int, concurrency: int, directory: Path) -> float:  # noqa: ARG001
    """See :data:`benchmarks.peers.Drain`. Ends with the last arrival, since Redis shows no end of a task."""
    with own_redis() as broker:
        await asyncio.to_thread(_enqueue, broker, jobs)
        command = ("-m", "celery", "-A", "benchmarks.peers.celery_tasks", "worker", "--pool", "threads")
        options = ("--concurrency", str(concurrency), "--loglevel", "ERROR", "--without-gossip", "--without-mingle")
        env = {BROKER: broker, URLS: msgspec.json.encode(targets.urls).decode()}
        async with process(*command, *options, env=env, log=directory / "celery.log"):
            count = await targets.until(jobs)
            return (count.last_ns - count.first_ns) / 1e9


def app(broker: str) -> Celery:
    """Return the application: results are not stored."""
    built = Celery("peer", broker=broker)
    built.conf.update(task_ignore_result=True, task_acks_late=True)
    return built


def app_of_environment() -> tuple[Celery, list[str]]:
    """Return the application of a worker and the URLs to post to."""
    return app(os.environ[BROKER]), msgspec.json.decode(os.environ[URLS], type=list[str])


def _enqueue(broker: str, jobs: int) -> None:
    queue = app(broker)
    with queue.producer_pool.acquire(block=True) as producer:
        for number in range(jobs):
            queue.send_task(TASK, (number, PAYLOAD.decode()), producer=producer)
    queue.close()
