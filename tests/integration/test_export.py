"""Runs and models in other systems: stand-ins that refuse what GitLab, Azure ML and SageMaker refuse.

It runs the commands of docs/export.md.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.integration.test_docs import ROOT, blocks
from tests.project import Project
from tests.servers.mlflow_dialects import AzureTracker, GitlabTracker, SagemakerTracker, TrackerApi

CONFIG = "version: 1\nmodel: wine\nartifacts: [model/]\ngates:\n  accuracy: {higher_is_better: true, min: 0.5}\n"
TOKEN = "glpat-secret"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A store with a run of two files, promoted as version 1. No test here changes it."""
    project = Project.with_remote(tmp_path_factory.mktemp("export"), CONFIG)
    (project.folder / "train.py").write_text(
        "import json, pathlib\n"
        'pathlib.Path("metrics.json").write_text(json.dumps({"accuracy": 0.9, "odd": float("nan")}))\n'
        'pathlib.Path("model").mkdir(exist_ok=True)\n'
        '[pathlib.Path("model", name).write_text(name) for name in ("MLmodel", "model.bin")]\n'
        'pathlib.Path("params.yaml").write_text("depth: 6\\nnote: " + "x" * 300)\n'
    )
    project.commit("a training")
    project.push()
    words = ("--metrics", "metrics.json", "--params", "params.yaml", "--tag", "team=red", "--name", "first")
    project.ciplug("run", *words, "--", "python", "train.py")
    project.ciplug("gate")
    project.ciplug("promote", "wine", "--to", "staging")
    return project


def _docs(system: str) -> list[str]:
    """The lines of docs/export.md that call ciplug for a system."""
    text = "\n".join(block.text for block in blocks(ROOT / "docs" / "export.md") if block.language == "bash")
    return re.findall(rf"^ciplug export {system}.*$", text, re.MULTILINE)


def _said(project: Project, *words: str, env: dict[str, str] | None = None, code: int = 0) -> str:
    done = project.ciplug("export", *words, env=env, code=code)
    assert TOKEN not in done.stdout + done.stderr
    return done.stdout + done.stderr


def test_mlflow(project: Project) -> None:
    (line,) = _docs("mlflow")
    with TrackerApi() as there:
        there.authorization = f"Bearer {TOKEN}"
        words = line.replace("http://127.0.0.1:5000", there.url).split()[2:]
        env = {"MLFLOW_TRACKING_TOKEN": TOKEN}
        assert _said(project, *words, env=env).startswith(
            "1 new run, 0 known\n1 new version of registered models, 0 known\n"
        )
        said = _said(project, *words, env=env)
        assert said == "0 new runs, 1 known\n0 new versions of registered models, 1 known\n"
        run, (version,) = there.run_named("first"), there.versions.values()
        assert "HTTP 401" in _said(project, *words, code=3)
    data = {kind: {one["key"]: one["value"] for one in run["data"][kind]} for kind in ("params", "metrics", "tags")}
    assert data["params"] == {"depth": "6", "note": "x" * 300}
    assert data["metrics"] == {"accuracy": 0.9, "odd": "NaN"}
    assert data["tags"]["team"] == "red" and data["tags"]["mlflow.source.git.commit"] == project.head
    assert run["info"]["status"] == "FINISHED"
    top = f"{run['info']['run_id']}/artifacts"
    assert there.files == {f"{top}/model/MLmodel": b"MLmodel", f"{top}/model/model.bin": b"model.bin"}
    assert version["source"] == f"runs:/{run['info']['run_id']}"


def test_gitlab(project: Project) -> None:
    plain, named = _docs("gitlab")
    with GitlabTracker() as there:
        there.authorization = f"Bearer {TOKEN}"
        env = {"CIPLUG_GITLAB_URL": there.origin, "CIPLUG_GITLAB_TOKEN": TOKEN}
        said = _said(project, *named.replace("https://gitlab.com", there.origin).split()[2:], env=env)
        assert said.startswith("1 new run, 0 known\n1 new version of registered models, 0 known\n")
        assert "left out 1: metric value: it is NaN or infinite" in said
        assert "left out 1: parameter: PG::StringDataRightTruncation" in said
        assert "left out 1: stage: GitLab keeps none; it is in the tag ciplug.stage" in said
        again = _said(project, *named.replace("https://gitlab.com", there.origin).split()[2:], env=env)
        assert "0 new runs, 1 known\n0 new versions of registered models, 1 known\n" in again
        assert len(there.runs) == 2 and len(there.versions) == 1
        (version,) = there.versions.values()
        assert version["aliases"] == ["1.0.0"]
        kept = {name.partition("/")[2] for name in there.files}
        assert kept == {"model__MLmodel", "model__model.bin"} and len(there.files) == 4
        # A token for this checkout's GitLab goes to no other one.
        assert "is for the GitLab of this checkout alone" in _said(
            project, *named.split()[2:], env={"CIPLUG_GITLAB_TOKEN": TOKEN, "CIPLUG_GITLAB_URL": there.origin}, code=2
        )
    assert plain == "ciplug export gitlab"


def test_azure(project: Project) -> None:
    (line,) = _docs("azureml")
    assert line.startswith('ciplug export azureml "$(az ml workspace show')
    with AzureTracker() as there:
        there.authorization = f"Bearer {TOKEN}"
        assert "az account get-access-token" in _said(project, "azureml", there.url, code=2)
        said = _said(project, "azureml", there.url, env={"MLFLOW_TRACKING_TOKEN": TOKEN})
        assert "1 new run, 0 known" in said and "left out 1: file: Azure ML keeps them at azureml:" in said
        assert there.copies() and not there.files
    assert "is not the tracking URI of a workspace" in _said(project, "azureml", "https://ml.azure.com", code=2)


def test_sagemaker(project: Project, tmp_path: Path) -> None:
    pytest.importorskip("boto3")
    (line,) = _docs("sagemaker")
    with SagemakerTracker() as there:
        keys = {"AWS_ACCESS_KEY_ID": "AKIAEXAMPLE", "AWS_SECRET_ACCESS_KEY": TOKEN}
        env = {"SAGEMAKER_MLFLOW_CUSTOM_ENDPOINT": there.origin, **keys}
        there.bucket = "wasbs://elsewhere"
        said = _said(project, *line.split()[2:], env=env)
        assert "1 new run, 0 known" in said and there.copies()
    assert "is not the ARN" in _said(project, "sagemaker", "https://example.com", env=keys, code=2)


@pytest.mark.slow
def test_a_killed_or_interrupted_export_leaves_each_run_once(project: Project) -> None:
    """Cut at every request in turn, before and after the server has carried it out."""
    runs = project.json("runs", "list", "--json")
    for server in (TrackerApi, GitlabTracker):
        with server() as there:
            is_gitlab = server is GitlabTracker
            words = ("gitlab", f"{there.origin}/acme/demo") if is_gitlab else ("mlflow", there.url)
            env = {"CIPLUG_GITLAB_URL": there.origin, "CIPLUG_GITLAB_TOKEN": TOKEN}
            for path in (
                "experiments/create",
                "runs/create",
                "log-batch",
                "set-tag",
                "files/",
                "model-versions/create",
            ):
                there.fail_next(None, path=path, method="PUT" if path == "files/" else "POST", after=True)
                project.ciplug("export", *words, env=env, code=None)
            project.ciplug("export", *words, env=env)
            of_runs = [run for run in there.runs.values() if run["info"]["run_name"] == "first"]
            assert len(of_runs) == len(there.experiments) == len(there.versions) == 1
            assert [one["value"] for one in of_runs[0]["data"]["tags"] if one["key"] == "ciplug.run"] == [runs[0]["id"]]


def test_no_credential_follows_a_redirect(project: Project) -> None:
    with TrackerApi() as there, TrackerApi() as elsewhere:
        place = [("Location", f"{elsewhere.url}/api/2.0/mlflow/experiments/get-by-name?token=secret")]
        there.fail_next(302, headers=dict(place))
        said = _said(project, "mlflow", there.url, env={"MLFLOW_TRACKING_TOKEN": TOKEN}, code=3)
        assert "redirects to" in said and "secret" not in said and not elsewhere.calls


def test_targets_that_are_none(project: Project) -> None:
    assert "mlflow server --backend-store-uri sqlite:///copy.db" in _said(
        project, "mlflow", "sqlite:///copy.db", code=2
    )
    assert "not of a project on GitLab" in _said(project, "gitlab", code=2)
    listed = _said(project)
    assert all(f"ciplug export {name}" in listed for name in ("mlflow", "gitlab", "azureml", "sagemaker"))
