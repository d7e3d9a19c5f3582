"""Numbers for the eye, the same in every rendering of a report."""

from __future__ import annotations

import math
from collections.abc import Sequence
from decimal import Decimal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ciplug.records.comparison import MetricDelta

ABSENT = "–"


def _decimals(value: float, digits: int) -> int:
    """Decimals that show `digits` significant digits, more where fewer would turn it into a whole number."""
    if value == math.trunc(value):
        return 0
    for wanted in range(digits, 18):
        shown = Decimal(f"{value:.{wanted}g}").normalize()
        if shown != shown.to_integral_value():
            break
    exponent = shown.as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else 0


def _is_plain(value: float) -> bool:
    return value == 0 or 1e-4 <= abs(value) < 1e15


def _by_name(value: float) -> str:
    return "NaN" if math.isnan(value) else ("inf" if value > 0 else "-inf")


def number(value: float, digits: int = 4) -> str:
    """The value to about `digits` significant digits, without losing its meaning.

    Whole numbers are shown whole, 0.99999 never becomes 1, and what is not a finite number has a name.
    """
    if not math.isfinite(value):
        return _by_name(value)
    if not _is_plain(value):
        return f"{value:.{digits}g}"
    return f"{value:.{_decimals(value, digits)}f}"


def common_decimals(values: Sequence[float]) -> int | None:
    """Decimals at which all the finite values stay different from one another; None where no number suits all."""
    finite = {v for v in values if math.isfinite(v)}
    if not all(map(_is_plain, finite)):
        return None
    for digits in range(4, 18):
        decimals = max((_decimals(v, digits) for v in finite), default=0)
        if len({f"{v:.{decimals}f}" for v in finite}) == len(finite):
            spread = max(map(abs, finite), default=0) >= 1e5
            return None if decimals > 8 and spread else decimals
    return None


def numbers(values: Sequence[float | None]) -> list[str]:
    """One text a value, as precise as it takes to tell different values apart; None becomes a dash."""
    present = [v for v in values if v is not None]
    decimals = common_decimals(present)
    if decimals is not None:
        return [ABSENT if v is None else fixed(v, decimals) for v in values]
    distinct = len({v for v in present if math.isfinite(v)})
    for digits in range(4, 18):
        texts = [ABSENT if v is None else number(v, digits) for v in values]
        shown = {t for t, v in zip(texts, values, strict=True) if v is not None and math.isfinite(v)}
        if len(shown) == distinct:
            break
    return texts


def fixed(value: float, decimals: int) -> str:
    """The value with that many decimals, or its name when it is not a finite number."""
    return f"{value:.{decimals}f}" if math.isfinite(value) else _by_name(value)


def signed(text: str, value: float) -> str:
    """The text of a number's magnitude with its sign before it: a real minus, as wide as the plus."""
    return ("−" if value < 0 else "+") + text.removeprefix("-")


def percent(relative: float) -> str:
    """A relative change in percent with its sign, to two or three significant digits."""
    value = abs(relative) * 100
    if value < 0.001:
        return "≈0%"
    if value < 100:
        text = f"{value:.2g}" if value < 10 else f"{value:.3g}"
    else:
        text = f"{value:.0f}" if value < 1e6 else f"{value:.1e}"
    return signed(text, relative) + "%"


def sureness(probability: float) -> str:
    """A probability in percent that is never rounded up to certainty: "97%", "over 99%"."""
    return "over 99%" if probability > 0.99 else f"{probability:.0%}"


def change(delta: MetricDelta) -> str:
    """The change in the metric's unit and in percent: "+0.0042 (+0.46%)"; "new", "missing", "n/a", "0"."""
    if delta.trend in ("new", "missing"):
        return delta.trend
    if delta.trend == "undefined" or delta.change is None:
        return "n/a"
    if delta.trend == "unchanged":
        return "0" if delta.change == 0 else "≈0"
    decimals = common_decimals(list(delta.values.values()))
    magnitude = abs(delta.change)
    text = f"{magnitude:.3g}" if decimals is None else fixed(magnitude, decimals)
    absolute = signed(text, delta.change)
    return absolute if delta.relative is None else f"{absolute} ({percent(delta.relative)})"


def judgement(delta: MetricDelta) -> str:
    """Return the direction of the change, and whether it is good: "▲ better"; only the arrow if that is unknown.

    "= unchanged", "not a number"; empty for a metric that only one of the two runs has.
    """
    if delta.trend == "unchanged":
        return "= unchanged"
    if delta.trend == "undefined":
        return "not a number"
    if delta.change is None:
        return ""
    arrow = "▲" if delta.change > 0 else "▼"
    return f"{arrow} {delta.trend}" if delta.trend in ("better", "worse") else arrow


def share(value: float, low: float, high: float) -> float:
    """Return the position of a value between `low` and a larger `high`, 0 to 1, also for extreme floats."""
    if math.isfinite(high - low):
        return (value - low) / (high - low)
    return (value / 2 - low / 2) / (high / 2 - low / 2)


def duration(seconds: float | None) -> str | None:
    """ "1 h 02 min", "3 min 12 s", "4.2 s"; None stays None."""
    if seconds is None or not math.isfinite(seconds):
        return None
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def size(count: int | None) -> str | None:
    """Bytes for the eye: "1.5 GiB"; None stays None."""
    if count is None:
        return None
    value = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024:
            return f"{value:.0f} B" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} TiB"
