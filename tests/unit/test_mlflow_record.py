"""A run of MLflow as a record: pure, and the same bytes whenever it is made."""

from __future__ import annotations

import json
import logging
import math
from types import SimpleNamespace
from typing import Any

from ciplug.interop import mlflow_record
from ciplug.interop.mlflow_client import without_traceback
from ciplug.interop.mlflow_source import parents_first
from ciplug.mlflow import state
from ciplug.records.canonical import dumps
from ciplug.records.changes import fold
from ciplug.records.keys import RunKey, parse_amendment
from ciplug.records.read import amendment, read_run
from ciplug.tracking.amended import NO_CHANGES
from ciplug.tracking.run_objects import run_objects

ID, PARENT, COMMIT = "a" * 32, "b" * 32, "c" * 40
TAGS = {
    "mlflow.runName": "child",
    "mlflow.parentRunId": PARENT,
    "mlflow.source.git.commit": COMMIT,
    "mlflow.user": "ada",
    "team": "red",
}


def _point(step: int, time: int, value: float) -> Any:
    return SimpleNamespace(step=step, timestamp=time, value=value)


HISTORIES = {
    "loss": [_point(2, 1_700_000_002_000, 0.3), _point(1, 1_700_000_001_001, 0.5)],
    "accuracy": [_point(0, 1_700_000_003_000, 0.9)],
    "odd": [_point(3, 1_700_000_003_000, math.nan)],
    "bad\nname": [_point(0, 1_700_000_003_000, 1.0)],
}


def _run(status: str = "FINISHED", end: int | None = 1_700_000_009_123, tags: dict[str, str] = TAGS) -> Any:
    dataset = SimpleNamespace(
        name="cellar", digest="12ab34cd", source_type="local", source="{}", schema='{"a": "long"}', profile=None
    )
    context = SimpleNamespace(key="mlflow.data.context", value="training")
    return SimpleNamespace(
        info=SimpleNamespace(
            run_id=ID,
            run_name="child",
            status=status,
            start_time=1_700_000_000_007,
            end_time=end,
            user_id="ada",
            lifecycle_stage="active",
        ),
        data=SimpleNamespace(params={"depth": "6", "note": "free text"}, tags=tags),
        inputs=SimpleNamespace(dataset_inputs=[SimpleNamespace(dataset=dataset, tags=[context])], model_inputs=[]),
        outputs=SimpleNamespace(model_outputs=[SimpleNamespace(model_id="m-" + "d" * 32, step=2)]),
    )


def _record(run: Any) -> Any:
    found = mlflow_record.mlflow_run(run, "wine/tuning", HISTORIES, {}, None)
    return mlflow_record.record_of(found, model="wine", source="./mlruns", user="ada")


def test_all_that_mlflow_shows_of_a_run_is_shown_again() -> None:
    record, logged = _record(_run())
    shown = state.recorded_run(record, NO_CHANGES)
    assert (shown.id, shown.name, shown.status, shown.user) == (ID, "child", "FINISHED", "ada")
    assert (shown.start, shown.end) == (1_700_000_000_007, 1_700_000_009_123)
    assert shown.params == {"depth": "6", "note": "free text"}
    assert shown.tags.items() >= TAGS.items()
    assert shown.experiment_name == "wine/tuning"
    assert shown.experiment == state.experiment_id("wine/tuning")
    points = {name: (point.step, point.time, point.value) for name, point in shown.metrics.items()}
    assert points["loss"] == (2, 1_700_000_002_000, 0.3)
    assert points["accuracy"] == (0, 1_700_000_003_000, 0.9)
    assert math.isnan(points["odd"][2])
    assert logged.series["loss"].steps == (1, 2)
    assert logged.series["loss"].times == (1_700_000_001.001, 1_700_000_002.0)
    (data,) = shown.inputs
    assert (data.name, data.digest, data.context) == ("cellar", "12ab34cd", "training")
    assert logged.texts == ('{"a": "long"}',)
    assert [one.id for one in shown.outputs] == ["m-" + "d" * 32]
    assert (record.commit, record.parent, record.model) == (COMMIT, PARENT, "wine")
    assert [one.name for one in record.left_out] == ["bad\nname"]
    assert record.tags["mlflow.imported_from"] == "./mlruns"
    assert record.provenance.context.host == "mlflow_import"


def test_twice_is_the_same_bytes_and_they_are_read_back() -> None:
    made = [run_objects(record, logged.series, texts=logged.texts) for record, logged in map(_record, [_run(), _run()])]
    assert made[0] == made[1]
    key = RunKey(COMMIT, ID).key
    assert dumps(read_run(made[0][key], key)) == made[0][key]


def test_a_run_that_goes_on_is_no_finished_one_and_stays_running_in_mlflow() -> None:
    record, _ = _record(_run("RUNNING", None, {"mlflow.source.git.commit": "main"}))
    assert (record.status, record.commit, record.parent) == ("killed", None, None)
    shown = state.recorded_run(record, NO_CHANGES)
    assert (shown.status, shown.end) == ("RUNNING", None)
    assert "mlflow.runName" not in shown.tags


def test_a_deletion_is_an_amendment() -> None:
    key, data = mlflow_record.deletion_of(RunKey(COMMIT, ID), "wine", 1_700_000_009.123, "ada")
    found = amendment(data, key)
    assert (found.lifecycle, found.run, found.by) == ("deleted", ID, "ada")
    assert state.recorded_run(_record(_run())[0], fold([found])).deleted


def test_an_experiment_is_found_by_its_name() -> None:
    about = SimpleNamespace(
        name="wine/tuning",
        tags={"team": "red"},
        creation_time=1_700_000_000_000,
        last_update_time=1_700_000_001_000,
        lifecycle_stage="deleted",
    )
    key, (name, data) = mlflow_record.experiment_of(about)
    id_ = state.experiment_id("wine/tuning")
    assert key == state.experiment_key(id_)
    assert parse_amendment(name)
    found = state.experiment(id_, fold([amendment(data, name)]), (), None)
    assert (found.name, found.deleted, found.tags) == ("wine/tuning", True, {"team": "red"})
    assert (found.created, found.updated) == (1_700_000_000_000, 1_700_000_001_000)
    assert json.loads(data)["created"] == "2023-11-14T22:13:20.000Z"


def test_a_parent_is_exported_before_its_children_and_a_circle_ends() -> None:
    parents = {"grandchild": "child", "child": "top", "lost": "gone"}
    order = parents_first(["grandchild", "child", "top", "lost"], parents)
    assert order == ["top", "child", "grandchild", "lost"]
    assert len(parents_first(["a", "b"], {"a": "b", "b": "a"})) == 2


def test_a_folder_that_is_not_an_experiment_is_one_line() -> None:
    """MLflow makes such folders itself, beside an SQLite file, and shows a traceback for each."""
    wrong = (ValueError, ValueError("no meta.yaml"), None)
    one = logging.LogRecord("root", logging.WARNING, "", 1, "Malformed experiment '%s'", ("1",), wrong)
    other = logging.LogRecord("root", logging.WARNING, "", 1, "something else", (), wrong)
    assert without_traceback(one) and without_traceback(other)
    assert one.exc_info is None and other.exc_info is not None
