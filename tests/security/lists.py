"""The lists of attacks. MONITOR_TEST_CASES names another folder with files of the same form."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

FOLDER = Path(os.environ.get("MONITOR_TEST_CASES", Path(__file__).parents[1] / "cases"))


def read(name: str) -> Any:
    return json.loads((FOLDER / name).read_text(encoding="utf-8"))


def id_of(case: dict[str, Any]) -> str:
    return " ".join(str(case[name]) for name in ("id", "name") if name in case)
