"""The sticky comment, the commit status and the job summary, kept current while other jobs do the same."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ciplug import ci, console
from ciplug.errors import CiplugError, ForgeError
from ciplug.records import keys
from ciplug.steps import workflow_run as followed
from ciplug.steps.session import Session

if TYPE_CHECKING:
    from ciplug.ci.github_actions import TriggeringRun
    from ciplug.forges.base import Forge, OpenPullRequest, State
    from ciplug.records.provenance import Context
    from ciplug.records.verdict import Outcome
    from ciplug.reports.report import Report

MARKER = "<!-- ciplug:report -->"
PLAIN_MARKER = "[//]: # (ciplug:report)"
"""Where HTML is shown as text: the definition of a link that nobody uses is not shown at all."""
NO_LIMIT = 1 << 30
STATUS_NAME = "ciplug"
_TELL_THE_HEAD = ("github_actions", "gitlab_ci", "gitea", "bitbucket")
"""Hosts whose jobs know the very head of their pull request."""
LABEL = "ciplug: "
"""What our labels of a pull request begin with; the outcome follows."""
_NO_LABEL = "no label"
_STATES: dict[Outcome, State] = {
    "PASS": "success",
    "WARN": "success",
    "INCONCLUSIVE": "success",
    "FAIL": "failure",
    "ERROR": "failure",
}


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
    return frozenset(session.store.keys(keys.runs_on(commit), keys.amendments_on(commit), keys.verdicts_on(commit)))


def post(
    session: Session,
    seen: Look,
    again: Callable[[Session], Look],
    *,
    asked: bool = False,
    label: bool = False,
    follows: TriggeringRun | None = None,
    foreign: bool = False,
) -> tuple[str | None, CiplugError | None]:
    """Post the comment and the status, and write the job summary; returns the comment's address and what failed.

    Jobs that race all end with everybody's runs: each looks at the store once more after it has posted, and posts
    what it sees by `again` if a run has come since. So whoever posts last has seen them all. A job of the branch looks
    again as of the branch's open pull request: it compares, and is judged by, what the pull request's own job is.

    Where nothing can be posted, why is said: on a laptop only if the user has `asked` for it. A missing permission is
    one clear line; the summary is there all the same.

    Args:
        label: keep a label of the outcome on the pull request, too.
        follows: the run of another workflow that the report is about.
        foreign: it is about a commit that is not this job's, of whatever branch.
    """
    if ci.host_module(session.context.host).write_summary(session.env, comment(seen.report, NO_LIMIT)):
        console.detail("job summary written")
    from ciplug.forges import open_forge, why_no_forge
    from ciplug.forges.github import GitHub

    context = session.context
    remote = session.remote_url
    forge = open_forge(context, session.env, remote)
    if forge is None:
        tell = console.detail if context.host == "local" and not asked else console.say
        tell(f"no comment: {why_no_forge(context, session.env, remote)}")
        return None, None
    number, unfound = context.pull_request, None
    try:
        if follows and isinstance(forge, GitHub):
            number, why_not = followed.pull_request(session, follows, forge)
            if why_not:
                console.say(f"no comment and no commit status: {why_not}")
                return None, None
        if number is None:
            found, unfound = _pull_request(session, forge, foreign=foreign)
            if found:
                number, session = found.number, _as_of(session, found)
                console.say(f"the comment is as of pull request #{number}: judged by the gates of {found.base}")
                seen = again(session)
    except CiplugError as problem:
        console.complain(f"no comment and no commit status: {problem.message}", problem.hint)
        return None, problem
    if number is None and unfound is None:
        console.say("no comment: this commit has no open pull request")
    while True:
        url, failed = _publish(context, forge, number, seen.report, label=label)
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
    # Not every forge has labels; one that is not there is said, and no more.
    return url, next((failure for what, failure in failed.items() if what != _NO_LABEL), None)


def _pull_request(session: Session, forge: Forge, *, foreign: bool) -> tuple[OpenPullRequest | None, ForgeError | None]:
    """The open pull request that the commit is in, of a job that was not started for one; or why that is not known."""
    context = session.context
    of_branch = not context.tag and context.branch != context.default_branch
    if not context.commit or not (foreign or of_branch):
        return None, None
    try:
        branch = None if foreign else context.branch
        return forge.find_pull_request(context.commit, branch, into=context.default_branch), None
    except ForgeError as problem:
        return None, problem


def _as_of(session: Session, found: OpenPullRequest) -> Session:
    return replace(session, context=replace(session.context, pull_request=found.number, target_branch=found.base))


def comment(report: Report, limit: int, *, html: bool = True) -> str:
    """The comment: nothing of this job is in it, so jobs that race write the same."""
    from ciplug.reports import markdown

    return markdown.render(report, marker=MARKER if html else PLAIN_MARKER, limit=limit, html=html)


def _publish(
    context: Context, forge: Forge, number: int | None, report: Report, *, label: bool
) -> tuple[str | None, dict[str, CiplugError]]:
    """The comment, the label and the commit status; returns the comment's address, and why which is not there."""
    url, outcome = None, report.outcome
    failed: dict[str, CiplugError] = {}
    if number is not None and not _has_moved_on(context, forge, number):
        marker = MARKER if forge.html else PLAIN_MARKER
        try:
            url = forge.upsert_comment(number, marker, comment(report, forge.comment_limit, html=forge.html))
        except ForgeError as problem:
            failed["no comment"] = problem
        if label and outcome:
            try:
                forge.keep_label(number, _label(outcome), [_label(other) for other in _STATES])
            except ForgeError as problem:
                failed[_NO_LABEL] = problem
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


def _has_moved_on(context: Context, forge: Forge, number: int) -> bool:
    """Whether the pull request is about another commit by now, whose comment a slow job must not overwrite."""
    if context.host not in _TELL_THE_HEAD or not context.commit:
        return False
    try:
        head = forge.head_of(number)
    except ForgeError:
        # Then the comment fails as well, and says why.
        return False
    if context.commit.startswith(head):
        return False
    console.say(f"no comment: pull request #{number} has moved on to {head[:8]}, and this is {context.commit[:8]}")
    return True


def _label(outcome: Outcome) -> str:
    return f"{LABEL}{outcome.lower()}"


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
