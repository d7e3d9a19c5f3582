"""Deploy a version: verify its evidence and its bytes, say so in the log, place it, switch to it, ask the target.

The log has an event before the target is changed and one after it answers. Whoever is killed between the two leaves the
first one open: the same command goes on from there, since a target keeps what it has, and switches in one step.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from ciplug.attestation.documents import PROVENANCE, VERDICT
from ciplug.attestation.provenance import provenance
from ciplug.attestation.statement import to_json
from ciplug.attestation.test_result import test_result
from ciplug.config.target_base import Target as Settings
from ciplug.errors import DeploymentRefused, NotDeployed, PromotionRefused, Refusal, StoreError, TargetError
from ciplug.records.registry_deployment import BEGUN, DEPLOYED, FAILED, Deploy
from ciplug.records.run import Run
from ciplug.registry.evidence_chain import Chain, Fault
from ciplug.registry.evidence_chain_text import remedy, words
from ciplug.registry.ladder import Ladder
from ciplug.registry.model import Deployed, Model, Version
from ciplug.registry.replayed_rules import model_digest
from ciplug.reports.untrusted import clean
from ciplug.steps import placing
from ciplug.steps.deployment.targets import deploy_command, find_target, stage_of
from ciplug.steps.evidence.attest import facts_of
from ciplug.steps.evidence.chain_notes import notes_on
from ciplug.steps.evidence.document_signatures import ENDING, signed_documents
from ciplug.steps.evidence.verify import Request, verify
from ciplug.steps.evidence.version import find_promoted
from ciplug.steps.evidence.version_files import single_files
from ciplug.steps.fetch import Progress, fetch, silent
from ciplug.steps.interruption import resumed_by
from ciplug.steps.promotion.judging_section import ladder_of
from ciplug.steps.promotion.masked import masking
from ciplug.steps.promotion.protected_policy import by_protected_policy
from ciplug.steps.promotion.verified_files import run_of
from ciplug.steps.promotion.writing import check_job, check_key, check_readable, write
from ciplug.steps.pull import check_standing, version_name
from ciplug.steps.registered_model import need_model, read_model, version_of
from ciplug.steps.session import Session
from ciplug.steps.signers import judged_runs
from ciplug.targets import open_target
from ciplug.targets.base import Live, Release, Target


class Done(NamedTuple):
    """A version that a target serves."""

    model: str
    version: int
    target: str
    reference: str
    endpoint: str | None
    event: int
    """The number of the event; 0: the target served it before, and the log said so."""
    files: int
    written: str | None = None
    """The file that was written, where something else applies it."""


@dataclass(frozen=True)
class _Walk:
    """A version on its way to a target."""

    session: Session
    name: str
    """The model."""
    target: str
    settings: Settings
    stage: str
    version: Version
    run: Run
    files: Mapping[str, str]
    """Path as it is recorded → digest."""
    at: Target
    again: str
    """The command line that does the same, and so goes on where this one was cut off."""

    @property
    def digest(self) -> str:
        return self.version.digest or model_digest(self.version.files)

    @property
    def shown(self) -> str:
        return f"version {self.version.number} of '{clean(self.name, 80)}'"

    @property
    def placed_files(self) -> dict[str, str]:
        """Path below the folder that the files are fetched into → digest."""
        return {"/".join(placing.parts(placing.own_place(path))): digest for path, digest in self.files.items()}

    def event(self, state: str, **fields: object) -> Deploy:
        made = Deploy(
            version=self.version.number,
            target=self.target,
            kind=self.settings.kind,
            state=state,
            stage=self.stage,
            digest=self.digest,
        )
        return replace(made, **fields)  # type: ignore[arg-type]


def deploy(session: Session, name: str, target: str, *, again: str | None = None, progress: Progress = silent) -> Done:
    """Have a target serve a version, given as `wine@production` or `models:/wine@production`.

    Args:
        again: the command line of the caller; None: `ciplug deploy` of who is in the stage of the target.

    Raises PromotionRefused in a job that must not change the registry, DeploymentRefused with the reason for a version
    that must not be deployed, TargetError and StoreError where the target or the store fails, Interrupted where a
    signal ends it. Then the target serves what it served before, or this version; the same call finishes.
    """
    walk = _begin(session, name, target, again)
    try:
        with resumed_by(walk.again):
            return _go(walk, progress)
    except (TargetError, StoreError) as problem:
        # Whatever is done by now, the same command does the rest.
        problem.hint = "; ".join(filter(None, [problem.hint, f"then go on: {walk.again}"]))
        raise


def _go(walk: _Walk, progress: Progress) -> Done:
    live = walk.at.live(walk.stage)
    logged = read_model(walk.session, walk.name).deployed.get(walk.target)
    if _serves(walk, live) and live and not live.outdated and _is_logged(walk, logged, live):
        return _done(walk, live, 0)
    if live is not None and not live.knows_model and logged is None:
        raise DeploymentRefused(
            NotDeployed.OTHER_MODEL,
            f"'{walk.target}' serves something, and the log of '{clean(walk.name, 80)}' has no deployment to it",
            hint="end it there, if it is nobody else's; or give the target a name of its own in ciplug.yaml",
        )
    with tempfile.TemporaryDirectory(prefix="ciplug-") as place:
        folder = Path(place) / "files"
        fetch(walk.session, walk.run, folder, keep=True, progress=progress)
        _check_chain(walk, verify(walk.session, Request(_named(walk), files=folder, fetch=True, to_use=True)))
        event = _announce(walk)
        return _change(walk, _release(walk, folder, event))


def _begin(session: Session, name: str, target: str, again: str | None) -> _Walk:
    """Find everything, and refuse what needs no bytes to be refused."""
    check_job(session)
    session = by_protected_policy(session)
    check_key(session)
    parsed = version_name(name)
    model = read_model(session, parsed.model)
    need_model(session, model)
    settings = find_target(session, parsed.model, target)
    check_readable(model)
    stage = stage_of(session, model, settings)
    ladder = ladder_of(session, model)
    version = version_of(session, model, parsed.selector, ladder)
    _check_stage(model, version, stage, ladder, target)
    runs = judged_runs(session)
    run = run_of(runs, model.name, version)
    files = single_files(session, version.files, {file.path: file for file in run.artifacts})
    at = open_target(settings, session.env, masking(session))
    again = again or deploy_command(model.name, stage, target)
    walk = _Walk(session, model.name, target, settings, stage, version, run, files, at, again)
    chain = verify(session, Request(_named(walk), with_files=False, fetch=True, to_use=True))
    session.tell(*notes_on(chain))
    _check_chain(walk, chain)
    # After the chain, which says what is damaged.
    _check_promotion(session, model, version)
    return walk


def _named(walk: _Walk) -> str:
    return f"{walk.name}@v{walk.version.number}"


def _check_deployable(walk: _Walk, session: Session, model: Model) -> None:
    """Raise DeploymentRefused unless the version is still in the stage of the target, by a promotion that passed."""
    version = model.version(walk.version.number)
    _check_stage(model, version, walk.stage, ladder_of(session, model), walk.target)
    _check_promotion(session, model, version)


def _check_stage(model: Model, version: Version, stage: str, ladder: Ladder, target: str) -> None:
    """Raise DeploymentRefused unless the version is in the stage of the target, and was not yanked."""
    shown = f"version {version.number} of '{clean(model.name, 80)}'"
    if version.yanked is not None:
        why = f": {clean(version.yanked, 200)}" if version.yanked else ""
        raise DeploymentRefused(
            NotDeployed.YANKED,
            f"{shown} was yanked{why}",
            hint=f"bring back another one: ciplug rollback '{model.name}' --to {stage.lower()} --reason TEXT",
        )
    if version.stage != stage:
        raise DeploymentRefused(
            NotDeployed.NO_STAGE,
            f"{shown} is in {version.stage}, and '{target}' takes versions in {stage}",
            hint=_way_to(model, version, stage, ladder),
        )


def _way_to(model: Model, version: Version, stage: str, ladder: Ladder) -> str:
    """The next command on the way of a version into a stage."""
    try:
        ladder.check_promotion(model.name, version.number, version.stage, stage)
    except PromotionRefused as refused:
        return str(refused.hint)
    return f"promote it: ciplug promote '{model.name}' --to {stage.lower()} --version {version.number}"


def _check_promotion(session: Session, model: Model, version: Version) -> None:
    """Raise DeploymentRefused unless the version is in its stage by a promotion that passed."""
    try:
        check_standing(session, model, version)
    except PromotionRefused as refused:
        reason = NotDeployed.NOT_PROMOTED if refused.reason is Refusal.NO_VERDICT else NotDeployed.BROKEN_CHAIN
        raise DeploymentRefused(reason, refused.message, hint=refused.hint) from None


class BrokenEvidence(DeploymentRefused):
    """The chain behind a version does not hold. The exit code is that of its first fault, as of `ciplug verify`."""

    def __init__(self, reason: NotDeployed, message: str, *, hint: str | None, exit_code: int) -> None:
        super().__init__(reason, message, hint=hint)
        self.exit_code = exit_code


def _check_chain(walk: _Walk, chain: Chain) -> None:
    broken = chain.broken
    if broken is None:
        return
    reason = NotDeployed.NOT_PROMOTED if broken.fault is Fault.NOT_PROMOTED else NotDeployed.BROKEN_CHAIN
    raise BrokenEvidence(
        reason,
        f"{walk.shown} is not deployed: its chain is broken at its {broken.link.value}: {clean(words(broken), 300)}",
        hint=remedy(broken) or f"see: ciplug verify '{_named(walk)}'",
        exit_code=chain.exit_code,
    )


def _release(walk: _Walk, folder: Path, event: int) -> Release:
    return Release(
        model=walk.name,
        version=walk.version.number,
        stage=walk.stage,
        digest=walk.digest,
        files=walk.placed_files,
        folder=folder,
        created=walk.version.created,
        commit=walk.version.commit,
        documents=_statements(walk),
        event=event,
    )


def _statements(walk: _Walk) -> dict[str, bytes]:
    """The statements of `ciplug attest` on the version, with their envelopes where this job has a key."""
    facts = facts_of(walk.session, judged_runs(walk.session), find_promoted(walk.session, _named(walk)))
    documents = {PROVENANCE: to_json(provenance(facts))}
    if verdict := test_result(facts):
        documents[VERDICT] = to_json(verdict)
    signed = signed_documents(documents, walk.session.env)
    return {name: data for name, data in signed.items() if not name.endswith(ENDING)}


def _serves(walk: _Walk, live: Live | None) -> bool:
    """Whether a target serves the very files that were promoted."""
    return live is not None and live.problem is None and live.has(walk.digest, walk.placed_files)


def _is_logged(walk: _Walk, logged: Deployed | None, live: Live) -> bool:
    """Whether the last word of the log is that the target serves this version, as it does."""
    last = logged.last if logged else None
    return last is not None and (last.state, last.version, last.digest, last.reference) == (
        DEPLOYED,
        walk.version.number,
        walk.digest,
        live.reference,
    )


def _announce(walk: _Walk) -> int:
    """Append the event that a target is about to change, unless the log has it; returns its number."""

    def make(session: Session, model: Model) -> Deploy | None:
        _check_deployable(walk, session, model)
        return None if _is_ours(walk, model.deployed.get(walk.target)) else walk.event(BEGUN)

    written = write(walk.session, walk.name, make)
    return written.event or written.model.deployed[walk.target].last.event


def _is_ours(walk: _Walk, logged: Deployed | None) -> bool:
    """Whether the last event on the target began the deployment of this very version."""
    last = logged.last if logged else None
    return last is not None and (last.state, last.version, last.digest, last.kind) == (
        BEGUN,
        walk.version.number,
        walk.digest,
        walk.settings.kind,
    )


def _change(walk: _Walk, release: Release) -> Done:
    try:
        walk.at.place(release)
        _check_turn(walk, release.event)
        walk.at.switch(release)
    except DeploymentRefused as refused:
        _note_failure(walk, release.event, refused)
        raise
    live = walk.at.live(walk.stage)
    if live is None or not _serves(walk, live):
        why = f": {live.problem}" if live and live.problem else ""
        wrong = DeploymentRefused(
            NotDeployed.OTHER_CONTENT,
            f"'{walk.target}' does not serve {walk.shown} after the switch{why}",
            hint=f"see: ciplug deployments status '{walk.name}'; then deploy again: {walk.again}",
        )
        _note_failure(walk, release.event, wrong)
        raise wrong
    event = _conclude(walk, release.event, reference=live.reference, endpoint=live.endpoint)
    return _done(walk, live, event)


def _check_turn(walk: _Walk, event: int) -> None:
    """Raise DeploymentRefused if another deployment to the target was begun since, or the version left its stage."""
    walk.session.store.refresh()
    model = read_model(walk.session, walk.name)
    _check_deployable(walk, walk.session, model)
    logged = model.deployed.get(walk.target)
    if not _is_turn(walk, logged, event):
        raise _superseded(walk, logged)


def _is_turn(walk: _Walk, logged: Deployed | None, began: int) -> bool:
    """Whether nobody has begun another deployment since; that the same one has ended in another job is no other."""
    if logged is None:
        return False
    same = (DEPLOYED, walk.version.number, walk.digest)
    return logged.last.event == began or (logged.last.state, logged.last.version, logged.last.digest) == same


def _superseded(walk: _Walk, logged: Deployed | None) -> DeploymentRefused:
    other = f"version {logged.last.version} (event {logged.last.event})" if logged else "another version"
    return DeploymentRefused(
        NotDeployed.SUPERSEDED,
        f"{walk.shown}: the deployment of {other} to '{walk.target}' was begun later",
        hint=f"see what is served: ciplug deployments status '{walk.name}'; then, if it is this one: {walk.again}",
    )


def _note_failure(walk: _Walk, began: int, refused: DeploymentRefused) -> None:
    """Append that a deployment has failed, unless the log has another one by now."""

    def make(session: Session, model: Model) -> Deploy | None:
        logged = model.deployed.get(walk.target)
        is_last = logged is not None and logged.last.event == began
        return walk.event(FAILED, began=began, reason=reason) if is_last else None

    # Before it is cut: half a secret is not noticed.
    reason = masking(walk.session)(refused.message)[:400]
    write(walk.session, walk.name, make)


def _conclude(walk: _Walk, began: int, **fields: str | None) -> int:
    """Append the event that the target serves the version; returns its number."""

    def make(session: Session, model: Model) -> Deploy | None:
        logged = model.deployed.get(walk.target)
        if logged is None or not _is_turn(walk, logged, began):
            raise _superseded(walk, logged)
        return walk.event(DEPLOYED, began=began, **fields) if logged.last.event == began else None

    written = write(walk.session, walk.name, make)
    return written.event or written.model.deployed[walk.target].last.event


def _done(walk: _Walk, live: Live, event: int) -> Done:
    place = (live.reference, live.endpoint, event, len(walk.files), walk.settings.written_file)
    return Done(walk.name, walk.version.number, walk.target, *place)
