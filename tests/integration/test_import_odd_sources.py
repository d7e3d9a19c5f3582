"""Odd and hostile sources of `ciplug import`: nothing from elsewhere comes along, nothing is lost without a word."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ciplug.errors import InputError
from ciplug.interop import sqlite_file
from ciplug.interop.import_runs import Candidate, Choice, Imported, Importer, Taken
from ciplug.interop.import_systems import SYSTEMS
from ciplug.interop.source_run import SourceRun, Values
from ciplug.interop.sqlite_file import SqliteFile
from ciplug.interop.wandb_log import records
from ciplug.records.canonical import plain
from ciplug.records.series import Series
from ciplug.steps.session import open_session
from tests.foreign_runs import history, write_neptune, write_trackio, write_wandb
from tests.project import Project, git

SECRET = "the secret of another folder"
METRIC = {"metrics": {"loss": 0.5}}


@dataclass
class Here:
    """A store, and a folder for sources in a folder that is none of theirs."""

    project: Project
    source: Path

    @property
    def secret(self) -> Path:
        return self.source.parent / "secret.txt"

    def take(self, system: str, source: Path | None = None, **choice: Any) -> Imported:
        session = open_session(cwd=self.project.folder, env=os.environ)
        importer = Importer(session, Choice(**choice), lambda count: None)
        return importer.run(SYSTEMS[system].open(importer, source or self.source, ()))

    def runs(self) -> list[Any]:
        session = open_session(cwd=self.project.folder, env=os.environ)
        return [plain(session.runs().get(row)) for row in self._ids()]

    def run(self) -> Any:
        (run,) = self.runs()
        return run

    def _ids(self) -> list[str]:
        return [run["id"] for run in self.project.json("runs", "list", "--json")]

    def series(self, name: str) -> Series:
        runs = open_session(cwd=self.project.folder, env=os.environ).runs()
        return runs.series(runs.get(self._ids()[0]))[name]

    def write(self, name: str, content: object) -> Path:
        file = self.source / name
        file.parent.mkdir(exist_ok=True, parents=True)
        file.write_text(content if isinstance(content, str) else json.dumps(content))
        return file


@pytest.fixture
def here(tmp_path: Path) -> Here:
    found = Here(Project.create(tmp_path / "project", config="version: 1\n"), tmp_path / "around" / "source")
    found.source.mkdir(parents=True)
    found.secret.write_text(SECRET)
    return found


def _words(done: Imported) -> str:
    return "\n".join(f"{one.words} -> {one.hint}" for one in (*done.failed, *done.damaged))


# What is outside of the source


def _neptune_file(here: Here, path: str, attribute: str = "model/note") -> None:
    pytest.importorskip("pyarrow")
    write_neptune(
        here.source,
        "R-1",
        [{"attribute_path": attribute, "attribute_type": "file", "file_value": {"path": path}}],
    )


def _wandb_link(here: Here) -> None:
    (write_wandb(here.source) / "files" / "x.txt").symlink_to(here.secret)


def _wandb_folder_link(here: Here) -> None:
    own = write_wandb(here.source)
    (own / "files").rmdir()
    (own / "files").symlink_to(here.secret.parent / "secrets")


def _neptune_link(here: Here) -> None:
    _neptune_file(here, "x.txt")
    (here.source / "files").mkdir()
    (here.source / "files" / "x.txt").symlink_to(here.secret)


def _neptune_above(here: Here) -> None:
    _neptune_file(here, "../../secret.txt")
    (here.source / "files").mkdir()


def _neptune_absolute(here: Here) -> None:
    _neptune_file(here, str(here.secret))


def _json_above(here: Here) -> None:
    here.write("a.json", {"id": "a", **METRIC, "artifacts": ["../secret.txt"]})


def _json_absolute(here: Here) -> None:
    here.write("a.json", {"id": "a", **METRIC, "artifacts": [str(here.secret)]})


def _json_link(here: Here) -> None:
    here.write("a.json", {"id": "a", **METRIC, "artifacts": ["x.txt"]})
    (here.source / "x.txt").symlink_to(here.secret)


def _json_link_in_a_folder(here: Here) -> None:
    here.write("model/y.txt", "y")
    here.write("a.json", {"id": "a", **METRIC, "artifacts": ["model"]})
    (here.source / "model" / "x.txt").symlink_to(here.secret)


_LEADING_OUT = [
    *(_wandb_link, _wandb_folder_link, _neptune_link, _neptune_above, _neptune_absolute),
    *(_json_above, _json_absolute, _json_link, _json_link_in_a_folder),
]


@pytest.mark.parametrize("make", _LEADING_OUT)
def test_no_file_outside_of_the_source_is_stored(make: Callable[[Here], None], here: Here) -> None:
    (here.secret.parent / "secrets").mkdir()
    shutil.copy(here.secret, here.secret.parent / "secrets" / "x.txt")
    make(here)
    system = make.__name__.split("_")[1]
    done = here.take(system)
    assert (done.new, done.files) == (0, 0) and done.exit_code == InputError.exit_code
    assert "outside of" in _words(done) and "--no-artifacts" in _words(done)
    # Nothing is lost: a second import has it, once the source is a folder around both, or without files.
    assert here.take(system, here.secret.parent).new == 1
    assert len(here.run()["artifacts"]) == 1
    assert here.take(system, artifacts=False).known == 1


@pytest.mark.parametrize(
    ("system", "name"),
    [
        *(("json", "a.json"), ("json", "sub/params.json"), ("trackio", "wine.db"), ("tensorboard", "x.tfevents.1")),
        *(("neptune", "a_part_0.parquet"), ("wandb", "run-a.wandb")),
    ],
)
def test_no_file_of_values_is_read_through_a_link(system: str, name: str, here: Here) -> None:
    link = here.source / name
    link.parent.mkdir(exist_ok=True)
    if link.parent != here.source:
        here.write("sub/metrics.json", {"loss": 1})
    here.secret.write_text('{"metrics": {"secret": 1}, "password": 7}')
    link.symlink_to(here.secret)
    done = here.take(system)
    assert done.new == 0 and "a symbolic link that leads out" in _words(done) and done.exit_code
    assert "password" not in _words(done)


def test_names_of_artifacts_stay_within_the_run(here: Here) -> None:
    for name in ("shared/model.txt", "a/own.txt", "top.txt"):
        here.write(name, name)
    artifacts = ["../shared/model.txt", "./own.txt", str(here.source / "top.txt"), "../a/own.txt", "x/../../top.txt"]
    here.write("a/run.json", {**METRIC, "artifacts": artifacts})
    assert here.take("json").new == 1
    run = here.run()
    assert [one["path"] for one in run["artifacts"]] == ["shared/model.txt", "own.txt", "top.txt", "a/own.txt"]
    assert [(one["name"], one["why"]) for one in run["left_out"]] == [("x/../../top.txt", "output")]


def test_a_link_of_wandb_to_a_file_that_is_gone_is_named(here: Here) -> None:
    (write_wandb(here.source) / "files" / "gone.txt").symlink_to(here.source / "nowhere.txt")
    (here.source / "offline-run-20260101_000000-abc" / "files" / "loop.txt").symlink_to("loop.txt")
    assert here.take("wandb").new == 1
    assert {(one["name"], one["why"]) for one in here.run()["left_out"]} == {
        ("gone.txt", "output"), ("loop.txt", "output"),
    }  # fmt: skip


# One odd run among others


class _Wrong(Exception):
    """Of no common class."""


@dataclass
class _Runs:
    """A source whose second run, or list, raises an error."""

    importer: Importer
    folder: Path
    problem: BaseException | None
    in_list: bool = False

    def runs(self) -> Iterator[Candidate]:
        for number in range(3):
            if number == 1 and self.in_list and self.problem is not None:
                raise self.problem
            yield Candidate(f"{number:032}", f"run {number}", lambda number=number: self._read(number))  # type: ignore[misc]

    def _read(self, number: int) -> Taken:
        run = SourceRun(id=f"{number:032}", system="json", values=Values(metrics={"loss": 0.5}), name=f"run {number}")
        taken = self.importer.take(run, {"x.txt": self.folder / f"{number}.txt"}, within=(self.folder,))
        if number == 1 and self.problem is not None:
            raise self.problem
        return taken


@pytest.mark.parametrize(
    ("problem", "in_list"),
    [
        *((one, False) for one in (InputError("odd"), sqlite3.DatabaseError("odd"), MemoryError("odd"), _Wrong("odd"))),
        *((one, True) for one in (PermissionError(13, "odd"), _Wrong("odd"))),
    ],
    ids=lambda one: type(one).__name__,
)
def test_a_run_that_raises_anything_stops_no_other(problem: Exception, in_list: bool, here: Here) -> None:
    def take(problem: Exception | None) -> Imported:
        importer = Importer(open_session(cwd=here.project.folder, env=os.environ), Choice(), lambda count: None)
        return importer.run(_Runs(importer, here.source, problem, in_list))

    for number in range(3):
        here.write(f"{number}.txt", f"file {number}")
    done = take(problem)
    expected = ["run 0"] if in_list else ["run 0", "run 2"]
    assert sorted(run["name"] for run in here.runs()) == expected and done.new == done.files == len(expected)
    (failure,) = done.failed
    assert ("list of runs" if in_list else "run 1: ") in failure.words and "odd" in failure.words and done.exit_code
    again = take(None)
    assert (again.new, again.known, again.exit_code) == (3 - len(expected), len(expected), 0)


def test_a_file_that_changes_while_it_is_imported_costs_its_own_run_alone(here: Here) -> None:
    for name in ("a", "b", "c"):
        here.write(f"{name}.txt", "both" if name != "b" else "alone")
        here.write(f"{name}.json", {"name": name, **METRIC, "artifacts": [f"{name}.txt"]})
    session = open_session(cwd=here.project.folder, env=os.environ)

    def change(count: int) -> None:
        if "b" in (seen := [one.name[0] for one, _ in importer._read]) and len(seen) == 3:
            (here.source / "b.txt").write_text("changed")

    importer = Importer(session, Choice(), change)
    done = importer.run(SYSTEMS["json"].open(importer, here.source, ()))
    assert sorted(run["name"] for run in here.runs()) == ["a", "c"], _words(done)
    assert done.new == 2 and "b.json: " in _words(done) and done.exit_code
    assert here.take("json").new == 1


def test_a_run_that_stands_twice_is_named(here: Here) -> None:
    pytest.importorskip("pyarrow")
    for place, value in (("first", 1.0), ("second", 2.0)):
        row = {"attribute_path": "metrics/a", "attribute_type": "float", "float_value": value}
        write_neptune(here.source, "R-1", [row], place=place)
    done = here.take("neptune")
    assert (done.new, done.known) == (1, 0) and done.exit_code
    for place in ("first", "second"):
        assert str(here.source / "data" / place / "R-1_part_0.parquet") in _words(done)


# Trackio


def test_rows_of_trackio_without_an_id_are_of_the_run_with_their_name(here: Here) -> None:
    rows = [
        *((None, "old", 0, {"loss": 3}), (None, "older", 0, {"loss": 4}), ("", "oldest", 0, {"loss": 5})),
        *(("id", "new", 0, {"loss": 2}), ("id", "new", 1, {"loss": 1}), (None, None, 0, {"loss": 9})),
    ]
    config = "INSERT INTO configs (run_id, run_name, config) VALUES (NULL, 'older', '{\"lr\": 7}')"
    write_trackio(here.source / "wine.db", rows, config)
    done = here.take("trackio")
    assert done.new == 4 and "1 rows of no run" in _words(done) and done.exit_code
    runs = {run["name"]: run for run in here.runs()}
    assert {name: run["metrics"]["loss"] for name, run in runs.items()} == {
        "old": 3, "older": 4, "oldest": 5, "new": 1,
    }  # fmt: skip
    assert {name: run.get("params") for name, run in runs.items()}["older"] == {"lr": 7}


def test_a_view_of_trackio_that_never_ends_is_not_read(here: Here) -> None:
    view = """CREATE VIEW metrics AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n)
        SELECT i AS id, 'a' AS run_id, 'a' AS run_name, 0 AS timestamp, i AS step, '{}' AS metrics FROM n"""
    write_trackio(here.source / "view.db", [], "DROP TABLE metrics", view)
    write_trackio(here.source / "configs.db", [("a", "a", 0, {"x": 1})], "DROP TABLE configs",
                  view.replace("VIEW metrics", "VIEW configs"))  # fmt: skip
    write_trackio(here.source / "computed.db", [], "ALTER TABLE metrics ADD COLUMN x AS (hex(zeroblob(500000000)))")
    began = time.monotonic()
    done = here.take("trackio")
    assert time.monotonic() - began < 5 and done.new == 0
    assert "'metrics' is not a table" in _words(done) and "'configs' is not a table" in _words(done)
    assert "'x' of 'metrics' is computed" in _words(done)


def test_a_query_that_takes_too_long_is_ended(here: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_file, "_STEPS_MOST", 0)
    file = write_trackio(here.source / "wine.db", [("a", "a", 0, {"x": 1})])
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"
    with SqliteFile(file) as database, pytest.raises(sqlite3.Error, match="interrupted"):
        database.rows(endless)


def test_a_database_stays_as_it_is_and_what_was_not_written_to_it_yet_is_read(here: Here) -> None:
    file = write_trackio(here.source / "wine.db", [("a", "a", 0, {"loss": 3})], "PRAGMA journal_mode = WAL")
    content = file.read_bytes()
    os.chmod(here.source, 0o500)
    assert here.take("trackio").new == 1
    os.chmod(here.source, 0o700)
    assert [one.name for one in here.source.iterdir()] == ["wine.db"] and file.read_bytes() == content
    with closing(sqlite3.connect(file)) as writer:
        insert = "INSERT INTO metrics (run_id, run_name, timestamp, metrics) VALUES ('b', 'b', '2026-01-01', ?)"
        writer.execute("PRAGMA wal_autocheckpoint = 0")
        writer.execute(insert, ('{"loss": 2}',))
        writer.commit()
        before = {one.name: one.read_bytes() for one in here.source.iterdir()}
        assert len(before) == 3 and here.take("trackio").new == 1
        assert {one.name: one.read_bytes() for one in here.source.iterdir()} == before


# Names, steps and times


def test_names_that_are_joined_to_one_are_named(here: Here) -> None:
    here.write("a.json", {
        "metrics": {"a/b": 1, "a": {"b": 2}, "c": 3},
        "params": {"p/q": 1, "p": {"q": 2}, "r/s": 5, "r": {"s": 5}},
        "history": [{"d/e": 1, "d": {"e": 2}}],
    })  # fmt: skip
    write_trackio(here.source / "wine.db", [("t", "t", 0, {"a/b": 1, "a": {"b": 2}, "c": 3})])
    write_wandb(here.source, [history([("a/b", "1"), (["a", "b"], "2"), ("c", "3")])])
    for system in ("json", "trackio", "wandb"):
        assert here.take(system).new == 1
    for run in here.runs():
        assert run["metrics"] == {"c": 3}
        assert {"a/b"} <= {one["name"] for one in run["left_out"] if one["why"] == "twice"}
    (run,) = (run for run in here.runs() if "params" in run)
    assert run["params"] == {"r/s": 5} and {one["name"] for one in run["left_out"]} == {"a/b", "d/e", "p/q"}


def test_steps_and_times_of_wandb(here: Here) -> None:
    rows = [
        {"_step": "7.0", "_timestamp": "1767225600.5", "loss": "0.5"},
        {"_step": "8", "_timestamp": "1e400", "loss": "0.25"},
        {"_step": "9.5", "_timestamp": "1767225601", "half": "1"},
        {"_step": "1e400", "_timestamp": "9" * 400, "far": "2"},
        {"_step": "11", "odd": b"\x32\x01x"},
        {"_step": "12", "loss": "0.125"},
    ]
    write_wandb(here.source, map(history, rows), ended=False)
    done = here.take("wandb")
    assert done.new == 1, _words(done)
    run = here.run()
    assert here.series("loss").steps == (7, 8, 12) and run["ended"] == "2026-01-01T00:00:01.000Z"
    assert {(one["name"], one["why"]) for one in run["left_out"]} >= {("half", "no_step"), ("far", "no_step")}


def test_a_stated_metric_of_json_counts_and_its_history_is_kept(here: Here) -> None:
    rows = [{"step": 1, "acc": 0.9, "loss": 0.5}, {"step": 2, "acc": 0.7, "loss": 0.25}]
    here.write("a.json", {"metrics": {"acc": 0.9}, "history": rows})
    assert here.take("json").new == 1
    assert here.run()["metrics"] == {"acc": 0.9, "loss": 0.25} and here.series("acc").values == (0.9, 0.7)


@pytest.mark.parametrize(
    ("rows", "steps", "metrics", "has_times"),
    [
        ([{"step": 5, "epoch": 1, "a": 1}, {"step": 9, "epoch": 2, "a": 2}], (5, 9), {"a": 2, "epoch": 2}, False),
        ([{"epoch": 0.5, "a": 1}, {"epoch": 1.0, "a": 2}], (0, 1), {"a": 2, "epoch": 1}, False),
        ([{"step": 1.0, "time": 12.5, "a": 1}, {"step": 2.0, "time": 13, "a": 2}], (1, 2), {"a": 2, "time": 13}, False),
        ([{"time": 9.5, "timestamp": 1767225600, "a": 1}, {"a": 2}], (0, 1), {"a": 2, "time": 9.5}, True),
        ([{"step": 3, "time": "2026-01-01T00:00:00Z", "a": 1}], (3,), {"a": 1}, True),
    ],
)
def test_columns_of_a_history_that_are_no_step_and_no_moment_are_metrics(
    rows: list[Any], steps: tuple[int, ...], metrics: dict[str, float], has_times: bool, here: Here
) -> None:
    here.write("a.json", {"history": rows})
    assert here.take("json").new == 1
    assert here.run()["metrics"] == metrics
    assert here.series("a").steps == steps and (here.series("a").times is not None) is has_times


def test_a_duration_in_the_place_of_a_moment_is_an_error(here: Here) -> None:
    here.write("a.json", {**METRIC, "started": 12.5})
    here.write("b.json", {"metrics": {"loss": [{"step": 1, "value": 1, "time": 12.5}]}})
    done = here.take("json")
    assert (
        done.new == 0 and "12.5 is not a time" in done.failed[0].words and "12.5 is not a time" in done.failed[1].words
    )


def test_what_is_wrong_in_a_list_of_runs_is_named_with_its_place(here: Here) -> None:
    """Also a path that is none: nothing of a run is left out without a word."""
    odd = [{"artifacts": [1]}, {"status": "weird"}, {"id": {"x": 1}}, {"history": [1]}]
    here.write("a.json", [{**METRIC, **one} for one in odd])
    here.write("c.json", [])
    here.write("b.jsonl", "\n" + json.dumps({**METRIC, "status": "weird"}))
    words = [one.words.partition(f"{here.source}/")[2] for one in here.take("json").failed]
    assert words == [
        "a.json: row 1: 'artifacts': 1 is not a path",
        "a.json: row 2: 'status': 'weird' is not one of finished, failed, killed, unknown",
        "a.json: row 3: 'id': {'x': 1} is not an id",
        "a.json: row 4: 'history': row 1 is not an object",
        "b.jsonl:2: 'status': 'weird' is not one of finished, failed, killed, unknown",
        "c.json: no run in it",
    ]
    (here.source / "c.json").unlink()
    (here.source / "a.json").unlink()
    here.write("b.jsonl", json.dumps({**METRIC, "artifacts": [{"path": "model.bin", "digest": "sha256:1f"}]}))
    assert here.take("json").new == 1
    assert [(one["name"], one["why"]) for one in here.run()["left_out"]] == [("model.bin", "output")]


def test_whole_numbers_and_odd_steps_of_neptune(here: Here) -> None:
    pytest.importorskip("pyarrow")
    rows = [
        {"attribute_path": "metrics/count", "attribute_type": "int", "int_value": 7},
        {"attribute_path": "metrics/epochs", "attribute_type": "int_series", "step": 1.0, "int_value": 3},
        {"attribute_path": "parameters/depth", "attribute_type": "int", "int_value": 6},
        *(
            {"attribute_path": "metrics/loss", "attribute_type": "float_series", "step": step, "float_value": value}
            for step, value in ((1.0, 0.5), (float("nan"), 9.0), (2.0, 0.25))
        ),
    ]
    write_neptune(here.source, "R-1", rows)
    assert here.take("neptune").new == 1
    run = here.run()
    assert run["metrics"] == {"metrics/count": 7, "metrics/epochs": 3, "metrics/loss": 0.25}
    assert run["params"] == {"parameters/depth": 6} and here.series("metrics/loss").steps == (1, 2)
    assert [(one["name"], one["why"]) for one in run["left_out"]] == [("metrics/loss", "no_step")]


@pytest.mark.slow
def test_a_copy_of_a_run_of_wandb_is_no_part_of_it(here: Here) -> None:
    """An earlier state of it would count as what came later: the run was killed, and its values stand twice."""
    write_wandb(here.source / "a", [history({"loss": str(one)}) for one in (3, 2, 1)])
    write_wandb(here.source / "b", [history({"loss": "3"})], ended=False)
    done = here.take("wandb")
    assert done.new == 0 and "run-abc.wandb: a copy of " in done.failed[0].words
    shutil.rmtree(here.source / "b")
    assert here.take("wandb").new == 1 and here.run()["status"] == "finished"
    assert here.series("loss").values == (3, 2, 1)


def test_rows_of_another_run_are_no_values_of_a_run_of_neptune(here: Here) -> None:
    pytest.importorskip("pyarrow")
    row = {"attribute_path": "metrics/loss", "attribute_type": "float", "float_value": 0.5}
    write_neptune(here.source, "R-1", [row, {**row, "run_id": "R-2"}])
    write_neptune(here.source, "R-3", [{**row, "run_id": None}])
    done = here.take("neptune")
    assert done.new == 0 and [one.words.rpartition("parquet: ")[2] for one in done.failed] == [
        "its first row has no run_id",
        "a row of the run R-2 of acme/wine among those of R-1",
    ]


@pytest.mark.slow
def test_more_rows_of_neptune_than_memory_has_are_refused(here: Here) -> None:
    pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    file = write_neptune(here.source, "R-1", [{"attribute_path": "a", "attribute_type": "int", "int_value": 1}])
    (row,) = parquet.read_table(file).to_batches()
    rows = pyarrow.Table.from_batches([row] * 1_000)
    with parquet.ParquetWriter(file, rows.schema) as writer:
        many = rows.take([number % 1_000 for number in range(550_000)]).combine_chunks()
        for _ in range(20):
            writer.write_table(many)
    assert file.stat().st_size < 2_000_000
    done = here.take("neptune")
    assert done.new == 0 and f"{file}: more than 10,000,000 rows" in _words(done) and done.exit_code


@pytest.mark.slow
def test_a_history_of_100_000_steps(here: Here) -> None:
    write_trackio(here.source / "wine.db", (("a", "a", step, {"loss": step / 7, "acc": 1}) for step in range(100_000)))
    began = time.monotonic()
    assert here.take("trackio").new == 1 and time.monotonic() - began < 60
    assert len(here.series("loss").steps) == 100_000


def test_names_of_any_letters_and_length(here: Here) -> None:
    names = {"größe/é": 1, "e\u0301": 2, "\U0001f600": 3, "x" * 250: 4, "x" * 251: 5, "\ud800": 6, "\u202e": 7}
    here.write(
        "a.json", {"name": "n" * 300, "metrics": names, "params": names, "tags": {"t" * 300: "v", "u": "\ud800"}}
    )
    for number in (254, 255):
        os.rename(here.write("b.json", METRIC), os.fsencode(here.source) + b"/%c.json" % number)
    done = here.take("json")
    assert done.new == 3, _words(done)
    (run,) = (run for run in here.runs() if "params" in run)
    assert set(run["metrics"]) == {"größe/é", "\u00e9", "\U0001f600", "x" * 250}
    assert here.take("json").known == 3


def test_a_run_beside_the_metrics_of_a_folder_is_named(here: Here) -> None:
    here.write("metrics.json", {"loss": 1})
    here.write("second.json", METRIC)
    here.write("tokenizer.json", {"version": 1})
    done = here.take("json")
    assert done.new == 1 and f"{here.source / 'second.json'}: a run beside metrics.json" in _words(done)
    assert len(done.failed) == 1 and done.exit_code


@pytest.mark.parametrize("system", ["json", "trackio", "wandb", "tensorboard", "neptune", "dvc"])
def test_a_source_stays_as_it_is(system: str, here: Here) -> None:
    if system in ("tensorboard", "neptune"):
        pytest.importorskip({"neptune": "pyarrow"}.get(system, system))
    data = Path(__file__).parents[1] / "data" / "imports"
    if system == "dvc":
        git(here.source, "clone", "-q", str(data / "dvc" / "history.bundle"), "project")
        here.source /= "project"
    elif system == "trackio":
        write_trackio(here.source / "wine.db", [("a", "a", 0, {"loss": 3})])
    elif system == "json":
        here.write("a.json", {**METRIC, "artifacts": ["a.json"]})
    else:
        shutil.copytree(data / system, here.source, dirs_exist_ok=True)

    def state() -> dict[Path, tuple[int, bytes]]:
        files = (one for one in here.source.rglob("*") if one.is_file())
        return {one: (one.stat().st_mtime_ns, one.read_bytes()) for one in files}

    before = state()
    assert here.take(system).new and here.take(system).known and state() == before


@pytest.mark.slow
def test_a_long_record_of_wandb_takes_no_time(here: Here) -> None:
    write_wandb(here.source, [history({"_step": "0", "text": json.dumps("x" * 60_000_000), "loss": "1"})])
    began = time.monotonic()
    (file,) = here.source.rglob("*.wandb")
    assert len(list(records(file, pytest.fail))) == 3 and time.monotonic() - began < 5
