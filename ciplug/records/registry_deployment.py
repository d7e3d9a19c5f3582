"""The event of the registry that says what serves where: one before a target is changed, one after it answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

BEGUN, DEPLOYED, FAILED = "deploying", "deployed", "failed"
ENDING, ENDED = "ending", "ended"


@dataclass(frozen=True, kw_only=True)
class Deploy:
    """Deploy a version to a target, or end that. It is served from the event `deployed` to the event `ended`."""

    type: ClassVar[str] = "deploy"

    version: int
    target: str
    """The target's name in ciplug.yaml."""
    kind: str
    """The kind of the target: oci, local, …"""
    state: str
    """deploying: it is about to change the target. deployed: the target serves it. failed: the target serves what it
    served before. ending: it is about to serve nothing. ended: it serves nothing."""
    stage: str | None = None
    """The stage that the version was in."""
    digest: str | None = None
    """The digest of the version's files, as it was registered."""
    reference: str | None = None
    """What names these very bytes at the target, such as `registry.example.com/team/wine@sha256:…`."""
    endpoint: str | None = None
    """Where the version is reached, such as `http://127.0.0.1:5001`."""
    began: int | None = None
    """The number of the event with the state `deploying` or `ending` that this one ends."""
    reason: str | None = None

    @property
    def runs(self) -> tuple[str, ...]:
        return ()
