"""A run as MLflow's stores hold it, whichever of them it was read from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from ciplug.capture.logged import Point
from ciplug.capture.mlflow.marks import TAG
from ciplug.errors import InputError
from ciplug.records.inputs import ModelOutput
from ciplug.records.left_out import LeftOut

PARENT = "mlflow.parentRunId"
_CONTEXT = "mlflow.data.context"


class StoreUnreadable(InputError):
    """A store of MLflow cannot be read: what it holds is not known."""


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """A dataset that a run read."""

    facts: Mapping[str, Any]
    """MLflow's fields: name, digest, source_type, source, schema, profile."""
    tags: Mapping[str, str] = field(default_factory=dict)

    @property
    def context(self) -> str | None:
        return self.tags.get(_CONTEXT)

    @property
    def other_tags(self) -> dict[str, str]:
        return {key: value for key, value in self.tags.items() if key != _CONTEXT}


@dataclass(frozen=True, kw_only=True)
class MlflowRun:
    """One run. A value that cannot be read is left out, and named in `left_out` if it was to be a metric."""

    id: str
    name: str | None = None
    experiment: str | None = None
    status: str = "RUNNING"
    """RUNNING, SCHEDULED, FINISHED, FAILED or KILLED."""
    started: float | None = None
    """Unix seconds."""
    ended: float | None = None
    metrics: Mapping[str, Sequence[Point]] = field(default_factory=dict)
    params: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    datasets: tuple[Dataset, ...] = ()
    model_inputs: tuple[str, ...] = ()
    outputs: tuple[ModelOutput, ...] = ()
    artifacts: Mapping[str, Path] = field(default_factory=dict)
    """Name → file or folder on this disk."""
    artifact_uri: str | None = None
    """Where the artifacts are, if they are not on this disk."""
    elsewhere: Mapping[str, str] = field(default_factory=dict)
    """Name → address of artifacts and models that are not on this disk, as far as the store names them."""
    left_out: tuple[LeftOut, ...] = ()
    parent_is_deleted: bool = False
    """Whether the run is the child of a run that the training has deleted since."""

    @property
    def parent(self) -> str | None:
        return self.tags.get(PARENT)


class TrackingStore(Protocol):
    """A place where MLflow keeps runs."""

    def runs(self, marked: str | None) -> list[MlflowRun]:
        """Return runs that are not deleted, the earliest first.

        Args:
            marked: only those whose tag `TAG` has this value, with their child runs; None: all.

        Raises StoreUnreadable.
        """
        ...


def with_children(parents: Mapping[str, str | None], marked: set[str]) -> set[str]:
    """Return the ids of marked runs and of all runs below them.

    Args:
        parents: id → id of the parent, of all runs.
    """
    family = set(marked)
    while more := {run for run, parent in parents.items() if parent in family and run not in family}:
        family |= more
    return family


def point(step: object, milliseconds: object, value: object) -> Point:
    """Return a value as it is kept. Raises TypeError, ValueError or OverflowError for what is not a point."""
    whole = int(step)  # type: ignore[call-overload]
    if not -(2**63) <= whole < 2**63:
        raise ValueError(step)
    return Point(whole, int(milliseconds) / 1000, float(value))  # type: ignore[call-overload, arg-type]


def unreadable_line(name: str, where: str, line: int, text: str) -> LeftOut:
    """Return the note on a line of a metric that is not a value of it."""
    return LeftOut(name=name, why="text", file=where, found=text[:40], line=line)


def text(value: object) -> str:
    """A text of a store; of anything else what a person would read, and nothing of None."""
    return value if isinstance(value, str) else "" if value is None else str(value)


def model_output(
    model: str,
    step: int,
    name: object = None,
    *,
    params: Mapping[str, str] | None = None,
    tags: Mapping[str, str] | None = None,
    location: str | None = None,
) -> ModelOutput:
    """Return a logged model as a run keeps it.

    Args:
        location: where its files are, if they are not on this disk.
    """
    own = {key: value for key, value in (tags or {}).items() if key != TAG}
    return ModelOutput(id=model, step=step, name=text(name) or None, params=params or {}, tags=own, location=location)


def away(outputs: Sequence[ModelOutput]) -> dict[str, str]:
    """Return name → address of the models that are not on this disk."""
    return {one.name or one.id: one.location for one in outputs if one.location is not None}


def texts(value: object) -> dict[str, str]:
    """The texts of a mapping by their names; none of anything else."""
    return {text(name): text(one) for name, one in value.items()} if isinstance(value, dict) else {}


def seconds(milliseconds: object) -> float | None:
    """Unix seconds of what MLflow keeps; None for anything else."""
    try:
        return int(milliseconds) / 1000 if milliseconds else None  # type: ignore[call-overload]
    except (TypeError, ValueError, OverflowError):
        return None
