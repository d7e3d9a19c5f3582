"""A run of MLflow as a record of ciplug. Pure, and the same bytes whenever it is made.

What a run holds goes through the events of ciplug's log, as what a training has logged with MLflow does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from ciplug.capture.logged import Fold, Logged
from ciplug.capture.mlflow.events import events_of, left_out_of
from ciplug.capture.mlflow.run import Dataset, MlflowRun, model_output, point, seconds, text
from ciplug.mlflow import state
from ciplug.records.amendment import Amendment
from ciplug.records.canonical import dumps
from ciplug.records.keys import RunKey, amendment_object
from ciplug.records.provenance import Context, Provenance
from ciplug.records.run import NO_TIME, File, Run, Status
from ciplug.steps.session import stamp

if TYPE_CHECKING:
    from ciplug.capture.logged import Point
    from ciplug.records.left_out import LeftOut

HOST = "mlflow_import"
"""Of the context of what was imported: what it says of its origin is a claim."""
SOURCE = "mlflow.imported_from"
"""The tag with the store that a run was imported from; `mlflow.run_id` and `mlflow.experiment` stand beside it."""
COMMIT = "mlflow.source.git.commit"
_STATUS: Mapping[str, Status] = {"FINISHED": "finished", "FAILED": "failed", "KILLED": "killed"}
UNFINISHED = ("RUNNING", "SCHEDULED")


def mlflow_run(
    run: Any, experiment: str, histories: Mapping[str, Sequence[Any]], models: Mapping[str, Any], address: str | None
) -> MlflowRun:
    """Return a run of MLflow's client as ciplug reads it from any store.

    Args:
        histories: metric → all its points.
        models: id → the logged models that the run made.
        address: where its artifacts stay, if they are not copied.
    """
    info, inputs, outputs = run.info, run.inputs, run.outputs
    return MlflowRun(
        id=info.run_id,
        name=info.run_name or run.data.tags.get(state.RUN_NAME) or None,
        experiment=experiment,
        status=str(info.status),
        started=seconds(info.start_time),
        ended=seconds(info.end_time),
        metrics={name: _points(points) for name, points in histories.items()},
        params=dict(run.data.params),
        tags=dict(run.data.tags),
        datasets=tuple(map(_dataset, inputs.dataset_inputs if inputs else ())),
        model_inputs=tuple(one.model_id for one in (inputs.model_inputs if inputs else None) or ()),
        outputs=tuple(_output(one, models.get(one.model_id)) for one in (outputs.model_outputs if outputs else ())),
        artifact_uri=address,
    )


def _points(points: Sequence[Any]) -> list[Point]:
    return [point(one.step or 0, one.timestamp, one.value) for one in points]


def _dataset(one: Any) -> Dataset:
    facts = {name: getattr(one.dataset, name) for name in ("name", "digest", "source_type", "source")}
    facts |= {name: getattr(one.dataset, name) for name in ("schema", "profile") if getattr(one.dataset, name)}
    return Dataset(facts=facts, tags={tag.key: tag.value for tag in one.tags})


def _output(one: Any, model: Any) -> Any:
    if model is None:
        return model_output(one.model_id, one.step or 0)
    return model_output(
        one.model_id, one.step or 0, model.name, params=dict(model.params or {}), tags=dict(model.tags or {})
    )


def commit_of(tags: Mapping[str, str]) -> str | None:
    """The commit that a run says it was made from."""
    commit = tags.get(COMMIT, "")
    return commit if len(commit) in (40, 64) and set(commit) <= set("0123456789abcdef") else None


def record_of(
    run: MlflowRun,
    *,
    model: str,
    source: str,
    user: str = "",
    artifacts: tuple[File, ...] = (),
    lost: tuple[LeftOut, ...] = (),
    refused: list[str] | None = None,
) -> tuple[Run, Logged]:
    """Return the record of a run, and what stands beside it: series, and the texts of its inputs.

    Args:
        model: the model that the run is of.
        source: the address of the store that it is from.
        lost: artifacts whose content is not kept.
        refused: takes the reasons why datasets and models cannot be kept.
    """
    fold = Fold()
    for number, event in enumerate(events_of(run, refused)):
        # What is made of them depends on their order, never on the moment of the import.
        fold.add(dumps(event if "metric" in event else {**event, "time": float(number)}))
    logged = fold.logged()
    tags = {**logged.tags, SOURCE: source}
    if user and user != run.tags.get(state.OWN_USER):
        tags[state.USER] = user
    if run.status in UNFINISHED:
        tags[state.STATE] = run.status
    if run.ended is None:
        tags[state.UNENDED] = "true"
    if state.RUN_NAME not in run.tags:
        tags[state.UNNAMED] = "true"
    parent = run.parent if run.parent and len(run.parent) == 32 and run.parent != run.id else None
    commit = commit_of(run.tags)
    started = run.started or run.ended or None
    record = Run(
        id=run.id,
        model=model,
        status=_STATUS.get(run.status, "killed"),
        started=NO_TIME if started is None else moment(started),
        ended=moment(ended) if (ended := run.ended or started) else NO_TIME,
        commit=commit,
        name=run.name,
        parent=parent,
        params=logged.params,
        metrics=logged.metrics,
        last=logged.last,
        left_out=(*left_out_of(run), *lost),
        artifacts=artifacts,
        inputs=logged.inputs,
        model_inputs=logged.model_inputs,
        outputs=logged.outputs,
        tags=tags,
        provenance=Provenance(context=context_of(commit, user or run.tags.get(state.OWN_USER))),
    )
    return record, logged


def moment(unix_seconds: float) -> str:
    return stamp(datetime.fromtimestamp(unix_seconds, timezone.utc))


def context_of(commit: str | None, actor: str | None) -> Context:
    return Context(host=HOST, commit=commit, actor=actor or None)


def deletion_of(key: RunKey, model: str, ended: float, user: str | None) -> tuple[str, bytes]:
    """Return the amendment that says of a run that it was deleted in MLflow."""
    return _object(
        Amendment(
            run=key.id,
            model=model,
            seq=1,
            created=moment(ended),
            commit=key.commit,
            by=user or None,
            context=context_of(key.commit, user),
            lifecycle="deleted",
            reason="deleted in MLflow",
        )
    )


def experiment_of(experiment: Any) -> tuple[RunKey, tuple[str, bytes]]:
    """Return the key of an experiment, which follows from its name, and the amendment that describes it."""
    key = state.experiment_key(state.experiment_id(text(experiment.name)))
    created = experiment.creation_time or 0
    tags = {name: text(value) for name, value in experiment.tags.items() if not name.startswith(state.HIDDEN)}
    if created:
        tags |= {state.CREATED: str(created), state.UPDATED: str(experiment.last_update_time or created)}
    amendment = Amendment(
        run=key.id,
        model=state.DESCRIBED,
        seq=1,
        created=moment(created / 1000),
        context=context_of(None, None),
        name=text(experiment.name),
        tags=tags,
        lifecycle="deleted" if experiment.lifecycle_stage == "deleted" else None,
    )
    return key, _object(amendment)


def logged_model_of(model: Any, experiment: str, *, copied: bool) -> tuple[str, bytes]:
    """Return the amendment that describes a logged model.

    Args:
        experiment: the name of the one that it is in.
        copied: whether its files are among the artifacts of its run.
    """
    in_experiment = state.experiment_id(experiment)
    here = f"ciplug-artifacts:/{in_experiment}/models/{model.model_id}/artifacts"
    key = state.model_key(text(model.model_id))
    tags = {name: text(value) for name, value in (model.tags or {}).items() if not name.startswith(state.HIDDEN)}
    tags |= {
        state.EXPERIMENT_ID: in_experiment,
        state.LOCATION: here if copied else text(model.artifact_location),
        state.STATE: str(getattr(model.status, "value", model.status)),
        state.CREATED: str(model.creation_timestamp),
        state.UPDATED: str(model.last_updated_timestamp),
    }
    about = {state.SOURCE_RUN: model.source_run_id, state.MODEL_TYPE: model.model_type}
    tags |= {name: text(value) for name, value in about.items() if value}
    for one in model.metrics or ():
        facts = (one.key, one.value, one.timestamp, one.step, one.run_id, one.dataset_name, one.dataset_digest)
        name, value = state.metric_tag(state.ModelMetric(*facts))
        tags[name] = value
    amendment = Amendment(
        run=key.id,
        model=state.DESCRIBED,
        seq=1,
        created=moment(model.creation_timestamp / 1000),
        context=context_of(None, None),
        name=text(model.name),
        tags=tags,
        params={name: text(value) for name, value in (model.params or {}).items()},
    )
    return _object(amendment)


def _object(amendment: Amendment) -> tuple[str, bytes]:
    key, data = amendment_object(amendment)
    return key.key, data
