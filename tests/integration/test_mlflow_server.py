"""Runs read from an MLflow server; one that fails costs a warning, and nothing of the run that ciplug has."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ciplug.capture.mlflow import rest_store
from ciplug.capture.mlflow.places import open_store
from ciplug.capture.mlflow.run import MlflowRun, StoreUnreadable
from tests.project import Project
from tests.servers.mlflow_api import MlflowApi

MARK = "00000000000000000000000000000001"


@pytest.fixture(params=[1000, 1])
def server(request: pytest.FixtureRequest) -> Iterator[MlflowApi]:
    """With all on one page, and with a page for each item."""
    with MlflowApi(most=request.param) as server:
        yield server


def _read(uri: str, env: dict[str, str] | None = None, marked: str | None = MARK) -> list[MlflowRun]:
    return open_store(uri, Path(), env or {}).runs(marked)


def test_runs_are_read(server: MlflowApi) -> None:
    runs = _read(server.origin)

    by_name = {run.name: run for run in runs}
    sweep = by_name["sweep"]
    assert len(runs) == 5 and sum(run.parent == sweep.id for run in runs) == 3
    assert (sweep.status, sweep.experiment, by_name["inner"].parent) == ("FINISHED", "wine", by_name["fold-1"].id)
    assert [(point.step, point.value) for point in sweep.metrics["loss"]] == [(1, 1.0), (2, 0.5), (3, 1 / 3)]
    assert math.isnan(sweep.metrics["bad"][0].value) and sweep.params["lr"] == "0.01"
    assert [data.facts["name"] for data in sweep.datasets] == ["wine-red"] and sweep.datasets[0].context == "training"
    (model,) = sweep.outputs
    assert (model.name, model.step, model.params) == ("classifier", 3, {"depth": "6", "kind": "tree"})
    assert model.tags["stage"] == "trial" and model.location == f"mlflow-artifacts:/1/models/{model.id}/artifacts"
    assert sweep.artifact_uri == f"mlflow-artifacts:/1/{sweep.id}/artifacts"
    assert sweep.elsewhere == {
        "classifier": model.location,
        **{name: f"{sweep.artifact_uri}/{name}" for name in ("classes.json", "notes")},
    }


def test_a_server_that_does_not_tell_of_models_and_artifacts_loses_no_run(server: MlflowApi) -> None:
    """Those of MLflow 2 have no logged models; a proxy may refuse to list artifacts."""
    server.answers["models"] = server.answers["artifacts"] = {}
    (sweep,) = [run for run in _read(server.origin) if run.name == "sweep"]
    assert [(model.name, model.params, model.location) for model in sweep.outputs] == [(None, {}, None)]
    assert sweep.elsewhere == {} and len(sweep.metrics) == 4


def test_runs_without_the_tag_are_not_runs_of_the_command(server: MlflowApi) -> None:
    assert _read(server.origin, marked="another") == []


@pytest.mark.parametrize(
    ("user", "env", "header"),
    [
        ("", {"MLFLOW_TRACKING_USERNAME": "ada", "MLFLOW_TRACKING_PASSWORD": "pw"}, "Basic YWRhOnB3"),
        ("ada:p%77@", {"MLFLOW_TRACKING_TOKEN": "t"}, "Basic YWRhOnB3"),
        ("", {"MLFLOW_TRACKING_TOKEN": "t\n"}, "Bearer t"),
    ],
)
def test_the_credentials_are_those_of_mlflow(user: str, env: dict[str, str], header: str) -> None:
    with MlflowApi() as server:
        server.authorization = header
        uri = server.origin.replace("//", f"//{user}")
        assert len(_read(uri, env)) == 5
        with pytest.raises(StoreUnreadable, match=r"401.*You are not authenticated") as error:
            _read(server.origin)
    assert "pw" not in str(error.value)


def test_a_busy_server_is_asked_again(server: MlflowApi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rest_store, "_WAIT", 0.01)
    server.fail_next(503, times=2)

    assert len(_read(server.origin)) == 5


@pytest.mark.parametrize("answer", ["<html>", [], {"experiments": [{}]}, {"experiments": 1}, {"experiments": ["x"]}])
def test_what_is_not_an_answer_of_mlflow_is_an_error(answer: object) -> None:
    with MlflowApi() as server:
        server.fail_next(200, times=9, body=answer)
        with pytest.raises(StoreUnreadable, match=r"127\.0\.0\.1"):
            _read(server.origin)


def test_a_server_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rest_store, "_SECONDS", 0.2)
    with MlflowApi(latency=1) as server:
        began = time.monotonic()
        with pytest.raises(StoreUnreadable, match="timed out"):
            _read(server.origin)
        assert time.monotonic() - began < 5


def test_a_value_that_is_none_is_named(server: MlflowApi) -> None:
    for points in server.answers["histories"].values():
        points.append({"key": "x", "value": "much", "timestamp": 1, "step": 0})
    sweep = next(run for run in _read(server.origin) if run.name == "sweep")

    assert {one.name: one.found for one in sweep.left_out} == dict.fromkeys(
        ["loss", "accuracy", "val/f1 macro", "bad"], "much"
    )


@pytest.mark.slow
def test_a_training_that_logs_to_a_server(tmp_path: Path) -> None:
    """The run ends whole where the server answers, and with what ciplug has of it where it fails."""
    project = Project.create(tmp_path / "work", config="version: 1\nmodel: wine\nmetrics: metrics.json\n")
    (project.folder / "train.py").write_text("open('metrics.json', 'w').write('{\"a\": 1}')")
    project.commit("a training")
    with MlflowApi() as server:
        env = {"MLFLOW_TRACKING_URI": server.origin.replace("//", "//ada:secret@")}
        server.fail_next(500, times=99, body={"message": "the database is gone"})
        said = project.ciplug("run", "--", sys.executable, "train.py", env=env).stderr
    assert "HTTP 500" in said and "the database is gone" in said and "not recorded here" in said
    assert "secret" not in said

    with MlflowApi() as server:
        server.marked_for_all = True
        said = project.ciplug(
            "run", "--", sys.executable, "train.py", env={"MLFLOW_TRACKING_URI": server.origin}
        ).stderr
    assert "5 metrics, 4 child runs" in said

    last, first = (run for run in project.json("runs", "list", "--json") if "parent" not in run)
    assert (first["metrics"], last["metrics"]["accuracy"], last["metrics"]["a"]) == ({"a": 1}, 0.9, 1)
