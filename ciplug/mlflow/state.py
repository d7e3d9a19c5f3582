"""Runs, experiments and logged models as MLflow sees them, from what ciplug keeps of them. Pure, and without MLflow.

What MLflow knows and a run of ciplug has no field for is kept in tags that MLflow does not show. An experiment or a
logged model has no record: amendments under an id of its own describe it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, NamedTuple

from ciplug.capture.logged import Logged
from ciplug.records import moment
from ciplug.records.change import merged_files
from ciplug.records.changes import Changes
from ciplug.records.inputs import DatasetInput, ModelOutput, merged_datasets, merged_ids, merged_models
from ciplug.records.keys import RunKey
from ciplug.records.last_point import LastPoint, latest
from ciplug.records.monitored import Kind
from ciplug.records.run import NO_TIME, File, Run
from ciplug.steps.record import tags_of

EXPERIMENT_ID, EXPERIMENT = "ciplug.experiment_id", "ciplug.experiment"
STATE, USER = "ciplug.mlflow_status", "ciplug.mlflow_user"
LOCATION, CREATED, SOURCE_RUN, MODEL_TYPE = (
    "ciplug.artifact_location",
    "ciplug.created",
    "ciplug.source_run",
    "ciplug.model_type",
)
UNNAMED, UNENDED = "ciplug.no_name_tag", "ciplug.no_end"
"""MLflow's tag of the name was deleted; the time of the end was never given."""
METRIC = "ciplug.metric:"
"""The beginning of a tag of a logged model: a metric, with its step, time, run and dataset."""
OLD_EXPERIMENT = "mlflow.experiment"
"""The tag of a run that was read back from another store of MLflow."""
UPDATED = "ciplug.updated"
HIDDEN = "ciplug."
OWN = frozenset(
    {
        *(EXPERIMENT_ID, EXPERIMENT, STATE, USER, LOCATION, CREATED, UPDATED),
        *(SOURCE_RUN, MODEL_TYPE, UNNAMED, UNENDED),
    }
)
"""Tags in which facts of MLflow are kept: a client that sets one would move a run, or end it."""
KIND = "ciplug.kind"
"""The tag of a run of `ciplug monitor`, which MLflow shows although it begins like those that it does not."""
RUN_NAME, PARENT, OWN_USER, CONTEXT = "mlflow.runName", "mlflow.parentRunId", "mlflow.user", "mlflow.data.context"
DEFAULT_EXPERIMENT, DEFAULT_ID = "Default", "0"
DESCRIBED = "mlflow"
"""The model that the amendments of experiments and logged models name."""
_FROM_RECORD = {"finished": "FINISHED", "failed": "FAILED", "killed": "KILLED", "unknown": "FINISHED"}
_UNENDED = {"running": "RUNNING", "scheduled": "SCHEDULED"}
STATUS = {**_FROM_RECORD, **_UNENDED}
"""A status of ciplug → MLflow's."""
OF_MLFLOW = {"FINISHED": "finished", "FAILED": "failed", "KILLED": "killed", "RUNNING": "running"}
OF_MLFLOW["SCHEDULED"] = "scheduled"


class ModelMetric(NamedTuple):
    """A metric of a logged model."""

    name: str
    value: float
    time: int
    step: int
    run: str | None = None
    dataset: str | None = None
    digest: str | None = None


@dataclass(frozen=True, kw_only=True)
class RunState:
    """A run."""

    id: str
    experiment: str
    """Its experiment's id."""
    experiment_name: str
    name: str
    status: str
    start: int | None
    end: int | None
    deleted: bool = False
    user: str = ""
    params: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[str, LastPoint] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    """As MLflow shows them."""
    inputs: tuple[DatasetInput, ...] = ()
    model_inputs: tuple[str, ...] = ()
    outputs: tuple[ModelOutput, ...] = ()
    artifacts: tuple[File, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Experiment:
    id: str
    name: str
    deleted: bool = False
    tags: Mapping[str, str] = field(default_factory=dict)
    location: str | None = None
    created: int | None = None
    updated: int | None = None


@dataclass(frozen=True, kw_only=True)
class LoggedModel:
    id: str
    """`m-…`"""
    experiment: str
    name: str
    status: str = "PENDING"
    deleted: bool = False
    created: int = 0
    updated: int = 0
    source_run: str | None = None
    model_type: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    params: Mapping[str, str] = field(default_factory=dict)
    metrics: tuple[ModelMetric, ...] = ()
    location: str | None = None
    artifacts: tuple[File, ...] = ()


# Ids


def experiment_id(name: str, turn: int = 0) -> str:
    """Return the id of an experiment: two machines that create one of the same name give it the same id.

    Args:
        turn: how many experiments had the name before, and gave it up.
    """
    if name == DEFAULT_EXPERIMENT and not turn:
        return DEFAULT_ID
    number = int(hashlib.sha256(f"{turn}:{name}".encode(errors="surrogatepass")).hexdigest(), 16)
    return str(10**17 + number % (9 * 10**17))


def experiment_key(id_: str) -> RunKey:
    """The key under which amendments describe an experiment."""
    return RunKey(None, f"e{id_}")


def model_key(id_: str) -> RunKey:
    """The key under which amendments describe a logged model."""
    return RunKey(None, id_.replace("-", "", 1))


def model_id(key: RunKey) -> str:
    return f"m-{key.id[1:]}"


# Runs


def experiment_of(tags: Mapping[str, str], model: str | None, kind: Kind | None = None) -> tuple[str, str]:
    """Return the id and the name of the experiment that a run is in. Every run is in one: else in that of its model.

    Looks at production are in one of their own: no search for the best training finds the numbers of production.
    """
    if EXPERIMENT_ID in tags:
        return tags[EXPERIMENT_ID], tags.get(EXPERIMENT) or tags[EXPERIMENT_ID]
    if kind == "monitor":
        name = f"{model}/monitor"
        return experiment_id(name), name
    name = tags.get(OLD_EXPERIMENT) or (DEFAULT_EXPERIMENT if model in (None, "default") else str(model))
    return experiment_id(name), name


def recorded_run(run: Run, changes: Changes, sessions: Sequence[Logged] = ()) -> RunState:
    """Return a run that was recorded.

    Args:
        run: with the amendments applied.
        sessions: what was logged since, and is not sealed yet.
    """
    tags = dict(run.tags)
    id_, experiment = experiment_of(tags, run.model, run.kind)
    state = _from_tags(tags, run.name, run.id)
    if run.kind == "monitor":
        state["tags"] = {**state["tags"], KIND: run.kind}
    ended = _known_milliseconds(run.ended)
    metrics = {
        name: run.last.get(name) or LastPoint(step=0, value=value, time=ended) for name, value in run.metrics.items()
    }
    # Of a file, the value that counts may be another than the last.
    metrics = {name: replace(point, value=run.metrics[name]) for name, point in metrics.items()}
    recorded = RunState(
        id=run.id,
        experiment=id_,
        experiment_name=experiment,
        status=tags.get(STATE) or _FROM_RECORD[run.status],
        start=_known_milliseconds(run.started),
        end=None if UNENDED in tags else ended,
        deleted=changes.effective == "deleted",
        params={name: str(value) for name, value in run.params.items()},
        metrics=metrics,
        inputs=run.inputs,
        model_inputs=run.model_inputs,
        outputs=run.outputs,
        artifacts=merged_files(run.artifacts, changes.late.artifacts),
        **state,
    )
    for logged in sessions:
        recorded = _with_session(recorded, logged)
    return recorded


def open_run(run: Run, logged: Logged) -> RunState:
    """Return a run that is going on: its beginning, and what was logged."""
    tags = tags_of(run, logged)
    id_, experiment = experiment_of(tags, logged.model or run.model)
    state = _from_tags(tags, logged.name or run.name, run.id)
    return RunState(
        id=run.id,
        experiment=id_,
        experiment_name=experiment,
        status=STATUS.get(logged.status or "running", "RUNNING"),
        start=_known_milliseconds(run.started) if logged.started is None else round(logged.started * 1000),
        end=None if logged.ended is None else round(logged.ended * 1000),
        deleted=logged.lifecycle == "deleted",
        params={name: str(value) for name, value in logged.params.items()},
        metrics=logged.last,
        inputs=logged.inputs,
        model_inputs=logged.model_inputs,
        outputs=logged.outputs,
        artifacts=run.artifacts,
        **state,
    )


def _from_tags(tags: Mapping[str, str], name: str | None, run_id: str) -> dict[str, Any]:
    shown = {key: value for key, value in tags.items() if not key.startswith(HIDDEN)}
    name = name or shown.get(RUN_NAME) or run_id[:8]
    return {"name": name, "user": tags.get(USER) or tags.get(OWN_USER, ""), "tags": _named(shown, tags, name)}


def _named(shown: Mapping[str, str], tags: Mapping[str, str], name: str) -> dict[str, str]:
    return dict(shown) if UNNAMED in tags else {**shown, RUN_NAME: name}


def _with_session(state: RunState, logged: Logged) -> RunState:
    tags = {**{name: value for name, value in state.tags.items() if name not in logged.untagged}, **logged.tags}
    name = logged.name or state.name
    is_named = (RUN_NAME in state.tags or UNNAMED in logged.untagged) and UNNAMED not in logged.tags
    tags = {key: value for key, value in tags.items() if not key.startswith(HIDDEN) or key == KIND}
    goes_on = logged.status in _UNENDED
    return replace(
        state,
        name=name,
        status=STATUS.get(logged.status or "", state.status),
        end=round(logged.ended * 1000) if logged.ended is not None else None if goes_on else state.end,
        deleted=state.deleted if logged.lifecycle is None else logged.lifecycle == "deleted",
        params={**{name: str(value) for name, value in logged.params.items()}, **state.params},
        metrics=latest(state.metrics, logged.last),
        tags={**tags, RUN_NAME: name} if is_named else {key: tags[key] for key in tags if key != RUN_NAME},
        inputs=merged_datasets(state.inputs, logged.inputs),
        model_inputs=merged_ids(state.model_inputs, logged.model_inputs),
        outputs=merged_models(state.outputs, logged.outputs),
    )


def _known_milliseconds(text: str) -> int | None:
    """Unix milliseconds of a time of a run; None where no time is known."""
    return None if text == NO_TIME else milliseconds(text)


def milliseconds(text: str) -> int:
    """Unix milliseconds of a time in ISO 8601."""
    try:
        parsed = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        parsed = moment.parse(text)
    return round(parsed.timestamp() * 1000)


# What has no record


@dataclass
class _Described:
    name: str | None
    deleted: bool
    tags: dict[str, str]
    params: dict[str, str]
    artifacts: tuple[File, ...]
    created: list[int]


def _described(changes: Changes, sessions: Iterable[Logged]) -> _Described:
    late = changes.late
    found = _Described(
        late.name,
        changes.deletion is not None,
        dict(late.tags),
        {name: str(value) for name, value in late.params.items()},
        late.artifacts,
        [milliseconds(one.created) for one in changes.amendments],
    )
    for logged in sessions:
        found.name = logged.name or found.name
        if logged.lifecycle is not None:
            found.deleted = logged.lifecycle == "deleted"
        for name in logged.untagged:
            found.tags.pop(name, None)
        found.tags.update(logged.tags)
        found.params.update({name: str(value) for name, value in logged.params.items()})
        found.artifacts = merged_files(found.artifacts)
    return found


def experiment(id_: str, changes: Changes, sessions: Sequence[Logged], implied: str | None) -> Experiment:
    """Return an experiment.

    Args:
        implied: the name that its runs state.
    """
    found = _described(changes, sessions)
    times = [int(found.tags[name]) for name in (CREATED, UPDATED) if found.tags.get(name, "").isdigit()]
    return Experiment(
        id=id_,
        name=found.name or implied or (DEFAULT_EXPERIMENT if id_ == DEFAULT_ID else id_),
        deleted=found.deleted,
        tags=shown(found.tags),
        location=found.tags.get(LOCATION),
        created=min([*times, *found.created], default=None),
        updated=max([*times, *found.created], default=None),
    )


def logged_model(key: RunKey, changes: Changes, sessions: Sequence[Logged]) -> LoggedModel:
    found = _described(changes, sessions)
    tags = found.tags
    created = int(tags.get(CREATED, "0"))
    return LoggedModel(
        id=model_id(key),
        experiment=tags.get(EXPERIMENT_ID, DEFAULT_ID),
        name=found.name or key.id,
        status=tags.get(STATE, "PENDING"),
        deleted=found.deleted,
        created=created,
        updated=int(tags.get(UPDATED, created)),
        source_run=tags.get(SOURCE_RUN),
        model_type=tags.get(MODEL_TYPE),
        tags=shown(tags),
        params=found.params,
        metrics=tuple(_metric(name, value) for name, value in tags.items() if name.startswith(METRIC)),
        location=tags.get(LOCATION),
        artifacts=found.artifacts,
    )


def shown(tags: Mapping[str, str]) -> dict[str, str]:
    """The tags that MLflow shows."""
    return {name: value for name, value in tags.items() if not name.startswith(HIDDEN)}


def metric_tag(metric: ModelMetric) -> tuple[str, str]:
    """Return a metric of a logged model as a tag."""
    name, value, *rest = metric
    return METRIC + json.dumps([name, *rest]), repr(value)


def _metric(tag: str, value: str) -> ModelMetric:
    name, *rest = json.loads(tag.removeprefix(METRIC))
    return ModelMetric(name, float(value), *rest)
