"""What can change about a recorded run: its name, tags, late values and inputs, its end, or whether it counts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from ciplug.records.inputs import DatasetInput, ModelOutput, merged_datasets, merged_ids, merged_models
from ciplug.records.last_point import LastPoint, latest, not_earlier
from ciplug.records.run import File, Scalar, Status

Lifecycle = Literal["active", "deleted"]


@dataclass(frozen=True, kw_only=True)
class Change:
    """What is None or empty stays as it was."""

    name: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    untag: tuple[str, ...] = ()
    """Names of removed tags; none of them is in `tags`."""
    metrics: Mapping[str, float] = field(default_factory=dict)
    """Last value of each metric that was logged late."""
    last: Mapping[str, LastPoint] = field(default_factory=dict)
    """Metric → its latest point that was logged late. One that is earlier than the recorded one gives no value."""
    params: Mapping[str, Scalar] = field(default_factory=dict)
    """Parameters that were logged late. A parameter never changes: its first value counts."""
    status: Status | None = None
    """How the run ended when it was resumed. For display: no amendment makes evidence of a run that did not finish."""
    ended: str | None = None
    """UTC, ISO 8601: when it ended then."""
    inputs: tuple[DatasetInput, ...] = ()
    """Datasets that were named late; their schemas and profiles stand beside the amendment."""
    model_inputs: tuple[str, ...] = ()
    outputs: tuple[ModelOutput, ...] = ()
    artifacts: tuple[File, ...] = ()
    """Files that were kept late; of two with one path the later one counts. No gate looks at them."""
    withdrawn: bool | None = None
    """True: its numbers no longer count. False: they count again."""
    lifecycle: Lifecycle | None = None
    """Deleted: not listed, and its numbers no longer count. Active: listed again."""
    reason: str | None = None
    """The reason to withdraw, delete or restore the run."""


def combined(changes: Iterable[Change]) -> Change:
    """Return what changes of values amount to, one after the other; whether the run counts is not among them."""
    name: str | None = None
    tags: dict[str, str | None] = {}
    metrics: dict[str, float] = {}
    last: dict[str, LastPoint] = {}
    params: dict[str, Scalar] = {}
    status: Status | None = None
    ended: str | None = None
    changes = tuple(changes)
    for change in changes:
        name = name if change.name is None else change.name
        tags.update(dict.fromkeys(change.untag))
        tags.update(change.tags)
        metrics.update(not_earlier(change.metrics, change.last, last))
        last = latest(last, change.last)
        for param, value in change.params.items():
            params.setdefault(param, value)
        status, ended = change.status or status, change.ended or ended
    return Change(
        name=name,
        tags={tag: value for tag, value in tags.items() if value is not None},
        untag=tuple(tag for tag, value in tags.items() if value is None),
        metrics=metrics,
        last=last,
        params=params,
        status=status,
        ended=ended,
        inputs=merged_datasets(*(change.inputs for change in changes)),
        model_inputs=merged_ids(*(change.model_inputs for change in changes)),
        outputs=merged_models(*(change.outputs for change in changes)),
        artifacts=merged_files(*(change.artifacts for change in changes)),
    )


def merged_files(*parts: Iterable[File]) -> tuple[File, ...]:
    """Return the files of all parts, of each path the last one."""
    return tuple({file.path: file for part in parts for file in part}.values())


def same_param(one: Scalar, other: Scalar) -> bool:
    """Whether two values of a parameter are the same text: MLflow's parameters are text, so 6 is '6'."""
    return str(one) == str(other)
