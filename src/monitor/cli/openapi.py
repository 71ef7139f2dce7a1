"""``monitor openapi``."""

from __future__ import annotations

import argparse
import base64

import msgspec

from monitor.bootstrap.container import Container
from monitor.bootstrap.server import build_app
from monitor.http.openapi import reference as openapi
from monitor.settings.schema import JwtKey, SecretKey, Secrets, Settings


def run(_args: argparse.Namespace, _settings: Settings) -> int:
    print(document().decode())
    return 0


def document() -> bytes:
    """Return the OpenAPI document as indented JSON."""
    # The routes do not depend on settings; these keys never sign or encrypt anything.
    unused = base64.urlsafe_b64encode(bytes(range(32))).decode()
    settings = Settings(database_url="postgresql://localhost/monitor", secrets=Secrets(keys=(SecretKey("-", unused),)))
    app = build_app(
        Container(msgspec.structs.replace(settings, jwt=type(settings.jwt)(keys=(JwtKey("-", "HS256", unused),))))
    )
    return msgspec.json.format(openapi.document(app.litestar))
