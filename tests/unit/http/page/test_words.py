"""Words that the page and the server both say."""

from __future__ import annotations

import re

from monitor.domain.vocab import ERRORS_IN_WORDS, REPLACED
from monitor.http.page.assets import STATIC

OF_DELIVERIES = {REPLACED: "replaced by a newer message"}
"""Why a delivery ended without an attempt, of which no server text speaks."""


def test_the_page_names_errors_as_the_server_does() -> None:
    source = (STATIC / "js" / "verdict.js").read_text()
    kinds = source[source.index("const KINDS = {") : source.index("};")]
    assert dict(re.findall(r'^  (\w+): "([^"]+)",$', kinds, re.MULTILINE)) == ERRORS_IN_WORDS | OF_DELIVERIES
