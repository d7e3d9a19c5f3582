"""Tell people of a version that fails in production: one living issue, and a signed webhook."""

from __future__ import annotations

from ciplug import ci
from ciplug.comparison.failures_in_a_row import UNDECIDED, Streak
from ciplug.console import Note, problem_note
from ciplug.errors import CiplugError
from ciplug.records.run import Run
from ciplug.records.verdict import Verdict
from ciplug.reports import monitor_issue
from ciplug.reports.monitor_issue import IssueFacts
from ciplug.steps.job_forge import forge_of
from ciplug.steps.monitoring.watched_version import Watched
from ciplug.steps.webhook import send_message, webhook_of

FAILING, RECOVERED = "monitor.failing", "monitor.recovered"
"""The types of the messages."""


def tell(
    watched: Watched, run: Run, verdict: Verdict, counted: Streak, told: Streak | None, action: str | None
) -> None:
    """Write the page of the job; then open, update or close the issue, and send the webhook, where that is asked for.

    A window that could not be decided is neither a failure nor a recovery: it tells nobody. Trouble is told, and stops
    nothing.

    Args:
        told: the failures that people were told of, where they were not told that they are over.
        action: what was done about the failure.
    """
    session, settings = watched.session, watched.settings
    facts = IssueFacts(
        model=watched.model,
        stage=watched.stage,
        version=watched.version.number,
        where=watched.where,
        verdict=verdict,
        windows=counted.windows,
        failures=len(counted.failures),
        actions=(action,) if action else (),
        run_url=session.context.run_url,
    )
    ci.host_module(session.context.host).write_summary(session.env, lambda: monitor_issue.summary(facts))
    if verdict.outcome == UNDECIDED and not action:
        return
    confirmed = len(counted.failures) >= settings.consecutive
    if settings.on_fail == "warn" and confirmed:
        session.tell(
            Note(
                "nobody is told of the failure: 'on_fail' is 'warn', which sends nothing",
                "monitor: {on_fail: open_issue} keeps an issue, and sends the webhook",
                is_urgent=True,
            )
        )
    if settings.on_fail == "warn" or not (confirmed or counted.passes or action):
        return
    is_told = _issue(watched, facts)
    about = counted if confirmed else told if counted.passes else None
    if about is not None:
        is_told |= _webhook(watched, run, facts, about)
    if confirmed and not is_told:
        session.tell(
            Note(
                "nobody is told of the failure: this job has neither a forge with issues nor a webhook",
                "see docs/monitor.md, or let the pipeline's own failure tell you",
                is_urgent=True,
            )
        )


def _issue(watched: Watched, facts: IssueFacts) -> bool:
    """Whether there is an issue, or needs to be none."""
    from ciplug.forges import NoForge

    session = watched.session
    try:
        forge = forge_of(session)
        if isinstance(forge, NoForge):
            if facts.failures:
                session.tell(Note(f"no issue: {forge.message}", forge.hint))
            return not facts.failures
        mark = monitor_issue.marker(facts.model, facts.stage)
        body = monitor_issue.body(facts)
        url = forge.keep_issue(mark, monitor_issue.title(facts), body, is_open=bool(facts.failures))
    except CiplugError as problem:
        session.tell(problem_note(problem))
        return False
    if url:
        session.tell(Note(f"issue {'kept' if facts.failures else 'closed'}: {url}"))
    return True


def _webhook(watched: Watched, run: Run, facts: IssueFacts, about: Streak) -> bool:
    """Whether the message was delivered. Those of one incident and type have one identity: a receiver knows them."""
    session = watched.session
    try:
        webhook = webhook_of(session.env)
        if webhook is None:
            return False
        kind = FAILING if facts.failures else RECOVERED
        data = {
            "model": facts.model,
            "version": facts.version,
            "stage": facts.stage,
            "outcome": facts.verdict.outcome,
            "failures": facts.failures,
            "failed": list(run.monitor.failed) if run.monitor else [],
            "run": run.id,
            "actions": list(facts.actions),
            "run_url": facts.run_url,
            "repository": session.context.repository,
        }
        began = [one.id for one in about.failures][-1:]
        send_message(session, webhook, kind, data, f"{facts.model}\n{kind}\n{began}\n{len(facts.actions)}")
    except CiplugError as problem:
        session.tell(problem_note(problem))
        return False
    session.tell(Note("webhook delivered"))
    return True
