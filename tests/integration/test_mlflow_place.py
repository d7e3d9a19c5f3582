"""What MLflow's stores stand on, without MLflow: runs, experiments and logged models over the journal and the store."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ciplug.errors import PromotionRefused
from ciplug.mlflow import files, state
from ciplug.mlflow.place import Place, place_of
from ciplug.mlflow.registry_view import RegistryView
from ciplug.mlflow.search import Condition, Order, Table
from ciplug.mlflow.state import Experiment
from ciplug.mlflow.view import parse_uri
from ciplug.records.canonical import new_id
from ciplug.records.monitored import Monitored
from ciplug.records.registry_event import Register
from ciplug.records.run import Run
from ciplug.steps.promotion import labels, models, moves
from ciplug.steps.send import store_objects
from ciplug.steps.session import Session, open_session
from ciplug.tracking import amended
from ciplug.tracking.run_objects import run_objects
from tests.project import Project, git
from tests.servers.git_http import GitServer

EXPERIMENT = Experiment(id=state.experiment_id("wine"), name="wine")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    git(tmp_path, "init", "-q", "--bare", "remote.git")
    project = Project.create(tmp_path / "work", remote=tmp_path / "remote.git", config="version: 1\n")
    monkeypatch.chdir(project.folder)
    return project


@pytest.fixture(params=[pytest.param("with the journal", marks=pytest.mark.slow), "from the store alone"])
def fresh(request: pytest.FixtureRequest, project: Project) -> Iterator[Any]:
    """A process that begins now: on this machine, or on one that has nothing but the checkout."""

    def place() -> Place:
        if request.param != "with the journal":
            shutil.rmtree(project.folder / ".git" / "ciplug", ignore_errors=True)
        return Place("ciplug:")

    yield place


def _metric(name: str, value: float, step: int, time: int) -> dict[str, Any]:
    return {"metric": name, "value": value, "step": step, "time": time / 1000}


def _run(place: Place, name: str = "first", tags: dict[str, str] | None = None, start: int = 1_700_000_000_000) -> str:
    return place.sessions.create(EXPERIMENT, "ada", start, tags or {}, name)


def _pushes(project: Project) -> int:
    listed = git(project.folder, "ls-remote", "origin", "refs/ciplug/inbox/*")
    return len(listed.splitlines())


def test_a_run_is_one_push_and_reads_the_same_from_it(project: Project, fresh: Any, tmp_path: Path) -> None:
    place = Place("ciplug:")
    run_id = _run(place, tags={"team": "red", "gone": "x"})
    place.sessions.log(run_id, {"param": "depth", "value": "6"}, {"untag": "gone"})
    place.sessions.log(run_id, *(_metric("loss", 1 / (step + 1), step, 1_700_000_000_000 + step) for step in range(3)))
    place.sessions.log(run_id, _metric("loss", 9.0, 0, 5))
    (tmp_path / "roc.txt").write_text("a curve")
    files.write(place, files.parse_path(f"{run_id}/artifacts/plots"), "roc.txt", tmp_path / "roc.txt")
    running = Place("ciplug:").run(run_id)
    assert running is not None
    assert (running.status, running.metrics["loss"].value, running.end) == ("RUNNING", pytest.approx(1 / 3), None)
    place.sessions.end(run_id, "finished", 1_700_000_009_000)
    assert _pushes(project) == 1
    place = fresh()
    run = place.run(run_id)
    assert (run.status, run.name, run.experiment_name, run.user) == ("FINISHED", "first", "wine", "ada")
    assert (run.start, run.end) == (1_700_000_000_000, 1_700_000_009_000)
    assert run.params == {"depth": "6"}
    assert run.tags == {"team": "red", "mlflow.runName": "first"}
    assert (run.metrics["loss"].step, run.metrics["loss"].time) == (2, 1_700_000_000_002)
    assert sorted(place.points(run_id, "loss"))[0] == (5, 0, 9.0)
    assert len(place.points(run_id, "loss")) == 4
    files.download(place, files.parse_path(f"{run_id}/artifacts/plots/roc.txt"), tmp_path / "back" / "roc.txt")
    assert (tmp_path / "back" / "roc.txt").read_text() == "a curve"


def test_a_sweep_is_one_push(project: Project) -> None:
    place = Place("ciplug:")
    top = _run(place, "sweep")
    children = [_run(place, f"trial {number}", {state.PARENT: top}) for number in range(2)]
    for number, child in enumerate(children):
        place.sessions.log(child, _metric("loss", number, 0, 1))
        place.sessions.end(child, "finished", None)
    assert _pushes(project) == 0
    place.sessions.end(top, "finished", None)
    assert _pushes(project) == 1
    listed = project.ciplug("runs", "list", "--json").stdout
    assert listed.count('"parent"') >= 2


@pytest.mark.slow
def test_what_changes_after_the_end_is_kept(project: Project, fresh: Any, tmp_path: Path) -> None:
    place = Place("ciplug:")
    run_id = _run(place)
    place.sessions.end(run_id, "finished", 1_700_000_009_000)
    place.sessions.log(run_id, {"tag": "note", "value": "good"}, {"name": "renamed"}, _metric("late", 2, 7, 8_000))
    (tmp_path / "late.txt").write_text("late")
    files.write(place, files.parse_path(f"{run_id}/artifacts"), "late.txt", tmp_path / "late.txt")
    before = place.run(run_id)
    assert before is not None
    assert (before.name, before.tags["note"], before.status) == ("renamed", "good", "FINISHED")
    place.sessions.seal(run_id)
    place.sessions.send()
    place = fresh()
    run = place.run(run_id)
    assert (run.name, run.tags["note"], run.status, run.end) == ("renamed", "good", "FINISHED", 1_700_000_009_000)
    assert place.points(run_id, "late") == [(8_000, 7, 2.0)]
    assert list(files.listed(place, files.parse_path(f"{run_id}/artifacts"))) == ["late.txt"]
    place.sessions.log(run_id, {"lifecycle": "deleted"})
    place.sessions.send()
    assert fresh().run(run_id).deleted
    assert "deleted" in project.ciplug("runs", "show", run_id).stdout
    project.ciplug("fsck")


def test_experiments_and_logged_models_need_no_run(project: Project, fresh: Any) -> None:
    place = Place("ciplug:")
    key = state.experiment_key(EXPERIMENT.id)
    place.sessions.change(key, {"name": "wine"}, {"tag": "owner", "value": "ada"}, {"tag": state.CREATED, "value": "5"})
    model = state.model_key("m-" + "a" * 32)
    place.sessions.change(model, {"name": "net"}, {"tag": state.EXPERIMENT_ID, "value": EXPERIMENT.id})
    name, value = state.metric_tag(state.ModelMetric("loss", 0.5, 1, 2, "b" * 32))
    place.sessions.change(model, {"tag": name, "value": value}, {"param": "depth", "value": "6"})
    place.sessions.send()
    assert _pushes(project) == 1
    place = fresh()
    wine = place.experiments()[EXPERIMENT.id]
    assert (wine.name, wine.tags, wine.created) == ("wine", {"owner": "ada"}, 5)
    assert place.experiments()["0"].name == "Default"
    net = place.logged_model("m-" + "a" * 32)
    assert (net.name, net.experiment, net.params, net.metrics[0].value) == ("net", wine.id, {"depth": "6"}, 0.5)
    assert "m" + "a" * 32 not in project.ciplug("runs", "list", "--json").stdout
    project.ciplug("fsck")


def test_a_push_that_fails_leaves_the_run_queued(
    project: Project, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = Place("ciplug:")
    run_id = _run(place)
    (tmp_path / "remote.git").rename(tmp_path / "away.git")
    place.sessions.end(run_id, "finished", None)
    assert "ciplug record --spooled" in capsys.readouterr().err
    run = Place("ciplug:").run(run_id)
    assert run is not None and run.status == "FINISHED"
    (tmp_path / "away.git").rename(tmp_path / "remote.git")
    project.ciplug("record", "--spooled")
    assert _pushes(project) == 1


def test_what_this_clone_has_is_read_while_the_store_cannot_be_reached(
    project: Project, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Runs and their points, by a process that began before or after; and the store itself as soon as it is back."""

    def losses(place: Place) -> list[float]:
        page = Table(place.base, place.look(0.0)).search([EXPERIMENT.id], (), {"active"}, (), (), 0, None)
        assert all(len(place.points(run.id, "loss")) == 2 for run in page.runs)
        return [run.metrics["loss"].value for run in page.runs]

    def trained(place: Place, loss: float) -> None:
        run_id = _run(place, start=1_700_000_000_000 + int(loss))
        place.sessions.log(run_id, _metric("loss", 0.0, 0, 1), _metric("loss", loss, 1, 2))
        place.sessions.end(run_id, "finished", None)

    before = Place("ciplug:")
    trained(before, 1.0)
    assert losses(before) == [1.0]
    (tmp_path / "remote.git").rename(tmp_path / "away.git")
    after = Place("ciplug:")
    capsys.readouterr()
    for place in (before, after):
        place.base._records.clear()
        assert losses(place) == losses(place) == [1.0]
        assert capsys.readouterr().err.count("the store cannot be reached") == 1
    (tmp_path / "away.git").rename(tmp_path / "remote.git")
    trained(Place(f"ciplug:{project.folder}"), 2.0)
    assert losses(before) == losses(after) == [2.0, 1.0]


def test_a_killed_program_leaves_a_killed_run(project: Project) -> None:
    place = Place("ciplug:")
    run_id = _run(place)
    place.sessions.log(run_id, _metric("loss", 1, 0, 1))
    experiment = state.experiment_key(EXPERIMENT.id)
    place.sessions.change(experiment, {"name": "wine"})
    for writer in (*place.sessions.opened, place.sessions.writer_of(experiment)):
        writer.release()
    said = project.ciplug("record", "--spooled").stderr
    assert f"recovered run {run_id}" in said and "resumed" not in said
    run = Place("ciplug:").run(run_id)
    assert run is not None
    assert (run.status, run.metrics["loss"].value, run.experiment) == ("KILLED", 1.0, EXPERIMENT.id)


@pytest.mark.parametrize(
    "recorded", [pytest.param(0, marks=pytest.mark.slow), 3, pytest.param(6, marks=pytest.mark.slow)]
)
def test_search_is_the_same_whatever_is_recorded(project: Project, recorded: int) -> None:
    place = Place("ciplug:")
    ids = []
    for number, loss in enumerate([0.5, float("nan"), 0.1, None, 0.3, 0.2]):
        ids.append(_run(place, f"run {number}", {"kind": "ab"[number % 2]}, start=1_700_000_000_000 + number))
        if loss is not None:
            place.sessions.log(ids[-1], _metric("loss", loss, 0, 1))
        place.sessions.log(ids[-1], {"param": "depth", "value": str(number)})
        if number < recorded:
            place.sessions.end(ids[-1], "finished", None)

    def found(*conditions: Condition, orders: tuple[Order, ...] = (), offset: int = 0, limit: int = 9) -> list[int]:
        local = place.look(0.0)
        table = Table(place.base, local)
        page = table.search([EXPERIMENT.id], (), {"active"}, conditions, orders, offset, limit)
        return [ids.index(run.id) for run in page.runs]

    assert found() == [5, 4, 3, 2, 1, 0]
    assert found(offset=1, limit=2) == [4, 3]
    assert found(orders=(Order("metric", "loss", True),)) == [2, 5, 4, 0, 1, 3]
    assert found(orders=(Order("metric", "loss", False),)) == [0, 4, 5, 2, 1, 3]
    assert found(Condition("metric", "loss", "<", 0.25)) == [5, 2]
    assert found(Condition("metric", "loss", "!=", 0.5)) == [5, 4, 2, 1]
    assert found(Condition("tag", "kind", "=", "a"), Condition("parameter", "depth", "!=", "2")) == [4, 0]
    assert found(Condition("tag", "kind", "ILIKE", "B")) == [5, 3, 1]
    assert found(Condition("tag", "kind", "LIKE", "B")) == []
    assert found(Condition("tag", "other", "IS NULL", None)) == [5, 4, 3, 2, 1, 0]
    assert found(Condition("attribute", "run_name", "=", "run 3")) == [3]
    assert found(Condition("attribute", "start_time", ">", 1_700_000_000_003)) == [5, 4]
    assert found(Condition("attribute", "run_id", "IN", (ids[1], ids[4]))) == [4, 1]
    running = [number for number in range(5, -1, -1) if number >= recorded]
    assert found(Condition("attribute", "status", "=", "RUNNING")) == running


def test_a_folder_of_artifacts_goes_by_one_push_and_comes_by_one_look_up(
    project: Project, git_server: GitServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    git_server.create("wine")
    git(project.folder, "remote", "set-url", "origin", git_server.url("wine"))
    place = Place("ciplug:")
    place.look()
    # MLflow sets variables while it runs, and the store is opened before the place for files.
    monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", "1")
    run_id = _run(place)
    for number in range(8):
        (tmp_path / f"{number}.txt").write_text(f"file {number}")
        files.write(
            place, files.parse_path(f"{run_id}/artifacts/model/deep"), f"{number}.txt", tmp_path / f"{number}.txt"
        )
    git_server.requests.clear()
    place.sessions.end(run_id, "finished", None)
    assert [one.service for one in git_server.requests] == ["receive-pack", "receive-pack"]
    shutil.rmtree(project.folder / ".git" / "ciplug")

    place = Place("ciplug:")
    (tmp_path / "fetched").mkdir()
    subject = files.parse_path(f"{run_id}/artifacts/model")
    files.listed(place, subject)
    git_server.requests.clear()
    files.fetch_below(place, subject, tmp_path / "fetched")
    assert len(git_server.requests) <= 5
    git_server.requests.clear()
    for number in range(8):
        one = files.parse_path(f"{run_id}/artifacts/model/deep/{number}.txt")
        files.download(place, one, tmp_path / "back" / str(number), tmp_path / "fetched")
        assert (tmp_path / "back" / str(number)).read_text() == f"file {number}"
    assert git_server.requests == []


def test_looks_at_production_are_in_an_experiment_of_their_own(project: Project) -> None:
    """Whoever searches an experiment for its best run finds trainings, in the catalog and in the spool."""
    began = "2026-01-01T00:00:00Z"
    seen = Monitored(version=1, stage="production", since=began, until=began, outcome="PASS")
    training = Run(id=new_id(), model="wine", status="finished", started=began, ended=began, metrics={"accuracy": 0.9})
    looked = replace(training, id=new_id(), metrics={"accuracy": 0.99}, monitor=seen)
    store_objects(open_session(cwd=project.folder, for_recording=True), run_objects(training) | run_objects(looked))
    place = Place("ciplug:")

    def found(experiment: str, *conditions: Condition) -> list[str]:
        table = Table(place.base, place.look(0.0))
        page = table.search([state.experiment_id(experiment)], (), {"active"}, conditions, (), 0, None)
        return [run.id for run in page.runs]

    is_monitor = Condition("tag", "ciplug.kind", "=", "monitor")
    for _ in range(2):
        assert found("wine") == [training.id] and found("wine/monitor") == [looked.id]
        assert found("wine", is_monitor) == [] and found("wine/monitor", is_monitor) == [looked.id]
        run = place.run(looked.id)
        assert run is not None and run.tags["ciplug.kind"] == "monitor" and run.experiment_name == "wine/monitor"
        assert {one.name for one in place.experiments().values()} == {"Default", "wine", "wine/monitor"}
        place.sessions.log(looked.id, {"tag": "seen", "value": "yes"})


def test_the_plus_of_an_address_may_be_encoded_or_not() -> None:
    for plus in ("+", "%2B"):
        assert parse_uri(f"ciplug:?store=git{plus}https://host/wine.git") == (None, "git+https://host/wine.git")


def test_a_program_that_changes_its_folder_goes_on_in_its_checkout(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MLflow keeps the tracking store that it has made; the artifacts and the registry are of the same checkout."""
    tracking = place_of("ciplug:", is_tracking=True)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert place_of("ciplug:") is tracking and tracking.session.top == project.folder
    assert place_of("ciplug:", is_tracking=True) is not tracking
    monkeypatch.chdir(project.folder.parent)
    relative = Place("ciplug:work")
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert relative.session.top == project.folder


def test_what_another_process_has_sent_meanwhile_is_not_lost(project: Project) -> None:
    """It is neither in the journals of this machine any more, nor in what was read of the store before."""
    here, other = Place("ciplug:"), Place("ciplug:")
    model = "m-" + "a" * 32
    other.sessions.change(state.model_key(model), {"name": "net"}, {"tag": "stage", "value": "trial"})
    other.sessions.send()
    assert here.logged_model(model).tags == {"stage": "trial"}
    other.sessions.change(state.model_key(model), {"tag": "stage", "value": "final"})
    assert here.logged_model(model).tags == {"stage": "final"}
    other.sessions.send()
    assert here.logged_model(model).tags == {"stage": "final"}


def test_what_was_read_is_not_read_again(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    place = Place("ciplug:")
    for number in range(3):
        key = state.model_key(f"m-{number:032x}")
        place.sessions.change(key, {"name": f"net {number}"}, {"tag": state.EXPERIMENT_ID, "value": EXPERIMENT.id})
    place.sessions.send()
    place = Place("ciplug:")
    assert len(place.base.logged_models(place.look())) == 3
    generation, made, folded = place.base.generation, [], []
    monkeypatch.setattr(state, "logged_model", lambda *given, real=state.logged_model: made.append(1) or real(*given))
    monkeypatch.setattr(amended, "fold", lambda *given, real=amended.fold: folded.append(1) or real(*given))
    assert len(place.base.logged_models(place.look(0.0))) == 3
    assert (made, folded, place.base.generation) == ([], [], generation)
    other = Place("ciplug:")
    other.sessions.change(state.model_key("m-" + "1".zfill(32)), {"tag": "stage", "value": "trial"})
    other.sessions.send()
    made.clear(), folded.clear()
    found = place.base.logged_models(place.look(0.0))
    assert found["m-" + "1".zfill(32)].tags == {"stage": "trial"} and found["m-" + "0" * 32].tags == {}
    assert (len(made), len(folded)) == (1, 1) and place.base.generation > generation


def test_a_version_by_the_address_of_a_run_has_the_artifacts_that_were_recorded(tmp_path: Path) -> None:
    """A folder that is one artifact of the run is one of the version: promote and pull look for that."""
    project = Project.with_remote(tmp_path, config="version: 1\nmodel: wine\nartifacts: [net, notes.txt]\n")
    script = "import os; os.mkdir('net'); open('net/a.bin', 'w').write('a'); open('notes.txt', 'w').write('b')"
    project.ciplug("run", "--", sys.executable, "-c", script)
    (run,) = project.json("runs", "list", "--json")
    view = RegistryView(Place(f"ciplug:{project.folder}"))

    def files_at(path: str) -> list[str]:
        made = view.registration(f"runs:/{run['id']}/{path}", run["id"])
        assert made.record and (made.digest is None) == (not made.files)
        return sorted(made.files)

    assert files_at("") == ["net", "notes.txt"]
    assert (files_at("net"), files_at("notes.txt"), files_at("net/a.bin")) == (["net"], ["notes.txt"], [])


@pytest.mark.slow
def test_a_write_to_the_registry_asks_for_policy_and_store_once(project: Project, git_server: GitServer) -> None:
    """Six requests, whatever is written: two for the policy, two for the store, two for the push; none to read it."""
    git_server.create("registry")
    git(project.folder, "remote", "set-url", "origin", git_server.url("registry"))
    project.push()
    view = RegistryView(Place("ciplug:"))
    writes: list[Callable[[Session], object]] = [
        lambda session: models.create_model(session, "wine"),
        lambda session: models.register_version(session, "wine", Register(version=0)),
        lambda session: labels.set_alias(session, "wine", "best", view.model("wine").last_number),
        lambda session: moves.move_freely(session, "wine", 1, "Staging"),
    ]
    for write in writes:
        git_server.requests.clear()
        view.write(write)
        assert view.model("wine").exists and view.gated_stages("wine") == ()
        assert [one.service for one in git_server.requests][-2:] == ["receive-pack", "receive-pack"]
        # A clone that has written fetches, with one request more, where another listing would do.
        assert len(git_server.requests) <= 7
    git_server.requests.clear()
    assert view.model("wine", fresh=True).aliases and view.gated_stages("wine") == ()
    assert len(git_server.requests) <= 3


@pytest.mark.slow
def test_a_write_to_the_registry_goes_by_the_policy_and_the_log_of_that_moment(
    project: Project, git_server: GitServer, tmp_path: Path
) -> None:
    git_server.create("moment")
    git(project.folder, "remote", "set-url", "origin", git_server.url("moment"))
    project.push()
    view = RegistryView(Place("ciplug:"))
    view.write(lambda session: models.create_model(session, "wine"))
    view.write(lambda session: models.register_version(session, "wine", Register(version=0)))
    git(tmp_path, "clone", "-q", git_server.url("moment"), "other")
    other = Project(tmp_path / "other")
    (other.folder / "ciplug.yaml").write_text("version: 1\nmodel: wine\ngates:\n  accuracy: {min: 0.8}\n")
    other.commit("a gate")
    other.push()
    other.ciplug("registry", "tag", "wine", "team=vision", "--version", "1")
    tags: list[object] = []

    def tag(session: Session) -> object:
        tags.append(dict(view.model("wine").version(1).tags))
        return labels.set_tag(session, "wine", 1, "team", "sound")

    view.write(tag)
    assert tags == [{"team": "vision"}] and view.model("wine").version(1).tags == {"team": "sound"}
    assert view.gated_stages("wine") == ("Staging", "Production")
    with pytest.raises(PromotionRefused):
        view.write(lambda session: labels.set_alias(session, "wine", "production", 1))
