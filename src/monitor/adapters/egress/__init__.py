"""
Outbound HTTP that cannot be turned inwards.

``guard`` judges URLs and addresses, ``resolver`` looks names up once and judges every answer, ``wire`` hooks both into
aiohttp, ``sender`` makes the exchange and tells how it went.
"""

from monitor.adapters.egress.guard import EgressPolicy, Target, check_address, parse_target
from monitor.adapters.egress.resolver import Resolver
from monitor.adapters.egress.sender import AiohttpSender

__all__ = ["AiohttpSender", "EgressPolicy", "Resolver", "Target", "check_address", "parse_target"]
