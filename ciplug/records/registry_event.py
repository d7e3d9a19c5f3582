"""One entry of the registry's append-only log."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

SCHEMA = 1

EventType = Literal["register", "promote"]


@dataclass(frozen=True, kw_only=True)
class RegistryEvent:
    """Who moved which version where, on what evidence. State is the fold of these by `seq`, never by time."""

    seq: int
    """1 for the first event of a model, then without a gap."""
    previous: str | None = None
    """sha256 of the event before, as it is stored; None for the first."""
    type: EventType
    model: str
    version: int
    run: str
    commit: str | None = None
    created: str
    stage: str | None = None
    """Where the version goes (promote)."""
    from_stage: str | None = None
    replaces: int | None = None
    """Version that held `stage` when this event was made; a race that changes it is lost, not overwritten."""
    actor: str | None = None
    actor_source: str | None = None
    """How the actor was established: the CI host, or the git identity of a laptop."""
    run_url: str | None = None
    reason: str | None = None
    policy_digest: str | None = None
    verdict: str | None = None
    """Key of the verdict in the store."""
    verdict_digest: str | None = None
    baseline_run: str | None = None
    approvals: tuple[str, ...] = ()
    """What the stage required and was found, in sentences."""
    waived: tuple[str, ...] = ()
    """The gates that passed by a waiver, each with who agreed and why."""
    files: Mapping[str, str] = field(default_factory=dict)
    """Path → sha256:<hex> of the version's artifacts (register)."""
    ciplug: str | None = None
    schema: int = SCHEMA
