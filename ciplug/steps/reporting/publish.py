"""One report on a forge: the sticky comment, the label, the commit status."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ciplug import ci
from ciplug.errors import ForgeError, counted
from ciplug.records.verdict import EFFECTS
from ciplug.reports import comment

if TYPE_CHECKING:
    from ciplug.forges.base import Forge, State
    from ciplug.records.provenance import Context
    from ciplug.records.verdict import Outcome
    from ciplug.reports.report import Report

STATUS_NAME = "ciplug"
LABEL = "ciplug: "
"""The prefix of ciplug's labels on a pull request; the outcome follows."""


@dataclass(frozen=True)
class PublishedReport:
    """The results on the forge, and the failures."""

    url: str | None = None
    """The address of the comment."""
    comment: ForgeError | None = None
    label: ForgeError | None = None
    status: ForgeError | None = None
    moved_to: str | None = None
    """The head of the pull request, where it is another commit than that of this job: it gets no comment then."""

    @property
    def failure(self) -> ForgeError | None:
        """The failure that counts. Not every forge has labels: a label that could not be set is only mentioned."""
        return self.comment or self.status


def publish(
    context: Context, forge: Forge, number: int | None, report: Report, *, label: bool, status: bool = True
) -> PublishedReport:
    """Write the comment and the label of a pull request, if there is one, and the status of the commit if asked."""
    published, outcome = PublishedReport(), report.outcome
    if number is not None:
        published = replace(published, moved_to=_other_head(context, forge, number))
    if number is not None and not published.moved_to:
        published = _comment(published, forge, number, report)
        if label and outcome:
            labels = [_label(other) for other in EFFECTS]
            failure = _attempt(lambda: forge.keep_label(number, _label(outcome), labels))
            published = replace(published, label=failure)
    if context.commit and outcome and status:
        failure = _attempt(lambda: _set_status(context, forge, report, outcome, published.url))
        published = replace(published, status=failure)
    return published


def _comment(published: PublishedReport, forge: Forge, number: int, report: Report) -> PublishedReport:
    body = comment.render(report, forge.comment_limit, html=forge.html)
    try:
        return replace(published, url=forge.upsert_comment(number, comment.marker(html=forge.html), body))
    except ForgeError as failure:
        return replace(published, comment=failure)


def _set_status(context: Context, forge: Forge, report: Report, outcome: Outcome, url: str | None) -> None:
    forge.set_status(
        context.commit or "",
        _state(report, outcome),
        name=STATUS_NAME,
        description=_description(report, outcome),
        url=url or context.run_url,
    )


def _state(report: Report, outcome: Outcome) -> State:
    """The state of the commit: pending as long as a model that the target branch gates has no run."""
    status = EFFECTS[outcome].status
    return "pending" if report.unrun and status == "success" else status


def _attempt(action: Callable[[], None]) -> ForgeError | None:
    try:
        action()
    except ForgeError as failure:
        return failure
    return None


def _other_head(context: Context, forge: Forge, number: int) -> str | None:
    """The commit that the pull request is about by now, whose comment a slow job must not overwrite."""
    if not ci.host_module(context.host).names_the_head or not context.commit:
        return None
    try:
        head = forge.head_of(number)
    except ForgeError:
        # Then the comment fails as well, and says why.
        return None
    return None if context.commit.startswith(head) else head


def _label(outcome: Outcome) -> str:
    return f"{LABEL}{outcome.lower()}"


def _description(report: Report, outcome: Outcome) -> str:
    """Return the status text in one line: the outcome, and the gates that decided it."""
    problems = [section.problem.clause for section in report.sections if section.problem]
    if problems:
        return f"not judged: {problems[0]}"
    if report.unrun:
        return report.unrun[0].clause
    gates = [gate for s in report.sections if s.verdict for gate in s.verdict.gates]
    if outcome == "PASS":
        return f"{len(gates)} of {counted(len(gates), 'gate')} passed"
    names = ", ".join(dict.fromkeys(gate.gate for gate in gates if gate.outcome == outcome))
    return f"{outcome.lower()}: {names}"
