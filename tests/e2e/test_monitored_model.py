"""A model of scikit-learn from its training to its rollback: served, logged, watched, and brought back."""

from __future__ import annotations

import json
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from ciplug.forges import open_forge
from ciplug.records.provenance import Context
from ciplug.steps.monitoring import alerts as telling
from ciplug.steps.monitoring.monitor import Looked, look
from ciplug.steps.monitoring.watched_version import Request
from ciplug.steps.session import open_session
from tests.e2e.test_mlflow_trainings import python  # noqa: F401
from tests.project import Project
from tests.servers.gitea_api import GiteaApi
from tests.servers.program import free_ports

pytestmark = [pytest.mark.e2e, pytest.mark.slow]
CONFIG = """\
version: 1
model: wine
metrics: metrics.json
artifacts: model
datasets: train.csv
gates:
  accuracy: {higher_is_better: true, min: 0.8}
monitor:
  predictions: predictions/*.jsonl
  labels: labels.jsonl
  reference: train.csv
  columns: [alcohol, hue]
  consecutive: 2
  on_fail: rollback
  cool_down: 0h
"""
TRAIN = """\
import json, pathlib, shutil, sys
import mlflow.sklearn
from sklearn.datasets import load_wine
from sklearn.linear_model import LogisticRegression
x, y = load_wine(return_X_y=True, as_frame=True)
x, strength = x[["alcohol", "hue"]], float(pathlib.Path("strength").read_text())
model = LogisticRegression(C=strength, max_iter=2000).fit(x, y)
shutil.rmtree("model", ignore_errors=True)
mlflow.sklearn.save_model(model, "model", pip_requirements=["scikit-learn"], serialization_format="cloudpickle")
json.dump({"accuracy": model.score(x, y)}, open("metrics.json", "w"))
"""
DATA = """\
from sklearn.datasets import load_wine
x, y = load_wine(return_X_y=True, as_frame=True)
x[["alcohol", "hue"]].assign(label=y).to_csv("train.csv", index=False)
"""


def ask(port: int, rows: list[dict[str, float]], name: str) -> tuple[str, list[int]]:
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/invocations",
        json.dumps({"dataframe_records": rows}).encode(),
        {"Content-Type": "application/json", "X-Request-Id": name},
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        return answer.headers["X-Prediction-Id"], json.load(answer)["predictions"]


@pytest.fixture
def serve(tmp_path: Path, python: Callable[[str], str]) -> Iterator[Callable[..., int]]:  # noqa: F811
    """Start `ciplug serve-log` as docs/monitor.md does; returns the port once it answers."""
    servers: list[subprocess.Popen[bytes]] = []

    def start(project: Project, version: int) -> int:
        (port,) = free_ports(1)
        words = [python("newest"), "-m", "ciplug", "serve-log", f"served-{version}", "--log", "predictions/wine.jsonl"]
        words += ["--model-version", str(version), "--port", str(port)]
        servers.append(subprocess.Popen(words, cwd=project.folder))
        until = time.monotonic() + 120
        while time.monotonic() < until:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5).close()
                return port
            except OSError:
                assert servers[-1].poll() is None
                time.sleep(0.2)
        raise AssertionError("the server does not answer")

    yield start
    for server in servers:
        server.terminate()
        server.wait(30)


def test_served_logged_watched_and_brought_back(
    tmp_path: Path,
    python: Callable[[str], str],  # noqa: F811
    serve: Callable[..., int],
    gitea_api: GiteaApi,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    project = Project.with_remote(tmp_path, CONFIG)
    program = python("newest")
    for name, text in (("train.py", TRAIN), (".gitignore", "metrics.json\nmodel/\nserved-*\npredictions/\n*.jsonl\n")):
        (project.folder / name).write_text(text)
    subprocess.run([program, "-c", DATA], cwd=project.folder, check=True)
    for version, strength in ((1, "1"), (2, "0.5")):
        (project.folder / "strength").write_text(strength)
        project.commit(f"strength {strength}")
        project.push()
        project.ciplug("run", "--", program, "train.py")
        project.ciplug("gate")
        project.ciplug("promote", "wine", "--to", "staging")
        project.ciplug("promote", "wine", "--to", "production", "--version", str(version))

    # Served by MLflow's own server, which logs what it answers.
    project.ciplug("pull", "wine@production", "--to", "served-2")
    port = serve(project, 2)
    lines = (project.folder / "train.csv").read_text().splitlines()[1:]
    wines = [dict(zip(("alcohol", "hue"), map(float, line.split(",")[:2]), strict=True)) for line in lines]
    drifted = [{**wine, "alcohol": wine["alcohol"] + 1} for wine in wines]
    name, predicted = ask(port, drifted, "batch-1")
    until = time.monotonic() + 30
    while not list(project.folder.glob("predictions/*.jsonl")) and time.monotonic() < until:
        time.sleep(0.1)
    (logged,) = project.folder.glob("predictions/wine-*.jsonl")
    rows = [json.loads(line) for line in logged.read_text().splitlines()]
    assert (name, len(rows), [row["prediction"] for row in rows]) == ("batch-1", len(wines), predicted)
    assert rows[3] == {**rows[3], "id": "batch-1-3", "version": "2", "inputs": drifted[3]}

    context = Context(host="gitea", repository="acme/demo", server_url=gitea_api.url, api_url=gitea_api.api_url)
    forge = open_forge(context, {"CIPLUG_GITEA_TOKEN": "user-token"}, None)
    monkeypatch.setattr(telling, "forge_of", lambda session: forge)
    now = datetime.now(timezone.utc) + timedelta(seconds=1)

    def look_at(minutes: int) -> Looked:
        end = (now + timedelta(minutes=minutes)).isoformat()
        session = open_session(cwd=project.folder)
        return look(session, Request(name="models:/wine@production", window="20m", until=end))

    # Drift in two windows opens the issue, and rolls nothing back: no label is known yet.
    (project.folder / "labels.jsonl").write_text("")
    first, second = look_at(0), look_at(10)
    assert (first.seen.failed, first.seen.performance) == (("drift",), "INCONCLUSIVE")
    assert second.streak is not None and len(second.streak.failures) == 2
    ((number, issue),) = gitea_api.issues.items()
    assert issue["state"] == "open" and "drift" in issue["body"]
    # The labels come late, and are bad: both windows have failed on labels, and version 1 is back.
    truth = [
        {"id": row["id"], "label": (row["prediction"] + 1) % 3 if at % 2 else row["prediction"]}
        for at, row in enumerate(rows)
    ]
    (project.folder / "labels.jsonl").write_text("".join(f"{json.dumps(one)}\n" for one in truth))
    assert look_at(0).seen.failed == ("accuracy", "drift")
    assert "v2" in project.ciplug("registry", "list").stdout
    look_at(10)
    assert "Version 1 was brought back to Production" in gitea_api.issues[number]["body"]
    reason = "ciplug monitor: version 2 failed on labels in 2 windows in a row (accuracy)"
    assert reason in project.ciplug("registry", "history", "wine", "--json").stdout
    project.ciplug("pull", "wine@production", "--to", "served-1")
    assert (project.folder / "served-1/model/MLmodel").is_file()
