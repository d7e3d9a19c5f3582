"""Compare the run of a commit with that of its baseline: by default the merge base with the target branch."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ciplug import console
from ciplug.commands import options
from ciplug.commands.output import show_report, tell_problems
from ciplug.errors import NotFound, UsageError, counted, listed
from ciplug.records.canonical import dumps, plain
from ciplug.records.run import Run
from ciplug.reports.report import Report
from ciplug.reports.untrusted import clean
from ciplug.steps.all_runs import all_runs
from ciplug.steps.compare import compare_runs
from ciplug.steps.named_run import HELP, chosen_runs, meaning_of, named_base
from ciplug.steps.select import RECORD_THERE, NamedBase, NamedCommit, nearest_candidates, select_runs
from ciplug.steps.session import Session
from ciplug.steps.unverified_runs import unverified_runs

if TYPE_CHECKING:
    from ciplug.records.comparison import Comparison
    from ciplug.tracking.runs import Runs


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("base", metavar="BASE", nargs="?", help=f"{HELP} (default: the merge base)")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("head", metavar="HEAD", nargs="?", help="what to compare, named likewise (default: this commit)")
    which.add_argument("--run", metavar="RUN", help="compare this run, whether or not it counts for its commit")
    parser.add_argument("--model", metavar="M", help="one model only (default: that of ciplug.yaml, if it ran)")
    parser.add_argument("--format", choices=("table", "markdown", "json", "csv"), default="table")


def run(args: argparse.Namespace) -> int:
    session = options.session_of(args)
    runs = all_runs(session)
    base = named_base(session, runs, args.base, args.model) if args.base else None
    model = args.model or (base.run.model if isinstance(base, NamedBase) and not (args.head or args.run) else None)
    head = meaning_of(session, runs, args.head, model) if args.head else None
    if isinstance(base, NamedCommit) and isinstance(head, NamedCommit) and head.commit == base.commit:
        raise UsageError(
            f"'{args.base}' and '{args.head}' are one commit, {base.commit[:12]}",
            hint="name two runs of it by their ids: ciplug runs list --commit SHA",
        )
    distance = 0
    if isinstance(head, NamedCommit):
        # As for BASE: the run of the nearest ancestor, where the commit has none.
        distance, chosen = nearest_candidates(session, runs, head, model)
    else:
        chosen = chosen_runs(session, runs, run=args.run or args.head, commit=None, model=model)
    chosen = _of_own_model(session, chosen, args.model)
    if isinstance(base, NamedBase) and base.run.id in {run.id for run in chosen}:
        raise UsageError(f"'{args.base}' is run {base.run.id[:12]}, which would be compared with itself")
    if isinstance(base, NamedCommit) and (args.head or args.run):
        _check_not_itself(session, runs, base, chosen)
    if args.format == "csv" and len(chosen) > 1:
        raise UsageError(
            f"this commit has runs of {len(chosen)} models, and CSV holds one table",
            hint=f"choose one: --model {chosen[0].model}",
        )
    if isinstance(base, NamedBase):
        _tell_run(args.base, base.run)
    if (named := args.run or args.head) and (len(chosen) == 1 or distance):
        # The report names the commit, and not which run of it is compared.
        for run in chosen:
            _tell_run(named, run, distance)
    sections = compare_runs(session, runs, chosen, base)
    tell_problems(runs)
    unverified = None if args.run else unverified_runs(session, runs, chosen[0].commit, sections, args.model)
    comparisons = [section.comparison for section in sections]
    if args.base:
        _need_baselines(comparisons)
    if args.format == "json":
        console.out(dumps({"schema": 1, "comparisons": [plain(c) for c in comparisons]}))
    elif args.format == "table":
        show_report(Report(sections=tuple(sections), context=session.context, unverified=unverified))
    else:
        _print_tables(comparisons, args.format)
        if unverified:
            console.say(f"{unverified.title}. {unverified.words}")
    return 0


def _check_not_itself(session: Session, runs: Runs, base: NamedCommit, chosen: Sequence[Run]) -> None:
    """Raise UsageError where the run to compare is the one that the commit names, or its nearest recorded ancestor."""
    for run in chosen:
        selection = select_runs(session, runs, run.commit, run.model).get(run.model) if run.commit else None
        if selection and selection.chosen == run.id and _is_of(session, runs, base, run):
            raise UsageError(
                f"'{base.name}' is run {run.id[:12]}, which would be compared with itself",
                hint="name another run of it by its id: ciplug runs list --commit SHA",
            )


def _is_of(session: Session, runs: Runs, base: NamedCommit, run: Run) -> bool:
    """Whether a run is of the commit that was named, or of its nearest ancestor with a run of this model."""
    if run.commit == base.commit:
        return True
    try:
        _, nearest = nearest_candidates(session, runs, base, run.model)
    except NotFound:
        return False
    return run.id in {one.id for one in nearest}


def _of_own_model(session: Session, chosen: list[Run], asked: str | None) -> list[Run]:
    """The run of the model of ciplug.yaml, where the commit has runs of others too and nobody named a model."""
    own = [run for run in chosen if run.model == session.config.model]
    if asked or not own or len(own) == len(chosen):
        return chosen
    others = listed([clean(run.model, 40) for run in chosen if run not in own])
    console.say(f"this commit has runs of {others}, too: compare one of these with --model")
    return own


def _tell_run(name: str, run: Run, distance: int = 0) -> None:
    """Say which run a name means, and what a reader must know of it.

    Args:
        distance: how many commits before the one that was named the run is.
    """
    words = [f"run {run.id[:12]} of commit {run.commit[:8]}" if run.commit else f"run {run.id[:12]}"]
    words += [f"the nearest recorded ancestor, {counted(distance, 'commit')} before it"] if distance else []
    words += [f"a child run of {run.parent[:12]}"] if run.parent else []
    words += [] if run.status == "finished" else [run.status]
    words += ["made from a dirty tree"] if run.provenance.dirty else []
    console.say(f"'{clean(name, 80)}' is {', '.join(words)}")


def _need_baselines(comparisons: Sequence[Comparison]) -> None:
    """Raises UsageError where the commit that was named has no run of any of the models."""
    if all(comparison.baseline.run is None for comparison in comparisons):
        raise UsageError(comparisons[0].baseline.how, hint=RECORD_THERE)


def _print_tables(comparisons: Sequence[Comparison], form: str) -> None:
    from ciplug.reports.terminal import comparison_table

    for comparison in comparisons:
        if len(comparisons) > 1:
            console.out(f"### {comparison.model}\n")
        console.out(comparison_table(comparison, "csv" if form == "csv" else "markdown"))
    for comparison in comparisons:
        console.say(f"{comparison.model}: baseline: {comparison.baseline.how}")
        for notice in comparison.notices:
            console.say(f"{comparison.model}: {notice.line}")
