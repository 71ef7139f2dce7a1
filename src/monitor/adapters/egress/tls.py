"""TLS towards receivers, identity providers and the mail server, by the standard library."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager

import certifi


def tls_context(
    *, ca_file: str | None = None, client_cert_file: str | None = None, client_key_file: str | None = None
) -> ssl.SSLContext:
    """
    Return a verifying client context that trusts the system's store and certifi's.

    Args:
        ca_file: PEM file of further authorities.
        client_cert_file: PEM file with the certificate, and its chain, for servers that request one.
        client_key_file: PEM file of its key; null if the certificate's file holds it.

    Raises:
        ValueError: a file cannot be read or does not hold what it should; the text names its setting.
    """
    context = _verifying(ca_file, "MONITOR_EGRESS__CA_FILE")
    context.set_alpn_protocols(["http/1.1"])
    if client_cert_file is not None:
        files = "MONITOR_EGRESS__CLIENT_CERT_FILE with MONITOR_EGRESS__CLIENT_KEY_FILE"
        with _naming(files, "holds no certificate in PEM with its key and without a passphrase"):
            # Without this function OpenSSL would prompt for a passphrase on the terminal.
            context.load_cert_chain(client_cert_file, client_key_file, password=lambda: "")
    return context


def mail_tls_context(*, ca_file: str | None = None) -> ssl.SSLContext:
    """Return the context towards the mail server; *ca_file* and what is raised as in :func:`tls_context`."""
    return _verifying(ca_file, "MONITOR_SMTP__CA_FILE")


def _verifying(ca_file: str | None, setting: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_default_certs()
    # Some Python builds (python.org on macOS) and slim images come without a system store.
    context.load_verify_locations(cafile=certifi.where())
    if ca_file is not None:
        with _naming(setting, "holds no certificate in PEM"):
            context.load_verify_locations(cafile=ca_file)
    return context


@contextmanager
def _naming(setting: str, problem: str) -> Iterator[None]:
    try:
        yield
    except ssl.SSLError:
        raise ValueError(f"{setting} {problem}") from None
    except OSError as error:
        raise ValueError(f"{setting} cannot be read: {str(error.strerror).lower()}") from None
