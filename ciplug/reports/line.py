"""The report in one line of plain text: what the page of a build has room for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ciplug.records.verdict import SEVERITY
from ciplug.reports import report as model
from ciplug.reports import text

if TYPE_CHECKING:
    from ciplug.records.comparison import MetricDelta
    from ciplug.reports.report import ModelSection, Report

LIMIT = 400
_SAFE = str.maketrans({"<": "‹", ">": "›", "&": "＆", '"': "”", "'": "’", "`": "’"})
"""Such a page may take text for HTML."""


def render(report: Report) -> str:
    """ "✅ wine: PASS, accuracy 0.91 (+0.004)", the models one after the other, the worst first; one line."""
    sections = sorted(report.sections, key=lambda s: -SEVERITY[s.verdict.outcome] if s.verdict else 1)
    line = "; ".join(map(_section, sections)) or "nothing is compared"
    return text.clean(line, LIMIT).translate(_SAFE) + "\n"


def _section(section: ModelSection) -> str:
    icon, words = text.headline(section.verdict)
    if section.verdict:
        words = section.verdict.outcome + (" (dry run)" if section.verdict.dry_run else "")
    said = f"{icon} {text.clean(section.model, text.NAME_LIMIT)}: {words}"
    delta = _deciding(section)
    if delta is None:
        return said
    value = delta.values.get("candidate")
    if value is None:
        return f"{said}, {delta.metric} missing"
    change = "" if delta.change is None else f" ({text.change(delta).partition(' ')[0]})"
    return f"{said}, {delta.metric} {text.number(value)}{change}"


def _deciding(section: ModelSection) -> MetricDelta | None:
    """The metric of the worst gate; without one, what changed most worth a look."""
    deltas = {delta.metric: delta for delta in section.comparison.metrics}
    gates = model.by_severity(section.verdict) if section.verdict else []
    judged = (deltas[gate.metric] for gate in gates if gate.metric in deltas)
    changed, unchanged = model.by_attention(section.comparison)
    return next(iter((*judged, *changed, *unchanged)), None)
