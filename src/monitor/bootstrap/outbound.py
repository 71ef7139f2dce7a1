"""TLS of outbound connections from the settings. Light to import, for `monitor doctor`."""

from __future__ import annotations

import ssl

from monitor.adapters.egress.tls import tls_context
from monitor.settings.schema import Settings


def outbound_tls(settings: Settings) -> ssl.SSLContext:
    """Return the TLS context of outbound connections. Raises ``ValueError`` for a file that is not valid."""
    egress = settings.egress
    return tls_context(
        ca_file=egress.ca_file, client_cert_file=egress.client_cert_file, client_key_file=egress.client_key_file
    )
