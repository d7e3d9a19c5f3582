"""Write the report of a commit, or post it: the sticky comment, the commit status, the job summary."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ciplug import ci, console
from ciplug.ci import github_actions
from ciplug.commands import options
from ciplug.commands.gate import policy_note, write_file
from ciplug.commands.runs import tell_problems
from ciplug.errors import CiplugError, ForgeError, PermissionDenied, UsageError
from ciplug.evaluation import Evaluation, candidates, evaluate, resolve_commit
from ciplug.forges.base import Forge, State
from ciplug.records import web
from ciplug.records.verdict import Outcome
from ciplug.registry import ledger
from ciplug.reports.report import Report, as_json
from ciplug.session import Session
from ciplug.stores import is_git

if TYPE_CHECKING:
    from ciplug.records.provenance import Context
    from ciplug.tracking.runs import Runs

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
    parser.add_argument("--format", choices=("markdown", "html", "json"), default="markdown")
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
    session = _followed(options.session_of(args))
    commit = resolve_commit(session, args.commit)

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
        _, problem = post(session, seen, lambda later: look(later, later.runs()), asked=True)
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


@dataclass(frozen=True)
class Look:
    """A report, and the keys of the runs and verdicts of its commit that the store held when it was made."""

    report: Report
    commit: str
    keys: frozenset[str]

    @classmethod
    def at(cls, session: Session, commit: str, report: Report) -> Look:
        return cls(report, commit, _recorded(session, commit))

    def knowing(self, keys: frozenset[str]) -> Look:
        """The same, with more that is known to be there."""
        return replace(self, keys=self.keys | keys)

    def is_current(self, session: Session) -> bool:
        """Whether the store, as a session sees it that has not looked before, holds nothing more of the commit."""
        return _recorded(session, self.commit) <= self.keys


def _recorded(session: Session, commit: str) -> frozenset[str]:
    return frozenset(session.store.keys(f"runs/{commit}-", f"verdicts/{commit}-"))


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
    return web.folder_page(place, branch, ledger.log_name(evaluation.run.model))


def render(report: Report, form: str) -> str | bytes:
    if form == "json":
        return as_json(report)
    if form == "html":
        from ciplug.reports import html

        return html.render(report)
    return comment(report, NO_LIMIT)


def comment(report: Report, limit: int, *, html: bool = True) -> str:
    """The comment: nothing of this job is in it, so jobs that race write the same."""
    from ciplug.reports import markdown

    return markdown.render(report, marker=MARKER if html else PLAIN_MARKER, limit=limit, html=html)


def post(
    session: Session, seen: Look, again: Callable[[Session], Look], *, asked: bool = False
) -> tuple[str | None, CiplugError | None]:
    """Post the comment and the status, and write the job summary; returns the comment's address and what failed.

    Jobs that race all end with everybody's runs: each looks at the store once more after it has posted, and posts
    what it sees by `again` if a run has come since. So whoever posts last has seen them all.

    Where nothing can be posted, why is said: on a laptop only if the user has `asked` for it. A missing permission is
    one clear line; the summary is there all the same.
    """
    if ci.host_module(session.context.host).write_summary(session.env, comment(seen.report, NO_LIMIT)):
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
    number, unfound = context.pull_request, None
    if number is None and context.commit and not context.tag and context.branch != context.default_branch:
        try:
            number = forge.find_pull_request(context.commit, context.branch)
        except ForgeError as problem:
            unfound = problem
    if number is None and unfound is None:
        console.say("no comment: this commit has no open pull request")
    while True:
        url, failed = _publish(context, forge, number, seen.report)
        newer = _newer(session, seen, again)
        if newer is None:
            break
        seen = newer
    if url:
        console.say(f"comment: {url}")
    if unfound:
        failed = {"no comment": unfound, **failed}
    for what, failure in failed.items():
        console.complain(f"{what}: {failure.message}", failure.hint)
    return url, next(iter(failed.values()), None)


def _publish(
    context: Context, forge: Forge, number: int | None, report: Report
) -> tuple[str | None, dict[str, CiplugError]]:
    """The comment and the commit status; returns the comment's address, and why which of the two is not there."""
    url, outcome = None, report.outcome
    failed: dict[str, CiplugError] = {}
    if number is not None:
        marker = MARKER if forge.html else PLAIN_MARKER
        try:
            url = forge.upsert_comment(number, marker, comment(report, forge.comment_limit, html=forge.html))
        except ForgeError as problem:
            failed["no comment"] = problem
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
            failed["no commit status"] = problem
    return url, failed


def _newer(session: Session, seen: Look, again: Callable[[Session], Look]) -> Look | None:
    """What there is to say by now, if a run has come since; None if not."""
    # A session that has read nothing yet.
    later = replace(session)
    try:
        return None if seen.is_current(later) else again(later)
    except CiplugError as problem:
        console.complain(f"what was recorded meanwhile is not shown: {problem.message}", problem.hint)
        return None


def _description(report: Report, outcome: Outcome) -> str:
    """What the status says in its one line: the outcome, and the gates that decided it."""
    problems = [section.problem for section in report.sections if section.problem]
    if problems:
        return f"not judged: {problems[0]}"
    gates = [gate for s in report.sections if s.verdict for gate in s.verdict.gates]
    deciding = [gate for gate in gates if gate.outcome == outcome]
    if outcome == "PASS":
        return f"{len(gates)} of {len(gates)} gates passed"
    names = ", ".join(dict.fromkeys(gate.gate for gate in deciding))
    return f"{outcome.lower()}: {names}"
