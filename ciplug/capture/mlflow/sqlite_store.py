"""MLflow's SQLite file, such as ./mlflow.db, of any version: the columns that are read have never changed."""

from __future__ import annotations

import contextlib
import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ciplug.capture.logged import Point
from ciplug.capture.mlflow.artifacts import local_path, named
from ciplug.capture.mlflow.marks import TAG
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
    with_children,
)
from ciplug.records.inputs import ModelOutput
from ciplug.records.left_out import LeftOut

if TYPE_CHECKING:
    import sqlite3

_PATIENCE = 5.0
"""Seconds to wait for a writer."""
_AT_ONCE = 500
"""Runs in one question: SQLite takes up to 999 values in one."""


class SqliteStore:
    """The runs in a file.

    Args:
        folder: where the paths of artifacts are from that are relative.
    """

    def __init__(self, file: Path, folder: Path) -> None:
        self.file = file
        self.folder = folder

    def runs(self, marked: str | None) -> list[MlflowRun]:
        try:
            import sqlite3
        except ImportError:
            raise StoreUnreadable(f"{self.file}: this Python has no sqlite3") from None
        try:
            with contextlib.closing(self._open()) as database:
                return _Reading(database, self.folder).runs(marked)
        except (sqlite3.Error, OverflowError, ValueError) as problem:
            # A damaged file may give names of tables that are no text.
            raise StoreUnreadable(f"{self.file}: {problem}") from None

    def _open(self) -> sqlite3.Connection:
        import sqlite3

        # Without `mode=ro`, a file that is not there would be made.
        database = sqlite3.connect(f"{self.file.absolute().as_uri()}?mode=ro", uri=True, timeout=_PATIENCE)
        database.text_factory = lambda data: data.decode(errors="replace")
        database.row_factory = sqlite3.Row
        return database


class _Reading:
    def __init__(self, database: sqlite3.Connection, folder: Path) -> None:
        self._database = database
        self._folder = folder
        not_active = "SELECT run_uuid FROM runs WHERE lifecycle_stage != 'active'"
        self._deleted = {row["run_uuid"] for row in self._rows(not_active)}

    def runs(self, marked: str | None) -> list[MlflowRun]:
        ids = [row["run_uuid"] for row in self._rows("SELECT run_uuid FROM runs WHERE lifecycle_stage = 'active'")]
        if marked is not None:
            of_tag = "SELECT run_uuid, value FROM tags WHERE key = ?"
            own = {row["run_uuid"] for row in self._rows(of_tag, TAG) if row["value"] == marked}
            parents = {row["run_uuid"]: row["value"] for row in self._rows(of_tag, PARENT)} if own else {}
            kept = with_children(parents, own)
            ids = [run for run in ids if run in kept]
        runs = [run for some in _batches(ids) for run in self._batch(some)]
        return sorted(runs, key=lambda run: (run.started or 0, run.id))

    def _batch(self, ids: Sequence[str]) -> Iterator[MlflowRun]:
        experiments = {row["experiment_id"]: text(row["name"]) for row in self._rows("SELECT * FROM experiments")}
        params, tags = self._by_run("params", ids), self._by_run("tags", ids)
        values: defaultdict[str, list[sqlite3.Row]] = defaultdict(list)
        for row in self._of_runs("metrics", "run_uuid", ids):
            values[row["run_uuid"]].append(row)
        datasets, models_read, models_made = self._datasets(ids), self._model_inputs(ids), self._models(ids)
        for row in self._of_runs("runs", "run_uuid", ids):
            run, uri = row["run_uuid"], text(row["artifact_uri"])
            metrics, left_out = _points(values[run], f"MLflow run {run[:8]}")
            place = local_path(uri, self._folder) if uri else None
            outputs = tuple(map(self._output, models_made[run]))
            yield MlflowRun(
                id=run,
                name=tags[run].get("mlflow.runName") or text(row["name"]) or None,
                experiment=experiments.get(row["experiment_id"]),
                status=text(row["status"]) or "RUNNING",
                started=seconds(row["start_time"]),
                ended=seconds(row["end_time"]),
                metrics=metrics,
                params=params[run],
                tags=tags[run],
                datasets=tuple(datasets[run]),
                model_inputs=tuple(models_read[run]),
                outputs=outputs,
                artifacts=named(place, [*self._on_this_disk(models_made[run])]),
                artifact_uri=uri if uri and place is None else None,
                elsewhere=away(outputs),
                left_out=tuple(left_out),
                parent_is_deleted=tags[run].get(PARENT) in self._deleted,
            )

    def _output(self, row: sqlite3.Row) -> ModelOutput:
        model, uri = text(row["model_id"]), text(row["artifact_location"])
        about: dict[str, dict[str, str]] = {}
        for kind in ("param", "tag"):
            table = f"logged_model_{kind}s"
            rows = self._of_runs(table, "model_id", [model]) if self._has(table) else []
            about[kind] = {text(one[f"{kind}_key"]): text(one[f"{kind}_value"]) for one in rows}
        return model_output(
            model,
            _step(row["step"]),
            row["name"],
            params=about["param"],
            tags=about["tag"],
            location=uri if uri and local_path(uri, self._folder) is None else None,
        )

    def _on_this_disk(self, models: Sequence[sqlite3.Row]) -> Iterator[tuple[str, str, Path]]:
        for one in models:
            if (path := local_path(text(one["artifact_location"]), self._folder)) is not None:
                yield text(one["model_id"]), text(one["name"]), path

    def _by_run(self, table: str, ids: Sequence[str]) -> defaultdict[str, dict[str, str]]:
        texts: defaultdict[str, dict[str, str]] = defaultdict(dict)
        for row in self._of_runs(table, "run_uuid", ids):
            texts[row["run_uuid"]][text(row["key"])] = text(row["value"])
        return texts

    def _datasets(self, ids: Sequence[str]) -> defaultdict[str, list[Dataset]]:
        datasets: defaultdict[str, list[Dataset]] = defaultdict(list)
        if not self._has("inputs"):
            return datasets
        tags: defaultdict[str, dict[str, str]] = defaultdict(dict)
        for row in self._rows("SELECT * FROM input_tags"):
            tags[row["input_uuid"]][text(row["name"])] = text(row["value"])
        read = "SELECT * FROM inputs JOIN datasets ON source_id = dataset_uuid WHERE source_type = 'DATASET'"
        for row in self._of_runs(f"({read})", "destination_id", ids):
            facts = {
                "name": row["name"],
                "digest": row["digest"],
                "source_type": row["dataset_source_type"],
                "source": row["dataset_source"],
                "schema": row["dataset_schema"],
                "profile": row["dataset_profile"],
            }
            datasets[row["destination_id"]].append(Dataset(facts=facts, tags=tags[row["input_uuid"]]))
        return datasets

    def _model_inputs(self, ids: Sequence[str]) -> defaultdict[str, list[str]]:
        inputs: defaultdict[str, list[str]] = defaultdict(list)
        if self._has("logged_models"):
            read = "SELECT * FROM inputs WHERE destination_type = 'MODEL_INPUT'"
            for row in self._of_runs(f"({read})", "source_id", ids):
                inputs[row["source_id"]].append(row["destination_id"])
        return inputs

    def _models(self, ids: Sequence[str]) -> defaultdict[str, list[sqlite3.Row]]:
        outputs: defaultdict[str, list[Any]] = defaultdict(list)
        if self._has("logged_models"):
            made = (
                "SELECT source_id, step, model_id, name, artifact_location FROM inputs"
                " JOIN logged_models ON destination_id = model_id WHERE destination_type = 'MODEL_OUTPUT'"
            )
            for row in self._of_runs(f"({made})", "source_id", ids):
                outputs[row["source_id"]].append(row)
        return outputs

    def _has(self, table: str) -> bool:
        return bool(self._rows("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?", table))

    def _of_runs(self, table: str, column: str, ids: Sequence[str]) -> list[sqlite3.Row]:
        marks = ", ".join("?" * len(ids))
        return self._rows(f"SELECT * FROM {table} WHERE {column} IN ({marks})", *ids)  # noqa: S608 (names of ours)

    def _rows(self, question: str, *values: str) -> list[sqlite3.Row]:
        return self._database.execute(question, values).fetchall()


def _points(rows: Iterable[sqlite3.Row], where: str) -> tuple[dict[str, list[Point]], list[LeftOut]]:
    points: defaultdict[str, list[Point]] = defaultdict(list)
    left_out = []
    for row in rows:
        try:
            value = math.nan if row["is_nan"] else row["value"]
            points[text(row["key"])].append(point(row["step"] or 0, row["timestamp"], value))
        except (TypeError, ValueError, OverflowError):
            left_out.append(LeftOut(name=text(row["key"]), why="text", file=where, found=text(row["value"])[:40]))
    return dict(points), left_out


def _step(value: object) -> int:
    return value if isinstance(value, int) else 0


def _batches(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    return (ids[at : at + _AT_ONCE] for at in range(0, len(ids), _AT_ONCE))
