"""What a target can do: say what it serves, take the files of a version, and switch to them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, Protocol


@dataclass(frozen=True, kw_only=True)
class Release:
    """A version that is to be deployed. Its evidence and its bytes are verified."""

    model: str
    version: int
    stage: str
    digest: str
    """The digest of all files, as it was registered."""
    files: Mapping[str, str]
    """Path below `folder` → sha256:<hex>."""
    folder: Path
    created: str
    """When the version was registered."""
    commit: str | None = None
    documents: Mapping[str, bytes] = field(default_factory=dict)
    """Statements on the version, by file name, with their envelopes where they are signed."""
    event: int = 0
    """The number of the event that began this deployment: a target never goes back behind a later one."""


class Live(NamedTuple):
    """What a target serves now, as the target itself says."""

    reference: str
    """What names these very bytes there."""
    files: Mapping[str, str] | None = None
    """Path → sha256:<hex>; empty where it is not of ciplug; None where the target cannot say."""
    endpoint: str | None = None
    problem: str | None = None
    """Why it does not serve them as it should, as a clause, such as `nothing answers at …`."""
    digest: str | None = None
    """Where the target cannot say the files: the digest of all of them that it has noted."""
    outdated: str | None = None
    """Why a deployment of the same version would change it, as a clause: its settings are not those of ciplug.yaml."""

    knows_model: bool = True
    """Whether the target knows whose model it serves; otherwise, only the log does."""

    def has(self, digest: str, files: Mapping[str, str]) -> bool:
        """Whether it has the files of a version; also where the target can neither confirm nor deny it."""
        if self.files is not None:
            return dict(self.files) == dict(files)
        return self.digest in (None, digest)

    @property
    def is_unchecked(self) -> bool:
        """Whether the target says nothing about which bytes it serves."""
        return self.files is None and self.digest is None


class Target(Protocol):
    """A target of one kind."""

    def live(self, stage: str) -> Live | None:
        """What is served now; None: nothing. Raises TargetError where the target does not answer."""

    def place(self, release: Release) -> None:
        """Put the files there, without serving them. What is there already stays, so it can be called again."""

    def switch(self, release: Release) -> None:
        """Serve what was placed, in the place of what was served before, or go on with that. Can be called again.

        Raises DeploymentRefused where the target serves what it served before.
        """

    def end(self, model: str, stage: str, event: int) -> None:
        """Serve nothing: then `live` is None. What was placed may stay. Can be called again.

        Raises DeploymentRefused where another model is served, or a deployment that is later than `event`.

        Args:
            event: the number of the event that began this end.
        """


def what_stays(is_served: bool) -> str:
    """The end of a message on a switch that did not happen.

    Args:
        is_served: whether a version was served before.
    """
    return "what was served before stays" if is_served else "nothing was served before"
