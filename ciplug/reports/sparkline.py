"""A series of numbers in one line of block characters."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ciplug.reports import number_format

_BLOCKS = "▁▂▃▄▅▆▇█"


def sparkline(values: Sequence[float], width: int = 20) -> str:
    """The last `width` values as block characters: a dot where there is no finite number, flat when constant.

    Empty for fewer than two values: one is not a trend.
    """
    values = values[-width:] if len(values) > 1 else ()
    finite = [v for v in values if math.isfinite(v)]
    if not finite:
        return ""
    low, high = min(finite), max(finite)

    def block(value: float) -> str:
        if not math.isfinite(value):
            return "·"
        if low == high:
            return "▄"
        return _BLOCKS[min(7, int(number_format.share(value, low, high) * 8))]

    return "".join(map(block, values))
