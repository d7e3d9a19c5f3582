"""The words on a commit that moved a metric, and the page of a history."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from ciplug.git.history import CommitText, describe
from ciplug.reports import number_format
from ciplug.reports.history_page import HistoryChange, HistoryPage, HistoryRow
from ciplug.reports.untrusted import clean
from ciplug.steps.session import Session

if TYPE_CHECKING:
    from ciplug.stats.level_changes import LevelChange
    from ciplug.steps.metric_history import MetricHistory

LISTED_MOST = 10
"""Commits that are named where it is not clear which one it was."""


def described(session: Session, known: MetricHistory) -> Mapping[str, CommitText]:
    """Commit → what it says of itself, of the commits that may have moved the metric."""
    suspects = {known.commits[at] for change in known.changes for at in change.candidates[:LISTED_MOST]}
    return describe(session.need_workspace(), suspects, session.env) if suspects else {}


def change_words(known: MetricHistory, change: LevelChange, texts: Mapping[str, CommitText]) -> str:
    """One line on a change: how far, which commit, how sure."""
    before, after = number_format.numbers([change.before, change.after])
    moved = {None: "moved", True: "got worse", False: "got better"}[known.is_worse(change)]
    if len(change.candidates) == 1:
        which = f"at {commit_words(known.commits[change.at], texts)}, {number_format.sureness(change.probability)} sure"
    else:
        first, last = (known.commits[change.candidates[end]][:8] for end in (0, -1))
        which = f"at one of {len(change.candidates)} commits, {first} to {last}"
    return f"{moved} from {before} to {after} {which}"


def commit_words(commit: str, texts: Mapping[str, CommitText]) -> str:
    text = texts.get(commit)
    if text is None:
        return commit[:8]
    return f'{commit[:8]} "{clean(text.subject, 72)}" ({clean(text.author, 40)}, {clean(text.date, 10)})'


def history_page(session: Session, known: MetricHistory) -> HistoryPage:
    """The history as a page shows it."""
    texts = described(session, known)
    bounds = ((known.lowest, "min"), (known.highest, "max"))
    return HistoryPage(
        metric=known.metric,
        model=known.model,
        branch=known.branch or "HEAD",
        higher_is_better=known.higher_is_better,
        rows=[
            HistoryRow(
                at=point.at,
                commit=point.commit,
                run=point.run,
                value=point.value,
                runs=point.runs,
                date=point.date,
                author=point.author,
                subject=point.subject,
                versions=point.promotions,
            )
            for point in known.points
        ],
        changes=[
            HistoryChange(at=one.at, words=change_words(known, one, texts), is_worse=known.is_worse(one))
            for one in known.changes
        ],
        bounds=[(bound, word) for bound, word in bounds if bound is not None],
        notes=[notice.line for notice in known.notices],
    )
