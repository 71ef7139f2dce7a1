"""What the tests of the sender share."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import psutil
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from monitor.adapters.egress.guard import EgressPolicy
from monitor.domain.delivery.request import OutboundRequest

LOCAL = EgressPolicy(profile="local")


def request(
    url: str,
    *,
    body: bytes = b'{"a": 1}',
    headers: tuple[tuple[str, str], ...] = (("Content-Type", "application/json"), ("webhook-id", "msg_1")),
    timeout_s: float = 20.0,
) -> OutboundRequest:
    return OutboundRequest(url=url, headers=headers, body=body, timeout_s=timeout_s)


def open_connections_to(port: int) -> list[object]:
    return [c for c in psutil.Process().net_connections(kind="tcp") if c.raddr and c.raddr.port == port]


def certificate(folder: Path) -> tuple[ssl.SSLContext, str]:
    """Return a server context for 127.0.0.1 and the PEM file that vouches for it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "receiver")])
    now = datetime.now(UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = folder / "receiver.pem"
    pem.write_bytes(
        signed.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(pem)
    return context, str(pem)
