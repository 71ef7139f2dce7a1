"""The ASGI entry point for servers other than ``monitor serve``: ``uvicorn --factory monitor.asgi:create_app``."""

from __future__ import annotations

import os

from litestar import Litestar

from monitor import log
from monitor.background import spare_the_collector
from monitor.bootstrap import build_app
from monitor.parts import Parts
from monitor.settings import from_env


def create_app() -> Litestar:
    """Build the application of this process from the environment. Importing this module does nothing.

    Raises:
        SettingsError: the environment is wrong.
    """
    settings = from_env(os.environ)
    log.configure(settings.log.level, settings.log.format)
    app = build_app(Parts(settings))
    spare_the_collector()
    return app
