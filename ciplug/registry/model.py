"""A model and its versions, as the events of its log leave them. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from ciplug.errors import NotFound
from ciplug.records.notice import Kind, Notice
from ciplug.registry.ladder import ARCHIVED, NO_STAGE


@dataclass(frozen=True)
class Version:
    """One version of a model: what was registered, which never changes, and what has become of it."""

    number: int
    run: str | None
    commit: str | None
    stage: str
    created: str
    """When it was registered: UTC, ISO 8601."""
    files: Mapping[str, str] = field(default_factory=dict)
    """Path → sha256:<hex> of its artifacts."""
    exemptions: tuple[str, ...] = ()
    """The requirements of every stage that the policy had turned off when it was promoted to its stage."""
    record: str | None = None
    """sha256 of the run's record, as it was registered; None for a version of an older ciplug."""
    digest: str | None = None
    """The digest of the model: of all its files."""
    datasets: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    source: str | None = None
    location: str | None = None
    model_id: str | None = None
    run_link: str | None = None
    actor: str | None = None
    """Who registered it."""
    registered: str = ""
    """The key of the event that registered it."""
    updated: str = ""
    """When the last event on it was made."""
    moved: str | None = None
    """The key of the event that put it into its stage; None: it was never moved."""
    passed: Mapping[str, str] = field(default_factory=dict)
    """Stage → key of the last event by which it was promoted there."""
    description: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    origin: Mapping[str, str] = field(default_factory=dict)
    """Where it was imported from, and what was said of it there."""
    yanked: str | None = None
    """Why nobody should use it; None: everybody may. Empty where no reason was given."""
    hidden: bool = False
    """Whether it was deleted: it is not shown, and nothing can be done with it."""

    @property
    def staged(self) -> bool:
        """Whether it is in a stage of the ladder."""
        return self.stage not in (NO_STAGE, ARCHIVED)


class DeployEvent(NamedTuple):
    """What one event says of a target."""

    event: int
    version: int
    state: str
    kind: str
    stage: str | None
    digest: str | None
    reference: str | None
    endpoint: str | None
    created: str
    actor: str | None
    reason: str | None


class SmokeTest(NamedTuple):
    """What a served version answered to a recorded sample."""

    event: int
    version: int
    outcome: str
    rows: int
    equal: int
    created: str
    actor: str | None
    reason: str | None


class Deployed(NamedTuple):
    """What the log says of a target."""

    last: DeployEvent
    """The last event on it."""
    serves: DeployEvent | None = None
    """The last one by which it serves a version; None: it serves none."""
    tested: SmokeTest | None = None
    """The last smoke test there, also of a version that it serves no longer; None: there was none."""

    @property
    def is_open(self) -> bool:
        """Whether a deployment, or its end, was begun, and nobody knows how that went."""
        from ciplug.records.registry_deployment import BEGUN, ENDING

        return self.last.state in (BEGUN, ENDING)

    @property
    def is_ended(self) -> bool:
        """Whether somebody wants it to serve nothing."""
        from ciplug.records.registry_deployment import ENDED, ENDING

        return self.last.state in (ENDING, ENDED)


@dataclass(frozen=True)
class SkippedEvent:
    """An event whose effect this ciplug does not know."""

    seq: int
    type: str
    newer_schema: int | None = None
    """The schema that it was written in, where it is newer than ours."""


@dataclass(frozen=True)
class Model:
    """The state of one model."""

    name: str
    by_number: Mapping[int, Version] = field(default_factory=dict)
    """The versions by number, lowest first; deleted ones are among them."""
    skipped: tuple[SkippedEvent, ...] = ()
    """Events that are not part of this state: only a newer ciplug knows what they do."""
    unsigned: tuple[int, ...] = ()
    """Events that are not part of this state: no allowed signer has signed them."""
    problem: str | None = None
    """Why nothing is known of it, where its log is broken."""
    last_number: int = 0
    """The highest number that a version has ever had under this name."""
    in_stage: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    """Stage → the versions in it, in the order in which they came."""
    held: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    """Stage → the versions that may come back to it, the last holder last."""
    aliases: Mapping[str, int] = field(default_factory=dict)
    """Alias → number of a version. The holder of a stage goes by the stage's name, which is not among these."""
    description: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    origin: Mapping[str, str] = field(default_factory=dict)
    """Where it was imported from, and what was said of it there."""
    created: str = ""
    """When the model was created, or its first version registered."""
    updated: str = ""
    """When its last event was made."""
    clock: int = 0
    """When its last event was made, in seconds since 1970, and later than every event before it: clocks of writers
    differ, and two events may have the same second."""
    deployed: Mapping[str, Deployed] = field(default_factory=dict)
    """Target → what the log says of it."""
    hidden: bool = False
    """Whether it was deleted."""
    moved_to: str | None = None
    """The name that it has now, where it was renamed."""
    awaits: str | None = None
    """The model whose versions it takes over, where only half of that renaming is written."""

    @property
    def versions(self) -> tuple[Version, ...]:
        """The versions by number, lowest first, without deleted ones."""
        return tuple(version for version in self.by_number.values() if not version.hidden)

    @property
    def exists(self) -> bool:
        """Whether there is a model of this name now."""
        return bool(self.created) and not self.hidden and self.moved_to is None

    def version(self, number: int) -> Version:
        """The version of this number. Raises NotFound."""
        version = self.by_number.get(number)
        if version is not None and not version.hidden:
            return version
        if version is not None:
            raise NotFound(
                f"version {number} of '{self.name}' was deleted", hint=f"see: ciplug registry history '{self.name}'"
            )
        versions = self.versions
        have = f"{versions[0].number} to {versions[-1].number}" if versions else "none"
        raise NotFound(f"'{self.name}' has no version {number}", hint=f"versions: {have}")

    @property
    def next_version(self) -> int:
        """The number of the version that is registered next."""
        return self.last_number + 1

    def of_run(self, run: str) -> Version | None:
        """Return the version that was registered from a run, with all its artifacts."""
        return next((v for v in self.versions if v.run == run and v.source is None), None)

    @property
    def stages(self) -> tuple[str, ...]:
        """The stages that versions are in."""
        return tuple(dict.fromkeys(version.stage for version in self.versions if version.staged))

    def holder(self, stage: str) -> Version | None:
        """The version in a stage of the ladder: the one that came last."""
        numbers = self.in_stage.get(stage, ())
        return self.by_number[numbers[-1]] if numbers else None

    def aliases_of(self, number: int) -> tuple[str, ...]:
        """The aliases of a version, without the names of stages."""
        return tuple(sorted(alias for alias, named in self.aliases.items() if named == number))

    def before(self, stage: str, above: Collection[str] = ()) -> Version | None:
        """The version that a rollback of a stage brings back: the holder before this one that may be used.

        Args:
            above: the stages above this one. A version that serves there is left where it is.
        """
        holder = self.holder(stage)
        for number in reversed(self.held.get(stage, ())):
            version = self.by_number[number]
            usable = version.yanked is None and not version.hidden and version.stage not in above
            if usable and (holder is None or number != holder.number):
                return version
        return None

    @property
    def notices(self) -> tuple[Notice, ...]:
        """What whoever reads this state must know: each event that was skipped, and that the log is broken."""
        broken = Notice(kind=Kind.BROKEN_LOG, of="production", model=self.name, detail=self.problem)
        count = len(self.unsigned)
        unsigned = Notice(kind=Kind.UNSIGNED_EVENTS, model=self.name, event=min(self.unsigned, default=0), count=count)
        return (
            *((broken,) if self.problem else ()),
            *((unsigned,) if count else ()),
            *self._skipped_notices,
        )

    @property
    def _skipped_notices(self) -> tuple[Notice, ...]:
        return tuple(
            Notice(
                kind=Kind.SKIPPED_EVENT,
                model=self.name,
                event=event.seq,
                type=event.type,
                schema=event.newer_schema,
            )
            for event in self.skipped
        )

    @property
    def notes(self) -> tuple[str, ...]:
        """The notices as clauses, with what to do."""
        return tuple(f"{notice.clause}: {notice.remedy}" for notice in self.notices)

    # --- changes, each to a new state

    def with_version(self, version: Version) -> Model:
        """Return the model with a new version. A number that exists keeps its first version."""
        if version.number in self.by_number:
            return self
        versions = {**self.by_number, version.number: version}
        if version.number < self.last_number:
            versions = dict(sorted(versions.items()))
        return replace(self, by_number=versions, last_number=max(self.last_number, version.number))

    def changed(self, number: int | None, **changes: Any) -> Model:
        """With other facts of a version, or of the model itself; a version that does not exist changes nothing."""
        if number is None:
            return replace(self, **changes)
        version = self.by_number.get(number)
        if version is None or version.hidden:
            return self
        return replace(self, by_number={**self.by_number, number: replace(version, **changes)})

    def with_stage(
        self, number: int, stage: str, exemptions: tuple[str, ...] = (), *, alone: bool = True, event: str | None = None
    ) -> Model:
        """With a version in a stage.

        Args:
            alone: the versions that were in it are archived.
            event: the key of the event that moves it.
        """
        version = self.by_number.get(number)
        if version is None or version.hidden:
            return self
        versions = dict(self.by_number)
        stages = {one: numbers for one, numbers in self.in_stage.items() if one != version.stage}
        stages[version.stage] = tuple(one for one in self.in_stage.get(version.stage, ()) if one != number)
        if stage not in (NO_STAGE, ARCHIVED):
            others = stages.get(stage, ())
            if alone:
                versions.update({one: replace(versions[one], stage=ARCHIVED, moved=event) for one in others})
                others = ()
            stages[stage] = (*others, number)
        versions[number] = replace(version, stage=stage, exemptions=exemptions, moved=event)
        return replace(self, by_number=versions, in_stage={one: numbers for one, numbers in stages.items() if numbers})

    def with_holder(self, stage: str, number: int, *, without: int | None = None) -> Model:
        """With a version as the last holder of a stage; `without` cannot come back to it by itself."""
        if number not in self.by_number:
            return self
        earlier = self.held.get(stage, ())
        if number in earlier or without in earlier:
            earlier = tuple(one for one in earlier if one not in (number, without))
        return replace(self, held={**self.held, stage: (*earlier, number)})

    def without_holder(self, stage: str, number: int) -> Model:
        """With a version that a rollback of the stage does not bring back by itself."""
        return replace(self, held={**self.held, stage: tuple(one for one in self.held.get(stage, ()) if one != number)})
