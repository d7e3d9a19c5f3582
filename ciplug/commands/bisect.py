"""Find the commit that moved a metric, by training the commits between a good and a bad one."""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import TYPE_CHECKING

from ciplug import console
from ciplug.commands import options
from ciplug.commands.output import tell_problems
from ciplug.errors import UsageError, counted
from ciplug.reports import number_format
from ciplug.reports.untrusted import clean
from ciplug.steps.all_runs import all_runs
from ciplug.steps.change_text import LISTED_MOST, commit_words

if TYPE_CHECKING:
    from ciplug.stats.bisection import Search
    from ciplug.steps.bisect import Bisection, Measured
    from ciplug.steps.session import Session


COMMAND_AFTER_DASHES = True
"""The command to train with stands after `--`: `args.trailing`."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("metric", metavar="METRIC", help="the metric, by its name")
    parser.add_argument(
        "--good", metavar="COMMIT", help="a commit before the change (default: as the recorded runs show it)"
    )
    parser.add_argument("--bad", metavar="COMMIT", help="a commit after it (default: as the runs show it, or HEAD)")
    parser.add_argument(
        "--link",
        metavar="PATH",
        action="append",
        type=Path,
        default=[],
        help="data that git does not track, linked into each checkout; may be repeated",
    )
    parser.add_argument(
        "--trainings", metavar="N", type=int, help="train at most N times (default: by the number of commits)"
    )
    options.add_inputs(parser)
    parser.usage = "ciplug bisect METRIC [options] -- COMMAND"


def run(args: argparse.Namespace) -> int:
    from ciplug.steps.bisect import BisectRequest, prepare, train_at

    if not args.trailing:
        raise UsageError("no command to run", hint="put it after `--`: ciplug bisect METRIC -- python train.py")
    session = options.session_of(args)
    runs = all_runs(session)
    request = BisectRequest(metric=args.metric, model=args.model, good=args.good, bad=args.bad, links=args.link)
    search = prepare(session, runs, request)
    tell_problems(runs)
    left = search.most if args.trainings is None else args.trainings
    count = counted(search.places, "commit")
    recorded = counted(sum(map(len, search.values.values())), "recorded number")
    console.say(f"{count} may have moved {clean(search.metric, 80)}; {recorded}, at most {counted(left, 'training')}")
    trained = 0
    while (state := search.state(left - trained)).outcome is None:
        console.say(f"training {search.commits[state.next][:8]} ({_sure(search, state)})")
        measured = train_at(session, search, state.next, args.trailing, lambda there: options.inputs_of(args, there))
        trained += 1
        _tell(search, measured)
    return _conclude(session, search, state, trained)


def _sure(search: Bisection, state: Search) -> str:
    if state.suspicion.factor < 1 or len(search.values) < 2:
        return "no sign of a change yet"
    span = state.likeliest
    return (
        f"{number_format.sureness(span.probability * state.suspicion.probability)} for {search.commits[span.last][:8]}"
    )


def _tell(search: Bisection, measured: Measured) -> None:
    commit = search.commits[measured.at][:8]
    if measured.value is None:
        console.complain(f"{commit} cannot be measured, and is skipped: {measured.problem}")
    else:
        console.say(f"{commit}: {clean(search.metric, 80)} {number_format.number(measured.value)}")
    if measured.delivered and (refusal := measured.delivered.refusal):
        console.complain(refusal.message, refusal.hint)


def _conclude(session: Session, search: Bisection, state: Search, trained: int) -> int:
    """Print the result, and return the exit code: 0 where one commit is found, or nothing has changed."""
    from ciplug.git.history import describe

    name, after = clean(search.metric, 80), f"after {counted(trained, 'training')}"
    if state.outcome == "unchanged":
        console.out(f"no commit has moved {name}: both ends are within its noise ({after})")
        good, bad = _ends(search)
        console.say(f"the good commit {good} is no better than the bad one, {bad}: there is nothing to search")
        return 0
    if state.outcome == "swapped":
        good, bad = _ends(search)
        raise UsageError(
            f"{name} is worse at the good commit {good} than at the bad one, {bad} ({after})",
            hint="are the ends swapped? --good names a commit from before the metric got worse",
        )
    span = state.likeliest
    suspects = (
        state.suspicion.candidates(search.alpha) if state.outcome == "unsure" else range(span.first, span.last + 1)
    )
    commits = [search.commits[at] for at in suspects]
    texts = describe(session.need_workspace(), commits[:LISTED_MOST], session.env)
    before, now = _levels(search, span.first, span.last)
    moved = f"moved {name} from {before} to {now}"
    sure = f"{number_format.sureness(span.probability * state.suspicion.probability)} sure, {after}"
    if state.outcome == "found" and len(commits) == 1:
        console.out(f"{commit_words(commits[0], texts)} {moved} ({sure})")
        return 0
    if state.outcome == "found":
        console.out(f"one of {len(commits)} commits {moved} ({sure}); those before the last one cannot be trained:")
    else:
        console.out(f"not sure {after}; one of {counted(len(commits), 'commit')} may have moved {name}:")
    for commit in commits[:LISTED_MOST]:
        console.out(f"  {commit_words(commit, texts)}")
    if len(commits) > LISTED_MOST:
        console.out(f"  and {counted(len(commits) - LISTED_MOST, 'more commit')}")
    if state.outcome == "unsure":
        console.say("the runs are recorded: the same command goes on from here; --trainings N allows more")
    return 0 if state.outcome == "found" else 1


def _ends(search: Bisection) -> tuple[str, str]:
    """The two ends, each with the mean of its numbers."""
    places = (search.first - 1, search.last)
    means = number_format.numbers([math.fsum(search.values[at]) / len(search.values[at]) for at in places])
    good, bad = (f"{search.commits[at][:8]} ({mean})" for at, mean in zip(places, means, strict=True))
    return good, bad


def _levels(search: Bisection, first: int, last: int) -> tuple[str, str]:
    """The mean of the numbers before a span of commits, and from its last one on."""
    before = [value for at, of in search.values.items() if at < first for value in of]
    after = [value for at, of in search.values.items() if at >= last for value in of]
    means = [math.fsum(of) / len(of) if of else math.nan for of in (before, after)]
    low, high = number_format.numbers(means)
    return low, high
