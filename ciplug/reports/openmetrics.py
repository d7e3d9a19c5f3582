"""The metrics as OpenMetrics text: one gauge a metric, one line a model.

GitLab's merge request widget shows `accuracy{model=wine}`, and its value beside that of the target branch. It compares
both as texts, so neither may depend on anything but the metric itself. It also takes a `#` for the beginning of a
comment, even in a label: ＃ stands there in its place.

Format: https://prometheus.io/docs/specs/om/open_metrics_spec/
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from typing import TYPE_CHECKING

from ciplug.reports import untrusted

if TYPE_CHECKING:
    from ciplug.reports.report import Report

# A line that begins with `::` would be a command in the log of a CI host.
_NOT_IN_A_NAME = re.compile("[^a-zA-Z0-9_:]|:(?=:)|(?<=:):")
_ESCAPES = str.maketrans({"\\": r"\\", '"': r"\"", "#": "＃"})


def render(report: Report) -> str:
    """The candidate's metrics; one that only the baseline has is absent.

    The label `metric` holds a name that OpenMetrics does not take as it is: `val_loss{model="wine",metric="val/loss"}`.
    """
    families: defaultdict[str, list[str]] = defaultdict(list)
    for section in report.sections:
        for delta in section.comparison.metrics:
            value = delta.values.get("candidate")
            if value is not None:
                name = _name(delta.metric)
                labels = f'model="{_label(untrusted.clean(section.model, untrusted.NAME_LIMIT))}"'
                if name != delta.metric:
                    # In full, blanks included: two metrics must not become one.
                    labels += f',metric="{_label(delta.metric)}"'
                families[name].append(f"{name}{{{labels}}} {_number(value)}\n")
    lines = (f"# TYPE {name} gauge\n{''.join(sorted(families[name]))}" for name in sorted(families))
    return f"{''.join(lines)}# EOF\n"


def _name(metric: str) -> str:
    name = _NOT_IN_A_NAME.sub("_", metric)
    return f"_{name}" if name[:1].isdigit() else name


def _label(value: str) -> str:
    return value.translate(_ESCAPES)


def _number(value: float) -> str:
    """The shortest text that reads back as the same number; a whole number as such."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return str(int(value)) if value == int(value) and abs(value) < 1e15 else repr(value)
