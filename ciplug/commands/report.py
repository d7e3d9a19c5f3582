"""Write the report of a commit, or post it: the sticky comment, the commit status, the job summary."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ciplug import console
from ciplug.ci import github_actions
from ciplug.commands import options
from ciplug.commands.output import tell_problems, write_file
from ciplug.errors import PermissionDenied, UsageError
from ciplug.reports.formats import FORMATS, render
from ciplug.steps import workflow_run
from ciplug.steps.all_runs import all_runs
from ciplug.steps.named_run import HELP, find_run
from ciplug.steps.reporting import snapshot
from ciplug.steps.reporting.post import Posting, post
from ciplug.steps.select import resolve_commit
from ciplug.steps.signers import judged_runs

if TYPE_CHECKING:
    from ciplug.reports.report import Report
    from ciplug.steps.reporting.post import Posted
    from ciplug.steps.session import Session


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--post", action="store_true", help="comment on the pull request and set the commit status")
    options.add_label(parser)
    parser.add_argument("--format", choices=FORMATS, default="markdown")
    parser.add_argument("--output", metavar="FILE", help="write to a file instead of stdout")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--run", metavar="RUN", help=f"report on one run: {HELP}")
    which.add_argument(
        "--commit",
        metavar="SHA",
        help="the commit to report on (default: this one, or the one of the run that a workflow_run job follows)",
    )
    parser.add_argument("--model", metavar="M", help="one model only")


def run(args: argparse.Namespace) -> int:
    if args.post and args.model:
        raise UsageError("--model cannot be used with --post: the comment covers all models of the commit")
    if args.post and args.run:
        raise UsageError("--run cannot be used with --post: the comment is about the run that counts for the commit")
    if args.label and not args.post:
        raise UsageError("--label needs --post")
    session = options.session_of(args)
    follows = None if args.commit or args.run else github_actions.triggering_run(session.env)
    if follows:
        session = workflow_run.about(session, follows)
    runs = None
    run = None
    if args.run:
        runs = all_runs(session)
        run = find_run(session, runs, args.run, args.model, any_run=True).run
    commit = (run.commit if run else None) or resolve_commit(session, args.commit)
    foreign = commit != session.context.commit
    if foreign:
        session = replace(session, context=replace(session.context, commit=commit, tag=None, pull_request=None))
    runs = runs or all_runs(session)
    taken = snapshot.take(session, runs, commit, args.model, run=run)
    tell_problems(runs)
    _write(args, session, taken.report)
    if not args.post:
        return 0
    how = Posting(label=args.label, on_request=True, follows=follows, foreign=foreign)
    return _code(post(session, taken, lambda later: snapshot.take(later, judged_runs(later), commit), how))


def _write(args: argparse.Namespace, session: Session, report: Report) -> None:
    """The report to the file or to stdout, and what could not be judged."""
    for section in report.sections:
        if section.problem:
            console.complain(f"{section.model}: not judged: {section.problem.clause}")
    if args.format == "html":
        from ciplug.steps.pictures import with_pictures

        report = with_pictures(session, report)
    content = render(report, args.format)
    if args.output:
        write_file(Path(args.output), content)
        console.say(f"report written to {args.output}")
    elif not args.post:
        # A document has its own rules, and lines that begin with `::` in its styles.
        console.out(content.encode() if isinstance(content, str) and args.format in ("html", "junit") else content)


def _code(posted: Posted) -> int:
    """A missing permission is named, and does not fail the job."""
    failure = posted.failure
    return failure.exit_code if failure and not isinstance(failure, PermissionDenied) else 0
