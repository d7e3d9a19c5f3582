"""Events of the registry that move a version without a new judgement: down, back, out of use."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar


@dataclass(frozen=True, kw_only=True)
class Demote:
    """Take a version out of its stage: to a lower one that it was promoted to before, or to none."""

    type: ClassVar[str] = "demote"

    version: int
    stage: str
    """The new stage of the version."""
    from_stage: str | None = None
    ladder: tuple[str, ...] = ()
    """The stages in force then, lowest first."""
    reason: str | None = None

    @property
    def runs(self) -> tuple[str, ...]:
        return ()


@dataclass(frozen=True, kw_only=True)
class Rollback:
    """Put a version back into a stage that it was promoted to before. Its bytes were verified; no gate was asked."""

    type: ClassVar[str] = "rollback"

    version: int
    run: str
    commit: str | None = None
    stage: str
    from_stage: str | None = None
    ladder: tuple[str, ...] = ()
    """The stages in force then, lowest first."""
    replaces: int | None = None
    """Version that held `stage` when this event was made; it is archived."""
    reason: str
    passed: str
    """The key of the event by which the version was promoted to this stage: its verdict is the evidence."""
    outcome: str | None = None
    """The word of that verdict."""
    files: int = 0
    """How many files were read and verified."""
    trust: str | None = None
    """The level of trust that held: open, protected, signed."""
    trust_shown_by: str | None = None

    @property
    def runs(self) -> tuple[str, ...]:
        return (self.run,)


@dataclass(frozen=True, kw_only=True)
class Archive:
    """Set a version aside that is in no stage and has no alias."""

    type: ClassVar[str] = "archive"

    version: int
    from_stage: str | None = None
    reason: str | None = None

    @property
    def runs(self) -> tuple[str, ...]:
        return ()


@dataclass(frozen=True, kw_only=True)
class Yank:
    """Warn of a version: it can be promoted, put back and pulled no more, except by who has it in a lock file."""

    type: ClassVar[str] = "yank"

    version: int
    reason: str | None = None
    undo: bool = False
    """Take the warning back."""

    @property
    def runs(self) -> tuple[str, ...]:
        return ()


@dataclass(frozen=True, kw_only=True)
class MoveFreely:
    """Move a version to a stage that no policy gates, as MLflow does. No evidence was asked for."""

    type: ClassVar[str] = "stage"

    version: int
    stage: str
    """A stage of the ladder, or None or Archived."""
    from_stage: str | None = None
    archive: bool = False
    """Whether the other versions in the stage are archived."""
    origin: Mapping[str, str] = field(default_factory=dict)
    """Where it was imported from, and what was said of it there: `imported_from`, `created`, `user`, …: claims."""

    @property
    def runs(self) -> tuple[str, ...]:
        return ()
