"""Smoke-test what a target serves: ask it for a recorded sample, compare its answers, and say so in the log.

A model that answers otherwise in production than in its evaluation has training/serving skew: another library, another
preparation of the inputs, another file. No gate sees that.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, NamedTuple

from ciplug.comparison.served_answers import differences, nothing_to_compare
from ciplug.config.target_base import SmokeTest as Settings
from ciplug.config.target_base import Target as TargetSettings
from ciplug.errors import ConfigError, DeploymentRefused, NotDeployed, counted
from ciplug.records.registry_deployment import DEPLOYED, Outcome, SmokeTested
from ciplug.registry.model import DeployEvent, Model, Version
from ciplug.reports.untrusted import clean
from ciplug.steps.deployment.smoke_address import Address, address_of, check_address
from ciplug.steps.deployment.smoke_sample import NoSample, Sample, read_sample
from ciplug.steps.deployment.targets import deploy_command, find_target, stage_of
from ciplug.steps.policy_in_force import read_policies
from ciplug.steps.promotion.judging_section import ladder_of
from ciplug.steps.promotion.masked import masking
from ciplug.steps.promotion.protected_policy import by_protected_policy
from ciplug.steps.promotion.verified_files import run_of
from ciplug.steps.promotion.writing import check_job, check_key, check_readable, write
from ciplug.steps.pull import version_name
from ciplug.steps.registered_model import need_model, read_model, version_of
from ciplug.steps.session import Session
from ciplug.steps.signers import judged_runs
from ciplug.targets import invocations

_PAUSE = 0.5
_SHOWN = 80


class SmokeResult(NamedTuple):
    """A smoke test that is in the log."""

    model: str
    target: str
    stage: str
    version: int
    outcome: Outcome
    rows: int
    equal: int
    reason: str | None
    """Why it did not pass, as a clause."""
    event: int
    deployed: int
    """The number of the event by which the target serves the version."""

    @property
    def passed(self) -> bool:
        return self.outcome is Outcome.PASSED

    @property
    def exit_code(self) -> int:
        return 0 if self.passed else 1


class _Plan(NamedTuple):
    session: Session
    model: Model
    version: Version
    target: str
    target_settings: TargetSettings
    stage: str
    settings: Settings


class _Answered(NamedTuple):
    outcome: Outcome
    equal: int = 0
    reason: str | None = None


class Prepared(NamedTuple):
    """What a smoke test needs, found before the version is served."""

    version: int
    sample: Sample


def prepare(session: Session, name: str, target: str) -> Prepared:
    """Find what a smoke test of a version needs: before it is served.

    Raises ConfigError without `smoke_test:`, an address to ask, or a token that can be sent there; DeploymentRefused
    unless there is a recorded sample whose predictions can be compared.
    """
    plan = _plan(session, name, target)
    check_address(target, plan.target_settings, plan.settings, session.env)
    try:
        sample = _sample(plan)
        if missing := nothing_to_compare(sample.recorded):
            raise NoSample(_not_comparable(sample, missing))
        return Prepared(plan.version.number, sample)
    except NoSample as problem:
        raise DeploymentRefused(
            NotDeployed.NO_SAMPLE,
            f"version {plan.version.number} of '{clean(plan.model.name, 80)}' is not deployed: there is no sample for "
            f"its smoke test: {clean(str(problem), 300)}",
            hint=_HINT,
        ) from None


_HINT = (
    "have the training write the sample with its predictions, and list it in artifacts:; or name a dataset in "
    "smoke_test: and record predictions by samples:"
)


def smoke_test(session: Session, name: str, target: str, prepared: Prepared | None = None) -> SmokeResult:
    """Ask a target that serves a version, given as `wine@production`, for the recorded sample, and log the outcome.

    Args:
        prepared: what was found for this version before; None: it is looked for.

    Raises ConfigError without `smoke_test:`, or an address to ask; DeploymentRefused where the target does not serve
    the version, by the log; PromotionRefused in a job that must not change the registry.
    """
    plan = _plan(session, name, target)
    serves = _served(plan)
    address = address_of(target, plan.target_settings, plan.settings, serves.endpoint, session.env)
    sample: Sample | None = None
    try:
        is_of_this = prepared is not None and prepared.version == plan.version.number
        sample = prepared.sample if prepared and is_of_this else _sample(plan)
    except NoSample as problem:
        answered = _Answered(Outcome.NO_SAMPLE, reason=str(problem))
    else:
        answered = _ask(plan, sample, address)
    return _record(plan, serves, sample, answered, address)


def _plan(session: Session, name: str, target: str) -> _Plan:
    check_job(session)
    session = by_protected_policy(session)
    check_key(session)
    parsed = version_name(name)
    model = read_model(session, parsed.model)
    need_model(session, model)
    settings = find_target(session, parsed.model, target)
    if settings.smoke_test is None:
        raise ConfigError(
            f"the target '{target}' has no smoke test",
            hint=f"targets: {{{target}: {{smoke_test: {{sample: sample.jsonl}}}}}}, on the default branch",
        )
    check_readable(model)
    version = version_of(session, model, parsed.selector, ladder_of(session, model))
    return _Plan(session, model, version, target, settings, stage_of(session, model, settings), settings.smoke_test)


def _sample(plan: _Plan) -> Sample:
    section = read_policies(plan.session).own.section_of(plan.model.name)
    run = run_of(judged_runs(plan.session), plan.model.name, plan.version)
    return read_sample(plan.session, run, section.folder if section else plan.session.top, plan.settings)


def _served(plan: _Plan) -> DeployEvent:
    logged = plan.model.deployed.get(plan.target)
    serves = logged.serves if logged else None
    if serves is None or serves.version != plan.version.number or (logged and logged.last.state != DEPLOYED):
        what = f"version {serves.version}" if serves else "nothing"
        hint = f"deploy it first: {deploy_command(plan.model.name, plan.stage, plan.target)}"
        if plan.version.stage != plan.stage:
            hint = f"version {plan.version.number} is not in {plan.stage}: name the version that the target serves"
        raise DeploymentRefused(
            NotDeployed.NOT_SERVED,
            f"by the log, '{plan.target}' serves {what}"
            f"{' or is being changed' if logged and logged.is_open else ''}, and the smoke test is of version "
            f"{plan.version.number}",
            hint=hint,
        )
    return serves


def _ask(plan: _Plan, sample: Sample, address: Address | None) -> _Answered:
    if address is None:
        return _Answered(Outcome.NO_ANSWER, reason=f"'{plan.target}' does not tell where the version is served")
    body = invocations.request_body(sample.rows, plan.settings.format)
    until = time.monotonic() + plan.settings.patience
    while True:
        left = until - time.monotonic()
        try:
            answers = invocations.ask(address.url, body, address.token, timeout=max(left, 1.0))
            return _compared(plan.settings, sample, answers)
        except invocations.Refused as problem:
            return _Answered(Outcome.REFUSED, reason=f"{address.url} refuses the request: {problem}")
        except invocations.Unreadable as problem:
            return _Answered(Outcome.UNREADABLE, reason=f"{address.url} answers {problem}")
        except invocations.Silent as problem:
            if time.monotonic() + _PAUSE >= until:
                why = f"{address.url} does not answer within {plan.settings.patience:g} s: {problem}"
                return _Answered(Outcome.NO_ANSWER, reason=why)
        time.sleep(_PAUSE)


def _compared(settings: Settings, sample: Sample, answers: Sequence[Any]) -> _Answered:
    rows = len(sample.rows)
    if len(answers) != rows:
        outcome = Outcome.FEWER_ANSWERS if len(answers) < rows else Outcome.MORE_ANSWERS
        return _Answered(outcome, reason=f"{len(answers)} answers to {rows} rows")
    missing = nothing_to_compare(sample.recorded)
    unequal = differences(sample.recorded, answers, settings.tolerance)
    found = [one for one in unequal if one.row not in set(missing)]
    if missing and not found:
        return _Answered(Outcome.NOT_COMPARABLE, rows - len(unequal), _not_comparable(sample, missing))
    if not found:
        return _Answered(Outcome.PASSED, rows)
    first = found[0]
    return _Answered(
        Outcome.MISMATCH,
        rows - len(unequal),
        f"{len(found)} of {rows} answers differ from what was recorded; row '{sample.ids[first.row][:_SHOWN]}': "
        f"recorded {_shown(first.recorded)}, answered {_shown(first.answered)}",
    )


def _not_comparable(sample: Sample, missing: Sequence[int]) -> str:
    first = missing[0]
    return (
        f"{counted(len(missing), 'recorded prediction')} of {sample.path} cannot be compared with an answer; row "
        f"'{sample.ids[first][:_SHOWN]}': {_shown(sample.recorded[first])}"
    )


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"


def _record(
    plan: _Plan, serves: DeployEvent, sample: Sample | None, answered: _Answered, address: Address | None
) -> SmokeResult:
    reason = masking(plan.session)(answered.reason)[:400] if answered.reason else None
    rows = len(sample.rows) if sample else 0

    def make(session: Session, model: Model) -> SmokeTested:
        logged = model.deployed.get(plan.target)
        if logged is None or logged.serves is None or logged.serves.event != serves.event:
            raise DeploymentRefused(
                NotDeployed.SUPERSEDED,
                f"'{plan.target}' was changed while version {plan.version.number} was tested: the outcome "
                f"'{answered.outcome.words}' does not count",
                hint=f"see what is served: ciplug deployments status '{model.name}'",
            )
        return SmokeTested(
            version=plan.version.number,
            target=plan.target,
            deployed=serves.event,
            outcome=answered.outcome.value,
            rows=rows,
            equal=answered.equal,
            tolerance=plan.settings.tolerance,
            sample=sample.path if sample else plan.settings.sample,
            sample_digest=sample.digest if sample else None,
            endpoint=address.url if address else None,
            reason=reason,
        )

    written = write(plan.session, plan.model.name, make)
    return SmokeResult(
        plan.model.name,
        plan.target,
        plan.stage,
        plan.version.number,
        answered.outcome,
        rows,
        answered.equal,
        reason,
        written.event,
        serves.event,
    )
