"""The tags that mirror a registry in the repository of the code, in the form that GTO reads. Pure.

`wine@v3` and `wine@v3.0.0` are on the commit of version 3, as GTO's versions have three numbers. `wine#production#7`
says that the version of its commit came into production by event 7, `wine#production!#7` that it left. None of them
decides anything.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from ciplug.records.registry_event import RegistryEvent
from ciplug.registry.model import Model, Version
from ciplug.registry.replay import Origin, after

_NAME = re.compile(r"[a-zA-Z0-9](?:[a-zA-Z0-9_-]*[a-zA-Z0-9])?")
"""The names that GTO reads; `/` would make folders of refs."""


class Tag(NamedTuple):
    """A tag on a commit."""

    name: str
    commit: str
    seconds: int
    """When its event was made, since 1970; GTO orders tags by it."""


def can_be_mirrored(name: str) -> bool:
    """Whether GTO reads the name of a model or a stage."""
    return _NAME.fullmatch(name) is not None


def is_of(model: str, tag: str) -> bool:
    """Whether a tag has the form of one of this model."""
    return tag.startswith((f"{model}@v", f"{model}#"))


def tags_of(before: Model, now: Model, seq: int) -> Iterator[Tag]:
    """Yield the tags of the event that turned one state of a model into the other.

    GTO knows one version of a commit, the first: what happens to a later one is left out, and whom it replaces leaves.
    """
    if not can_be_mirrored(now.name):
        return
    numbers = {version.number for version in before.versions}
    for version in now.versions:
        if version.number not in numbers and version.commit:
            yield Tag(f"{now.name}@v{version.number}", version.commit, now.clock)
            if _is_first(now, version):
                yield Tag(f"{now.name}@v{version.number}.0.0", version.commit, now.clock)
    for stage in dict.fromkeys((*before.stages, *now.stages)):
        if can_be_mirrored(stage):
            yield from _of_stage(before, now, stage, seq)


def _of_stage(before: Model, now: Model, stage: str, seq: int) -> Iterator[Tag]:
    was, holder = before.holder(stage), now.holder(stage)
    if (was and was.number) == (holder and holder.number):
        return
    name = f"{now.name}#{stage.lower()}"
    if holder and holder.commit and _is_first(now, holder):
        yield Tag(f"{name}#{seq}", holder.commit, now.clock)
    # GTO would show it again as soon as the version that came has left.
    if was and was.commit and _is_first(before, was):
        yield Tag(f"{name}!#{seq}", was.commit, now.clock)


def _is_first(model: Model, version: Version) -> bool:
    """Whether no earlier version has its commit: a deleted one has had its tags, too."""
    return not any(one.number < version.number and one.commit == version.commit for one in model.by_number.values())


def tags_by_event(
    name: str, events: Iterable[RegistryEvent], counts: set[int], origin: Origin | None = None
) -> Iterator[tuple[Tag, RegistryEvent]]:
    """Yield each tag with its event, of all events of a model that count."""
    model = Model(name)
    for event in events:
        now = after(model, event, counts=event.seq in counts, origin=origin)
        for tag in tags_of(model, now, event.seq):
            yield tag, event
        model = now
