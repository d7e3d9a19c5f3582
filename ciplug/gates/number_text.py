"""Numbers as a person reads them in verdicts and in the explanation of a policy."""

from __future__ import annotations

import math


def exact(value: float) -> str:
    """A number of the policy, as it was written."""
    return f"{value:.15g}"


def shown(value: float, *beside: float) -> str:
    """Six digits, or as many as show a whole number in full and differ from the numbers beside it."""
    for digits in range(6, 17):
        text = f"{value:.{digits}g}"
        differs = all(text != f"{other:.{digits}g}" for other in beside if other != value)
        if differs and ("e+" not in text or abs(value) >= 1e16):
            return text
    return repr(value)


def signed(value: float, *beside: float) -> str:
    """A difference, three digits, or as many as differ from the numbers beside it: "+0.012", "−0.5"."""
    if not math.isfinite(value):
        return shown(value)
    texts = (f"{value:+.{digits}g}" for digits in range(3, 17) if _differs(value, digits, beside))
    return next(texts, f"{value:+.17g}").replace("-", "−")


def _differs(value: float, digits: int, beside: tuple[float, ...]) -> bool:
    return all(f"{value:.{digits}g}" != f"{other:.{digits}g}" for other in beside if other != value)


def percent(share: float) -> str:
    """ "27%", "0.4%", "less than 0.1%"."""
    if share < 0.001:
        return "less than 0.1%"
    return f"{share:.0%}" if share >= 0.1 else f"{share:.1%}"


def p_value(p: float) -> str:
    """Two digits; nothing is impossible, so never 0: "0.012", "< 1e-15"."""
    return "< 1e-15" if p < 1e-15 else exact(float(f"{p:.2g}"))
