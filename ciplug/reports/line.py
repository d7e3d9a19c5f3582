"""The report in one line of plain text: what the page of a build has room for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ciplug.reports import figures, text, untrusted
from ciplug.reports import report as model

if TYPE_CHECKING:
    from ciplug.reports.report import ModelSection, Report

LIMIT = 400
_SAFE = str.maketrans({"<": "‹", ">": "›", "&": "＆", '"': "”", "'": "’", "`": "’"})
"""Such a page may take text for HTML."""


def render(report: Report) -> str:
    """ "✅ wine: PASS, accuracy 0.91 (+0.004)", the models one after the other, the worst first; one line."""
    line = "; ".join(map(_section, model.by_verdict(report))) or "nothing is compared"
    return untrusted.clean(line, LIMIT).translate(_SAFE) + "\n"


def _section(section: ModelSection) -> str:
    icon, words = text.headline(section.outcome, section.verdict)
    if section.verdict:
        words = section.verdict.outcome + (" (dry run)" if section.verdict.dry_run else "")
    start = f"{icon} {untrusted.clean(section.model, untrusted.NAME_LIMIT)}: {words}"
    delta = model.telling(section)
    if delta is None:
        return start
    value = delta.values.get("candidate")
    if value is None:
        return f"{start}, {delta.metric} missing"
    change = "" if delta.change is None else f" ({figures.change(delta).partition(' ')[0]})"
    return f"{start}, {delta.metric} {figures.number(value)}{change}"
