"""Builds a delivery worker and the scheduler of its periodic jobs."""

from __future__ import annotations

import structlog

from monitor.adapters.key_factory import sign_v1a
from monitor.adapters.postgres.maintenance.housekeeping import PostgresHousekeeping
from monitor.adapters.postgres.maintenance.rollup_compaction import RollupCompactor
from monitor.adapters.postgres.summaries import STEP_S, SummaryMeasuring
from monitor.adapters.postgres.wakeups import PostgresWakeups
from monitor.adapters.recurrences import expand
from monitor.bootstrap.container import Container
from monitor.bootstrap.retention import retention
from monitor.domain.services.attempts import AttemptRecorder
from monitor.domain.services.deliver import Deliverer
from monitor.domain.services.detection import Detector
from monitor.domain.services.fan_outs import FanOutCommands
from monitor.domain.services.jobs import JobCommands
from monitor.domain.services.leases import DeliverConfig
from monitor.domain.services.notifications import AlertNotifier
from monitor.domain.services.reenable import ReenableProbes
from monitor.domain.services.reminders import AlertReminders
from monitor.domain.services.silences import SilenceCommands
from monitor.worker.attempt_log import attempt_log
from monitor.worker.config import DeliveryConfig
from monitor.worker.delivery_loop import DeliveryWorker
from monitor.worker.fan_out_loop import FanOutLoop
from monitor.worker.figures import WorkerFigures
from monitor.worker.scheduler import Scheduler

EVALUATE_S = 1.0
"""How often the workers look for webhooks that are due for evaluation, and for notifications."""

TELL_S = 5.0
MASS_FAILURE_S = 5.0

REENABLE_S = 15.0
"""How often the workers look for webhooks whose probe is due; the shortest interval of probes is ten minutes."""

REMIND_S = 15.0
"""How often the workers look for alerts whose reminder is due; the shortest step is five minutes."""

log = structlog.get_logger(__name__)


def build_fan_outs(container: Container) -> FanOutLoop:
    """Return the loop that carries on fan-outs."""
    step = FanOutCommands(container.unit_of_work).step
    return FanOutLoop(step, poll_s=container.settings.worker.poll_s, monotonic=container.clock.monotonic)


def build_figures(container: Container) -> WorkerFigures:
    """Return what the worker of this process reports of itself."""
    c = container
    return WorkerFigures(c.settings.worker.concurrency, attempt_log(c.lines, c.clock.now))


def build_worker(
    container: Container, *, name: str, fan_outs: FanOutLoop, figures: WorkerFigures | None = None
) -> DeliveryWorker:
    """Return the delivery worker called *name*; its wake-ups wake *fan_outs*, too, and *figures* watch it."""
    c, worker = container, container.settings.worker
    figures = figures or build_figures(c)
    deliverer = Deliverer(
        c.unit_of_work,
        c.queries,
        c.sender,
        c.clock,
        sign_v1a,
        DeliverConfig(worker=name, lease_s=worker.lease_s, policy=c.policy),
        c.action_links,
        c.tracing,
    )
    built = DeliveryWorker(
        deliverer,
        PostgresWakeups(c.database, on_fan_out=fan_outs.wake),
        DeliveryConfig(
            concurrency=worker.concurrency,
            backlog=worker.concurrency * 10,
            poll_s=worker.poll_s,
            renew_s=worker.renew_s,
            lease_s=worker.lease_s,
            drain_s=worker.drain_s,
        ),
        log_attempts=figures.settled,
        monotonic=c.clock.monotonic,
    )
    figures.watch(held=lambda: built.held, in_flight=lambda: built.in_flight)
    return built


def build_scheduler(container: Container) -> Scheduler:
    """Return the periodic jobs."""
    c, days = container, container.settings.retention
    keeper = PostgresHousekeeping(
        c.database, c.secret_box, retention(c.settings), audit_d=days.audit_d, alerts_d=days.alerts_d
    )
    jobs = JobCommands(c.unit_of_work, deliveries_kept_s=c.deliveries_kept_s)
    recorder = AttemptRecorder(c.unit_of_work, c.queries, c.sender, c.clock, sign_v1a, c.policy)
    probes = ReenableProbes(
        c.unit_of_work, recorder, on_enabled=lambda id_: log.info("webhook_enabled", webhook_id=str(id_))
    )
    silencer = SilenceCommands(c.unit_of_work, c.queries, c.alert_queries, c.clock, expand)
    detector = Detector(c.unit_of_work, c.clock, c.detection_policy)
    return Scheduler(
        {
            "evaluate_webhooks": (EVALUATE_S, detector.tick),
            "advance_silences": (EVALUATE_S, silencer.run),
            "check_mass_failure": (MASS_FAILURE_S, detector.check_mass_failure),
            "tell_alerts": (TELL_S, detector.tell),
            "notify": (EVALUATE_S, AlertNotifier(c.unit_of_work, c.clock, c.settings.public_url).run),
            "remind": (REMIND_S, AlertReminders(c.unit_of_work, c.detection_policy.alert).run),
            "reenable": (REENABLE_S, probes.run),
            "run_jobs": (EVALUATE_S, jobs.run),
            "cancel_left_behind": (60.0, jobs.cancel_left_behind),
            "maintain_partitions": (3600.0, keeper.maintain_partitions),
            "purge": (600.0, keeper.purge),
            "advance_lines": (600.0, keeper.advance_lines),
            "reseal": (600.0, keeper.reseal),
            "measure_webhooks": (STEP_S, SummaryMeasuring(c.database).step),
            "compact_rollups": (60.0, RollupCompactor(c.database).compact),
        }
    )
