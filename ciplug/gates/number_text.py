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


def signed(value: float) -> str:
    """A difference, three digits: "+0.012", "−0.5"."""
    return f"{value:+.3g}".replace("-", "−") if math.isfinite(value) else shown(value)
