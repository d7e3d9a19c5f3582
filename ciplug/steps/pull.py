"""Fetch a version by its name: the chain is verified, every file is checked, and a lock file says what was fetched."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from ciplug.errors import BrokenLog, Cause, NotFound, PromotionRefused, Refusal, StoreError, UsageError, listed
from ciplug.records import read
from ciplug.records.canonical import digest
from ciplug.records.keys import RunKey, log_of, model_of, parse_entry
from ciplug.records.registry_event import Promote
from ciplug.records.run import Run
from ciplug.registry.events import payload_of
from ciplug.registry.evidence_chain import Fault
from ciplug.registry.evidence_chain_text import words
from ciplug.registry.ladder import Ladder
from ciplug.registry.model import Model, Version
from ciplug.registry.replayed_rules import model_digest
from ciplug.registry.resolve import VersionName, parse_version_name
from ciplug.reports.untrusted import clean
from ciplug.steps.fetch import Fetched, Progress, fetch, silent
from ciplug.steps.judged_policy import PolicyUnknown, judges_here, policy_finding
from ciplug.steps.kept_entries import lost_models
from ciplug.steps.known_signers import LockedSigners, check_without_signers, locked_signers, with_known_signers
from ciplug.steps.placing import check_folder
from ciplug.steps.promotion.judging_section import judging_section
from ciplug.steps.promotion.verified_files import run_of
from ciplug.steps.promotion.writing import yanked
from ciplug.steps.registered_model import read_registry, version_of
from ciplug.steps.registry_checks import other_verdict, wrong_verdict
from ciplug.steps.session import Session
from ciplug.steps.signers import judged_runs
from ciplug.stores.base import KeepsEntries

LOCK = "ciplug.lock"
_FORMAT = 1


@dataclass(frozen=True)
class Locked:
    """What a name meant when it was pulled."""

    model: str
    version: int
    digest: str
    """The digest of the model: of all its files."""
    run: str
    commit: str | None
    record: str | None
    """sha256 of the run's record, as it was registered."""
    event: int
    """The number of the last event of the model's log then."""
    head: str
    """sha256 of that event: the log has it still, or was rewritten."""


class Pulled(NamedTuple):
    """A version that was fetched."""

    model: str
    version: Version
    run: Run
    fetched: Fetched
    notes: tuple[str, ...] = ()
    """Sentences that a person must see."""


class ForeignPolicy(StoreError):
    """A version is in its stage by a policy of another repository. The exit code is that of `ciplug verify`."""

    def __init__(self, fault: Fault, message: str, *, hint: str) -> None:
        super().__init__(message, hint=hint)
        self.exit_code = fault.exit_code


def pull(
    session: Session,
    name: VersionName,
    folder: Path,
    paths: Sequence[str] = (),
    *,
    lock: Path,
    locked: bool = False,
    force: bool = False,
    progress: Progress = silent,
) -> Pulled:
    """Write the files of a version below `folder`, each complete and verified, or not at all.

    Raises NotFound for a name of nothing, BrokenLog for a log that is broken, PromotionRefused for a version that was
    yanked or is in its stage without evidence, StoreError for bytes that are not what was registered, UsageError with
    `locked` for what is not in the lock file.

    Args:
        lock: the lock file; it is written, unless `locked`.
        locked: fetch exactly what the lock file says, whatever the name means now.
    """
    check_folder(folder)
    entries, by_store = _read(lock)
    session = with_known_signers(session, by_store)
    key = f"{name.model}@{name.selector}"
    if not locked:
        _check_whole(session, name)
    model, ledger, _ = read_registry(session, name.model)
    notes = list(model.notes)
    if locked:
        version = _locked_version(session, model, _entry(entries, key, lock), lock)
        if model.by_number[version.number].hidden:
            notes.append(f"warning: version {version.number} of '{model.name}' was deleted")
        if version.yanked is not None:
            notes.append(
                f"warning: version {version.number} of '{model.name}' was yanked: {clean(version.yanked, 200)}"
            )
    else:
        try:
            version = version_of(session, model, name.selector, Ladder(session.config.ladder_of(name.model)))
        except NotFound as missing:
            # It may be there by events that do not count.
            raise NotFound(missing.message, hint=notes[0] if model.unsigned else missing.hint) from None
        if version.yanked is not None:
            raise yanked(model.name, version)
        check_standing(session, model, version)
        notes += _check_policy(session, model, version)
        standing = check_without_signers(session, model, version, ledger.head)
        if standing.refusal:
            raise standing.refusal
        notes += standing.notes
    runs = judged_runs(session)
    run = run_of(runs, model.name, version)
    fetched = fetch(session, run, folder, paths, force=force, keep=True, progress=progress)
    if not runs.changes(run).counts:
        objection = clean(runs.changes(run).objection or "", 400)
        notes.append(f"warning: run {run.id[:12]}, version {version.number} of '{model.name}', was {objection}")
    if not locked and ledger.head:
        head = ledger.head
        made = Locked(
            model=model.name,
            version=version.number,
            digest=_digest(version),
            run=run.id,
            commit=run.commit,
            record=version.record,
            event=head.seq,
            head=head.digest,
        )
        signed = locked_signers(session)
        _write(lock, {**entries, key: made}, {**by_store, session.place_of_store: signed} if signed else by_store)
    # Such as that the branch was moved back: a clone that has never read this log does not know otherwise.
    return Pulled(model.name, version, run, fetched, (*session.store.notes, *notes))


def _check_whole(session: Session, name: VersionName) -> None:
    """Raise BrokenLog where the store itself shows that a log was moved back: what a name means is not known then.

    A lock file names an event, which the log must still have; so it needs no more than that.
    """
    if lost_models(session, name.model):
        raise BrokenLog(
            f"events of '{name.model}' in the registry are missing or were replaced, as the store itself shows",
            hint=f"see them: ciplug fsck; {_way_back(session)}; until then, fetch what was deployed before: "
            f"ciplug pull {name.model}@{name.selector} --locked",
            cause=Cause.LOST,
        )


def _way_back(session: Session) -> str:
    if isinstance(session.store, KeepsEntries):
        return "put them back: ciplug fsck --restore-registry"
    return "if it is right as it is now: ciplug fsck --accept-registry"


def version_name(text: str) -> VersionName:
    """The parts of the name of a version. Raises UsageError for another text."""
    name = parse_version_name(text)
    if name is None:
        raise UsageError(f"'{text}' is not the name of a version", hint="like models:/wine@production, or wine@v3")
    return name


def check_standing(session: Session, model: Model, version: Version) -> None:
    """Raise PromotionRefused where a version is in its stage without a promotion that passed.

    Whoever may write the log can append an event by hand. A stage that no policy judges needs no evidence.
    Raises StoreError where the verdict of the promotion is missing, was changed, or is of another run.
    """
    if not version.staged:
        return
    wrong = None
    key = version.passed.get(version.stage)
    if key is None:
        if version.stage in session.config.gated_stages(_section(session, model, version)):
            wrong = "was never promoted there"
    else:
        wrong = _wrong_promotion(session, key, version, _event_at(session, key))
    if wrong:
        raise PromotionRefused(
            Refusal.NO_VERDICT,
            f"version {version.number} of '{model.name}' is in {version.stage}, and {wrong}",
            hint=f"find out who moved it: ciplug registry verify '{model.name}'",
        )


def _event_at(session: Session, key: str) -> object:
    data = session.store.read([key]).get(key)
    return payload_of(read.registry_event(data, key)) if data else None


def _check_policy(session: Session, model: Model, version: Version) -> tuple[str, ...]:
    """Raise StoreError where a version is in its stage by a policy that this repository never had; returns notes.

    `check_standing` has found the promotion and its verdict to be right.
    """
    key = version.passed.get(version.stage)
    place = parse_entry(key) if key else None
    promotion = _event_at(session, key) if key else None
    data = session.runs().object(promotion.verdict) if isinstance(promotion, Promote) and promotion.verdict else None
    if place is None or data is None or not isinstance(promotion, Promote) or not version.staged:
        return ()
    if not judges_here(session, _section(session, model, version), version.stage):
        return ()
    verdict = read.verdict(data, promotion.verdict or "")
    shown = f"version {version.number} of '{model.name}'"
    name, facts = model_of(place.log), {"event": place.seq, "stage": version.stage}
    try:
        finding = policy_finding(session, name, promotion, verdict, facts, fetch=True)
    except PolicyUnknown as unknown:
        return (f"warning: the policy that {shown} was promoted by was not compared: {unknown.message}",)
    if finding.fault:
        raise ForeignPolicy(
            finding.fault,
            f"{shown} is in {version.stage} by a policy that is not this repository's: {clean(words(finding), 300)}",
            hint=f"find out who promoted it: ciplug registry history '{model.name}' --event {place.seq}; then put "
            f"back another version: ciplug rollback '{model.name}' --to {version.stage.lower()} --reason TEXT",
        )
    return ()


def _section(session: Session, model: Model, version: Version) -> str:
    """The section whose gates judge a version, by the settings of this checkout."""
    runs = session.runs().load([RunKey(version.commit, version.run)]) if version.run else []
    return judging_section(session, session.config, model, runs[0].model if runs else None)


def _wrong_promotion(session: Session, key: str, version: Version, promotion: object) -> str | None:
    """Why a promotion does not put a version into its stage, as a clause; None where it does.

    Raises StoreError for a verdict that is not the one that the promotion was made with.
    """
    if not isinstance(promotion, Promote) or (promotion.version, promotion.stage) != (version.number, version.stage):
        return "the event of its promotion is not in the log"
    if promotion.verdict is None:
        return "its promotion names no verdict"
    # It was promoted under the name that the model had then.
    place = parse_entry(key)
    name = model_of(place.log) if place else ""
    data = session.runs().object(promotion.verdict)
    if data is None:
        damage: str | None = "is missing"
    elif digest(data) != promotion.verdict_digest:
        damage = "was changed since"
    else:
        damage = other_verdict(data, name, promotion)
    if data is None or damage:
        raise StoreError(
            f"version {version.number} of '{name}' is in {version.stage}, and the verdict of its promotion {damage}",
            hint="see what is damaged: ciplug fsck; and deploy another version until it is put back",
            cause=Cause.DAMAGED,
        )
    wrong = wrong_verdict(data, name, promotion)
    return f"the verdict of its promotion {wrong}" if wrong else None


def _digest(version: Version) -> str:
    return version.digest or model_digest(version.files)


def _entry(locked: dict[str, Locked], key: str, lock: Path) -> Locked:
    if key not in locked:
        names = f"it has: {listed(sorted(locked), most=20)}" if locked else "it is written by a pull without --locked"
        raise UsageError(f"{lock} does not have {key}", hint=names)
    return locked[key]


def _locked_version(session: Session, model: Model, entry: Locked, lock: Path) -> Version:
    """The version of a lock file, if the registry still has what it had then. Raises StoreError."""
    event = session.log.entries(log_of(entry.model), entry.event - 1, entry.event)
    if model.name != entry.model or [digest(one) for one in event] != [entry.head]:
        raise StoreError(
            f"event {entry.event} of '{entry.model}' is not the one that {lock} was written at: the registry was "
            "rewritten, or is another one",
            hint="compare: ciplug registry history; if it is right, pull without --locked",
        )
    version = model.by_number.get(entry.version)
    has = (version.run, version.commit, version.record, _digest(version)) if version else None
    if version is None or has != (entry.run, entry.commit, entry.record, entry.digest):
        raise StoreError(
            f"version {entry.version} of '{entry.model}' is not what {lock} says",
            hint="compare: ciplug registry show; if the registry is right, pull without --locked",
        )
    return replace(version, hidden=False)


def _read(lock: Path) -> tuple[dict[str, Locked], dict[str, LockedSigners]]:
    """The names of a lock file, and the signers of each store; none where there is no file.

    Raises UsageError for a file that is none.
    """
    try:
        text = lock.read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}, {}
    except (OSError, ValueError) as problem:
        raise UsageError(f"{lock} cannot be read: {problem}") from None
    remedy = "restore it from git, or remove it and pull again without --locked"
    try:
        value = json.loads(text)
        if value["lock"] != _FORMAT:
            raise UsageError(f"{lock} has format {value['lock']!r}, and this ciplug reads {_FORMAT}", hint=remedy)
        locked = {str(name): Locked(**entry) for name, entry in value["models"].items()}
        by_store = {str(place): LockedSigners(**one) for place, one in value.get("signed", {}).items()}
    except json.JSONDecodeError as problem:
        raise UsageError(f"{lock}:{problem.lineno}: not a lock file: {problem.msg}", hint=remedy) from None
    except (ValueError, KeyError, TypeError, AttributeError) as problem:
        raise UsageError(f"{lock}: not a lock file of ciplug: {problem}", hint=remedy) from None
    for name, one in locked.items():
        texts = (one.model, one.digest, one.run, one.head)
        if not all(isinstance(text, str) for text in texts) or not (
            type(one.version) is int and type(one.event) is int and one.event > 0
        ):
            raise UsageError(f"{lock}: models.{name}: a value of a wrong type", hint=remedy)
    for place, signed in by_store.items():
        keys = signed.signers.values() if isinstance(signed.signers, dict) else [None]
        if not isinstance(signed.repository, str) or not all(isinstance(one, str) for one in keys):
            raise UsageError(f"{lock}: signed.{place}: a value of a wrong type", hint=remedy)
    return locked, by_store


def _write(lock: Path, entries: dict[str, Locked], by_store: dict[str, LockedSigners]) -> None:
    value: dict[str, Any] = {"lock": _FORMAT, "models": {name: asdict(one) for name, one in sorted(entries.items())}}
    if by_store:
        value["signed"] = {place: asdict(one) for place, one in sorted(by_store.items())}
    part = lock.with_name(f"{lock.name}.part")
    try:
        part.write_text(json.dumps(value, indent=2, sort_keys=True) + "\n", encoding="utf-8")
        part.replace(lock)
    except OSError as problem:
        raise UsageError(f"{lock} cannot be written: {problem.strerror}", hint="name another: --lock FILE") from None
