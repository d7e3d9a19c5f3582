"""Sign runs that were recorded without a signature, as when a team begins to sign and wants to keep its baselines.

What is signed is the run as it is now: its record, what is beside it, and its amendments, each by its digest. The
amendment that says so is signed like every object of a job with the key. It never changes, and has its author and time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ciplug.errors import UsageError
from ciplug.records.canonical import digest
from ciplug.records.keys import run_key
from ciplug.records.run import Run
from ciplug.signing import SIGNING_KEY
from ciplug.steps.amend import RequestedChange, Target, amendment_of, check_number, objects_of
from ciplug.steps.named_run import find_run
from ciplug.steps.select import facts_on
from ciplug.steps.send import store_objects
from ciplug.steps.session import Session
from ciplug.steps.signers import judged_runs, signers_of, signs
from ciplug.steps.trust import need_trusted

if TYPE_CHECKING:
    from ciplug.tracking.runs import Runs


@dataclass(frozen=True)
class SignedRun:
    """A run that an allowed signer has signed."""

    run: Run
    by: str
    """The name of the signer."""
    objects: int
    """How many objects were signed now; 0: it was signed already."""
    unsigned_parent: bool = False
    """Whether a run that started it is not signed: then it does not count as signed either."""


def sign_runs(session: Session, ids: Sequence[str]) -> list[SignedRun]:
    """Sign runs as they are now, in one write.

    Raises ForkJob in a fork's job, UsageError where the policy names no signer, this job has the key of none, or a run
    is not to be signed: one of a fork, or one that does not count. StoreError when the store did not take it.
    """
    need_trusted(
        session, message="a fork's job must not sign runs", hint="sign them in the pipeline of a trusted branch"
    )
    _check_key(session)
    runs = judged_runs(session)
    signers = signers_of(session)
    made: dict[str, bytes] = {}
    signed: dict[str, int] = {}
    found = list({run.id: run for run in (find_run(session, runs, name, any_run=True).run for name in ids)}.values())
    for run in found:
        _check(runs, run)
        if signers.of_run(runs, run) is None:
            objects = _everything(runs, run)
            target = Target(run_key(run), run.model, run.name, run.tags, run.params, runs.changes(run))
            check_number(target, RequestedChange())
            made.update(objects_of(replace(amendment_of(session, target, RequestedChange()), signs=objects)))
            signed[run.id] = len(objects)
    if made:
        store_objects(session, made)
    later = judged_runs(session.refreshed()) if made else runs
    return [_signed(session, later, run, signed.get(run.id, 0)) for run in found]


def _signed(session: Session, runs: Runs, run: Run, objects: int) -> SignedRun:
    by = signers_of(session).of_run(runs, run)
    if by is None:
        raise UsageError(
            f"run {run.id[:12]} changed while it was signed", hint="look at it again: ciplug runs show; then sign it"
        )
    facts = facts_on(session, runs, runs.of_commits([run.commit]).get(run.commit or "", [run]))
    return SignedRun(run, by, objects, run.id in facts and not facts[run.id].signed)


def _check_key(session: Session) -> None:
    if not signers_of(session):
        raise UsageError(
            "the policy in force names no signer, so nothing needs a signature",
            hint="name the signers in the committed ciplug.yaml (signers:) first: see docs/trust.md",
        )
    if not signs(session):
        raise UsageError(
            "only an allowed signer signs runs",
            hint=f"set {SIGNING_KEY} to the private key of one of those that 'signers:' in ciplug.yaml names",
        )


def _check(runs: Runs, run: Run) -> None:
    changes = runs.changes(run)
    if not run.provenance.context.trusted:
        raise UsageError(
            f"run {run.id[:12]} was recorded by a fork's job: a signature would not make its numbers verified",
            hint="train that code in a pipeline of this repository",
        )
    if not changes.counts:
        raise UsageError(f"run {run.id[:12]} was {changes.objection}", hint=changes.advice)
    if changes.newer:
        raise UsageError(
            f"run {run.id[:12]} was amended by a newer ciplug, which may have withdrawn it", hint="upgrade ciplug"
        )


def _everything(runs: Runs, run: Run) -> dict[str, str]:
    """Key → sha256 of the record, what is beside it, its amendments, and what is beside those."""
    key = run_key(run)
    keys = [*runs.objects_of([key]), *runs.beside(key), *runs.beside_amendments(key)]
    return {one: digest(data) for one, data in sorted(runs.objects(keys).items())}
