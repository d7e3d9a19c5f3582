"""Walk the chain behind a version: bytes, version, run, commit, verdict, policy, approvals, tags."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ciplug.attestation.documents import PROVENANCE, STATEMENTS
from ciplug.config.stages import Stage
from ciplug.errors import BrokenLog, Cause, CiplugError, NotFound, RecordError, RemoteError, StoreError, listed
from ciplug.git.objects import is_sound, read_objects
from ciplug.git.run import run_git
from ciplug.records import read
from ciplug.records.keys import run_key
from ciplug.records.run import Run
from ciplug.records.verdict import Verdict, outcomes_of
from ciplug.registry.evidence_chain import (
    Chain,
    Fault,
    Finding,
    Link,
    broken_moves,
    commit_faults,
    run_faults,
    verdict_faults,
)
from ciplug.registry.ladder import Ladder
from ciplug.registry.tag_faults import CONTRADICTIONS
from ciplug.reports.untrusted import clean
from ciplug.steps.evidence.document_signatures import signer_of_document
from ciplug.steps.evidence.model_signature import signature_problem
from ciplug.steps.evidence.offline import not_here, offline
from ciplug.steps.evidence.version import Promoted, find_promoted
from ciplug.steps.evidence.version_files import WrongFile, extra_files, single_files, wrong_in_folder, wrong_in_store
from ciplug.steps.judged_policy import JudgedPolicy, judged_policy, policy_finding
from ciplug.steps.kept_entries import lost_models
from ciplug.steps.mirror_tags import is_mirrored
from ciplug.steps.promotion.judging_section import judging_section
from ciplug.steps.session import Session
from ciplug.steps.signers import Signers, judged_runs, signers_of
from ciplug.steps.tag_check import check_tags
from ciplug.tracking.runs import Runs

_NO_ACCESS = (Cause.NETWORK, Cause.NO_CREDENTIAL, Cause.BAD_CREDENTIAL, Cause.FORBIDDEN)
_PERHAPS_NOT_FETCHED = (Fault.NO_BYTES, Fault.TAG_BEYOND_LOG)
"""What may be otherwise in the store itself: the tags of this clone can be newer than its log."""


@dataclass(frozen=True)
class Request:
    """What to verify."""

    name: str
    """MODEL, MODEL@STAGE, MODEL@vN, or a models:/ URI."""
    files: Path | None = None
    """The folder with the files to verify; None: those of the store."""
    with_files: bool = True
    signature: Path | None = None
    """A signature of OpenSSF model signing over `files`."""
    public_key: Path | None = None
    """The key of that signature."""
    extra_files: bool = False
    """Whether `files` may have files that are not the version's, and that the signature does not cover."""
    attestations: Path | None = None
    """A folder with the documents of `ciplug attest`."""
    fetch: bool = False
    """Read the store itself, even where what this clone fetched last is enough."""
    to_use: bool = False
    """Whether the version is about to be used: then a tag that does not contradict the log is a note."""


class _Walk:
    """The state of one walk: what the links before have found."""

    def __init__(self, session: Session, promoted: Promoted) -> None:
        self.session = session
        self.promoted = promoted
        self.runs: Runs = judged_runs(session)
        self.run: Run | None = None
        self.verdict: Verdict | None = None
        self.rules: Stage | None = None

    @property
    def facts(self) -> dict[str, Any]:
        version, event = self.promoted.version, self.promoted.event
        return {
            "model": self.promoted.model.name,
            "version": version.number,
            "run": (version.run or "")[:12],
            "commit": version.commit,
            "event": event.seq if event else None,
            "stage": version.stage,
        }


def verify(session: Session, request: Request) -> Chain:
    """Return the chain behind a version, with the first link that does not hold.

    Raises NotFound for a name of nothing, BrokenLog for a log whose chain is broken, StoreError where this clone lacks
    what the chain needs.
    """
    if request.fetch:
        return _verify(session, request)
    # What this clone has fetched is enough for most, at once and without the network.
    here = offline(session)
    chain: Chain | None = None
    lacking: CiplugError | None = None
    try:
        chain = _verify(here, request)
        if not (chain.broken and chain.broken.fault in _PERHAPS_NOT_FETCHED):
            return chain
    except (NotFound, StoreError) as problem:
        if isinstance(problem, BrokenLog) and problem.cause is not Cause.LOST:
            raise
        lacking = problem
    try:
        return _verify(session, request)
    except StoreError as unreachable:
        if not isinstance(unreachable, RemoteError) and unreachable.cause not in _NO_ACCESS:
            raise
        if chain:
            return chain
        raise not_here(here, lacking or unreachable) from None


def _verify(session: Session, request: Request) -> Chain:
    promoted = find_promoted(session, request.name)
    walk = _Walk(session, promoted)
    walk.run = _load(walk)
    steps: dict[Link, Callable[[], Finding]] = {
        Link.BYTES: lambda: _bytes(walk, request),
        Link.VERSION: lambda: _version(walk),
        Link.RUN: lambda: _run(walk),
        Link.COMMIT: lambda: _commit(walk),
        Link.VERDICT: lambda: _verdict(walk),
        Link.POLICY: lambda: _policy(walk),
        Link.APPROVALS: lambda: _approvals(walk),
        **({Link.TAGS: lambda: _tags(walk, request)} if is_mirrored(session) else {}),
        **({Link.DOCUMENTS: lambda: _documents(walk, folder)} if (folder := request.attestations) else {}),
    }
    findings: list[Finding] = []
    for link, find in steps.items():
        finding = Finding(link=link, after_break=True) if _hangs(link, walk, request) else find()
        findings.append(finding)
    version = promoted.version
    return Chain(model=promoted.model.name, version=version.number, stage=version.stage, findings=findings)


def _hangs(link: Link, walk: _Walk, request: Request) -> bool:
    """Whether nothing can be said of a link, as what it is about is not known."""
    # Where the files are kept, and which of them are folders, is in the record of the run.
    needs: Mapping[Link, object] = {
        **({Link.BYTES: walk.run} if request.with_files else {}),
        Link.COMMIT: walk.run,
        Link.VERDICT: walk.run,
        Link.POLICY: walk.verdict,
        Link.APPROVALS: walk.verdict,
    }
    return link in needs and needs[link] is None


def _load(walk: _Walk) -> Run | None:
    version = walk.promoted.version
    if not version.run:
        return None
    try:
        return walk.runs.at(version.commit, version.run)
    except RecordError:
        return None


def _finding(walk: _Walk, link: Link, faults: Iterator[Fault], **facts: Any) -> Finding:
    return Finding(link=link, fault=next(faults, None), facts={**walk.facts, **facts})


# The links


def _bytes(walk: _Walk, request: Request) -> Finding:
    if not request.with_files:
        return Finding(link=Link.BYTES, left_out=True)
    version = walk.promoted.version
    artifacts = {file.path: file for file in walk.run.artifacts} if walk.run else {}
    try:
        files = single_files(walk.session, version.files, artifacts)
    except CiplugError:
        path = next((path for path, file in artifacts.items() if file.kind == "folder"), "")
        return _finding(walk, Link.BYTES, iter([Fault.NO_BYTES]), path=path)
    if request.files:
        wrong = next(wrong_in_folder(request.files, files), None)
    else:
        wrong = next(wrong_in_store(walk.session, files, artifacts), None)
    if wrong is None and request.files and request.signature and request.public_key:
        problem = signature_problem(request.files, files, request.signature, request.public_key)
        if problem:
            return _finding(walk, Link.BYTES, iter([problem.fault]), detail=problem.words)
    extra = listed(extra_files(request.files, files, but=request.signature)) if request.files else ""
    where = str(request.files) if request.files else "in the store"
    beside = f"; beside them, not of the version: {extra}" if extra else ""
    facts = {"files": len(files), "where": where, "beside": beside, "extra": extra or None}
    if wrong:
        return _finding(walk, Link.BYTES, iter([wrong.fault]), **{**facts, **_of_file(wrong)})
    unsigned = bool(extra) and request.signature is not None and not request.extra_files
    return _finding(walk, Link.BYTES, iter([Fault.EXTRA_FILE] if unsigned else []), **facts)


def _of_file(wrong: WrongFile) -> dict[str, str | None]:
    return {"path": wrong.path, "expected": wrong.expected, "found": wrong.found or "other bytes"}


def _version(walk: _Walk) -> Finding:
    promoted, session = walk.promoted, walk.session
    of_log = f" of '{clean(promoted.log, 80)}'" if promoted.log != promoted.model.name else ""
    facts = {"events": promoted.events, "event": promoted.last_event, "of_log": of_log}
    if lost_models(session, promoted.model.name):
        return _finding(walk, Link.VERSION, iter([Fault.LOST_EVENTS]), **facts)
    ladder = Ladder(session.config.ladder_of(promoted.model.name))
    version = promoted.version
    if version.staged and version.stage not in version.passed and version.stage.casefold() in _gated(walk):
        return _finding(walk, Link.VERSION, iter([Fault.NEVER_THERE]), **facts)
    for seq, words in broken_moves(promoted.version, promoted.own, ladder):
        return _finding(walk, Link.VERSION, iter([Fault.BROKEN_RULE]), **{**facts, "event": seq, "detail": words})
    yanked = promoted.version.yanked
    if yanked is not None:
        return _finding(walk, Link.VERSION, iter([Fault.YANKED]), **facts, reason=yanked or "no reason given")
    return _finding(walk, Link.VERSION, iter(()), **facts)


def _gated(walk: _Walk) -> set[str]:
    """The stages that versions of the model reach by a promotion alone, in lower case."""
    settings, run = walk.session.config, walk.run
    section = judging_section(walk.session, settings, walk.promoted.model, run.model if run else None)
    return {stage.casefold() for stage in settings.gated_stages(section)}


def _run(walk: _Walk) -> Finding:
    run, version = walk.run, walk.promoted.version
    record = walk.runs.object(run_key(run).key) if run else None
    # What was added to a run later, such as a name, is no part of its record.
    recorded = read.read_run(record, run_key(run).key) if run and record else None

    def faults() -> Iterator[Fault]:
        yield from run_faults(version, record, recorded)
        if run and not walk.runs.changes(run).counts:
            yield Fault.WITHDRAWN
        signers = signers_of(walk.session)
        if run and signers and signers.of_run(walk.runs, run) is None:
            yield Fault.UNSIGNED

    detail = walk.runs.changes(run).objection if run else None
    return _finding(walk, Link.RUN, faults(), detail=detail)


def _commit(walk: _Walk) -> Finding:
    run = walk.run
    if run is None:
        return Finding(link=Link.COMMIT, after_break=True)

    def faults(run: Run) -> Iterator[Fault]:
        yield from commit_faults(walk.promoted.version, run, walk.promoted.promotion)
        if fault := _commit_in_clone(walk.session, run.commit or ""):
            yield fault

    return _finding(walk, Link.COMMIT, faults(run))


def _commit_in_clone(session: Session, commit: str) -> Fault | None:
    """What is wrong with a commit in this clone, whose id is the digest of its content."""
    if session.workspace is None:
        return Fault.COMMIT_NOT_HERE
    try:
        read = read_objects(session.workspace.top, [commit]).get(commit)
    except CiplugError:
        return Fault.DAMAGED_COMMIT
    if read is None or read[0] != "commit":
        return Fault.COMMIT_NOT_HERE
    return None if is_sound(commit, *read) else Fault.DAMAGED_COMMIT


def _verdict(walk: _Walk) -> Finding:
    promotion, run = walk.promoted.promotion, walk.run
    if promotion is None or run is None:
        return _finding(walk, Link.VERDICT, iter([Fault.NOT_PROMOTED]))
    data = walk.runs.object(promotion.verdict) if promotion.verdict else None
    verdict = _verdict_in(data, promotion.verdict or "")
    walk.verdict = verdict
    policy = _policy_of(walk, verdict) if verdict else None
    walk.rules = policy.rules if policy else None
    gates = walk.rules.gates if walk.rules else None

    def faults() -> Iterator[Fault]:
        yield from verdict_faults(promotion, data, verdict, walk.runs.digests([run]), gates)
        signers = signers_of(walk.session)
        # The verdict that a promotion made itself is signed by its event.
        is_of_gate = verdict is not None and verdict.stage is None
        if signers and is_of_gate and not _is_signed(walk, signers):
            yield Fault.UNSIGNED

    outcome = verdict.outcome if verdict else None
    count = len(outcomes_of(verdict)) if verdict else 0
    finding = _finding(walk, Link.VERDICT, faults(), verdict=promotion.verdict, outcome=outcome, gates=count)
    if finding.fault in (Fault.OTHER_VERDICT, Fault.VERDICT_OF_OTHER_RUN):
        walk.verdict = None
    return finding


def _is_signed(walk: _Walk, signers: Signers) -> bool:
    promotion = walk.promoted.promotion
    key, digest = (promotion.verdict, promotion.verdict_digest) if promotion else (None, None)
    return bool(key and digest and signers.of_verdict(walk.runs, key, digest))


def _verdict_in(data: bytes | None, key: str) -> Verdict | None:
    """The verdict in some bytes, whatever run it is of; None where they hold none."""
    try:
        return read.verdict(data, key) if data else None
    except RecordError:
        return None


def _policy_of(walk: _Walk, verdict: Verdict) -> JudgedPolicy | None:
    promotion = walk.promoted.promotion
    return judged_policy(walk.session, verdict, _name_then(walk, verdict), promotion.stage if promotion else "")


def _name_then(walk: _Walk, verdict: Verdict) -> str:
    """The name that the model had when it was promoted."""
    event = walk.promoted.event
    return event.model if event else verdict.model


def _policy(walk: _Walk) -> Finding:
    verdict, promotion = walk.verdict, walk.promoted.promotion
    if verdict is None or promotion is None:
        return Finding(link=Link.POLICY, after_break=True)
    return policy_finding(walk.session, _name_then(walk, verdict), promotion, verdict, walk.facts)


def _approvals(walk: _Walk) -> Finding:
    event, promotion, rules = walk.promoted.event, walk.promoted.promotion, walk.rules
    if event is None or promotion is None:
        return Finding(link=Link.APPROVALS, after_break=True)
    given = len(promotion.approvals)
    approvals = rules.approvals if rules else None

    def faults() -> Iterator[Fault]:
        if rules is None or approvals is None:
            return
        # Each requirement that was met is one of the event's approvals.
        by_others = bool(approvals.environment or approvals.pull_request)
        required = [approvals.environment, approvals.pull_request, approvals.not_author and not by_others]
        if given < len(rules.requirements) + sum(map(bool, required)):
            yield Fault.NOT_APPROVED
        if approvals.pull_request and not promotion.pull_request:
            yield Fault.NOT_APPROVED
        if approvals.not_author and not by_others and not event.actor_confirmed:
            yield Fault.NOT_CONFIRMED
        if "signature" in rules.requirements and not _git_verifies(walk.session, promotion.commit or ""):
            yield Fault.COMMIT_UNSIGNED

    words = "; ".join(promotion.approvals) or "none required"
    return _finding(
        walk, Link.APPROVALS, faults(), approvals=words, actor=event.actor, confirmed=event.actor_confirmed,
        stage=promotion.stage, trust=promotion.trust,
    )  # fmt: skip


def _tags(walk: _Walk, request: Request) -> Finding:
    session, model, version = walk.session, walk.promoted.model.name, walk.promoted.version
    checked = check_tags(session, model)
    if not checked.found and not checked.wrong:
        return Finding(link=Link.TAGS, left_out=True, facts=walk.facts)
    if not checked.wrong:
        return _finding(walk, Link.TAGS, iter(()), tags=len(checked.found))
    # A tag that contradicts the log is about every version. Any other one, at most about its own.
    grave = [one for one in checked.wrong if one.fault in CONTRADICTIONS]
    own = [] if request.to_use else [one for one in checked.wrong if checked.is_about(one, version)]
    first = next(iter([*grave, *own]), None)
    return checked.finding(model, first) if first else replace(checked.finding(model, checked.wrong[0]), note=True)


def _documents(walk: _Walk, folder: Path) -> Finding:
    """The provenance, and the verdict if there is one: signed by an allowed signer, and about these files."""
    version, run = walk.promoted.version, walk.run
    signers = dict(signers_of(walk.session).keys)
    files = single_files(walk.session, version.files, {file.path: file for file in run.artifacts} if run else {})
    names = [name for name in STATEMENTS if name == PROVENANCE or (folder / name).exists()]
    signer: str | None = None
    for name in names:
        signer = signer_of_document(folder / name, signers)
        if (subjects := _subjects_of(folder / name)) is None:
            return _finding(walk, Link.DOCUMENTS, iter([Fault.DOCUMENT_MISSING]), path=name)
        if signer is None:
            fault = Fault.DOCUMENT_UNSIGNED if signers else Fault.NO_SIGNERS
            return _finding(walk, Link.DOCUMENTS, iter([fault]), path=name)
        if subjects != files:
            return _finding(walk, Link.DOCUMENTS, iter([Fault.OTHER_SUBJECT]), path=name)
    return _finding(walk, Link.DOCUMENTS, iter(()), path=", ".join(names), signer=signer)


def _subjects_of(file: Path) -> dict[str, str] | None:
    """Path → sha256 of what a statement is about; None where it is none."""
    try:
        subjects = json.loads(file.read_bytes())["subject"]
        return {str(one["name"]): f"sha256:{one['digest']['sha256']}" for one in subjects}
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


def _git_verifies(session: Session, commit: str) -> bool:
    if session.workspace is None:
        return False
    return run_git("verify-commit", commit, cwd=session.workspace.top, check=False).returncode == 0
