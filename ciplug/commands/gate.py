"""Judge a run by the gates of ciplug.yaml, and record the verdict. Exit code 1 when a gate fails."""

from __future__ import annotations

import argparse
from pathlib import Path

from ciplug import console
from ciplug.commands import options
from ciplug.commands.output import show_report, tell_problems, write_file
from ciplug.records.run import Run
from ciplug.steps.all_runs import all_runs
from ciplug.steps.judge import exit_code, judge_runs, keep_verdicts
from ciplug.steps.named_run import HELP, chosen_runs
from ciplug.steps.policy_in_force import read_policies
from ciplug.steps.reporting.report import job_annotations, report_without_links
from ciplug.steps.session import Session
from ciplug.steps.unrun_models import unrun_models
from ciplug.steps.unverified_runs import unverified_runs


def add_arguments(parser: argparse.ArgumentParser) -> None:
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--commit", metavar="SHA", help="judge the runs of this commit (default: this one)")
    which.add_argument("--run", metavar="RUN", help=f"judge this run: {HELP}")
    parser.add_argument("--model", metavar="M", help="one model only")
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="judge and record as usual, but exit with 0; the verdict cannot be used to promote",
    )
    parser.add_argument("--junit", metavar="FILE", help="write the gates as JUnit XML")
    parser.add_argument("--json", action="store_true", help="the verdicts as JSON on stdout")


def run(args: argparse.Namespace) -> int:
    session = options.session_of(args)
    runs = all_runs(session)
    named = chosen_runs(session, runs, run=args.run, commit=args.commit, model=args.model)
    chosen = _with_gates(session, named)
    judged = judge_runs(session, runs, chosen, named=bool(args.run), dry_run=args.dry_run)
    tell_problems(runs)
    # Whoever names a model or a run asks about that one alone.
    unrun = () if args.run or args.model else unrun_models(session, runs, chosen[0].commit)
    sections = [each.section for each in judged]
    unverified = None if args.run else unverified_runs(session, runs, chosen[0].commit, sections, args.model)
    report = report_without_links(session, judged, unrun, unverified)
    verdicts = [each.verdict for each in judged if each.verdict]
    if args.junit:
        from ciplug.reports import junit

        write_file(Path(args.junit), junit.render(report))
    if args.json:
        from ciplug.records.canonical import dumps, plain

        notices = {each.run.model: plain(each.section.comparison.notices) for each in judged}
        console.out(dumps({"schema": 1, "verdicts": [plain(verdict) for verdict in verdicts], "notices": notices}))
    else:
        show_report(report)
    console.annotate(job_annotations(session, report.sections))
    keep_verdicts(session, verdicts)
    return 0 if args.dry_run else max(exit_code(verdicts), int(bool(unrun)))


def _with_gates(session: Session, chosen: list[Run]) -> list[Run]:
    """Return the runs that a gate judges, and name the others. Raises ConfigError if no gate judges any of them."""
    policies = read_policies(session)
    judged = [run for run in chosen if policies.find(run.model)]
    if not judged:
        policies.of(chosen[0].model)
    for run in chosen:
        if run not in judged:
            console.say(f"no gates for the model '{run.model}': it is not judged")
    return judged
