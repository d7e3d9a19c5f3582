"""Reading runs and the registry back from Python, and the notebook of the examples."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import ciplug
from ciplug.errors import CiplugError, NotFound, UsageError
from tests.project import MODEL, Project, git, measured

pytestmark = pytest.mark.slow
ROOT = Path(ciplug.__file__).parents[1]
SWEEP = """\
import json, ciplug
json.dump({"accuracy": 0.95}, open("metrics.json", "w"))
open("model.txt", "w").write("a model")
with ciplug.start_run():
    for step, value in enumerate([0.9, 0.5, 0.4]):
        ciplug.log_metric("loss", value, step=step)
    ciplug.log_param("depth", 6)
    with ciplug.start_run(nested=True, name="trial"):
        ciplug.log_metric("accuracy", 0.7)
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A run on main whose version is in staging, and one of a branch, with a child run and steps."""
    folder = tmp_path_factory.mktemp("reading")
    project = Project.with_remote(folder)
    project.train(env=measured({"accuracy": 0.9}))
    project.ciplug("gate")
    project.ciplug("promote", "wine", "--to", "staging")
    git(project.folder, "checkout", "-q", "-b", "sweep")
    (project.folder / "train.py").write_text(SWEEP)
    project.commit("a sweep")
    project.ciplug("run", *MODEL, "--name", "best", "--", sys.executable, "train.py")
    return project


@pytest.fixture(autouse=True)
def here(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project.folder)


def test_runs_are_read_back(project: Project, tmp_path: Path) -> None:
    assert [run.name for run in ciplug.runs(order_by="metrics.accuracy DESC")] == ["best", None, "trial"]
    assert [run.name for run in ciplug.runs(where="metrics.accuracy > 0.92 OR params.depth = 6")] == ["best"]
    assert len(ciplug.runs(branch="main")) == len(ciplug.runs(limit=1)) == 1
    run = ciplug.run("best:accuracy")
    assert (run.id, run.branch, run.model, run.status) == (ciplug.run("last").id, "sweep", "wine", "finished")
    assert dict(run.params) == {"depth": 6} and run.metrics["accuracy"] == 0.95
    assert run.series("loss").values == (0.9, 0.5, 0.4) and run.series("loss").steps == (0, 1, 2)
    assert [child.name for child in run.children] == ["trial"] and run.children[0].parent == run.id
    assert run.record.provenance.dirty is False is run.dirty
    (file,) = run.artifacts
    assert (file.path, file.size) == ("model.txt", 7)
    assert run.fetch(to=tmp_path)[0].read_text() == "a model"


def test_mistakes_name_what_was_meant(project: Project) -> None:
    for wrong, kind, hint in (
        (lambda: ciplug.runs(where="metrics.acuracy > 1"), UsageError, "did you mean 'accuracy'?"),
        (lambda: ciplug.run("last").series("los"), NotFound, "did you mean 'loss'?"),
        (lambda: ciplug.run("sweeep"), NotFound, "did you mean 'sweep'?"),
        (lambda: ciplug.model("wien"), NotFound, "did you mean 'wine'?"),
        (lambda: ciplug.model("wine").version("stagin"), NotFound, "did you mean 'staging'?"),
    ):
        with pytest.raises(kind) as caught:
            wrong()
        assert isinstance(caught.value, CiplugError) and caught.value.hint == hint


def test_the_registry_is_read_back(project: Project, tmp_path: Path) -> None:
    model = ciplug.model("wine")
    assert model.production is None and [one.name for one in ciplug.models()] == ["wine"]
    version = model.staging
    assert version is not None and version.run is not None
    assert (version.number, version.run.metrics["accuracy"], list(version.files)) == (1, 0.9, ["model.txt"])
    assert version.run == ciplug.run("wine@staging")
    pulled = version.pull(tmp_path / "model", lock=tmp_path / "ciplug.lock")
    assert pulled.version == 1 and (tmp_path / "model" / "model.txt").exists()


def test_a_version_without_a_model_of_mlflow_is_not_loaded(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """The real loading is a part of tests/e2e/test_mlflow_store.py: MLflow is not in this environment."""
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with pytest.raises(UsageError, match="MLflow is not installed"):
        ciplug.load_model("wine@staging")
    fake = ModuleType("mlflow.pyfunc")
    fake.load_model = lambda path: Path(path).name  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "mlflow", ModuleType("mlflow"))
    monkeypatch.setitem(sys.modules, "mlflow.pyfunc", fake)
    with pytest.raises(NotFound, match="'wine@staging' holds no model that MLflow has saved: there is no file MLmodel"):
        ciplug.load_model("wine@staging")
    with pytest.raises(UsageError, match="MLflow cannot load the flavour 'sklaern'"):
        ciplug.load_model("wine@staging", flavor="sklaern")


def test_a_table_needs_pandas_only_if_it_is_asked_for(project: Project) -> None:
    table = ciplug.runs(order_by="metrics.accuracy").to_pandas()
    assert list(table["metrics.accuracy"]) == [0.7, 0.9, 0.95] and str(table["started"].dtype).endswith("UTC]")
    assert table["params.depth"].isna().tolist() == [True, True, False]
    code = "import sys, ciplug; ciplug.runs(); assert not {'pandas', 'numpy', 'mlflow'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_notebook_of_the_examples_runs(project: Project) -> None:
    """Its code cells, one after the other in one program, as a kernel runs them."""
    notebook = json.loads((ROOT / "examples" / "read_runs.ipynb").read_text())
    cells = ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]
    done = subprocess.run([sys.executable, "-c", "\n".join(cells)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "loss [(0, 0.9), (1, 0.5), (2, 0.4)]" in done.stdout
    assert "wine 1 Staging {'accuracy': 0.9}" in done.stdout
