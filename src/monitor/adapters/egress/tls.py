"""TLS towards receivers and identity providers, by the standard library."""

from __future__ import annotations

import ssl

import certifi


def tls_context(
    *, ca_file: str | None = None, client_cert_file: str | None = None, client_key_file: str | None = None
) -> ssl.SSLContext:
    """
    Return a verifying client context that trusts the system's store and certifi's.

    Args:
        ca_file: PEM file of further authorities.
        client_cert_file: PEM file with the certificate, and its chain, for receivers that ask for one.
        client_key_file: PEM file of its key without a passphrase; null if the certificate's file holds it.

    Raises:
        OSError: a file cannot be read, or (``ssl.SSLError``) does not hold what it should.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    context.load_default_certs()
    # Some Python builds (python.org on macOS) and slim images come without a system store.
    context.load_verify_locations(cafile=certifi.where())
    if ca_file is not None:
        context.load_verify_locations(cafile=ca_file)
    if client_cert_file is not None:
        # Without a function for the passphrase, OpenSSL would ask for it on the terminal.
        context.load_cert_chain(client_cert_file, client_key_file, password=lambda: "")
    return context
