"""What a value of the policy may be: numbers, percentages, names, days, commits, each with its form in the schema."""

from __future__ import annotations

import math
import re
from datetime import date
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema


def number_of(value: Any) -> float:
    """A finite number; raises ValueError for anything else."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError(f"a number is expected, not {value!r}")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise ValueError(f"{number!r} is no bound")
    return number


def _not_negative(value: float) -> float:
    if value < 0:
        raise ValueError("a number from 0 up is expected (for 'must improve' use min or max)")
    return value


def _percent(value: Any) -> Any:
    """A fraction of the baseline: "10%", or 0.1."""
    if isinstance(value, str):
        text = value.strip()
        try:
            return number_of(float(text.removesuffix("%")) / 100) if text.endswith("%") else number_of(value)
        except ValueError:
            raise ValueError(f"a percentage like 10% is expected, not {value!r}") from None
    number = number_of(value)
    if number > 1:
        raise ValueError(
            f"{number:g} means {number * 100:g}%: write it with its sign, {number:g}% or {number * 100:g}%"
        )
    return number


def names_of(value: Any) -> tuple[str, ...]:
    """A name, or a list of different ones; raises ValueError for anything else."""
    names = [value] if isinstance(value, str) else value
    if not isinstance(names, (list, tuple)) or not names or not all(isinstance(n, str) and n.strip() for n in names):
        raise ValueError(f"a name or a list of names is expected, not {value!r}")
    if len(set(names)) < len(names):
        raise ValueError(f"a name stands twice in {', '.join(names)}")
    return tuple(names)


def _date(value: Any) -> Any:
    try:
        return date.fromisoformat(value) if isinstance(value, str) else value
    except ValueError:
        raise ValueError(f"a day like 2026-12-31 is expected, not {value!r}") from None


def _commit(value: Any) -> Any:
    if not isinstance(value, str) or not re.fullmatch("[0-9a-f]{7,64}", value):
        raise ValueError(f"the id of a commit is expected, at least 7 digits in quotes, not {value!r}")
    return value


NAMES_SCHEMA = {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}, "minItems": 1}]}
PERCENT_SCHEMA = {"type": "string", "pattern": r"^\s*\d+(\.\d*)?\s*%\s*$"}

Number = Annotated[float, BeforeValidator(number_of)]
Amount = Annotated[
    float,
    BeforeValidator(number_of),
    AfterValidator(_not_negative),
    WithJsonSchema({"type": "number", "minimum": 0}),
]
Fraction = Annotated[
    float,
    BeforeValidator(_percent),
    AfterValidator(_not_negative),
    WithJsonSchema({"anyOf": [{"type": "number", "minimum": 0, "maximum": 1}, PERCENT_SCHEMA]}),
]
Alpha = Annotated[float, BeforeValidator(number_of), Field(gt=0, lt=0.5)]
Count = Annotated[int, Field(ge=1)]
Text = Annotated[str, Field(min_length=1)]
Names = Annotated[tuple[str, ...], BeforeValidator(names_of), WithJsonSchema(NAMES_SCHEMA)]
Day = Annotated[date, BeforeValidator(_date)]
Commit = Annotated[str, BeforeValidator(_commit), WithJsonSchema({"type": "string", "pattern": "^[0-9a-f]{7,64}$"})]
