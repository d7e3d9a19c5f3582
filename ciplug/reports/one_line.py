"""The report in one line of plain text: what the page of a build has room for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ciplug.errors import counted
from ciplug.records.notice import Kind
from ciplug.reports import number_format, row_order, text, untrusted
from ciplug.reports import report as model

if TYPE_CHECKING:
    from ciplug.reports.report import ModelSection, Report

LIMIT = 400
_SAFE = str.maketrans({"<": "‹", ">": "›", "&": "＆", '"': "”", "'": "’", "`": "’"})
"""Such a page may take text for HTML."""


def render(report: Report) -> str:
    """ "✅ wine: PASS, accuracy 0.91 (+0.004)", the models one after the other, the worst first; one line."""
    unrun = [f"no run of {untrusted.clean(one.model or '', untrusted.NAME_LIMIT)}" for one in report.unrun]
    line = "; ".join([*unrun, *map(_section, model.by_verdict(report))]) or "nothing is compared"
    return untrusted.clean(line, LIMIT).translate(_SAFE) + "\n"


def _section(section: ModelSection) -> str:
    icon, words = text.headline(section.outcome, section.verdict)
    if section.verdict:
        words = section.verdict.outcome + (" (dry run)" if section.verdict.dry_run else "")
    start = f"{icon} {untrusted.clean(section.model, untrusted.NAME_LIMIT)}: {words}"
    return ", ".join(filter(None, (start, _telling(section), *_doubts(section))))


def _telling(section: ModelSection) -> str:
    """The metric that tells most, with its change."""
    delta = row_order.telling(section)
    if delta is None:
        return ""
    value = delta.values.get("candidate")
    if value is None:
        return f"{delta.metric} missing"
    change = "" if delta.change is None else f" ({number_format.change(delta).partition(' ')[0]})"
    return f"{delta.metric} {number_format.number(value)}{change}"


def _doubts(section: ModelSection) -> Iterator[str]:
    """What was not read, and may change the rest."""
    kinds = [notice.kind for notice in section.comparison.notices]
    if skipped := kinds.count(Kind.SKIPPED_EVENT):
        yield f"{counted(skipped, 'registry event')} not understood: upgrade ciplug"
    if Kind.UNREADABLE in kinds:
        yield "a record cannot be read"
