"""The events of the registry's append-only log: one envelope for all, and one dataclass for each type."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

SCHEMA = 1


class Payload(Protocol):
    """The members of an event type's dataclass besides its fields."""

    type: ClassVar[str]
    """The type as written in the envelope; its meaning never changes."""

    @property
    def runs(self) -> tuple[str, ...]:
        """The ids of all runs that the event names: `ciplug compact` never drops them."""


@dataclass(frozen=True, kw_only=True)
class RegistryEvent:
    """One event, whatever its type: its place in the chain, who made it, and what it says.

    The state is the fold of events by `seq`, never by time. `schema`, `seq`, `previous`, `type` and `model` are the
    same in every schema, so that any ciplug can verify the chain.
    """

    seq: int
    """1 for the first event of a model, then without a gap."""
    previous: str | None = None
    """sha256 of the event before, as it is stored; None for the first."""
    type: str
    model: str
    created: str = ""
    """UTC, ISO 8601. Empty only where a newer schema has no such field."""
    actor: str | None = None
    actor_source: str | None = None
    """The source of the actor's name: the forge, the CI host, or the git configuration of a laptop."""
    actor_confirmed: bool = False
    """Whether the API of the forge confirmed the actor; otherwise the name is a claim, and satisfies nothing."""
    run_url: str | None = None
    """The address of the pipeline run."""
    ciplug: str | None = None
    """The version of ciplug that wrote it."""
    state: str | None = None
    """sha256 of the state of the model before this event, which the store keeps for new readers; few events have it."""
    signature: str | None = None
    """The ssh signature of the event without this field."""
    payload: Mapping[str, Any] = field(default_factory=dict)
    """The fields of the type's dataclass, and those that a newer ciplug added."""
    schema: int = SCHEMA


@dataclass(frozen=True, kw_only=True)
class Register:
    """Register a version of the model. A registered version never changes."""

    type: ClassVar[str] = "register"

    version: int
    run: str | None = None
    """The run that made it. A version without one can never be promoted: nothing has judged it."""
    commit: str | None = None
    files: Mapping[str, str] = field(default_factory=dict)
    """Path → sha256:<hex> of the version's artifacts; that of a folder is the digest of the list of its files."""
    digest: str | None = None
    """The digest of the model: sha256 of `files` in their canonical form."""
    record: str | None = None
    """sha256 of the run's record, as it was recorded: whoever changes a number of it later is found."""
    datasets: Mapping[str, str] = field(default_factory=dict)
    """Name → digest of the datasets of the run."""
    metrics: Mapping[str, float] = field(default_factory=dict)
    """The numbers of the run, as they were recorded."""
    source: str | None = None
    """The address that it was registered from, as whoever registered it wrote it."""
    location: str | None = None
    """The address that its files are fetched from, where that is not `source`."""
    model_id: str | None = None
    """The id of the logged model that it was made of, in MLflow."""
    run_link: str | None = None
    """The address of a page on the run elsewhere."""
    description: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    origin: Mapping[str, str] = field(default_factory=dict)
    """Where it was imported from, and what was said of it there: `imported_from`, `created`, `user`, …: claims."""

    @property
    def runs(self) -> tuple[str, ...]:
        return (self.run,) if self.run else ()


@dataclass(frozen=True, kw_only=True)
class Vouch:
    """Vouch for the events before this one, as somebody who may sign has looked at them."""

    type: ClassVar[str] = "vouch"

    until: int
    """The number of the last event that counts although nobody signed it."""

    @property
    def runs(self) -> tuple[str, ...]:
        return ()


@dataclass(frozen=True, kw_only=True)
class Promote:
    """Move a version to a stage, on the evidence given."""

    type: ClassVar[str] = "promote"

    version: int
    run: str
    commit: str | None = None
    stage: str
    """The new stage of the version."""
    from_stage: str | None = None
    ladder: tuple[str, ...] = ()
    """The stages in force then, lowest first."""
    replaces: int | None = None
    """Version that held `stage` when this event was made; it is archived."""
    reason: str | None = None
    policy_digest: str | None = None
    verdict: str | None = None
    """The key of the verdict in the store."""
    verdict_digest: str | None = None
    outcome: str | None = None
    """The word of the verdict: PASS, WARN."""
    gates: tuple[str, ...] = ()
    """What each gate decided, one sentence each."""
    baseline_run: str | None = None
    approvals: tuple[str, ...] = ()
    """The requirements of the stage and how each was met, one sentence each."""
    pull_request: str | None = None
    """The address of the merged pull request that approved it. Each one approves it once."""
    exemptions: tuple[str, ...] = ()
    """The requirements of every stage that the policy turned off for this one: `clean_tree`."""
    waived: tuple[str, ...] = ()
    """The gates that passed by a waiver, each with the approver and the reason."""
    trust: str | None = None
    """The level of trust that held: open, protected, signed."""
    trust_shown_by: str | None = None
    """What shows that level."""
    reruns: tuple[str, ...] = ()
    """What the other runs of the commit decided when the promotion was judged, one sentence each."""
    run_model: str | None = None
    """The model of the run, where it is registered under another name."""
    gates_of: str | None = None
    """The model whose section of ciplug.yaml judged, where that is not the registered name."""

    @property
    def runs(self) -> tuple[str, ...]:
        return (self.run, self.baseline_run) if self.baseline_run else (self.run,)
