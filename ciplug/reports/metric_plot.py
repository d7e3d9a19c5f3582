"""A metric over commits as a plot for the terminal, by plotille."""

from __future__ import annotations

from collections.abc import Sequence

HEIGHT = 12
_MARGIN = 14
"""Columns left of the plot: the numbers of the y axis."""


def is_available() -> bool:
    """Whether the library for plots is installed."""
    from importlib.util import find_spec

    return find_spec("plotille") is not None


def plot(points: Sequence[tuple[int, float]], changes: Sequence[int], *, width: int) -> str:
    """The plot of finite values over positions; a vertical line where the level changed.

    Args:
        points: at least one.
        width: columns of the terminal.
    """
    import plotille

    xs, ys = [float(at) for at, _ in points], [value for _, value in points]
    low, high = min(ys), max(ys)
    pad = (high - low) * 0.05 or abs(low) * 0.05 or 1.0
    figure = plotille.Figure()
    figure.with_colors, figure.origin = False, False
    figure.width, figure.height = max(20, min(width, 120) - _MARGIN), HEIGHT
    figure.set_x_limits(min(xs) - 0.5, max(xs) + 0.5)
    figure.set_y_limits(low - pad, high + pad)
    figure.y_label, figure.x_label = "", "commits"
    figure.x_ticks_fkt = lambda *_: ""
    figure.y_ticks_fkt = lambda value, _: f"{value:>10.4g}"
    figure.plot(xs, ys, marker="o")
    span = max(xs) - min(xs) + 1
    for at in changes:
        figure.axvline(min(1.0, max(0.0, (at - min(xs)) / span)))
    # The first line would have the y axis' name, and the last one the labels of the other.
    *lines, axis = str(figure.show()).splitlines()[1:-1]
    # The axis is drawn in steps of ten columns, and its name goes where it has no room.
    return "\n".join([*lines, axis if len(axis) <= width else axis.removesuffix(" (commits)")])
