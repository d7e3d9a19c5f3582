"""Write the report of a commit, or post it: the sticky comment, the commit status, the job summary."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from ciplug import ci, console
from ciplug.ci import github_actions
from ciplug.commands import options
from ciplug.commands.gate import policy_note, write_file
from ciplug.commands.runs import tell_problems
from ciplug.errors import CiplugError, ForgeError, PermissionDenied
from ciplug.evaluation import Evaluation, candidates, evaluate, resolve_commit
from ciplug.forges.base import State
from ciplug.records.verdict import Outcome
from ciplug.reports.report import Report, as_json
from ciplug.session import Session

MARKER = "<!-- ciplug:report -->"
PLAIN_MARKER = "[//]: # (ciplug:report)"
"""Where HTML is shown as text: the definition of a link that nobody uses is not shown at all."""
STATUS_NAME = "ciplug"
NO_LIMIT = 1 << 30
_STATES: dict[Outcome, State] = {
    "PASS": "success",
    "WARN": "success",
    "INCONCLUSIVE": "success",
    "FAIL": "failure",
    "ERROR": "failure",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--post", action="store_true", help="comment on the pull request and set the commit status")
    parser.add_argument("--format", choices=("markdown", "html", "json", "line"), default="markdown")
    parser.add_argument("--output", metavar="FILE", help="write to a file in place of stdout")
    parser.add_argument(
        "--commit",
        metavar="SHA",
        help="the commit to report on (default: this one, or the one of the run that a workflow_run job follows)",
    )
    parser.add_argument("--model", metavar="M", help="one model only")


def run(args: argparse.Namespace) -> int:
    session = _followed(options.session_of(args))
    runs = options.runs_of(session)
    commit = resolve_commit(session, args.commit)
    if commit != session.head:
        # What is posted belongs to that commit, and not to this job's own pull request.
        other = replace(session.context, commit=commit, branch=None, pull_request=None, tag=None)
        session = replace(session, context=other)
    found = candidates(session, runs, commit, args.model)
    report = build(session, evaluate(session, runs, found, series=True))
    tell_problems(runs)
    content = render(report, args.format)
    if args.output:
        write_file(Path(args.output), content)
        console.say(f"report written to {args.output}")
    elif not args.post:
        console.out(content)
    if args.post:
        _, problem = post(session, report, asked=True)
        return problem.exit_code if problem and not isinstance(problem, PermissionDenied) else 0
    return 0


def _followed(session: Session) -> Session:
    """In a `workflow_run` job, the commit that the run before it was about: a fork's, as a rule."""
    follows = github_actions.triggering_run(session.env)
    if follows is None:
        return session
    owner = (follows.head_repository or "").partition("/")[0]
    branch = f"{owner}:{follows.head_branch}" if owner and follows.head_branch else None
    return replace(session, context=replace(session.context, commit=follows.head_commit, branch=branch))


def build(session: Session, evaluations: Sequence[Evaluation], notes: Sequence[str] = ()) -> Report:
    """The report of these evaluations, a pure function of what the store holds and of the job's context."""
    links = {"run": session.context.run_url} if session.context.run_url else {}
    return Report(
        sections=tuple(e.section() for e in evaluations),
        context=session.context,
        notes=tuple(notes),
        links=links,
        policy_note=policy_note(evaluations),
    )


def render(report: Report, form: str) -> str | bytes:
    if form == "json":
        return as_json(report)
    if form == "html":
        from ciplug.reports import html

        return html.render(report)
    if form == "line":
        from ciplug.reports import line

        return line.render(report)
    return _markdown(report, NO_LIMIT)


def _markdown(report: Report, limit: int, *, html: bool = True) -> str:
    from ciplug.reports import markdown

    return markdown.render(report, marker=MARKER if html else PLAIN_MARKER, limit=limit, html=html)


def post(session: Session, report: Report, *, asked: bool = False) -> tuple[str | None, CiplugError | None]:
    """Post the comment and the status, and write the job summary; returns the comment's address and what failed.

    Where nothing can be posted, why is said: on a laptop only if the user has `asked` for it. A missing permission is
    one clear line; the summary is there all the same.
    """
    if ci.host_module(session.context.host).write_summary(session.env, _markdown(report, NO_LIMIT)):
        console.detail("job summary written")
    from ciplug.forges import open_forge, why_no_forge

    context = session.context
    remotes = session.workspace.remotes if session.workspace else {}
    remote = remotes.get("origin") or next(iter(remotes.values()), None)
    forge = open_forge(context, session.env, remote)
    if forge is None:
        tell = console.detail if context.host == "local" and not asked else console.say
        tell(f"no comment: {why_no_forge(context, session.env, remote)}")
        return None, None
    url = None
    failed: CiplugError | None = None
    try:
        number = context.pull_request
        on_default = context.branch is not None and context.branch == context.default_branch
        if number is None and context.commit and not context.tag and not on_default:
            number = forge.find_pull_request(context.commit, context.branch)
        if number is None:
            console.say("no comment: this commit has no open pull request")
        else:
            marker = MARKER if forge.html else PLAIN_MARKER
            url = forge.upsert_comment(number, marker, _markdown(report, forge.comment_limit, html=forge.html))
            console.say(f"comment: {url}")
    except ForgeError as problem:
        failed = problem
        console.complain(f"no comment: {problem.message}", problem.hint)
    outcome = report.outcome
    if context.commit and outcome:
        try:
            forge.set_status(
                context.commit,
                _STATES[outcome],
                name=STATUS_NAME,
                description=_description(report, outcome),
                url=url or context.run_url,
            )
        except ForgeError as problem:
            failed = failed or problem
            console.complain(f"no commit status: {problem.message}", problem.hint)
    return url, failed


def _description(report: Report, outcome: Outcome) -> str:
    """What the status says in its one line: the outcome, and the gates that decided it."""
    gates = [gate for s in report.sections if s.verdict for gate in s.verdict.gates]
    deciding = [gate for gate in gates if gate.outcome == outcome]
    if outcome == "PASS":
        return f"{len(gates)} of {len(gates)} gates passed"
    names = ", ".join(dict.fromkeys(gate.gate for gate in deciding))
    return f"{outcome.lower()}: {names}"
