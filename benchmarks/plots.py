"""A plot with logarithmic axes as SVG: readable on light and dark pages, and by a screen reader."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import NamedTuple

Points = Sequence[tuple[float, float]]

WIDTH, HEIGHT = 720, 340
LEFT, TOP, RIGHT, BOTTOM = 64, 40, 230, 48
ROW = 20
STYLES = (("#0072b2", ""), ("#d55e00", "6 3"), ("#009e73", "2 3"), ("#b8589a", "8 3 2 3"), ("#8a6d00", "1 4"))
"""Colours that people with colour-blindness tell apart; dashes tell the lines apart without colour."""

CSS = """\
svg { font: 13px system-ui, sans-serif } .back { fill: #fff } .text { fill: #1f2328 }
.axis { stroke: #1f2328 } .grid { stroke: #d5d8dc } .line { fill: none; stroke-width: 2 }
@media (prefers-color-scheme: dark) {
  .back { fill: #16191d } .text { fill: #e6e8eb } .axis { stroke: #e6e8eb } .grid { stroke: #3a3f45 }
  .line, .dot { filter: brightness(1.35) }
}"""


class Axis(NamedTuple):
    """Maps values to coordinates, both ends included."""

    least: float
    most: float
    begin: float
    end: float

    def __call__(self, value: float) -> float:
        low, high = math.log10(self.least), math.log10(self.most)
        return self.begin + (math.log10(value) - low) / (high - low) * (self.end - self.begin)

    def ticks(self) -> list[float]:
        decades = range(math.floor(math.log10(self.least)), math.ceil(math.log10(self.most)) + 1)
        steps = (1, 2, 5) if self.most / self.least < 1000 else (1,)
        found = [step * 10.0**decade for decade in decades for step in steps]
        return [tick for tick in found if self.least <= tick * 1.0001 and tick <= self.most * 1.0001]


def draw(title: str, description: str, x_name: str, y_name: str, series: Mapping[str, Points]) -> str:
    """Return the document. Values must be positive; there must be one line at least."""
    xs = [x for points in series.values() for x, _ in points]
    ys = [y for points in series.values() for _, y in points]
    x_axis = Axis(*_span(xs, 1.0), LEFT, WIDTH - RIGHT)
    y_axis = Axis(*_span(ys, 1.25), HEIGHT - BOTTOM, TOP)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-labelledby="t d">',
        f'<title id="t">{escape(title)}</title>',
        f'<desc id="d">{escape(description)}</desc>',
        f"<style>{CSS}</style>",
        f'<rect class="back" width="{WIDTH}" height="{HEIGHT}"/>',
        _text(LEFT, 22, title, weight="600"),
        *_grid(x_axis, y_axis),
        _text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 10, x_name, "middle"),
        _text(LEFT - 8, TOP - 4, y_name, "end"),
    ]
    for number, (name, points) in enumerate(series.items()):
        lines += _line(number, name, [(x_axis(x), y_axis(y)) for x, y in points])
    return "\n".join([*lines, "</svg>"]) + "\n"


def _span(values: list[float], margin: float) -> tuple[float, float]:
    least, most = min(values) / margin, max(values) * margin
    return (least, most) if most > least else (least / 2, most * 2)


def _grid(x_axis: Axis, y_axis: Axis) -> Iterator[str]:
    for tick in y_axis.ticks():
        y = y_axis(tick)
        yield f'<path class="grid" d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}"/>'
        yield _text(LEFT - 8, y + 4, f"{tick:,.10g}", "end")
    for tick in x_axis.ticks():
        x = x_axis(tick)
        yield f'<path class="grid" d="M{x:.1f} {TOP}V{HEIGHT - BOTTOM}"/>'
        yield _text(x, HEIGHT - BOTTOM + 18, f"{tick:,.10g}", "middle")
    yield f'<path class="axis" fill="none" d="M{LEFT} {TOP}V{HEIGHT - BOTTOM}H{WIDTH - RIGHT}"/>'


def _line(number: int, name: str, points: Points) -> Iterator[str]:
    colour, dashes = STYLES[number % len(STYLES)]
    path = "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
    style = f'class="line" stroke="{colour}" stroke-dasharray="{dashes or "none"}"'
    yield f'<path {style} d="M{path}"/>'
    yield from (f'<circle class="dot" cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="{colour}"/>' for x, y in points)
    x, y = WIDTH - RIGHT + 14, TOP + 6 + number * ROW
    yield f'<path {style} d="M{x} {y}h26"/>'
    yield _text(x + 32, y + 4, name)


def _text(x: float, y: float, text: str, anchor: str = "start", weight: str = "400") -> str:
    at = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-weight="{weight}"'
    return f'<text class="text" {at}>{escape(text)}</text>'
