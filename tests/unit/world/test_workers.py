"""Whatever people, crashes and outages do to running workers, the laws of :class:`WorkerMachine` hold."""

from __future__ import annotations

from hypothesis import settings

from tests.unit.world.worker_machine import WorkerMachine

TestWorkers = WorkerMachine.TestCase
TestWorkers.settings = settings(stateful_step_count=30)
