"""The rules that every promotion followed when it was made, replayed over the events of a log. Pure.

Whoever may write the log can append an event by hand; its chain is whole then, and these rules are broken.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from ciplug.errors import PromotionRefused
from ciplug.records.registry_event import Promote, Register, RegistryEvent
from ciplug.registry.events import EVENT_TYPES, payload_of
from ciplug.registry.ladder import ARCHIVED, NO_STAGE, Ladder
from ciplug.registry.model import Model
from ciplug.registry.state import IsSigned, counting


class BrokenRule(NamedTuple):
    """An event that no ciplug would have appended."""

    seq: int
    words: str
    """A clause whose subject is the event."""


def broken_rules(
    name: str, events: Sequence[RegistryEvent], ladder: Sequence[str], is_signed: IsSigned | None = None
) -> Iterator[BrokenRule]:
    """Yield what is wrong with the events of a model, each judged by the state before it.

    Raises RecordError for an event that does not have the fields of its type.

    Args:
        ladder: the stages in force today, for events that do not name theirs.
        is_signed: without a signature an event does not count, and is not judged; None: all count.
    """
    model = Model(name)
    counts = counting(events, is_signed)
    highest = 0
    for event in events:
        payload = payload_of(event)
        number, highest = highest + 1, max(highest, payload.version if isinstance(payload, Register) else 0)
        if event.seq not in counts:
            continue
        if isinstance(payload, Register):
            wrong = _of_register(model, payload, number)
        elif isinstance(payload, Promote):
            wrong = _of_promote(model, payload, Ladder(payload.ladder or tuple(ladder)))
        else:
            wrong = ()
        yield from (BrokenRule(event.seq, words) for words in wrong)
        if payload is not None:
            model = EVENT_TYPES[event.type].apply(model, event, payload)


def other_ladders(name: str, events: Iterable[RegistryEvent], ladder: Sequence[str]) -> list[str]:
    """Sentences on promotions by other stages than today's: a team may have changed them, and so may a forger."""
    found: dict[tuple[str, ...], int] = {}
    for event in events:
        payload = payload_of(event)
        if isinstance(payload, Promote) and payload.ladder and payload.ladder != tuple(ladder):
            found.setdefault(payload.ladder, event.seq)
    return [
        f"event {seq} of '{name}' was made when the stages were {', '.join(one)}; today they are {', '.join(ladder)}"
        for one, seq in found.items()
    ]


def _of_register(model: Model, payload: Register, number: int) -> Iterable[str]:
    if payload.version != number:
        yield f"registers version {payload.version}, and the next one is {number}"
    if before := model.of_run(payload.run):
        yield f"registers the run of version {before.number} again"


def _of_promote(model: Model, payload: Promote, ladder: Ladder) -> Iterable[str]:
    version = next((v for v in model.versions if v.number == payload.version), None)
    if version is None:
        yield f"promotes version {payload.version}, which is not registered"
        return
    if (payload.run, payload.commit) != (version.run, version.commit):
        yield f"promotes another run than version {version.number} was registered with"
    if payload.from_stage != version.stage:
        yield f"moves version {version.number} from {payload.from_stage}, and it is in {version.stage}"
    holder = model.holder(payload.stage)
    if payload.replaces != (holder.number if holder else None):
        held = f"version {holder.number} holds it" if holder else "no version holds it"
        yield f"replaces version {payload.replaces or '-'} in {payload.stage}, and {held}"
    if payload.verdict is None or payload.verdict_digest is None:
        yield "promotes without a verdict"
    if payload.stage in (NO_STAGE, ARCHIVED) or payload.stage not in ladder.stages:
        yield f"promotes to {payload.stage}, which is not one of the stages {', '.join(ladder.stages)}"
        return
    try:
        ladder.check_promotion(version.number, version.stage, payload.stage)
    except PromotionRefused as refused:
        yield f"breaks the order of the stages: {refused.message}"
