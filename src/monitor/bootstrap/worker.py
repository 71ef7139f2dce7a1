"""Builds a delivery worker and its periodic jobs."""

from __future__ import annotations

import sys

from monitor.adapters.key_factory import sign_v1a
from monitor.adapters.postgres.maintenance.housekeeping import PostgresHousekeeping
from monitor.adapters.postgres.maintenance.rollup_compaction import RollupCompactor
from monitor.adapters.postgres.wakeups import PostgresWakeups
from monitor.bootstrap.container import Container, retention
from monitor.bootstrap.server import _logs_json
from monitor.domain.services.deliver import DeliverConfig, Deliverer
from monitor.domain.services.detection import Detector
from monitor.domain.services.notifications import AlertNotifier
from monitor.domain.services.replays import ReplayCommands
from monitor.worker.attempt_log import AttemptLogWriter
from monitor.worker.delivery_loop import DeliveryConfig, DeliveryWorker
from monitor.worker.scheduler import Scheduler

WATCH_S = 1.0
"""How often the workers ask which webhooks are due for a look, and what is to be told."""


SURVEY_S = 5.0


def build_worker(parts: Container, *, name: str) -> DeliveryWorker:
    """Return the delivery worker called *name*."""
    worker = parts.settings.worker
    deliverer = Deliverer(
        parts.unit_of_work,
        parts.queries,
        parts.sender,
        parts.clock,
        sign_v1a,
        DeliverConfig(worker=name, lease_s=worker.lease_s, policy=parts.policy),
    )
    return DeliveryWorker(
        deliverer,
        PostgresWakeups(parts.database),
        DeliveryConfig(
            concurrency=worker.concurrency,
            backlog=worker.concurrency * 10,
            poll_s=worker.poll_s,
            renew_s=worker.renew_s,
            drain_s=worker.drain_s,
        ),
        log_attempts=AttemptLogWriter(sys.stderr.buffer, parts.clock.now) if _logs_json(parts) else None,
    )


def build_scheduler(parts: Container) -> Scheduler:
    """Return the jobs that run by the clock."""
    days = parts.settings.retention
    keeper = PostgresHousekeeping(
        parts.database, parts.vault, retention(parts.settings), audit_d=days.audit_d, alerts_d=days.alerts_d
    )
    watcher = Detector(parts.unit_of_work, parts.clock, parts.watch_policy)
    relay = AlertNotifier(parts.unit_of_work, parts.clock)
    return Scheduler(
        [
            (WATCH_S, watcher.tick),
            (SURVEY_S, watcher.check_mass_failure),
            (WATCH_S, relay.run),
            (WATCH_S, ReplayCommands(parts.unit_of_work, parts.clock).run),
            (3600.0, keeper.maintain_partitions),
            (600.0, keeper.purge),
            (600.0, keeper.reseal),
            (60.0, RollupCompactor(parts.database).compact),
        ]
    )
