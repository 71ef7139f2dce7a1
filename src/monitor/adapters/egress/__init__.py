"""
Outbound HTTP that cannot be turned inwards.

``guard`` judges URLs and addresses, ``resolver`` looks names up once and judges every answer, ``sender`` makes the
exchange over ``connection`` and reads its ``answer``.
"""

from monitor.adapters.egress.guard import EgressPolicy, Target, check_address, parse_target
from monitor.adapters.egress.resolver import Resolver
from monitor.adapters.egress.sender import HttpSender

__all__ = ["EgressPolicy", "HttpSender", "Resolver", "Target", "check_address", "parse_target"]
