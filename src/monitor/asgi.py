"""The ASGI entry point for servers other than ``monitor serve``: ``uvicorn --factory monitor.asgi:create_app``."""

from __future__ import annotations

import os

from monitor import log
from monitor.bootstrap.container import Container
from monitor.bootstrap.loops import freeze_gc
from monitor.bootstrap.server import build_app
from monitor.http.middleware.stack import Application
from monitor.settings.environment import from_env


def create_app() -> Application:
    """Build the application of this process from the environment. Importing this module does nothing.

    Raises:
        SettingsError: the environment is wrong.
    """
    settings = from_env(os.environ)
    stream = log.configure(settings.log.level, settings.log.format)
    app = build_app(Container(settings, stream=stream))
    freeze_gc()
    return app
