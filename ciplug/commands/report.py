"""Write the report of a commit, or post it: the sticky comment, the commit status, the job summary."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ciplug import console
from ciplug.ci import github_actions
from ciplug.commands import options
from ciplug.commands.gate import policy_note, write_file
from ciplug.commands.runs import tell_problems
from ciplug.errors import PermissionDenied, UsageError
from ciplug.records import web
from ciplug.records.keys import log_of
from ciplug.reports.report import Report, as_json
from ciplug.steps import workflow_run as followed
from ciplug.steps.judge import Evaluation, candidates, evaluate, resolve_commit
from ciplug.steps.post import NO_LIMIT, Look, comment, post
from ciplug.steps.session import Session
from ciplug.stores import is_git

if TYPE_CHECKING:
    from ciplug.tracking.runs import Runs


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--post", action="store_true", help="comment on the pull request and set the commit status")
    options.add_label(parser)
    parser.add_argument("--format", choices=("markdown", "html", "json", "line", "openmetrics"), default="markdown")
    parser.add_argument("--output", metavar="FILE", help="write to a file in place of stdout")
    parser.add_argument(
        "--commit",
        metavar="SHA",
        help="the commit to report on (default: this one, or the one of the run that a workflow_run job follows)",
    )
    parser.add_argument("--model", metavar="M", help="one model only")


def run(args: argparse.Namespace) -> int:
    if args.post and args.model:
        raise UsageError("--model: the comment is of all models of the commit, so it does not go with --post")
    if args.label and not args.post:
        raise UsageError("--label goes with --post")
    session = options.session_of(args)
    follows = None if args.commit else github_actions.triggering_run(session.env)
    if follows:
        session = followed.about(session, follows)
    commit = resolve_commit(session, args.commit)
    foreign = commit != session.context.commit
    if foreign:
        session = replace(session, context=replace(session.context, commit=commit, tag=None, pull_request=None))

    def look(session: Session, runs: Runs) -> Look:
        found = candidates(session, runs, commit, args.model)
        return Look.at(session, commit, build(session, evaluate(session, runs, found, series=True, report=True)))

    runs = options.runs_of(session)
    seen = look(session, runs)
    report = seen.report
    tell_problems(runs)
    for section in report.sections:
        if section.problem:
            console.complain(f"{section.model}: not judged: {section.problem}")
    content = render(report, args.format)
    if args.output:
        write_file(Path(args.output), content)
        console.say(f"report written to {args.output}")
    elif not args.post:
        console.out(content)
    if args.post:
        _, problem = post(
            session,
            seen,
            lambda later: look(later, later.runs()),
            asked=True,
            label=args.label,
            follows=follows,
            foreign=foreign,
        )
        return problem.exit_code if problem and not isinstance(problem, PermissionDenied) else 0
    return 0


def build(session: Session, evaluations: Sequence[Evaluation], notes: Sequence[str] = ()) -> Report:
    """The report of these evaluations. A comment is made of what the store holds; the rest is of this job."""
    return Report(
        sections=tuple(replace(e.section(), registry_url=_registry_page(session, e)) for e in evaluations),
        context=session.context,
        notes=tuple(notes),
        policy_note=policy_note(evaluations),
    )


def _registry_page(session: Session, evaluation: Evaluation) -> str | None:
    """Where the forge shows the log of a model: if the store is a branch of the repository that the forge has."""
    contexts = (evaluation.run.provenance.context, *evaluation.origins.values())
    place = next((c for c in contexts if c.trusted and web.repository_page(c)), None)
    remote, _, branch = session.store.address.rpartition("#")
    if not (evaluation.versions and place and is_git(session.store_uri) and web.is_same_repository(remote, place)):
        return None
    return web.folder_page(place, branch, log_of(evaluation.run.model))


def render(report: Report, form: str) -> str | bytes:
    if form == "json":
        return as_json(report)
    if form == "html":
        from ciplug.reports import html

        return html.render(report)
    if form == "line":
        from ciplug.reports import line

        return line.render(report)
    if form == "openmetrics":
        from ciplug.reports import openmetrics

        return openmetrics.render(report)
    return comment(report, NO_LIMIT)
