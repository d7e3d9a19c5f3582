"""Probabilities and quantiles of the field's distributions, from the standard library alone.

Relative precision 1e-9 or better, also in the tails; the tests hold each against scipy. Importing
scipy.stats takes most of a second and 100 MB, too much for a gate on two numbers.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from statistics import NormalDist

_EPSILON = sys.float_info.epsilon
_TINY = 1e-300
_MAX_TERMS = 200_000


def normal_sf(z: float) -> float:
    """P(Z > z) of the standard normal."""
    return 0.5 * math.erfc(z / math.sqrt(2))


def normal_isf(tail: float) -> float:
    """z with P(Z > z) = tail, 0 < tail < 1."""
    return -NormalDist().inv_cdf(tail)


def t_sf(t: float, df: float) -> float:
    """P(T > t) of Student's t, df > 0 (a fraction, after Welch)."""
    square = t * t
    tail = 0.5 * beta_cdf(
        df / (df + square), df / 2, 0.5, complement=square / (df + square) if square < math.inf else 1
    )
    return tail if t >= 0 else 1 - tail


def t_isf(tail: float, df: float) -> float:
    """t with P(T > t) = tail, 0 < tail < 1."""
    if tail > 0.5:
        return -t_isf(1 - tail, df)
    high = 1.0
    while t_sf(high, df) > tail:
        high *= 2
    return root(lambda t: tail - t_sf(t, df), 0.0 if high == 1 else high / 2, high)


def chi2_sf(x: float, df: float) -> float:
    """P(X > x) of chi-square."""
    return 1.0 if x < 1e-300 else _gamma_sf(df / 2, x / 2)


def binomial_sf(k: int, n: int, p: float) -> float:
    """P(X ≥ k) of the binomial."""
    if k <= 0:
        return 1.0
    return 0.0 if k > n else beta_cdf(p, k, n - k + 1)


def beta_cdf(x: float, a: float, b: float, *, complement: float | None = None) -> float:
    """The regularised incomplete beta function I_x(a, b); `complement` is 1 − x, where it is more precise than that.

    Continued fraction of DLMF 8.17.22 by Lentz's method; the factor before it as in C. Loader, "Fast and accurate
    computation of binomial probabilities" (2000), which keeps its digits where a and b are large.
    """
    y = 1 - x if complement is None else complement
    if x <= 0:
        return 0.0
    if y <= 0:
        return 1.0
    if x > (a + 1) / (a + b + 2):
        return 1 - beta_cdf(y, b, a, complement=x)
    both = a + b
    shift = (a * y - b * x) / both  # a/(a+b) − x
    log_front = (
        0.5 * (math.log(a) + math.log(b / both) - math.log(2 * math.pi))
        + _stirling(both)
        - _stirling(a)
        - _stirling(b)
        + a * _log_ratio(x, a / both, -shift)
        + b * _log_ratio(y, b / both, shift)
    )
    return math.exp(log_front) * _beta_fraction(x, a, b) / a


def _log_ratio(value: float, at: float, difference: float) -> float:
    """log(value / at), where `difference` is value − at."""
    ratio = difference / at
    return math.log1p(ratio) if abs(ratio) < 0.5 else math.log(value / at)


def _stirling(z: float) -> float:
    """log Γ(z) less Stirling's (z − ½)·log z − z + ½·log 2π (DLMF 5.11.1)."""
    if z < 16:
        return math.lgamma(z) - (z - 0.5) * math.log(z) + z - 0.5 * math.log(2 * math.pi)
    r = 1 / (z * z)
    return (1 / 12 - r * (1 / 360 - r * (1 / 1260 - r * (1 / 1680 - r / 1188)))) / z


def _beta_fraction(x: float, a: float, b: float) -> float:
    c = 1.0
    d = 1 / _away_from_zero(1 - (a + b) * x / (a + 1))
    result = d
    for m in range(1, _MAX_TERMS):
        for step in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            d = 1 / _away_from_zero(1 + step * d)
            c = _away_from_zero(1 + step / c)
            result *= c * d
        if abs(c * d - 1) < _EPSILON:
            return result
    raise ArithmeticError(f"the incomplete beta function does not settle at x={x}, a={a}, b={b}")


def _gamma_sf(a: float, x: float) -> float:
    """The regularised upper incomplete gamma function Q(a, x): series DLMF 8.11.4, continued fraction 8.9.2."""
    log_front = a * math.log(x / a) + (a - x) + 0.5 * math.log(a / (2 * math.pi)) - _stirling(a)
    if x < a + 1:
        term = total = 1 / a
        for n in range(1, _MAX_TERMS):
            term *= x / (a + n)
            total += term
            if term < total * _EPSILON:
                return 1 - math.exp(log_front) * total
    else:
        b = x + 1 - a
        c = 1 / _TINY
        d = 1 / _away_from_zero(b)
        result = d
        for n in range(1, _MAX_TERMS):
            step = -n * (n - a)
            b += 2
            d = 1 / _away_from_zero(step * d + b)
            c = _away_from_zero(b + step / c)
            result *= c * d
            if abs(c * d - 1) < _EPSILON:
                return math.exp(log_front) * result
    raise ArithmeticError(f"the incomplete gamma function does not settle at a={a}, x={x}")


def _away_from_zero(value: float) -> float:
    return value if abs(value) > _TINY else _TINY


def root(function: Callable[[float], float], low: float, high: float) -> float:
    """Find the zero of a function with different signs at both ends, to the last digits of a float.

    T. Chandrupatla (1997): inverse quadratic interpolation where it is safe, else bisection. An end where the function
    is 0 is the answer; if the signs do not differ, the end whose value is nearer to 0.
    """
    a, b = high, low
    fa, fb = function(a), function(b)
    if fa * fb >= 0:
        return a if abs(fa) <= abs(fb) else b
    c, fc, t = a, fa, 0.5
    for _ in range(200):
        x = a + t * (b - a)
        f = function(x)
        if (f > 0) == (fa > 0):
            c, fc = a, fa
        else:
            c, fc, b, fb = b, fb, a, fa
        a, fa = x, f
        nearest, value = (a, fa) if abs(fa) < abs(fb) else (b, fb)
        limit = (2 * _EPSILON * abs(nearest) + _TINY) / abs(b - c)
        if value == 0 or limit > 0.5:
            return nearest
        xi, phi = (a - b) / (c - b), (fa - fb) / (fc - fb)
        t = 0.5
        if phi * phi < xi and (1 - phi) ** 2 < 1 - xi:
            t = fa / (fb - fa) * fc / (fb - fc) + (c - a) / (b - a) * fa / (fc - fa) * fb / (fc - fb)
        t = min(1 - limit, max(limit, t))
    return nearest
