"""What the load test and its users tell each other, as files: where to call, and what came of it."""

from __future__ import annotations

import msgspec

STAGE = "MONITOR_TEST_LOAD_STAGE"
"""Names the file of the stage in the environment of Locust."""

LIVE = "LIVE"
"""The method of samples that are messages of the live feed."""

WRITTEN = f"{LIVE} from the request to the client"
TOLD = f"{LIVE} from `at` to the client"

CREATIONS, CREATION_MS = "creations", "creation_ms"


class Stage(msgspec.Struct, frozen=True):
    """
    What there is to call.

    Args:
        servers: base URLs; users are spread over them.
        viewers: tokens, each of a subject of its own, like *watchers* (sockets), *publishers* and *admins*.
        webhooks: ids to read.
        event_types: each has a webhook with a receiver.
        flipping: ids of webhooks whose health writers turn over, one for each writer.
        changing: ids of webhooks that people change, one for each writer.
        receiver: a URL for webhooks that writers create.
        warm_up_s: from the first user until measuring begins.
        result: the file for :class:`Measured`.
    """

    servers: list[str]
    viewers: list[str]
    watchers: list[str]
    publishers: list[str]
    admins: list[str]
    webhooks: list[str]
    event_types: list[str]
    flipping: list[str]
    changing: list[str]
    receiver: str
    warm_up_s: float
    result: str


class Measured(msgspec.Struct, frozen=True):
    """
    What users saw.

    Args:
        samples: milliseconds by method and route.
        errors: those seen, warm-up included, each with how often.
        views: of all servers, the reads of each cached view by source, its creations and their milliseconds.
    """

    seconds: float
    samples: dict[str, list[float]]
    errors: dict[str, int]
    views: dict[str, dict[str, float]]
