"""Small line charts as inline SVG: pure functions, no script, coloured by the page's style sheet.

The classes are `chart`, `grid`, `tick`, `line`, `dot`, `reference`, `bound` and `mark`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from ciplug.reports import number_format, untrusted

WIDTH, HEIGHT = 360, 168
_LEFT, _RIGHT, _TOP, _BOTTOM = 58, 14, 12, 26
MAX_POINTS = 400
"""The limit of points: of a longer line, each bucket keeps its first, lowest, highest and last point."""

Point = tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class Line:
    """A further line of a chart."""

    kind: str
    """Classes of the style sheet: `baseline`, `second`, or both."""
    points: Sequence[Point]


@dataclass(frozen=True, kw_only=True)
class Chart:
    """A line over x, and others beside it. A y that is not finite is a gap, and so are points whose x is not."""

    title: str
    description: str
    points: Sequence[Point]
    """(x, y), in the order in which they are joined."""
    reference: float | None = None
    """Draws a dashed horizontal line: the baseline's value."""
    last_only: bool = False
    """Marks the last point, and not each of few."""
    x_label: str = ""
    x_ends: tuple[str, str] | None = None
    """Words at the ends of the x axis, in place of the numbers."""
    bounds: Sequence[tuple[float, str]] = ()
    """Draws a horizontal line at each y, with a word: what gates allow."""
    marks: Sequence[tuple[float, str]] = ()
    """Draws a vertical line at each x, with a word: what happened there."""
    others: Sequence[Line] = ()
    """Drawn under the first line."""
    width: int = WIDTH


def svg(chart: Chart, ident: str) -> str:
    """The chart as an SVG element; `ident` is unique in the page (letters, digits, `-`).

    The empty string when there is no finite point.
    """
    points = thin([p for p in chart.points if math.isfinite(p[0])])
    finite = [p for p in points if math.isfinite(p[1])]
    if not finite:
        return ""
    others = [(line, thin([p for p in line.points if math.isfinite(p[0])])) for line in chart.others]
    levels = [y for each in (points, *(drawn for _, drawn in others)) for _, y in each if math.isfinite(y)]
    if chart.reference is not None and math.isfinite(chart.reference):
        levels.append(chart.reference)
    levels += [y for y, _ in chart.bounds]
    y_ticks = ticks(min(levels), max(levels))
    low, high = min(y_ticks[0], *levels), max(y_ticks[-1], *levels)
    places = [x for each in (points, *(drawn for _, drawn in others)) for x, _ in each]
    first, last = min(places), max(places)

    def x_at(x: float) -> float:
        return _LEFT + (chart.width - _LEFT - _RIGHT) * (0.5 if first == last else number_format.share(x, first, last))

    def y_at(y: float) -> float:
        return (
            HEIGHT - _BOTTOM - (HEIGHT - _TOP - _BOTTOM) * (0.5 if low == high else number_format.share(y, low, high))
        )

    parts = [
        f'<svg class="chart" viewBox="0 0 {chart.width} {HEIGHT}" role="img" aria-labelledby="{ident}-t {ident}-d">',
        f'<title id="{ident}-t">{escape(untrusted.clean(chart.title))}</title>',
        f'<desc id="{ident}-d">{escape(untrusted.clean(chart.description))}</desc>',
    ]
    for tick, label in zip(y_ticks, tick_labels(y_ticks), strict=True):
        y = y_at(tick)
        parts.append(_across("grid", chart, y))
        parts.append(f'<text class="tick" x="{_LEFT - 7}" y="{y + 3.5:.1f}" text-anchor="end">{label}</text>')
    parts += _x_axis(first, last, chart)
    if chart.reference is not None and math.isfinite(chart.reference):
        parts.append(_across("reference", chart, y_at(chart.reference)))
    for bound, word in chart.bounds:
        parts.append(_across("bound", chart, y_at(bound)))
        parts.append(_word(chart.width - _RIGHT, y_at(bound) - 3, word, "end"))
    for at, word in chart.marks:
        x = x_at(at)
        parts.append(f'<line class="mark" x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP}" y2="{HEIGHT - _BOTTOM}"/>')
        parts.append(
            _word(x + 3, _TOP + 8, word, "start") if x < chart.width / 2 else _word(x - 3, _TOP + 8, word, "end")
        )
    for line, drawn in others:
        parts += _line([(x_at(x), y_at(y) if math.isfinite(y) else math.nan) for x, y in drawn], f"line {line.kind}")
    parts += _line([(x_at(x), y_at(y) if math.isfinite(y) else math.nan) for x, y in points])
    if chart.last_only and math.isfinite(points[-1][1]):
        parts.append(_dot(x_at(points[-1][0]), y_at(points[-1][1]), 3.5))
    elif len(points) <= 12 and not chart.last_only:
        parts += [_dot(x_at(x), y_at(y), 2.2) for x, y in finite]
    parts.append("</svg>")
    return "".join(parts)


def _across(name: str, chart: Chart, y: float) -> str:
    return f'<line class="{name}" x1="{_LEFT}" x2="{chart.width - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'


def _word(x: float, y: float, word: str, anchor: str) -> str:
    shown = escape(untrusted.clean(word, 60))
    return f'<text class="tick" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{shown}</text>'


def ticks(low: float, high: float, count: int = 4) -> list[float]:
    """About `count` round numbers from at or below `low` to at or above `high`; the two alone where none fit."""
    if low == high:
        return [low]
    span = high / count - low / count
    # A subnormal span, or one beyond the largest float, has no round steps.
    if not 1e-300 < span < 1e300 or span < 1e-12 * max(abs(low), abs(high)):
        return [low, high]
    power = 10.0 ** math.floor(math.log10(span))
    step = next(power * m for m in (1, 2, 2.5, 5, 10) if power * m >= span * 0.999)
    start, end = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [i * step for i in range(start, end + 1)]


def tick_labels(values: Sequence[float]) -> list[str]:
    """Short labels that tell the ticks apart."""
    top = max(map(abs, values))
    if top >= 1e6 or 0 < top < 1e-3:
        tries = ([f"{v:.{digits}g}" for v in values] for digits in range(3, 18))
        return next(labels for labels in tries if len(set(labels)) >= len(set(values)))
    return number_format.numbers([float(f"{v:.10g}") for v in values])


def _x_axis(first: float, last: float, chart: Chart) -> list[str]:
    y = HEIGHT - 8
    middle = (_LEFT + chart.width - _RIGHT) / 2
    parts = []
    if chart.x_label:
        shown = escape(untrusted.clean(chart.x_label, 60))
        parts.append(f'<text class="tick" x="{middle:.0f}" y="{y}" text-anchor="middle">{shown}</text>')
    if first != last:
        start, end = chart.x_ends or (number_format.number(first), number_format.number(last))
        parts.append(f'<text class="tick" x="{_LEFT}" y="{y}">{escape(start)}</text>')
        parts.append(f'<text class="tick" x="{chart.width - _RIGHT}" y="{y}" text-anchor="end">{escape(end)}</text>')
    return parts


def _line(places: Sequence[Point], name: str = "line") -> list[str]:
    """One polyline for each stretch without a gap; a single point between two gaps is a dot."""
    stretches: list[list[Point]] = [[]]
    for place in places:
        if math.isnan(place[1]):
            stretches.append([])
        else:
            stretches[-1].append(place)
    parts = []
    for stretch in stretches:
        if len(stretch) == 1:
            parts.append(_dot(*stretch[0], 2.2))
        elif stretch:
            joined = " ".join(f"{x:.1f},{y:.1f}" for x, y in stretch)
            parts.append(f'<polyline class="{name}" points="{joined}"/>')
    return parts


def _dot(x: float, y: float, radius: float) -> str:
    return f'<circle class="dot" cx="{x:.1f}" cy="{y:.1f}" r="{radius}"/>'


def thin(points: Sequence[Point]) -> Sequence[Point]:
    """At most about MAX_POINTS points that draw the same picture: peaks and gaps of each bucket stay."""
    if len(points) <= MAX_POINTS:
        return points
    buckets = MAX_POINTS // 4
    kept = []
    for i in range(buckets):
        start, end = i * len(points) // buckets, (i + 1) * len(points) // buckets
        finite = [j for j in range(start, end) if math.isfinite(points[j][1])]
        chosen = {start, end - 1}
        if finite:
            chosen |= {min(finite, key=lambda j: points[j][1]), max(finite, key=lambda j: points[j][1])}
        if len(finite) < end - start:
            chosen.add(next(j for j in range(start, end) if not math.isfinite(points[j][1])))
        kept += [points[j] for j in sorted(chosen)]
    return kept
