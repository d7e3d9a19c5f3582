"""MLflow's file store, `./mlruns`: a folder for each experiment, in it one for each run, in it a file for each fact.

<experiment id>/meta.yaml                         name, …
<experiment id>/<run id>/meta.yaml                status, times, …
<experiment id>/<run id>/{params,tags}/<name>     the value
<experiment id>/<run id>/metrics/<name>           a line for each value: milliseconds, value, step
<experiment id>/<run id>/{inputs,outputs}/<id>/meta.yaml
<experiment id>/<run id>/artifacts
<experiment id>/{datasets,models}/<id>/meta.yaml
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from ciplug.capture.logged import Point
from ciplug.capture.mlflow.artifacts import is_folder, local_path, named
from ciplug.capture.mlflow.marks import META, TAG, is_experiment
from ciplug.capture.mlflow.run import (
    PARENT,
    Dataset,
    MlflowRun,
    StoreUnreadable,
    away,
    model_output,
    point,
    seconds,
    text,
    texts,
    unreadable_line,
    with_children,
)
from ciplug.records.inputs import ModelOutput
from ciplug.records.left_out import LeftOut

_LATER = 0.001
"""Seconds: the next moment that MLflow can tell."""
_STATUS = {"1": "RUNNING", "2": "SCHEDULED", "3": "FINISHED", "4": "FAILED", "5": "KILLED"}


class FileStore:
    """The runs below a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def runs(self, marked: str | None) -> list[MlflowRun]:
        try:
            folders = {run.name: run for experiment in self._experiments() for run in _runs_in(experiment)}
        except OSError as problem:
            raise StoreUnreadable(f"{self.folder}: {problem.strerror}") from None
        if marked is not None:
            own = {name for name, run in folders.items() if _content(run / "tags" / TAG) == marked}
            parents = {name: _content(run / "tags" / PARENT) for name, run in folders.items()} if own else {}
            folders = {name: folders[name] for name in with_children(parents, own)}
        metas = {name: _meta(folder) for name, folder in folders.items()}
        deleted = {name for name, meta in metas.items() if meta.get("lifecycle_stage", "active") != "active"}
        runs = [self._run(folder, metas[name], deleted) for name, folder in folders.items() if name not in deleted]
        return sorted(runs, key=lambda run: (run.started or 0, run.id))

    def _experiments(self) -> Iterator[Path]:
        return (path for path in self.folder.iterdir() if is_experiment(path))

    def _run(self, folder: Path, meta: Mapping[str, Any], deleted: Collection[str]) -> MlflowRun:
        metrics, left_out = _metrics(folder / "metrics", f"MLflow run {folder.name[:8]}")
        tags = _values(folder / "tags")
        sources = [_meta(path) for path in _below(folder / "inputs")]
        made = [_meta(path) for path in _below(folder / "outputs")]
        outputs = tuple(self._output(folder.parent, one) for one in made if "destination_id" in one)
        uri = text(meta.get("artifact_uri"))
        place = local_path(uri, self.folder) if uri else None
        # A store that was moved names a place that is not there.
        place = place if place is not None and is_folder(place) else folder / "artifacts"
        return MlflowRun(
            id=folder.name,
            name=tags.get("mlflow.runName") or text(meta.get("run_name")) or None,
            experiment=text(_meta(folder.parent).get("name")) or None,
            status=_STATUS.get(text(meta.get("status")), "RUNNING"),
            started=seconds(meta.get("start_time")),
            ended=seconds(meta.get("end_time")),
            metrics=metrics,
            params=_values(folder / "params"),
            tags=tags,
            datasets=tuple(
                Dataset(facts=facts, tags=texts(one.get("tags")))
                for one in sources
                if one.get("source_type") == "DATASET"
                and (facts := _meta(folder.parent / "datasets" / str(one.get("source_id"))))
            ),
            model_inputs=tuple(str(one["source_id"]) for one in sources if one.get("source_type") == "MODEL"),
            outputs=outputs,
            artifacts=named(place, [self._model(folder.parent, str(one.get("destination_id"))) for one in made]),
            artifact_uri=uri if uri and local_path(uri, self.folder) is None else None,
            elsewhere=away(outputs),
            left_out=tuple(left_out),
            parent_is_deleted=tags.get(PARENT) in deleted,
        )

    def _output(self, experiment: Path, made: Mapping[str, Any]) -> ModelOutput:
        folder = experiment / "models" / str(made["destination_id"])
        meta = _meta(folder)
        uri = text(meta.get("artifact_location"))
        return model_output(
            folder.name,
            step if isinstance(step := made.get("step"), int) else 0,
            meta.get("name"),
            params=_values(folder / "params"),
            tags=_values(folder / "tags"),
            location=uri if uri and local_path(uri, self.folder) is None else None,
        )

    def _model(self, experiment: Path, model: str) -> tuple[str, str, Path]:
        folder = experiment / "models" / model
        return model, text(_meta(folder).get("name")) or model, folder / "artifacts"


def _runs_in(experiment: Path) -> Iterator[Path]:
    return (path for path in experiment.iterdir() if len(path.name) == 32 and (path / META).is_file())


def _below(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []


def _meta(folder: Path) -> dict[str, Any]:
    """The facts in a folder; none where they cannot be read. PyYAML wrote them: it writes texts without quotes that
    would be numbers elsewhere, so PyYAML reads them."""
    import yaml

    try:
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        data = yaml.load((folder / META).read_bytes(), Loader=loader)  # noqa: S506 (a safe one)
    except (OSError, ValueError, RecursionError, yaml.YAMLError):
        return {}
    return data if isinstance(data, dict) else {}


def _values(folder: Path) -> dict[str, str]:
    """Name → content of all files below a folder. Names with `/` are folders."""
    texts = {path.relative_to(folder).as_posix(): _content(path) for path in _files(folder)}
    return {name: value for name, value in texts.items() if value is not None}


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _content(file: Path) -> str | None:
    try:
        return file.read_bytes().decode(errors="replace")
    except OSError:
        return None


def _metrics(folder: Path, where: str) -> tuple[dict[str, list[Point]], list[LeftOut]]:
    metrics: dict[str, list[Point]] = {}
    left_out = []
    for file in _files(folder):
        name = file.relative_to(folder).as_posix()
        points = []
        for number, line in enumerate((_content(file) or "").splitlines(), 1):
            try:
                points.append(_point(line))
            except (ValueError, OverflowError):
                left_out.append(unreadable_line(name, where, number, line))
                if points:
                    # No gate takes the number before it.
                    points.append(Point(points[-1].step, points[-1].time + _LATER, math.nan))
        if points:
            metrics[name] = points
    return metrics, left_out


def _point(line: str) -> Point:
    """Return the value in a line. Raises ValueError or OverflowError.

    The oldest versions write no step; a fourth and fifth field name a dataset.
    """
    milliseconds, value, *rest = line.split(" ")
    return point(rest[0] if rest else 0, milliseconds, value)
