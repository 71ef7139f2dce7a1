"""
What came at the same time before: the attempts of the last 17 days, in slots of ten minutes.

The mean of an hour shows neither a job inside the hour nor what began this week. The history does: :func:`slot_limits`
widens the mean to all that the same time of the last weeks and days makes plausible. Counts are stored in one byte
each, on a logarithmic scale (error 3.5 %), so that the history of a webhook has 2,448 bytes, whatever its traffic.
"""

from __future__ import annotations

from math import log2, sqrt

SLOT_S = 600.0
SLOTS_PER_HOUR = 6
SLOTS_PER_SHIFT = 24
"""Four hours."""

SLOTS_PER_DAY = 144
KEPT_SLOTS = 17 * SLOTS_PER_DAY
"""Two weeks and two days, and one more: the hour under way must still be whole so long ago."""

UNKNOWN = 255
"""Stored for a slot of which a part was not observed."""

STEPS_PER_OCTAVE = 10
_COUNTS = tuple(2 ** (code / STEPS_PER_OCTAVE) - 1 for code in range(UNKNOWN))
"""The count that each code stands for."""

CLEAR_DEVIATIONS = 3.0
"""Counts differ clearly if further apart than so many standard deviations of a Poisson count."""

SURE_DEVIATIONS = 5.0
MAX_UNEXPLAINED = 0.25
"""A change of clocks leaves at most this fraction of the hours unexplained that differ without it."""


def record_slot(history: bytes, slot: int, attempts: int | None, now_slot: int) -> bytes:
    """
    Return *history* with the count of *slot*, ``None`` if it is unknown.

    Slots are numbered from the Unix epoch. Those between *slot* and *now_slot*, which is under way, are unknown.
    """
    codes = bytearray(history or bytes([UNKNOWN]) * KEPT_SLOTS)
    codes[slot % KEPT_SLOTS] = UNKNOWN if attempts is None else _code_of(attempts)
    for missed in range(slot + 1, min(now_slot, slot + 1 + KEPT_SLOTS)):
        codes[missed % KEPT_SLOTS] = UNKNOWN
    return bytes(codes)


def past_count(history: bytes, slot: int, days: int, width: int = 1) -> float | None:
    """Return the attempts *days* before *slot*, in the aligned block of *width* slots; ``None`` if one is unknown."""
    if not history:
        return None
    first = slot - slot % width - days * SLOTS_PER_DAY
    codes = [history[number % KEPT_SLOTS] for number in range(first, first + width)]
    return None if UNKNOWN in codes else sum(_COUNTS[code] for code in codes)


def slot_limits(history: bytes, slot: int, hourly_mean: float) -> tuple[float, float]:
    """
    Return the least and the most attempts that are plausible in *slot*, in an hour of which *hourly_mean* is expected.

    Plausible are that mean; what came at this time in both of the last weeks; and what came a week or two before,
    changed as both of the last days changed since then. An unknown day or week does not count; a single one that is
    known stands for both. What does not differ clearly from the mean is the mean.
    """
    mean = _share_of_hour(history, slot, hourly_mean)
    weekly, weekly_hour = _weekly(history, slot, mean, hourly_mean)
    changed = [max(_changed(history, slot, weekly, weekly_hour, lag), 0.0) for lag in (7, 14)]
    return min(mean, weekly, *changed), max(mean, weekly, *changed)


def find_clock_change(history: bytes, now_slot: int) -> int:
    """
    Return by how many hours the last day is later than what repeats: -1, 0 or 1.

    Clocks changed if a shift explains the hours that differ from the week before (from the day before, while there is
    no week), both those that miss attempts and those that have more. *now_slot* begins an hour.
    """
    first = now_slot - SLOTS_PER_DAY
    days = 7 if past_count(history, first - SLOTS_PER_HOUR, 7, SLOTS_PER_HOUR) is not None else 1
    hours = range(first - SLOTS_PER_HOUR, now_slot + SLOTS_PER_HOUR, SLOTS_PER_HOUR)
    before = [past_count(history, slot, days, SLOTS_PER_HOUR) for slot in hours]
    now = [past_count(history, slot, 0, SLOTS_PER_HOUR) for slot in hours[1:-1]]

    def differing(later: int) -> list[bool]:
        """Return for each hour that differs whether it has more attempts than *later* hours before."""
        pairs = zip(now, before[1 - later :], strict=False)
        return [a > b for a, b in pairs if a is not None and b is not None and _differs(a, b)]

    unshifted = differing(0)
    fewest = MAX_UNEXPLAINED * len(unshifted)
    if not unshifted or not fewest <= sum(unshifted) <= len(unshifted) - fewest:
        return 0
    left, later = min((len(differing(later)), later) for later in (-1, 1))
    return later if left <= fewest else 0


def shift_history(history: bytes, now_slot: int, hours: int) -> bytes:
    """Return *history* with everything before the last day moved *hours* later: -1 or 1."""
    oldest = now_slot - KEPT_SLOTS
    codes = [history[slot % KEPT_SLOTS] for slot in range(oldest, now_slot)]
    past, recent = codes[:-SLOTS_PER_DAY], codes[-SLOTS_PER_DAY:]
    moved = [UNKNOWN] * SLOTS_PER_HOUR
    past = moved + past[:-SLOTS_PER_HOUR] if hours > 0 else past[SLOTS_PER_HOUR:] + moved
    shifted = bytearray(KEPT_SLOTS)
    for number, code in enumerate(past + recent):
        shifted[(oldest + number) % KEPT_SLOTS] = code
    return bytes(shifted)


def _code_of(attempts: int) -> int:
    return min(round(STEPS_PER_OCTAVE * log2(1 + attempts)), UNKNOWN - 1)


def _share_of_hour(history: bytes, slot: int, hourly_mean: float) -> float:
    """Return the part of *hourly_mean* that falls into *slot*: as in the last weeks or days, if not clearly even."""
    for days in ((7, 14), (1, 2)):
        counts = [past_count(history, slot, ago) for ago in days]
        hours = [past_count(history, slot, ago, SLOTS_PER_HOUR) for ago in days]
        known = [(n, of) for n, of in zip(counts, hours, strict=True) if n is not None and of is not None]
        if known:
            n, of = (sum(side) for side in zip(*known, strict=True))
            return hourly_mean * n / of if _is_clear(n, of / SLOTS_PER_HOUR) else hourly_mean / SLOTS_PER_HOUR
    return hourly_mean / SLOTS_PER_HOUR


def _weekly(history: bytes, slot: int, mean: float, hourly_mean: float) -> tuple[float, float]:
    """Return what the last two weeks brought in *slot* and in its hour, where clearly different from the means."""
    hour = _agreed_if_clear(_known_weeks(history, slot, SLOTS_PER_HOUR), hourly_mean)
    own = _agreed_if_clear(_known_weeks(history, slot, 1), mean)
    if own != mean or hour == hourly_mean:
        # Over hours even the rest of a mean adds up, on a Sunday for instance.
        shift = _known_weeks(history, slot, SLOTS_PER_SHIFT)
        is_empty = sum(shift) == 0 and _is_clear(0.0, len(shift) * hourly_mean * SLOTS_PER_SHIFT / SLOTS_PER_HOUR)
        return (0.0, 0.0) if is_empty else (own, hour)
    return (mean * hour / hourly_mean if hourly_mean else hour / SLOTS_PER_HOUR), hour


def _known_weeks(history: bytes, slot: int, width: int) -> list[float]:
    counts = [past_count(history, slot, days, width) for days in (7, 14)]
    return [count for count in counts if count is not None]


def _changed(history: bytes, slot: int, weekly: float, weekly_hour: float, lag: int) -> float:
    """Return what came *lag* days ago, changed as both of the last days differ from the days *lag* days before them."""
    for width, usual in ((1, weekly), (SLOTS_PER_HOUR, weekly_hour)):
        pairs = []
        for days in (1, 2):
            count, before = past_count(history, slot, days, width), past_count(history, slot, days + lag, width)
            if count is not None:
                pairs.append((count, usual if before is None else before))
        if pairs and _is_clear(sum(count for count, _ in pairs), sum(before for _, before in pairs)):
            start = past_count(history, slot, lag, width)
            change = _agreed(0.0, [count - before for count, before in pairs])
            return ((usual if start is None or lag == 7 else start) + change) / width
    return weekly


def _agreed_if_clear(repeats: list[float], usual: float) -> float:
    return _agreed(usual, repeats) if repeats and _is_clear(sum(repeats), len(repeats) * usual) else usual


def _agreed(usual: float, repeats: list[float]) -> float:
    """Return how far two repeats agree in their departure from *usual*; a single one stands for both."""
    return repeats[0] if len(repeats) == 1 else sorted((usual, *repeats))[1]


def _is_clear(count: float, other: float) -> bool:
    return abs(count - other) > CLEAR_DEVIATIONS * sqrt(max(count, other))


def _differs(count: float, other: float) -> bool:
    """Whether two hours differ so much that chance is out of the question, in a day of hours."""
    is_large = max(count, other) > 2 * min(count, other)
    return is_large and abs(count - other) > SURE_DEVIATIONS * sqrt(count + other)
