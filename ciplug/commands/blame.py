"""Name the commit that moved a metric, and how sure that is."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Mapping
from typing import TYPE_CHECKING

from ciplug import console
from ciplug.commands import options
from ciplug.commands.metric_changes import add_history_options, change_facts, history_of
from ciplug.commands.output import tell_problems
from ciplug.errors import counted
from ciplug.records.canonical import dumps
from ciplug.reports.untrusted import clean
from ciplug.steps.change_text import LISTED_MOST, change_words, commit_words, described

if TYPE_CHECKING:
    from ciplug.git.history import CommitText
    from ciplug.stats.level_changes import LevelChange
    from ciplug.steps.metric_history import MetricHistory


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_history_options(parser)
    parser.add_argument(
        "--all", action="store_true", help="every change of the level (default: the last one for the worse)"
    )
    parser.add_argument("--format", choices=("table", "json"), default="table")


def run(args: argparse.Namespace) -> int:
    from ciplug.steps.bisect import last_change

    session = options.session_of(args)
    known, runs = history_of(args, session)
    last = last_change(known)
    changes = known.changes if args.all else [last] if last else []
    texts = described(session, known)
    if args.format == "json":
        facts = [change_facts(known, change, texts) for change in changes]
        console.out(dumps({"schema": 1, "metric": known.metric, "model": known.model, "changes": facts}))
    else:
        for change in changes:
            _print(known, change, texts)
        if not changes:
            count = counted(len(known.points), "commit")
            what = (
                "no commit is known to have made it worse"
                if known.changes
                else "no commit has moved it beyond its noise"
            )
            console.out(f"{clean(known.metric, 80)} of {clean(known.model, 80)}, {count} with a run: {what}")
    tell_problems(runs)
    for notice in known.notices:
        console.complain(f"warning: {notice.line}")
    return 0


def _print(known: MetricHistory, change: LevelChange, texts: Mapping[str, CommitText]) -> None:
    console.out(f"{clean(known.metric, 80)} of {clean(known.model, 80)} {change_words(known, change, texts)}")
    if len(change.candidates) == 1:
        return
    for at in change.candidates[:LISTED_MOST]:
        console.out(f"  {commit_words(known.commits[at], texts)}")
    if (more := len(change.candidates) - LISTED_MOST) > 0:
        console.out(f"  and {counted(more, 'more commit')}")
    console.say(f"train the commits between to know which: ciplug bisect {shlex.quote(known.metric)} -- COMMAND")
