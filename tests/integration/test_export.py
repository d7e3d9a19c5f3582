"""Runs and models in other systems: stand-ins that refuse what GitLab, Azure ML and SageMaker refuse.

It runs the commands of docs/export.md.
"""

from __future__ import annotations

import csv
import math
import re
import sys
from pathlib import Path

import pytest

from ciplug.stores.bucket.opening import open_bucket
from tests.integration.test_docs import ROOT, blocks
from tests.project import Project, measured
from tests.servers.mlflow_dialects import AzureTracker, GitlabTracker, SagemakerTracker, TrackerApi
from tests.servers.seaweedfs import S3

CONFIG = "version: 1\nmodel: wine\nartifacts: [model/]\ngates:\n  accuracy: {higher_is_better: true, min: 0.5}\n"
TOKEN = "glpat-secret"
FORK = {
    "CI_PIPELINE_SOURCE": "merge_request_event",
    "CI_MERGE_REQUEST_IID": "3",
    "CI_MERGE_REQUEST_SOURCE_PROJECT_ID": "8",
    "CI_MERGE_REQUEST_PROJECT_ID": "7",
    "CI_MERGE_REQUEST_TARGET_BRANCH_NAME": "main",
}


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
        'steps = [json.dumps({"step": step, "loss": 1 / (step + 1)}) for step in range(1200)]\n'
        'pathlib.Path("steps.jsonl").write_text("\\n".join(steps))\n'
        'pathlib.Path("more.yaml").write_text("\\n".join(f"p{n}: {n}" for n in range(220)))\n'
    )
    project.commit("a training")
    project.push()
    words = ("--metrics", "metrics.json", "--metrics", "steps.jsonl", "--params", "params.yaml")
    words += ("--params", "more.yaml", "--tag", "team=red", "--name", "first")
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


@pytest.mark.slow
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
    assert data["params"] == {"depth": "6", "note": "x" * 300, **{f"p{number}": str(number) for number in range(220)}}
    assert data["metrics"] == {"accuracy": 0.9, "odd": "NaN", "loss": 1 / 1200}
    steps = [point["step"] for point in there.points[run["info"]["run_id"]] if point["key"] == "loss"]
    assert steps == list(range(1200))
    assert data["tags"]["team"] == "red" and data["tags"]["mlflow.source.git.commit"] == project.head
    assert run["info"]["status"] == "FINISHED"
    top = f"{run['info']['run_id']}/artifacts"
    assert there.files == {f"{top}/model/MLmodel": b"MLmodel", f"{top}/model/model.bin": b"model.bin"}
    assert version["source"] == f"runs:/{run['info']['run_id']}"


@pytest.mark.slow
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
        # A run has 200 parameters there, and a request 250 values.
        assert "left out 22: parameter: A field of the entity is over the size limit" in said
        run = there.run_named("first")
        assert len(run["data"]["params"]) == 200 and len(there.points[run["info"]["run_id"]]) == 1202
    assert "is not the tracking URI of a workspace" in _said(project, "azureml", "https://ml.azure.com", code=2)


@pytest.mark.slow
@pytest.mark.e2e
def test_sagemaker(project: Project, s3: S3) -> None:
    """Requests are signed, and files go to the bucket of the server."""
    pytest.importorskip("boto3")
    (line,) = _docs("sagemaker")
    with SagemakerTracker() as there:
        there.bucket = "s3://runs/mlflow"
        env = {**s3.env, "SAGEMAKER_MLFLOW_CUSTOM_ENDPOINT": there.origin}
        refused = _said(project, *line.split()[2:4], env=env, code=3)
        assert "a bucket that you have not named" in refused and "--artifacts s3://runs" in refused
        assert not there.runs
        cut = _said(project, *line.split()[2:4], env={**env, "AWS_SESSION_TOKEN": f"{TOKEN}\n"}, code=3)
        assert "Invalid header value b'***" in cut
        words = [word.replace("s3://acme-mlflow", "s3://runs") for word in line.split()[2:]]
        said = _said(project, *words, env=env)
        assert "1 new run, 0 known" in said and there.copies() and ": file:" not in said
        top = f"mlflow/{there.run_named('first')['info']['run_id']}/artifacts"
    bucket = open_bucket("s3://runs", s3.env)
    assert bucket.get(f"{top}/model/MLmodel") == b"MLmodel" and bucket.get(f"{top}/model/model.bin") == b"model.bin"
    assert "is not the ARN" in _said(project, "sagemaker", "https://example.com", env=s3.env, code=2)


@pytest.mark.slow
@pytest.mark.parametrize("tracker", [TrackerApi, GitlabTracker])
def test_an_interrupted_export_leaves_each_run_once(project: Project, tracker: type[TrackerApi]) -> None:
    """The connection is cut at each kind of request in turn, after the server has carried it out."""
    (run,) = project.json("runs", "list", "--json")
    paths = ("experiments/create", "runs/create", "log-batch", "set-tag", "files/", "model-versions/create")
    with tracker() as there:
        words = ("mlflow", there.url) if tracker is TrackerApi else ("gitlab", f"{there.origin}/acme/demo")
        env = {"CIPLUG_GITLAB_URL": there.origin, "CIPLUG_GITLAB_TOKEN": TOKEN}
        for path in paths:
            there.fail_next(None, path=path, method="PUT" if path == "files/" else "POST", after=True)
            project.ciplug("export", *words, env=env, code=None)
        project.ciplug("export", *words, env=env)
        (copy,) = (one for one in there.runs.values() if one["info"]["run_name"] == "first")
        assert len(there.experiments) == len(there.versions) == 1
        assert {"key": "ciplug.run", "value": run["id"]} in copy["data"]["tags"]


def test_no_credential_follows_a_redirect(project: Project) -> None:
    with TrackerApi() as there, TrackerApi() as elsewhere:
        place = [("Location", f"{elsewhere.url}/api/2.0/mlflow/experiments/get-by-name?token=secret")]
        there.fail_next(302, headers=dict(place))
        said = _said(project, "mlflow", there.url, env={"MLFLOW_TRACKING_TOKEN": TOKEN}, code=3)
        assert "redirects to" in said and "secret" not in said and not elsewhere.calls


def test_a_token_that_cannot_be_sent_is_not_shown(project: Project) -> None:
    said = _said(project, "mlflow", "http://127.0.0.1:9", env={"MLFLOW_TRACKING_TOKEN": f"{TOKEN}\n{TOKEN}"}, code=2)
    assert "MLFLOW_TRACKING_TOKEN holds no token" in said


def test_targets_that_are_none(project: Project) -> None:
    assert "mlflow server --backend-store-uri sqlite:///copy.db" in _said(
        project, "mlflow", "sqlite:///copy.db", code=2
    )
    assert "not of a project on GitLab" in _said(project, "gitlab", code=2)
    own = {"CIPLUG_GITLAB_URL": "http://127.0.0.1:9", "CI_JOB_TOKEN": "job"}
    assert "its job token does not reach model experiments" in _said(project, "gitlab", env=own, code=2)
    listed = _said(project)
    assert all(f"ciplug export {name}" in listed for name in ("mlflow", "gitlab", "azureml", "sagemaker"))


@pytest.mark.slow
def test_a_green_job_of_gitlab_sends_its_run(tmp_path: Path) -> None:
    """By one line of ciplug.yaml. What goes wrong is said, with the command that sends the run again."""
    project = Project.with_remote(
        tmp_path, f"{CONFIG}export: gitlab\nmetrics: metrics.json\n".replace("model/", "model.txt")
    )

    def job(there: GitlabTracker, measured_as: float, **more: str) -> tuple[str, str]:
        env = {
            "GITLAB_CI": "true", "CI_PIPELINE_SOURCE": "push", "CI_COMMIT_SHA": project.head, "CI_JOB_ID": "42",
            "CI_PROJECT_PATH": "acme/demo", "CI_PROJECT_ID": "7", "CI_SERVER_URL": there.origin,
            "CI_COMMIT_BRANCH": "main",
            "CI_API_V4_URL": f"{there.origin}/api/v4", "CIPLUG_GITLAB_TOKEN": TOKEN, "CI_DEFAULT_BRANCH": "main",
            **measured({"accuracy": measured_as}), **more,
        }  # fmt: skip
        code = 0 if measured_as > 0.5 else 1
        done = project.ciplug("ci", "--no-comment", "--", sys.executable, "train.py", env=env, code=code)
        assert TOKEN not in done.stdout + done.stderr
        return done.stderr, re.findall(r"\brun (\w{32}) \(", done.stderr)[-1]

    with GitlabTracker() as there:
        there.authorization = f"Bearer {TOKEN}"
        said, first = job(there, 0.9)
        assert f"run {first[:12]} is in GitLab's model experiments, too" in said
        assert there.copies() == [first] and there.copies("gitlab.CI_JOB_ID") == ["42"]
        before = len(there.calls)
        assert "model experiments" not in job(there, 0.4)[0] + job(there, 0.9, **FORK)[0]
        assert len(there.calls) == before
        said, second = job(there, 0.91, CIPLUG_GITLAB_TOKEN="expired")
        assert f"run {second[:12]} is recorded, and is not in GitLab's model experiments" in said
        line = f"ciplug export gitlab --run {second}"
        assert f"send it again: {line}" in said and there.copies() == [first]
        env = {"CIPLUG_GITLAB_URL": there.origin, "CIPLUG_GITLAB_TOKEN": TOKEN}
        _said(project, *line.split()[2:3], f"{there.origin}/acme/demo", *line.split()[3:], env=env)
        assert there.copies() == sorted([first, second])
        for body in ({"run": {}}, b"[" * 200_000):
            there.fail_next(200, body=body, path="runs/create")
            assert "not an answer of an MLflow server" in job(there, 0.92)[0]


@pytest.mark.slow
def test_hugging_face(project: Project, tmp_path: Path) -> None:
    """A card that its own reader takes, beside what people have written there."""
    (line,) = _docs("huggingface")
    words = [str(tmp_path / "card") if word == "card" else word for word in line.split()[2:]]
    file = tmp_path / "card" / "README.md"
    assert _said(project, *words).strip() == str(file)
    part = file.read_text().partition("---\n\n")[2]
    file.write_text(f"---\nlanguage: no  # Norwegian\ntags: [wine]\n---\n\n# Ours\n\n{part}\nThe end.\n")
    once = (_said(project, *words), file.read_text())[1]
    assert (_said(project, *words), file.read_text())[1] == once
    assert once.startswith("---\nlanguage: no  # Norwegian\n") and "# Ours\n" in once and once.endswith("The end.\n")
    hub = pytest.importorskip("huggingface_hub")
    card = hub.ModelCard(once, ignore_metadata_errors=False)
    assert {one.metric_type: one.metric_value for one in card.data.eval_results}["accuracy"] == 0.9
    assert (card.data.tags, card.data.model_name) == (["wine", "ciplug"], "wine")
    file.write_text("---\n: [\n---\n")
    assert "README.md:2: the front matter is not YAML" in _said(project, *words, code=2)
    assert file.read_text() == "---\n: [\n---\n"
    private = tmp_path / "private"
    file.rename(private)
    file.symlink_to(private)
    assert "README.md is a link" in _said(project, *words, code=2) and private.read_text() == "---\n: [\n---\n"
    assert "no gates" not in _said(project, "huggingface", str(tmp_path), "--version", "wine@v9", code=2)


@pytest.mark.slow
def test_tables(project: Project, tmp_path: Path) -> None:
    lines = [*_docs("csv"), *_docs("parquet")]
    assert [line.split()[2:4] for line in lines] == [["csv", "runs.csv"], ["parquet", "runs.parquet"]]
    (run,) = project.json("runs", "list", "--json")
    assert "1 run in " in _said(project, "csv", str(tmp_path / "runs.csv"))
    with (tmp_path / "runs.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert (row["run_id"], row["metrics.accuracy"], row["metrics.odd"], row["params.depth"]) == (
        run["id"],
        "0.9",
        "nan",
        "6",
    )
    assert (row["tags.team"], row["parent"], row["trusted"]) == ("red", "", "true")
    parquet = pytest.importorskip("pyarrow.parquet")
    _said(project, "parquet", str(tmp_path / "runs.parquet"), "--where", "metrics.accuracy > 0.5")
    table = parquet.read_table(tmp_path / "runs.parquet")
    (typed,) = table.to_pylist()
    assert typed.keys() == row.keys() and (typed["metrics.accuracy"], typed["params.depth"]) == (0.9, 6)
    assert math.isnan(typed["metrics.odd"]) and typed["started"].tzinfo is not None and typed["parent"] is None
    said = _said(project, "parquet", str(tmp_path / "none.parquet"), "--where", "metrics.accuracy > 5")
    assert "0 runs" in said and parquet.read_table(tmp_path / "none.parquet").num_rows == 0
    assert "cannot be written" in _said(project, "csv", f"{tmp_path}/runs.csv/x.csv", code=2)
    (tmp_path / "link.csv").symlink_to(tmp_path / "runs.csv")
    for name in ("link.csv", "."):
        assert "is a link, or no file" in _said(project, "csv", str(tmp_path / name), code=2)
    assert sorted(one.name for one in tmp_path.iterdir()) == ["link.csv", "none.parquet", "runs.csv", "runs.parquet"]
