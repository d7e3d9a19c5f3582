"""A run of MLflow as events of ciplug's log. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import partial

from ciplug.capture import events
from ciplug.capture.events import Event
from ciplug.capture.logged import Point
from ciplug.capture.mlflow.marks import TAG
from ciplug.capture.mlflow.run import Dataset, MlflowRun
from ciplug.errors import UsageError
from ciplug.records.inputs import TEXT_MOST, ModelOutput
from ciplug.records.left_out import LeftOut
from ciplug.records.run import METRIC_NAME, Scalar, metric_name

RUN_ID, EXPERIMENT, ARTIFACTS = "mlflow.run_id", "mlflow.experiment", "mlflow.artifact_uri"
"""Tags of a run that was read from MLflow, besides its own."""
_LARGEST = 2**63
_DATASET = ("name", "digest", "source_type", "source")


def events_of(run: MlflowRun, refused: list[str] | None = None) -> Iterator[Event]:
    """Yield what a run holds, value by value, apart from its name, its times and its status.

    Args:
        refused: takes the reasons why datasets and models cannot be kept.
    """
    for name, points in run.metrics.items():
        if METRIC_NAME.fullmatch(metric_name(name)):
            yield from _values(name, points)
    yield from (events.param(key, number_or_text(value)) for key, value in run.params.items() if key.strip())
    tags = {key: value for key, value in run.tags.items() if key != TAG} | {RUN_ID: run.id}
    if run.experiment is not None:
        tags[EXPERIMENT] = run.experiment
    if run.artifact_uri is not None:
        tags[ARTIFACTS] = run.artifact_uri
    yield from (events.tag(key, value) for key, value in tags.items() if key.strip())
    made = (
        *(partial(_input, dataset) for dataset in run.datasets),
        *(partial(events.model_input, model) for model in run.model_inputs),
        *(partial(_output, model) for model in run.outputs),
    )
    for make in made:
        try:
            yield make()
        except UsageError as problem:
            if refused is not None:
                refused.append(problem.message)
    yield from ({"artifact": str(path), "as": name} for name, path in run.artifacts.items())
    yield from (events.left_out(one.name, one.why, one.found) for one in left_out_of(run))


def _input(dataset: Dataset) -> Event:
    """A schema or profile that is too long is left out: the digest tells what the dataset was."""
    facts = {name: value for name, value in dataset.facts.items() if name in _DATASET}
    texts = {
        name: value
        for name in ("schema", "profile")
        if (value := dataset.facts.get(name)) and len(str(value).encode(errors="replace")) <= TEXT_MOST
    }
    return events.dataset_input({**facts, **texts}, dataset.context, dataset.other_tags)


def _output(model: ModelOutput) -> Event:
    about = {"name": model.name, "params": dict(model.params), "tags": dict(model.tags), "location": model.location}
    return {**events.output(model.id, model.step), **{name: value for name, value in about.items() if value}}


def left_out_of(run: MlflowRun) -> list[LeftOut]:
    """Return what is not kept of a run: names that metrics cannot have, and files that are elsewhere."""
    names = [name for name in run.metrics if not METRIC_NAME.fullmatch(metric_name(name))]
    where = f"MLflow run {run.id[:8]}"
    elsewhere = [LeftOut(name=name[:250], why="elsewhere", found=address) for name, address in run.elsewhere.items()]
    return [*run.left_out, *elsewhere, *(LeftOut(name=name[:250], why="name", file=where) for name in names)]


def number_or_text(text: str) -> Scalar:
    """Return a parameter as what it was before MLflow made a text of it, where it is the same text again."""
    if text in ("True", "False"):
        return text == "True"
    for kind in (int, float):
        try:
            value = kind(text)
        except ValueError:
            continue
        if str(value) == text and math.isfinite(value) and abs(value) < _LARGEST:
            return value
    return text


def _values(name: str, points: Sequence[Point]) -> Iterator[Event]:
    """A metric that was logged once, at step 0, has no series: MLflow gives that step to a value without one."""
    has_steps = len(points) > 1 or any(point.step for point in points)
    for point in points:
        yield events.metric(name, point.value, point.step if has_steps else None, point.time)
