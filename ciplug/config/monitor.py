"""How a version in production is watched: `monitor:` of ciplug.yaml."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from itertools import combinations
from typing import Any, Literal

from ciplug.config import kinds, values
from ciplug.config.gate import LEAST_EFFECT, LeastEffect
from ciplug.config.kinds import Mistake, key, one_of

NO_COLUMN = "none"
"""In the place of the column of the version: the files hold predictions of one version alone."""
_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_DURATION = r"(\d{1,5}) ?([mhdw])"


def parse_duration(text: str) -> timedelta | None:
    """The time of `90m`, `24h`, `7d` or `2w`; None for anything else."""
    match = re.fullmatch(_DURATION, text.strip())
    return timedelta(**{_UNITS[match[2]]: int(match[1])}) if match else None


def seconds(text: str) -> float:
    """The seconds of a time that was read."""
    return (parse_duration(text) or timedelta()).total_seconds()


def _duration(value: Any) -> str:
    if value == 0 and not isinstance(value, bool):
        return "0h"
    if not isinstance(value, str) or parse_duration(value) is None:
        raise ValueError(f"a time like '24h', '7d' or '2w' is expected, not {values.shown(value)}")
    return value.strip()


def _window(value: Any) -> str:
    text = _duration(value)
    if not seconds(text):
        raise ValueError("a window of no time has no prediction: write it like '24h' or '7d'")
    return text


_TEXT_FORM: kinds.Schema = {"type": "string", "pattern": rf"^\s*{_DURATION}\s*$"}
DURATION = kinds.Scalar(_duration, {"anyOf": [_TEXT_FORM, {"const": 0}]})
WINDOW = kinds.Scalar(_window, _TEXT_FORM)

_OF_OTHER_TOOLS = ("evidently/", "nannyml/")
"""How the numbers of `results:` begin."""


def is_result(metric: str) -> bool:
    """Whether a metric has the name of a number that another tool measures in production."""
    return metric.startswith(_OF_OTHER_TOOLS)


OnFail = Literal["warn", "open_issue", "rollback"]


@dataclass(frozen=True, kw_only=True)
class Monitor:
    """What is to be watched in production, and what happens after failures. Paths are relative to ciplug.yaml."""

    predictions: tuple[str, ...] | None = key(kinds.NAMES)
    """Files with a row for each prediction: JSON lines, CSV or Parquet; `*` and `**` match."""
    labels: tuple[str, ...] | None = key(kinds.NAMES)
    """Files with a row for each label that is known by now, joined by the id."""
    results: tuple[str, ...] | None = key(kinds.NAMES)
    """Results of Evidently or NannyML as JSON, whose numbers gates may name."""
    window: str = key(WINDOW, "1d")
    """The time of the predictions that are looked at, up to now."""
    label_delay: str = key(DURATION, "0h")
    """How long labels take to arrive: the performance is that of a window which ends so much earlier."""
    min_coverage: float = key(kinds.FRACTION, 0.5)
    """With a smaller share of labelled predictions, the gates on labels decide nothing."""
    id: str = key(kinds.TEXT, "id")
    time: str = key(kinds.TEXT, "ts")
    version: str = key(kinds.TEXT, "version")
    """The column of the version, or `none`: the files hold predictions of the watched version alone."""
    prediction: str = key(kinds.TEXT, "prediction")
    label: str = key(kinds.TEXT, "label")
    reference: str | None = key(kinds.TEXT)
    """The table that columns are compared with. Default: the first file of `evaluation` or `datasets` that is one."""
    columns: tuple[str, ...] | None = key(kinds.NAMES)
    """The columns to compare. Default: all that both have."""
    min_effect: LeastEffect | None = key(LEAST_EFFECT)
    """The smallest drift of a column that counts, however certain it is."""
    on_drift: Literal["fail", "warn"] = key(one_of("fail", "warn"), "fail")
    """Whether drift from `reference` is a failure, or only a warning."""
    gates: tuple[str, ...] | None = key(kinds.SELECTION)
    """Default: the gates whose metric can be measured on predictions and labels, and those of kind drift."""
    consecutive: int = key(kinds.integer_from(1), 3)
    """The number of windows in a row that fail before anything follows."""
    on_fail: OnFail = key(one_of("warn", "open_issue", "rollback"), "warn")
    """What ciplug does after a confirmed failure. rollback: it opens the issue, and after as many failures on labels it
    restores the previous version."""
    cool_down: str = key(DURATION, "7d")
    """After any change of the stage, nothing is rolled back for so long."""
    redeploy: bool = key(kinds.FLAG, False)
    """Whether a rollback is deployed to the targets that serve the stage."""

    def mistakes(self) -> Iterator[Mistake]:
        names = ("id", "time", "version", "prediction", "label")
        for one, other in combinations(names, 2):
            if getattr(self, one) == getattr(self, other):
                words = f"the column '{getattr(self, one)}' is the {one}, too: one column cannot be both"
                yield Mistake((other,), words, None, ((one,), (other,)))
        if self.on_fail == "rollback" and not self.labels:
            words = "only failures on labels roll back: name the files of labels"
            yield Mistake(("on_fail",), words, "labels: labels.jsonl", (("on_fail",), ("labels",)))
        if self.redeploy and self.on_fail != "rollback":
            yield Mistake(
                ("redeploy",), "it is for 'on_fail: rollback': remove it", None, (("redeploy",), ("on_fail",))
            )
