"""A model and its versions, as the events of its log leave them. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from ciplug.errors import NotFound
from ciplug.records.notice import Kind, Notice
from ciplug.registry.ladder import ARCHIVED, NO_STAGE


@dataclass(frozen=True)
class Version:
    """One version of a model: what was registered, which never changes, and its stage."""

    number: int
    run: str
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
    versions: tuple[Version, ...] = ()
    """The versions by number, lowest first."""
    skipped: tuple[SkippedEvent, ...] = ()
    """Events that are not part of this state: only a newer ciplug knows what they do."""
    unsigned: tuple[int, ...] = ()
    """Events that are not part of this state: no allowed signer has signed them."""
    problem: str | None = None
    """Why nothing is known of it, where its log is broken."""

    def version(self, number: int) -> Version:
        """The version of this number. Raises NotFound."""
        for version in self.versions:
            if version.number == number:
                return version
        have = f"{self.versions[0].number} to {self.versions[-1].number}" if self.versions else "none"
        raise NotFound(f"'{self.name}' has no version {number}", hint=f"versions: {have}")

    @property
    def next_version(self) -> int:
        """The number of the version that is registered next."""
        return self.versions[-1].number + 1 if self.versions else 1

    def of_run(self, run: str) -> Version | None:
        """Return the version that was registered from a run."""
        return next((v for v in self.versions if v.run == run), None)

    @property
    def stages(self) -> tuple[str, ...]:
        """The stages that versions are in."""
        return tuple(dict.fromkeys(v.stage for v in self.versions if v.stage not in (NO_STAGE, ARCHIVED)))

    def holder(self, stage: str) -> Version | None:
        """The version in a stage of the ladder, which at most one version holds."""
        return next((v for v in self.versions if v.stage == stage), None)

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
        if any(v.number == version.number for v in self.versions):
            return self
        return replace(self, versions=tuple(sorted((*self.versions, version), key=lambda v: v.number)))

    def with_stage(self, number: int, stage: str, exemptions: tuple[str, ...] = ()) -> Model:
        """With a version in a stage; the version that held it is archived."""
        if not any(v.number == number for v in self.versions):
            return self
        exclusive = stage not in (NO_STAGE, ARCHIVED)

        def moved(version: Version) -> Version:
            if version.number == number:
                return replace(version, stage=stage, exemptions=exemptions)
            return replace(version, stage=ARCHIVED) if exclusive and version.stage == stage else version

        return replace(self, versions=tuple(map(moved, self.versions)))
