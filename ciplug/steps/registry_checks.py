"""Check the registry: the chain of every event, the rules that each followed, the evidence that they name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from ciplug.errors import CiplugError, RecordError
from ciplug.records import canonical, read
from ciplug.records.keys import RunKey, log_of
from ciplug.records.registry_event import Promote, Register, RegistryEvent
from ciplug.records.registry_labels import MovedFrom, MovedTo
from ciplug.registry import ledger, states
from ciplug.registry.events import payload_of
from ciplug.registry.model import Model
from ciplug.registry.reading import origin_in
from ciplug.registry.replayed_rules import broken_rules, other_ladders
from ciplug.registry.state import counting, fold, fold_on
from ciplug.reports.untrusted import clean
from ciplug.steps.kept_entries import lost_models
from ciplug.steps.known_signers import with_known_signers
from ciplug.steps.mirror_tags import is_mirrored
from ciplug.steps.promotion.judging_section import judging_section
from ciplug.steps.registered import is_signed, signers_key
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
        words = f"the log of '{model}' has lost events, or has others in their place, as the store itself shows"
        problems.append(Problem(log_of(model), words))
    try:
        events = ledger.read(session.log, model).events
        signed, origin = is_signed(session), origin_in(session.log, is_signed(session))
        notes += fold(model, events, signed, origin).notes
        section = judging_section(session, session.config, fold(model, events, signed, origin))
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
    found = states.read(log, model, signers_key(session), signed)
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


def wrong_verdict(data: bytes, model: str, promotion: Promote) -> str | None:
    """Why a verdict does not allow a promotion, as a clause; None where it does.

    Args:
        model: the registered name that the event was made for. The run may be of another model, as the event says.
    """
    model = promotion.run_model or model
    try:
        verdict = read.verdict(data, promotion.verdict or "")
    except RecordError as problem:
        return f"cannot be read: {problem.message}"
    if (verdict.run, verdict.model, verdict.commit) != (promotion.run, model, promotion.commit):
        return f"is on run {clean(verdict.run, 40)} of '{clean(verdict.model, 80)}'"
    if verdict.dry_run:
        return "is of a dry run"
    if verdict.stage is not None and verdict.stage != promotion.stage.lower():
        return f"was made for {clean(verdict.stage, 40)}"
    return None if verdict.passed else f"is {verdict.outcome}"


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
