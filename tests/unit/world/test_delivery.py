"""Whatever workers, receivers and people do in whatever order, the laws of :class:`DeliveryMachine` hold."""

from __future__ import annotations

from hypothesis import settings

from tests.unit.world.delivery_machine import DeliveryMachine

TestDelivery = DeliveryMachine.TestCase
TestDelivery.settings = settings(max_examples=max(200, settings().max_examples), stateful_step_count=60)
