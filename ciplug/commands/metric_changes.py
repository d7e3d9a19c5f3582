"""What `history`, `blame` and `bisect` share: their options, and the changes of a metric as JSON."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ciplug.commands.output import tell_problems
from ciplug.errors import UsageError
from ciplug.steps.all_runs import all_runs
from ciplug.steps.session import Session

if TYPE_CHECKING:
    from ciplug.git.history import CommitText
    from ciplug.stats.level_changes import LevelChange
    from ciplug.steps.metric_history import MetricHistory
    from ciplug.tracking.runs import Runs


def add_history_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("metric", metavar="METRIC", help="the metric, by its name")
    parser.add_argument("--branch", metavar="B", help="the first parents of this branch (default: those of HEAD)")
    parser.add_argument("--model", metavar="M", help="which model (default: that of ciplug.yaml, or the only one)")
    parser.add_argument(
        "--limit", metavar="N", type=int, default=100, help="the last N commits with a run (default: 100; 0: all)"
    )


def history_of(args: argparse.Namespace, session: Session) -> tuple[MetricHistory, Runs]:
    """The history that the options name. Raises UsageError and NotFound."""
    from ciplug.steps.metric_history import metric_history

    if args.limit < 0:
        raise UsageError("--limit takes a number from 0 up")
    runs = all_runs(session)
    try:
        known = metric_history(session, runs, args.metric, model=args.model, branch=args.branch, limit=args.limit)
    except UsageError:
        tell_problems(runs)
        raise
    return known, runs


def change_facts(known: MetricHistory, change: LevelChange, texts: Mapping[str, CommitText]) -> dict[str, Any]:
    """A change as JSON has it."""
    return {
        "commit": known.commits[change.at],
        "probability": change.probability,
        "candidates": [known.commits[at] for at in change.candidates],
        "before": change.before,
        "after": change.after,
        "worse": known.is_worse(change),
        "subject": texts[known.commits[change.at]].subject if known.commits[change.at] in texts else None,
    }
