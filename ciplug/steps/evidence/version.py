"""A version of the registry, with the promotion that speaks for it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

from ciplug.errors import BrokenLog, Cause, UsageError
from ciplug.records import read
from ciplug.records.keys import EntryKey, log_of
from ciplug.records.registry_event import Promote, RegistryEvent
from ciplug.records.registry_labels import MovedFrom, MovedTo
from ciplug.registry.events import EVENT_TYPES, payload_of
from ciplug.registry.evidence_chain import scan
from ciplug.registry.ladder import Ladder
from ciplug.registry.model import Model, Version
from ciplug.registry.resolve import parse_version_name
from ciplug.steps.registered_model import read_model, version_of
from ciplug.steps.session import Session


class Promoted(NamedTuple):
    """A version, and what was written about it."""

    model: Model
    version: Version
    events: int
    """How many events the log has that moved the version last: that of the model, or of a name that it had before."""
    own: Sequence[tuple[int, Any]]
    """Number and payload of the events that registered or moved the version, and count, first to last."""
    event: RegistryEvent | None
    """The last promotion to the stage that the version is in, else its last one; None: it was never promoted."""
    promotion: Promote | None
    """The content of that event."""
    log: str = ""
    """The model whose log that is."""

    @property
    def last_event(self) -> int:
        """The number of the last event that moved the version."""
        return self.own[-1][0] if self.own else 0


def find_promoted(session: Session, name: str) -> Promoted:
    """Find a version by MODEL, which is the one in the highest stage, MODEL@STAGE, MODEL@vN, or a models:/ URI.

    The chain of the whole log is verified; only the events on the version are read as records.
    Raises NotFound and UsageError for a name of nothing, BrokenLog for a broken log.
    """
    parsed = parse_version_name(name)
    model_name = parsed.model if parsed else name
    model = read_model(session, model_name)
    logs = list(_logs(session, model_name, skipped=model.unsigned))
    ladder = Ladder(session.config.ladder_of(model_name))
    version = version_of(session, model, parsed.selector, ladder) if parsed else _highest(session, model, ladder)
    by_log = [(log, list(_own_events(model, version.number, log))) for log in logs]
    events = [event for _, own in by_log for event in own]
    last = next((log for log, own in reversed(by_log) if own), logs[-1])
    own = [(event.seq, payload_of(event)) for event in events]
    promotions = [(event, one[1]) for event, one in zip(events, own, strict=True) if isinstance(one[1], Promote)]
    if not promotions:
        return Promoted(model, version, len(last.entries), own, None, None, last.model)
    of_stage = [one for one in promotions if one[1].stage == version.stage]
    return Promoted(model, version, len(last.entries), own, *(of_stage or promotions)[-1], last.model)


class _VerifiedLog(NamedTuple):
    model: str
    entries: Sequence[bytes]
    about: Sequence[tuple[str, int | None]]
    start: int
    """The number of the last event that gave the model another name: what came before belongs to that one."""


def _logs(
    session: Session,
    name: str,
    until: int | None = None,
    above: Mapping[str, int] = MappingProxyType({}),
    *,
    skipped: Collection[int] = (),
) -> Iterator[_VerifiedLog]:
    """Yield the log of a model, after those of the names that it had before. Raises BrokenLog.

    Args:
        until: the last event to read.
        above: name → the number of the event that is being followed in its log: no later one belongs to the model.
        skipped: events that do not count.
    """
    entries = session.log.entries(log_of(name))[:until]
    scanned = scan(entries)
    if scanned.broken or (name in above and len(entries) >= above[name]):
        raise BrokenLog(
            f"the registry of '{name}' is broken at event {scanned.broken or 1}: it does not follow from the one "
            "before",
            hint="compare the log with another clone's: no event is ever changed or removed",
            cause=Cause.DAMAGED,
        )
    numbered = [(at, kind) for at, (kind, _) in enumerate(scanned.about, start=1) if at not in skipped]
    start = max((at for at, kind in numbered if kind == MovedTo.type), default=0)
    for at, kind in numbered:
        if kind == MovedFrom.type and at > start:
            moved = payload_of(read.registry_event(entries[at - 1], name))
            if isinstance(moved, MovedFrom):
                yield from _logs(session, moved.other, moved.until, {**above, name: at})
    yield _VerifiedLog(name, entries, scanned.about, start)


def _own_events(model: Model, version: int, log: _VerifiedLog) -> Iterator[RegistryEvent]:
    """The events of a log that registered or moved a version, and count."""
    skipped = set(model.unsigned) if log.model == model.name else set()
    for number, (kind, about) in enumerate(log.about, start=1):
        row = EVENT_TYPES.get(kind)
        moves = row is not None and row.moves_to is not None
        if number > log.start and about == version and moves and number not in skipped:
            yield read.registry_event(log.entries[number - 1], EntryKey(log_of(log.model), number).key)


def _highest(session: Session, model: Model, ladder: Ladder) -> Version:
    held = [holder for stage in (*model.stages, *ladder.stages) if (holder := model.holder(stage))]
    if held:
        return held[-1]
    if not model.versions:
        return version_of(session, model, "latest", ladder)
    raise UsageError(
        f"no version of '{model.name}' is in a stage", hint=f"name one: '{model.name}@v{model.versions[-1].number}'"
    )
