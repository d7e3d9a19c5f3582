"""Check the registry: the chain of every event, the rules that each followed, the evidence that they name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from ciplug.errors import CiplugError, RecordError
from ciplug.records import canonical, read
from ciplug.records.keys import RunKey, log_of
from ciplug.records.notice import Kind as NoticeKind
from ciplug.records.registry_event import Promote, Register, RegistryEvent
from ciplug.records.registry_labels import MovedFrom, MovedTo
from ciplug.registry import evidence_chain_text, ledger, stored_checkpoints
from ciplug.registry.events import payload_of
from ciplug.registry.model import Model
from ciplug.registry.reading import origin_in
from ciplug.registry.replay import counting, fold, fold_on
from ciplug.registry.replayed_rules import broken_rules, other_ladders
from ciplug.reports.untrusted import clean
from ciplug.steps.judged_policy import PolicyUnknown, judges_here, policy_finding
from ciplug.steps.kept_entries import lost_models
from ciplug.steps.known_signers import with_known_signers
from ciplug.steps.mirror_tags import is_mirrored
from ciplug.steps.promotion.judging_section import judging_section
from ciplug.steps.registered_model import is_signed, signers_key
from ciplug.steps.session import Session
from ciplug.steps.tag_check import wrong_tags
from ciplug.stores.base import KeepsStates, Log, Problem, Store


class ModelCheck(NamedTuple):
    """What was found about one model."""

    model: str
    events: int
    """How many events its log has; 0 where it cannot be read."""
    problems: Sequence[Problem]
    notes: Sequence[str]
    """What is not wrong, and a person should know."""


def check_model(session: Session, model: str) -> ModelCheck:
    """Read the whole log of a model: its chain, its rules, its verdicts, and the records of its versions."""
    session = with_known_signers(session, {})
    problems: list[Problem] = []
    notes: list[str] = []
    if lost_models(session, model):
        words = f"events of '{model}' are missing or were replaced, as the store itself shows"
        problems.append(Problem(log_of(model), words))
    try:
        events = ledger.read(session.log, model).events
        signed, origin = is_signed(session), origin_in(session.log, is_signed(session))
        state = fold(model, events, signed, origin)
        for notice in state.notices:
            text = f"{notice.clause}: {notice.remedy}"
            # Whoever may push can append one. Until a signer vouches for it, nobody does as it says.
            if notice.kind is NoticeKind.UNSIGNED_EVENTS:
                problems.append(Problem(log_of(model), text))
            else:
                notes.append(text)
        section = judging_section(session, session.config, state)
        ladder, gated = session.config.ladder_of(section), session.config.gated_stages(section)
        notes += other_ladders(model, events, ladder)
        for seq, words in broken_rules(model, events, ladder, signed, gated=gated, origin=origin):
            problems.append(Problem(log_of(model), f"event {seq} of '{model}' {clean(words, 300)}"))
        problems += _of_state(session, model, events)
        if is_mirrored(session):
            problems += [
                Problem(f"refs/tags/{tag}", f"it {words}") for tag, words in wrong_tags(session, model).items()
            ]
        payloads = {event.seq: payload_of(event) for event in events}
        problems += _of_renamings(session.log, model, events, payloads)
    except CiplugError as problem:
        return ModelCheck(model, 0, (*problems, Problem(log_of(model), problem.message)), notes)
    problems += _of_evidence(session.store, model, payloads)
    wrong, unknown = _of_policies(session, model, section, payloads)
    problems += wrong
    notes += unknown
    problems += _of_registered(session.store, model, payloads)
    return ModelCheck(model, len(events), problems, notes)


def _of_state(session: Session, model: str, events: Sequence[RegistryEvent]) -> Iterator[Problem]:
    """A state beside the log that no event names, or that is not what the events up to it make."""
    log = session.log
    data = log.state(log_of(model)) if isinstance(log, KeepsStates) else None
    if data is None:
        return
    if canonical.digest(data) not in {event.state for event in events}:
        yield Problem(log_of(model), "the state that is kept beside this log is not one that an event of it names")
        return
    signed = is_signed(session)
    found = stored_checkpoints.read(log, model, signers_key(session), signed)
    # Of other signers, or of another version of ciplug: nobody reads on from it here.
    if found is None:
        return
    counts = counting(events, signed)
    made = fold_on(Model(model), events[: found.head.seq], counts, origin_in(log, signed))
    if made != found.model:
        words = f"the state after event {found.head.seq} of '{model}' that the store keeps is not what its events make"
        yield Problem(log_of(model), words)


def _of_renamings(
    log: Log, model: str, events: Sequence[RegistryEvent], payloads: Mapping[int, Any]
) -> Iterator[Problem]:
    """Ends of logs whose model did not go on under the name that they give."""
    for event in events:
        payload = payloads[event.seq]
        if not isinstance(payload, MovedTo):
            continue
        others = map(payload_of, ledger.read(log, payload.other).events)
        due = (model, event.seq - 1, event.previous)
        if not any(isinstance(one, MovedFrom) and (one.other, one.until, one.digest) == due for one in others):
            words = (
                f"event {event.seq} of '{model}' renames it to '{clean(payload.other, 80)}', whose log does not say so"
            )
            yield Problem(log_of(model), words)


def _of_evidence(store: Store, model: str, payloads: Mapping[int, Any]) -> Iterator[Problem]:
    """Verdicts of promotions that are missing, changed since, of another run, or that did not pass."""
    promotions = {seq: payload for seq, payload in payloads.items() if isinstance(payload, Promote)}
    evidence = store.read(promotion.verdict for promotion in promotions.values() if promotion.verdict)
    for seq, promotion in promotions.items():
        if promotion.verdict is None:
            continue
        named = f"event {seq} of '{model}'"
        if promotion.verdict not in evidence:
            yield Problem(promotion.verdict, f"{named} names this verdict, which is missing")
        elif promotion.verdict_digest != canonical.digest(evidence[promotion.verdict]):
            yield Problem(promotion.verdict, f"{named} was made with other content of this verdict")
        elif wrong := wrong_verdict(evidence[promotion.verdict], model, promotion):
            yield Problem(promotion.verdict, f"{named} names this verdict, which {wrong}")
        elif other := _other_outcome(evidence[promotion.verdict], promotion):
            yield Problem(promotion.verdict, f"{named} {other}")


def _of_policies(
    session: Session, model: str, section: str, payloads: Mapping[int, Any]
) -> tuple[list[Problem], list[str]]:
    """Promotions by a policy that this repository never had: another one judged. And what could not be compared.

    Of the promotions by one policy, the first that is right shows that the policy is this repository's.
    """
    promotions = {seq: one for seq, one in payloads.items() if isinstance(one, Promote) and one.verdict}
    promotions = {seq: one for seq, one in promotions.items() if judges_here(session, section, one.stage)}
    evidence = session.store.read(one.verdict for one in promotions.values() if one.verdict)
    own: set[tuple[str, str, str]] = set()
    found: dict[int, tuple[tuple[str, str, str], Problem | str]] = {}
    for seq, promotion in promotions.items():
        key = promotion.verdict or ""
        if key not in evidence or other_verdict(evidence[key], model, promotion):
            continue
        verdict = read.verdict(evidence[key], key)
        policy = (verdict.policy_digest, promotion.policy_digest or "", verdict.model)
        if policy in own:
            continue
        try:
            finding = policy_finding(session, model, promotion, verdict, {"event": seq}, fetch=True)
        except PolicyUnknown as unknown:
            found[seq] = policy, f"the policy of event {seq} of '{model}' was not compared: {unknown.message}"
            continue
        if finding.fault is None:
            own.add(policy)
        else:
            named = f"event {seq} of '{model}' was judged by a policy that is not this repository's"
            found[seq] = policy, Problem(key, f"{named}: {clean(evidence_chain_text.words(finding), 300)}")
    left = [one for policy, one in found.values() if policy not in own]
    return [one for one in left if isinstance(one, Problem)], [one for one in left if isinstance(one, str)]


def wrong_verdict(data: bytes, model: str, promotion: Promote) -> str | None:
    """Why a verdict does not allow a promotion, as a clause; None where it does.

    Args:
        model: the registered name that the event was made for. The run may be of another model, as the event says.
    """
    if other := other_verdict(data, model, promotion):
        return other
    verdict = read.verdict(data, promotion.verdict or "")
    if verdict.dry_run:
        return "is of a dry run"
    if verdict.stage is not None and verdict.stage != promotion.stage.lower():
        return f"was made for {clean(verdict.stage, 40)}"
    return None if verdict.passed else f"is {verdict.outcome}"


def _other_outcome(data: bytes, promotion: Promote) -> str | None:
    outcome = read.verdict(data, promotion.verdict or "").outcome
    if promotion.outcome in (None, outcome):
        return None
    return f"says {clean(str(promotion.outcome), 40)}, and names this verdict, which is {outcome}"


def other_verdict(data: bytes, model: str, promotion: Promote) -> str | None:
    """Why a verdict says nothing of the run of a promotion, as a clause; None where it does."""
    model = promotion.run_model or model
    try:
        verdict = read.verdict(data, promotion.verdict or "")
    except RecordError as problem:
        return f"cannot be read: {problem.message}"
    if (verdict.run, verdict.model, verdict.commit) != (promotion.run, model, promotion.commit):
        return f"is on run {clean(verdict.run, 40)} of '{clean(verdict.model, 80)}'"
    return None


def _of_registered(store: Store, model: str, payloads: Mapping[int, Any]) -> Iterator[Problem]:
    """Records of versions that are missing, or were changed since they were registered."""
    registered = {
        RunKey(one.commit, one.run).key: one
        for one in payloads.values()
        if isinstance(one, Register) and one.run and one.record
    }
    records = store.read(registered)
    for key, payload in registered.items():
        if key not in records:
            yield Problem(key, f"it is version {payload.version} of '{model}', and the record is missing")
        elif payload.record != canonical.digest(records[key]):
            yield Problem(key, f"it was changed since it was registered as version {payload.version} of '{model}'")
