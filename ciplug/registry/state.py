"""What the registry holds: the fold of its events, by sequence. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from ciplug.errors import UsageError
from ciplug.records.registry_event import RegistryEvent
from ciplug.registry.ladder import ARCHIVED, NO_STAGE


@dataclass(frozen=True)
class Version:
    """One version of a model: what was registered, which never changes, and where it stands now."""

    number: int
    run: str
    commit: str | None
    stage: str
    created: str
    files: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Model:
    name: str
    versions: tuple[Version, ...] = ()

    def version(self, number: int) -> Version:
        for version in self.versions:
            if version.number == number:
                return version
        have = f"1 to {len(self.versions)}" if self.versions else "none"
        raise UsageError(f"'{self.name}' has no version {number}", hint=f"versions: {have}")

    @property
    def next_version(self) -> int:
        """The number of the version that is registered next."""
        return len(self.versions) + 1

    def of_run(self, run: str) -> Version | None:
        """The version that was registered from a run."""
        return next((v for v in self.versions if v.run == run), None)

    def holder(self, stage: str) -> Version | None:
        """The version that stands in Staging or Production: at most one does."""
        return next((v for v in self.versions if v.stage == stage), None)


def fold(name: str, events: Iterable[RegistryEvent]) -> Model:
    """The state after these events. A version that another one replaces in its stage is archived."""
    versions: dict[int, Version] = {}
    for event in events:
        if event.type == "register":
            # What was registered never changes, whatever a later event says.
            versions.setdefault(
                event.version,
                Version(event.version, event.run, event.commit, NO_STAGE, event.created, dict(event.files)),
            )
        elif event.stage is not None and event.version in versions:
            for number, version in versions.items():
                if version.stage == event.stage and number != event.version and event.stage not in (NO_STAGE, ARCHIVED):
                    versions[number] = _at(version, ARCHIVED)
            versions[event.version] = _at(versions[event.version], event.stage)
    return Model(name, tuple(versions.values()))


def _at(version: Version, stage: str) -> Version:
    return Version(version.number, version.run, version.commit, stage, version.created, version.files)
