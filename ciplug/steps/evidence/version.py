"""A version of the registry, with the promotion that speaks for it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from ciplug.errors import UsageError
from ciplug.records.registry_event import Promote, RegistryEvent
from ciplug.registry import ledger
from ciplug.registry.events import payload_of
from ciplug.registry.ladder import Ladder
from ciplug.registry.model import Model, Version
from ciplug.registry.reading import origin_in
from ciplug.registry.resolve import find_version, parse_version_name
from ciplug.registry.state import fold
from ciplug.steps.registered import is_signed
from ciplug.steps.session import Session


class Promoted(NamedTuple):
    """A version, and what was written about it."""

    model: Model
    version: Version
    events: Sequence[RegistryEvent]
    """All events of the model."""
    event: RegistryEvent | None
    """The last promotion to the stage that the version is in, else its last one; None: it was never promoted."""
    promotion: Promote | None
    """The content of that event."""

    @property
    def last_event(self) -> int:
        """The number of the last event on the version."""
        numbers = [e.seq for e in self.events if e.payload.get("version") == self.version.number]
        return max(numbers, default=0)


def find_promoted(session: Session, name: str) -> Promoted:
    """Find a version by MODEL, which is the one in the highest stage, MODEL@STAGE, MODEL@vN, or a models:/ URI.

    Raises NotFound and UsageError for a name of nothing, BrokenLog for a broken log.
    """
    parsed = parse_version_name(name)
    model_name = parsed.model if parsed else name
    signed = is_signed(session)
    events = ledger.read(session.log, model_name).events
    model = fold(model_name, events, signed, origin_in(session.log, signed))
    ladder = Ladder(session.config.ladder_of(model_name))
    version = find_version(model, parsed.selector, ladder) if parsed else _highest(model, ladder)
    counted = [event for event in events if signed is None or event.seq not in model.unsigned]
    promotions = [
        (event, payload)
        for event in counted
        if event.type == Promote.type
        and isinstance(payload := payload_of(event), Promote)
        and payload.version == version.number
    ]
    of_stage = [one for one in promotions if one[1].stage == version.stage]
    if not promotions:
        return Promoted(model, version, events, None, None)
    return Promoted(model, version, events, *(of_stage or promotions)[-1])


def _highest(model: Model, ladder: Ladder) -> Version:
    held = [holder for stage in (*model.stages, *ladder.stages) if (holder := model.holder(stage))]
    if held:
        return held[-1]
    if not model.versions:
        return find_version(model, "latest", ladder)
    raise UsageError(
        f"no version of '{model.name}' is in a stage", hint=f"name one: '{model.name}@v{model.versions[-1].number}'"
    )
