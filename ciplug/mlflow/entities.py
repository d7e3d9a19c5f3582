"""From ciplug's states to the entities of MLflow."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from mlflow.entities import (
    Dataset,
    DatasetInput,
    Experiment,
    ExperimentTag,
    InputTag,
    LifecycleStage,
    LoggedModel,
    LoggedModelInput,
    LoggedModelOutput,
    LoggedModelStatus,
    Metric,
    Param,
    Run,
    RunData,
    RunInfo,
    RunInputs,
    RunOutputs,
    RunTag,
)

from ciplug.mlflow import state

if TYPE_CHECKING:
    from ciplug.records.inputs import DatasetInput as Input

LARGEST = 1.7976931348623157e308
"""What infinity is shown as, as MLflow's SQL stores do."""


def run(one: state.RunState, location: str, texts: Callable[[], Mapping[str, str]], *, deleted: bool) -> Run:
    """Return a run.

    Args:
        location: of its artifacts.
        texts: gives the schemas and profiles of its inputs, by digest; called only where there are some.
        deleted: whether it, or its experiment, is deleted.
    """
    info = RunInfo(
        run_id=one.id,
        experiment_id=one.experiment,
        user_id=one.user,
        status=one.status,
        start_time=one.start if one.start is not None else 0,
        end_time=one.end,
        lifecycle_stage=stage(deleted=deleted),
        artifact_uri=location,
        run_name=one.name,
    )
    data = RunData(
        metrics=[metric(name, point.value, point.time or 0, point.step) for name, point in one.metrics.items()],
        params=[Param(name, value) for name, value in one.params.items()],
        tags=[RunTag(name, value) for name, value in one.tags.items()],
    )
    known = texts() if any(dataset.schema or dataset.profile for dataset in one.inputs) else {}
    inputs = RunInputs(
        dataset_inputs=[_dataset_input(dataset, known) for dataset in one.inputs],
        model_inputs=[LoggedModelInput(model_id=model) for model in one.model_inputs],
    )
    outputs = RunOutputs([LoggedModelOutput(model_id=model.id, step=model.step) for model in one.outputs])
    return Run(info, data, inputs, outputs)


def stage(*, deleted: bool) -> str:
    return str(LifecycleStage.DELETED if deleted else LifecycleStage.ACTIVE)


def metric(name: str, value: float, time: int, step: int) -> Metric:
    return Metric(name, finite(value), time, step)


def finite(value: float) -> float:
    """A number as MLflow's SQL stores show it."""
    return math.copysign(LARGEST, value) if math.isinf(value) else value


def _dataset_input(one: Input, texts: Mapping[str, str]) -> DatasetInput:
    tags = [InputTag(name, value) for name, value in one.tags.items()]
    if one.context is not None and state.CONTEXT not in one.tags:
        tags.append(InputTag(state.CONTEXT, one.context))
    dataset = Dataset(
        name=one.name,
        digest=one.digest,
        source_type=one.source_type,
        source=one.source,
        schema=texts.get(one.schema or ""),
        profile=texts.get(one.profile or ""),
    )
    return DatasetInput(dataset=dataset, tags=tags)


def experiment(one: state.Experiment, location: str) -> Experiment:
    return Experiment(
        experiment_id=one.id,
        name=one.name,
        artifact_location=location,
        lifecycle_stage=stage(deleted=one.deleted),
        tags=[ExperimentTag(name, value) for name, value in one.tags.items()],
        creation_time=one.created,
        last_update_time=one.updated,
    )


def logged_model(one: state.LoggedModel) -> LoggedModel:
    return LoggedModel(
        experiment_id=one.experiment,
        model_id=one.id,
        name=one.name,
        artifact_location=one.location or "",
        creation_timestamp=one.created,
        last_updated_timestamp=one.updated,
        model_type=one.model_type,
        source_run_id=one.source_run,
        status=LoggedModelStatus(one.status),
        tags=dict(one.tags),
        params=dict(one.params),
        metrics=[
            Metric(
                key=each.name,
                value=each.value,
                timestamp=each.time,
                step=each.step,
                model_id=one.id,
                dataset_name=each.dataset,
                dataset_digest=each.digest,
                run_id=each.run,
            )
            for each in one.metrics
        ]
        or None,
    )
