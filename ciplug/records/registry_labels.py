"""Events of the registry that name, describe, hide and rename: none of them moves a version to a stage."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar


class _NamesNoRun:
    @property
    def runs(self) -> tuple[str, ...]:
        return ()


@dataclass(frozen=True, kw_only=True)
class Create(_NamesNoRun):
    """Create a model without a version; one that was deleted begins anew, and goes on with its numbers."""

    type: ClassVar[str] = "create"

    description: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    origin: Mapping[str, str] = field(default_factory=dict)
    """Where it was imported from, and what was said of it there: `imported_from`, `created`, `user`, …: claims."""


@dataclass(frozen=True, kw_only=True)
class Describe(_NamesNoRun):
    """Set the description of a version, or of the model."""

    type: ClassVar[str] = "describe"

    version: int | None = None
    """None: the model itself."""
    description: str | None = None
    """None: no description any more."""


@dataclass(frozen=True, kw_only=True)
class Tag(_NamesNoRun):
    """Set a tag of a version, or of the model."""

    type: ClassVar[str] = "tag"

    version: int | None = None
    """None: the model itself."""
    key: str
    value: str


@dataclass(frozen=True, kw_only=True)
class Untag(_NamesNoRun):
    """Remove a tag of a version, or of the model."""

    type: ClassVar[str] = "untag"

    version: int | None = None
    """None: the model itself."""
    key: str


@dataclass(frozen=True, kw_only=True)
class SetAlias(_NamesNoRun):
    """Have an alias name a version. A stage of the ladder is no alias: it is reached by a promotion."""

    type: ClassVar[str] = "alias"

    alias: str
    version: int
    replaces: int | None = None
    """The version that it named before."""
    origin: Mapping[str, str] = field(default_factory=dict)
    """Where it was imported from, and what was said of it there: `imported_from`, `created`, `user`, …: claims."""


@dataclass(frozen=True, kw_only=True)
class DeleteAlias(_NamesNoRun):
    """Remove an alias."""

    type: ClassVar[str] = "unalias"

    alias: str
    replaces: int | None = None
    """The version that it named."""


@dataclass(frozen=True, kw_only=True)
class DeleteVersion(_NamesNoRun):
    """Hide a version. Its events stay, and its number is never used again."""

    type: ClassVar[str] = "delete_version"

    version: int
    reason: str | None = None


@dataclass(frozen=True, kw_only=True)
class DeleteModel(_NamesNoRun):
    """Hide a model with all its versions. Its events stay."""

    type: ClassVar[str] = "delete_model"

    reason: str | None = None


@dataclass(frozen=True, kw_only=True)
class MovedFrom(_NamesNoRun):
    """Go on with the versions of another model. True only where the log of that one says so by its next event."""

    type: ClassVar[str] = "moved_from"

    other: str
    until: int
    """The number of the last event of the other log that counts here."""
    digest: str
    """sha256 of that event, as it is stored."""


@dataclass(frozen=True, kw_only=True)
class MovedTo(_NamesNoRun):
    """End a log: the model goes on under another name. The name can be created again."""

    type: ClassVar[str] = "moved_to"

    other: str
