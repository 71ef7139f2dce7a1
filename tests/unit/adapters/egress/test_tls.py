"""Which files the TLS context takes, and how it says what is wrong with one."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from monitor.adapters.egress.tls import tls_context
from tests.integration.sender.support import certificate

CLIENT_FILES = "MONITOR_EGRESS__CLIENT_CERT_FILE with MONITOR_EGRESS__CLIENT_KEY_FILE"


def test_a_private_authority_and_a_client_certificate_are_taken(tmp_path: Path) -> None:
    _, pem = certificate(tmp_path)
    context = tls_context(ca_file=pem, client_cert_file=pem, client_key_file=pem)
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert "receiver" in str([found["subject"] for found in context.get_ca_certs()])


@pytest.mark.parametrize(
    ("option", "setting"), [("ca_file", "MONITOR_EGRESS__CA_FILE"), ("client_cert_file", CLIENT_FILES)]
)
def test_a_file_that_is_no_good_is_named_by_its_setting(tmp_path: Path, option: str, setting: str) -> None:
    nothing, text = str(tmp_path / "nothing"), tmp_path / "text"
    text.write_text("no certificate")
    with pytest.raises(ValueError, match=f"^{setting} cannot be read: no such file or directory$"):
        tls_context(**{option: nothing})
    with pytest.raises(ValueError, match=f"^{setting} holds no certificate in PEM"):
        tls_context(**{option: str(text)})
