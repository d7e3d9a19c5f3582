"""What is exported: runs, experiments and models of this store as MLflow sees them, read without MLflow."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from ciplug.interop.export_trust import NOT_RECORDED, RunTrust
from ciplug.interop.mlflow_client import place_uri
from ciplug.interop.mlflow_uploads import pairs
from ciplug.mlflow import files, state
from ciplug.mlflow.place import place_of
from ciplug.mlflow.registry_view import RegistryView, version_location
from ciplug.mlflow.state import Experiment, LoggedModel, RunState
from ciplug.records.run import Run
from ciplug.registry.model import Model, Version
from ciplug.steps.session import Session

COMMIT_TAG = "mlflow.source.git.commit"
RUN_URL = "ciplug.run_url"
_BATCH = 200


class Files:
    """The files of a run or a logged model."""

    def __init__(self, source: ExportSource, subject: files.Subject, only: Mapping[str, str] | None = None) -> None:
        self._place, self._subject, self._only = source.place, subject, only

    def names(self) -> list[str]:
        found = sorted(files.listed(self._place, self._subject))
        return [name for name in found if self._only is None or _is_among(name, self._only)]

    def bring(self, name: str, target: Path) -> None:
        files.download(self._place, self._subject._replace(path=name), target)


def _is_among(name: str, paths: Mapping[str, str]) -> bool:
    """Whether a file is one of these, or in a folder that is one of them."""
    return name in paths or any(name.startswith(f"{path}/") for path in paths)


class ExportSource:
    """The store of a session."""

    def __init__(self, session: Session) -> None:
        self.place = place_of(place_uri(session))
        self.place.look(0.0)
        self._trust = RunTrust(session, self._record)

    def trust_of(self, record: Run | None) -> str:
        """Whether a trusted writer has recorded a run: a word for its tag."""
        return self._trust.of(record) if record is not None else NOT_RECORDED

    def _record(self, run_id: str) -> Run | None:
        row = self.place.base.rows.row_of.get(run_id)
        key = None if row is None else self.place.base.key_of(row)
        return self.place.base.records([key]).get(key) if key else None

    @cached_property
    def experiments(self) -> dict[str, Experiment]:
        """Name → experiment, of all that have runs or tags."""
        used = set(self.place.base.rows.experiments)
        found = self.place.base.experiments({}, {}).values()
        return {one.name: one for one in found if one.id in used or one.tags}

    def run_ids(self, experiment: str) -> list[str]:
        """The ids of the runs of an experiment, the earliest first, but each after the one that it is a child of."""
        rows = self.place.base.rows
        mine = [row for row in range(len(rows.ids)) if rows.experiments[row] == experiment]
        ordered = [rows.ids[row] for row in reversed(rows.newest_first(mine))]
        parents = {rows.ids[row]: parent for row, parent in self.place.base.values("tag", state.PARENT).items()}
        return parents_first(ordered, parents)

    def runs(self, ids: Sequence[str]) -> Iterator[tuple[RunState | None, Run | None]]:
        """Yield these runs with their records, a few hundred at a time in memory; None for one that cannot be read."""
        base = self.place.base
        for at in range(0, len(ids), _BATCH):
            rows = [base.rows.row_of[id_] for id_ in ids[at : at + _BATCH]]
            keys = {key.id: key for key in map(base.key_of, rows)}
            records = base.records(keys.values())
            states = {run.id: run for run in base.states(rows, {})}
            for id_, key in keys.items():
                yield states.get(id_), records.get(key)

    def run(self, run_id: str) -> tuple[RunState, Run | None] | None:
        """A run of the store, or one that waits on this machine to be sent; None where there is none."""
        found = self.place.run(run_id)
        if found is None:
            return None
        key = self.place.base.run_key(run_id, self.place.local().get(run_id))
        return found, self.place.base.records([key]).get(key) if key else None

    def points(self, run_id: str, metric: str) -> list[dict[str, Any]]:
        """The values of a metric as MLflow's API has them."""
        found = sorted(self.place.points(run_id, metric), key=lambda point: (point[1], point[0]))
        return [
            {"key": metric, "value": json_number(value), "timestamp": time, "step": step} for time, step, value in found
        ]

    def inputs(self, run: RunState) -> list[dict[str, Any]]:
        """The datasets of a run as MLflow's API has them."""
        texts = self.place.texts(run.id) if any(one.schema or one.profile for one in run.inputs) else {}
        found = []
        for one in run.inputs:
            tags = {**({state.CONTEXT: one.context} if one.context is not None else {}), **one.tags}
            about = {
                "name": one.name,
                "digest": one.digest,
                "source_type": one.source_type,
                "source": one.source,
                "schema": texts.get(one.schema or ""),
                "profile": texts.get(one.profile or ""),
            }
            dataset = {name: value for name, value in about.items() if value is not None}
            found.append({"dataset": dataset, "tags": pairs(tags)})
        return found

    def files_of_run(self, run_id: str, only: Mapping[str, str] | None = None) -> Files:
        return Files(self, files.Subject(run_id, None, ""), only)

    def logged_model(self, id_: str) -> LoggedModel | None:
        return self.place.logged_model(id_)

    def files_of_model(self, id_: str) -> Files:
        return Files(self, files.Subject(state.model_key(id_).id, id_, ""))

    @cached_property
    def _registry(self) -> RegistryView:
        return RegistryView(self.place)

    def models(self) -> list[Model]:
        return [model for model in self._registry.models() if model.exists]

    def aliases(self, model: Model) -> dict[str, int]:
        """Alias → version; the holder of a stage that a policy judges goes by the stage's name, too."""
        found = dict(model.aliases)
        for stage in self._registry.gated_stages(model.name):
            if holder := model.holder(stage):
                found.setdefault(stage.lower(), holder.number)
        return found

    @staticmethod
    def location(version: Version) -> str:
        """The address of the files of a version."""
        return version.location or version.source or version_location(version)


def tags_of(run: RunState, record: Run | None) -> dict[str, str]:
    """The tags of a copy that say where its run is from: its commit, the page of its pipeline, and its kind."""
    tags = {}
    if record is not None and record.commit:
        tags[COMMIT_TAG] = record.commit
    context = record.provenance.context if record is not None else None
    if context is not None and context.run_url:
        tags[RUN_URL] = context.run_url
    if record is not None and record.kind == "monitor":
        tags[state.KIND] = record.kind
    return tags


def json_number(value: float) -> float | str:
    """A number as JSON of MLflow's API has it, which has names for those that JSON lacks."""
    if math.isnan(value):
        return "NaN"
    return value if math.isfinite(value) else "Infinity" if value > 0 else "-Infinity"


def parents_first(ids: Sequence[str], parents: Mapping[str, str]) -> list[str]:
    """The ids in their order, but each after its parent's. A circle of parents is cut where it is met."""
    known = set(ids)
    placed: dict[str, None] = {}
    for id_ in ids:
        line: dict[str, None] = {}
        one: str | None = id_
        while one is not None and one in known and one not in placed and one not in line:
            line[one] = None
            one = parents.get(one)
        placed.update(dict.fromkeys(reversed(line)))
    return list(placed)
