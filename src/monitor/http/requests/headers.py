"""Request headers that routes take as parameters."""

from __future__ import annotations

from typing import Annotated

from litestar.params import HeaderParameter

from monitor.http.responses.conditional import TAGS

IdempotencyKey = Annotated[
    str | None,
    HeaderParameter(
        name="Idempotency-Key", min_length=1, max_length=255, description="Repeats within 24 h get the first answer."
    ),
]
Traceparent = Annotated[
    str | None,
    HeaderParameter(
        name="traceparent",
        description="W3C Trace Context: the trace that goes on to the receivers. A malformed one is ignored.",
    ),
]
IfMatch = Annotated[
    str | None,
    HeaderParameter(
        name="If-Match", max_length=1000, pattern=TAGS, description="The ETag that the change is based on."
    ),
]
