"""Runs read from MLflow's stores: what MLflow 2.0 and 3.17 have written (tests/data/mlflow), and damaged ones."""

from __future__ import annotations

import contextlib
import json
import math
import re
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

from ciplug.capture.logged import Fold, Logged, Point
from ciplug.capture.mlflow import places
from ciplug.capture.mlflow.artifacts import local_path, named
from ciplug.capture.mlflow.events import events_of, number_or_text
from ciplug.capture.mlflow.file_store import FileStore
from ciplug.capture.mlflow.run import MlflowRun, StoreUnreadable, TrackingStore
from ciplug.capture.mlflow.sqlite_store import SqliteStore

DATA = Path(__file__).parent.parent / "data" / "mlflow"
MARK = "00000000000000000000000000000001"


def _file_store(name: str, folder: Path) -> TrackingStore:
    shutil.copytree(DATA / name, folder / "mlruns")
    return FileStore(folder / "mlruns")


def _sqlite_store(name: str, folder: Path) -> TrackingStore:
    with sqlite3.connect(folder / "mlflow.db") as database:
        database.executescript((DATA / f"{name}.sql").read_text(encoding="utf-8"))
    database.close()
    return SqliteStore(folder / "mlflow.db", folder)


STORES = {"file-2.0": _file_store, "file-3.17": _file_store, "sqlite-2.0": _sqlite_store, "sqlite-3.17": _sqlite_store}


@pytest.fixture(params=STORES)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def store(name: str, tmp_path: Path) -> TrackingStore:
    return STORES[name](name, tmp_path)


def _log(run: MlflowRun) -> Logged:
    """What ciplug's log makes of a run."""
    fold = Fold()
    fold.add(json.dumps([{"time": 1.0, **event} for event in events_of(run)]).encode())
    return fold.logged()


def _by_name(runs: list[MlflowRun]) -> dict[str, MlflowRun]:
    return {run.name or "": run for run in runs}


def test_runs_and_their_values_are_read(store: TrackingStore) -> None:
    runs = store.runs(MARK)

    assert len(runs) == 5  # The one that its training has deleted is left out.
    by_name = _by_name(runs)
    sweep, fold, inner = by_name["sweep"], by_name["fold-1"], by_name["inner"]
    assert (sweep.status, sweep.experiment, sweep.parent) == ("FINISHED", "wine", None)
    assert sweep.started is not None and sweep.ended is not None and 0 < sweep.ended - sweep.started < 600
    assert fold.parent == sweep.id and inner.parent == fold.id
    assert sweep.params["eps"] == "1e-08" and sweep.params["note"] == "two\nlines"
    assert sweep.tags["team"] == "vision ✓"
    assert [(point.step, point.value) for point in sweep.metrics["loss"]] == [(1, 1.0), (2, 0.5), (3, 1 / 3)]
    assert math.isnan(sweep.metrics["bad"][0].value)
    (lost,) = [run for run in runs if run.status == "FAILED"]
    assert lost.parent == sweep.id and "ciplug.run" not in lost.tags


def test_the_log_has_what_a_run_has(store: TrackingStore) -> None:
    logged = _log(_by_name(store.runs(MARK))["sweep"])

    assert logged.torn == logged.unknown == 0
    assert logged.params == {
        **{"lr": 0.01, "depth": 6, "optimizer": "adam", "shuffle": True, "eps": 1e-08, "code": "007"},
        "note": "two\nlines",
    }
    assert logged.metrics.keys() == {"loss", "accuracy", "val/f1 macro", "bad"}
    assert logged.metrics["loss"] == 1 / 3 and list(logged.series) == ["loss"]
    assert logged.tags["mlflow.experiment"] == "wine" and "ciplug.run" not in logged.tags
    assert len(logged.tags["mlflow.run_id"]) == 32


def test_datasets_and_models_of_mlflow_3(name: str, store: TrackingStore) -> None:
    logged = _log(_by_name(store.runs(MARK))["sweep"])

    if name.endswith("2.0"):
        assert logged.inputs == logged.outputs == ()
        return
    (data,) = logged.inputs
    assert (data.name, data.context, data.tags, data.source_type) == ("wine-red", "training", {"split": "a"}, "http")
    (model,) = logged.outputs
    assert model.id.startswith("m-") and model.step == (3 if name.startswith("file") else model.step)
    assert (model.name, model.params, model.location) == ("classifier", {"depth": "6", "kind": "tree"}, None)
    assert model.tags["stage"] == "trial" and "ciplug.run" not in model.tags


def test_models_elsewhere_are_named_with_their_address(name: str, store: TrackingStore, tmp_path: Path) -> None:
    if name.endswith("2.0"):
        return
    if isinstance(store, SqliteStore):
        with sqlite3.connect(tmp_path / "mlflow.db") as database:
            database.execute("UPDATE logged_models SET artifact_location = 's3://team/models/1/artifacts'")
        database.close()
    else:
        (meta,) = (tmp_path / "mlruns").glob("*/models/*/meta.yaml")
        text = re.sub(r"artifact_location: .*", "artifact_location: s3://team/models/1/artifacts", meta.read_text())
        meta.write_text(text)
    sweep = _by_name(store.runs(MARK))["sweep"]
    assert sweep.elsewhere == {"classifier": "s3://team/models/1/artifacts"}
    (left,) = [one for one in _log(sweep).left_out if one.why == "elsewhere"]
    assert left.clause == "classifier: it stays at s3://team/models/1/artifacts"
    assert _log(sweep).outputs[0].location == "s3://team/models/1/artifacts"


@pytest.mark.parametrize("version", ["file-2.0", "file-3.17"])
def test_artifacts_are_found_in_a_store_that_was_moved(version: str, tmp_path: Path) -> None:
    sweep = _by_name(_file_store(version, tmp_path).runs(MARK))["sweep"]

    assert sweep.artifacts.keys() == {"notes", "classes.json"}
    assert json.loads(sweep.artifacts["classes.json"].read_text()) == {"classes": 3}
    assert _log(sweep).named == {str(path): name for name, path in sweep.artifacts.items()}


def test_only_marked_runs_and_their_children_count(store: TrackingStore) -> None:
    assert store.runs("another") == []
    assert {run.id for run in store.runs(None)} == {run.id for run in store.runs(MARK)}


def test_a_child_of_a_deleted_run_is_told_from_others(tmp_path: Path) -> None:
    files, database = _file_store("file-3.17", tmp_path), _sqlite_store("sqlite-3.17", tmp_path)
    assert not any(run.parent_is_deleted for store in (files, database) for run in store.runs(MARK))
    sweep = _by_name(files.runs(MARK))["sweep"].id
    meta = next((tmp_path / "mlruns").glob(f"*/{sweep}/meta.yaml"))
    meta.write_text(meta.read_text().replace("lifecycle_stage: active", "lifecycle_stage: deleted"))
    with sqlite3.connect(tmp_path / "mlflow.db") as connection:
        connection.execute("UPDATE runs SET lifecycle_stage = 'deleted' WHERE name = 'sweep'")
    connection.close()
    for store in (files, database):
        orphans = {run.name for run in store.runs(MARK) if run.parent_is_deleted}
        assert {"fold-0", "fold-1"} <= orphans and "inner" not in orphans


# Damage


def _spoil(change: Callable[[Path], object], tmp_path: Path) -> MlflowRun:
    store = _file_store("file-3.17", tmp_path)
    sweep = _by_name(store.runs(MARK))["sweep"]
    change(next((tmp_path / "mlruns").glob(f"*/{sweep.id}")))
    return next(run for run in store.runs(None) if run.id == sweep.id)


def test_a_torn_line_is_named_and_stands_for_no_number(tmp_path: Path) -> None:
    run = _spoil(lambda folder: (folder / "metrics/loss").open("a").write("17959"), tmp_path)

    *points, last = run.metrics["loss"]
    assert len(points) == 3 and math.isnan(last.value)  # So that no gate takes the number before it.
    (left,) = run.left_out
    assert (left.name, left.why, left.found, left.line) == ("loss", "text", "17959", 4)
    (noted,) = _log(run).left_out
    assert (noted.name, noted.why, noted.found) == ("loss", "text", "17959")


@pytest.mark.parametrize(
    "line", ["1 2 99999999999999999999", "x 0.5 1", "1 n/a 1", "1 0.5 1.5", " ", "9" * 400 + " 1 1"]
)
def test_a_line_that_is_not_a_value_is_left_out(line: str, tmp_path: Path) -> None:
    run = _spoil(lambda folder: (folder / "metrics/accuracy").write_text(line + "\n"), tmp_path)

    assert "accuracy" not in run.metrics
    assert [one.name for one in run.left_out] == ["accuracy"]


@pytest.mark.parametrize("content", ["", "[", "- a", "a: *b", "status: 99", "\x00"])
def test_facts_of_a_run_that_cannot_be_read_cost_no_value(content: str, tmp_path: Path) -> None:
    run = _spoil(lambda folder: (folder / "meta.yaml").write_text(content), tmp_path)

    assert run.status == "RUNNING"
    assert run.metrics["accuracy"][0].value == 0.9


def test_a_name_that_no_metric_can_have_is_named() -> None:
    run = MlflowRun(id="a" * 32, metrics={"ok": [Point(0, 1.0, 2.0)], "a\u202eb": [Point(0, 1.0, 2.0)]})
    logged = _log(run)

    assert logged.metrics == {"ok": 2.0}
    (left,) = logged.left_out
    assert (left.name, left.why) == ("a\u202eb", "name")


@pytest.mark.parametrize("content", [b"", b"no database", b"SQLite format 3\x00" + b"\x00" * 100])
def test_a_file_that_is_not_a_store_is_an_error_that_names_it(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "m.db").write_bytes(content)

    with pytest.raises(StoreUnreadable, match=r"m\.db"):
        SqliteStore(tmp_path / "m.db", tmp_path).runs(None)


def test_a_file_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(StoreUnreadable):
        SqliteStore(tmp_path / "m.db", tmp_path).runs(None)
    with pytest.raises(StoreUnreadable, match="No such file"):
        FileStore(tmp_path / "mlruns").runs(None)
    assert list(tmp_path.iterdir()) == []


_PIECES = (b"\n", b" ", b": ", b"- ", b"{", b"nan", b"1e400", b"9" * 30, b"\x00", b"'", b"&a ", b"*a", b"\xff")
_VALUES = (None, "x", b"\xff\x00", 2**62, -1.5, math.inf, "é" * 300, "")


def _mutated(data: bytes, random: Random) -> bytes:
    at = random.randrange(len(data) + 1)
    return random.choice([data[:at], data[:at] + random.choice(_PIECES) + data[at:], data[:at] + data[at + 9 :]])


@pytest.mark.parametrize("seed", range(15))
def test_damage_costs_what_is_damaged(seed: int, tmp_path: Path) -> None:
    """Whatever stands in a file or a cell: there is no other error than the one that names the store."""
    random = Random(seed)
    store = _file_store("file-3.17", tmp_path)
    for file in random.sample([path for path in (tmp_path / "mlruns").rglob("*") if path.is_file()], 10):
        file.write_bytes(_mutated(file.read_bytes(), random))
    database = _sqlite_store("sqlite-3.17", tmp_path)
    with sqlite3.connect(tmp_path / "mlflow.db") as connection:
        for table in ("metrics", "params", "tags", "runs", "inputs", "datasets", "logged_models", "experiments"):
            columns = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
            with contextlib.suppress(sqlite3.Error):
                value = random.choice(_VALUES)
                connection.execute(f"UPDATE {table} SET {random.choice(columns)} = ?", (value,))
    connection.close()
    for one in (store, database):
        with contextlib.suppress(StoreUnreadable):
            for run in one.runs(None):
                logged = _log(run)
                assert logged.torn == logged.unknown == 0


# Values and names


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *[("6", 6), ("-3", -3), ("0.01", 0.01), ("1e-05", 1e-05), ("True", True), ("False", False), ("10.0", 10.0)],
        *[("007", "007"), ("1_000", "1_000"), ("1e-5", "1e-5"), ("nan", "nan"), ("inf", "inf"), ("", ""), (" 6", " 6")],
        *[("None", "None"), ("true", "true"), ("9" * 30, "9" * 30), ("0x10", "0x10"), ("+1", "+1")],
    ],
)
def test_a_parameter_is_a_number_where_that_is_the_same_text(text: str, value: object) -> None:
    found = number_or_text(text)

    assert (found, type(found)) == (value, type(value))
    assert str(found) == text


def test_models_of_one_name_are_named_by_their_id(tmp_path: Path) -> None:
    for folder in ("run/plots", "m-1", "m-2", "m-3"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "file").touch()
    (tmp_path / "m-4").mkdir()
    models = [
        (name, title, tmp_path / name) for name, title in [("m-1", "a"), ("m-2", "b"), ("m-3", "b"), ("m-4", "c")]
    ]
    models.append(("m-5", "../x", tmp_path / "m-1"))  # No name that MLflow allows.

    assert named(tmp_path / "run", models).keys() == {"plots", "a", "b-m-2", "b-m-3", "m-5"}


@pytest.mark.parametrize(
    ("uri", "path"),
    [
        *[("file:///a/b%20c", "/a/b c"), ("file:./mlruns", "/here/mlruns"), ("mlruns", "/here/mlruns"), ("/x", "/x")],
        *[("file://localhost/a", "/a"), ("file://server/a", None), ("s3://b/k", None), ("mlflow-artifacts:/1", None)],
    ],
)
def test_what_is_on_this_disk(uri: str, path: str | None) -> None:
    assert local_path(uri, Path("/here")) == (None if path is None else Path(path))


# Places


def test_a_training_is_given_a_store_unless_it_has_one(tmp_path: Path) -> None:
    assert not places.names_store({}, tmp_path)
    assert places.names_store({"MLFLOW_TRACKING_URI": "http://server"}, tmp_path)
    assert places.names_store({"DATABRICKS_RUNTIME_VERSION": "16"}, tmp_path)
    (tmp_path / "mlruns").mkdir()
    assert not places.names_store({}, tmp_path)  # As MLflow 3 has it: an empty folder is no store.
    _sqlite_store("sqlite-3.17", tmp_path)
    assert places.names_store({}, tmp_path)


def test_tags_of_the_user_stay() -> None:
    variables = places.environment({"MLFLOW_RUN_CONTEXT": '{"team": "a"}'}, "r", None)

    assert {name: json.loads(text) for name, text in variables.items()} == {
        "MLFLOW_RUN_CONTEXT": {"team": "a", "ciplug.run": "r"}
    }
    assert places.environment({"MLFLOW_RUN_CONTEXT": "no JSON"}, "r", None) == {}
    assert places.environment({"MLFLOW_RUN_CONTEXT": "[1]"}, "r", None) == {}


def test_stores_in_a_folder_and_one_level_below(tmp_path: Path) -> None:
    for folder in ("out", ".hidden"):
        (tmp_path / folder).mkdir()
        _file_store("file-3.17", tmp_path / folder)
    _sqlite_store("sqlite-2.0", tmp_path)
    (tmp_path / "other.db").write_bytes(b"something else")

    assert places.stores_below(tmp_path) == [tmp_path / "mlflow.db", tmp_path / "out" / "mlruns"]


def test_addresses_in_the_script_of_a_command(tmp_path: Path) -> None:
    (tmp_path / "pkg").mkdir()
    (tmp_path / "pkg" / "train.py").write_text("import mlflow\nmlflow.set_tracking_uri(uri='http://a:5000')\n")
    (tmp_path / "other.py").write_text("MlflowClient('sqlite:///b.db')\nset_tracking_uri(address)\nprint('http://c')\n")
    (tmp_path / "bad.py").write_text("set_tracking_uri(")

    assert places.uris_in(["python", "-m", "pkg.train", "--lr", "1"], tmp_path) == ["http://a:5000"]
    assert places.uris_in(["python", "other.py"], tmp_path) == ["sqlite:///b.db"]
    assert places.uris_in(["python", "bad.py", "none.py", "-m"], tmp_path) == []


def test_a_store_that_ciplug_cannot_read_is_named_without_its_password(tmp_path: Path) -> None:
    with pytest.raises(StoreUnreadable, match="postgresql://db/x") as error:
        places.open_store("postgresql://user:secret@db/x", tmp_path, {})
    assert "secret" not in str(error.value)
