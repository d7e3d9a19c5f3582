"""What a command imports before it works: start-up is a feature. Modules are counted, never seconds."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import ciplug

# Each of these costs a start more than a request over a network does, or near it.
FORGES_AND_NUMBERS = {"github", "gitlab", "jenkinsapi", "mlflow", "numpy", "requests"}
READERS_AND_RENDERERS = {"pydantic", "jinja2", "tabulate"}
# Only some runs, policies and registries need these.
OF_KILLED_RUNS = {"steps.killed_runs", "steps.resume", "steps.amend", "steps.open_run"}
OF_MLFLOW = {
    "steps.mlflow_runs",
    *(f"capture.mlflow.{name}" for name in ("run", "events", "file_store", "sqlite_store")),
}
OF_TARGETS = {"config.targets", "config.service_targets", "config.target_base"}
OF_READERS = {"tracking.runs", "records.amendment", "stores.git.folding", "stores.git.snapshot", "stores.git.view"}
OF_EXTENDS = {"config.tighten", "config.strictness"}
OF_EVENTS = {"registry.replay", "registry.events", "records.registry_event", "records.registry_labels"}
OF_RARE_GATES = {f"stats.{name}" for name in ("means", "proportions", "trend", "drift_tests", "selection_cost", "holm")}
CONFIG = "version: 1\nmodel: wine\nmetrics: metrics.json\ngates:\n  accuracy: {higher_is_better: true, min: 0.8}\n"


def imported(*args: str, cwd: Path) -> set[str]:
    """Names of the modules that `python ARGS` imports, and an empty program does not."""
    return _modules(*args, cwd=cwd) - _modules("-c", "pass", cwd=cwd)


def _modules(*args: str, cwd: Path) -> set[str]:
    env = {**os.environ, "PYTHONPATH": str(Path(ciplug.__file__).parents[1])}
    done = subprocess.run([sys.executable, "-X", "importtime", *args], cwd=cwd, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stderr.splitlines() if line.startswith("import time:")]
    assert len(lines) > 1, done.stderr
    return {line.rpartition("|")[2].strip() for line in lines}


def packages(modules: set[str]) -> set[str]:
    return {name.partition(".")[0] for name in modules}


def ours(modules: set[str]) -> set[str]:
    return {name.removeprefix("ciplug.") for name in modules if name.startswith("ciplug.")}


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A clone with one commit, whose origin is a bare repository, and the metrics of a training."""
    origin, clone = tmp_path / "origin.git", tmp_path / "clone"
    for args in (
        ("init", "--quiet", "--bare", str(origin)),
        ("init", "--quiet", str(clone)),
        ("-C", str(clone), "remote", "add", "origin", str(origin)),
        ("-C", str(clone), "commit", "--quiet", "--allow-empty", "--message", "one"),
    ):
        subprocess.run(["git", *args], check=True, capture_output=True)
    (clone / "metrics.json").write_text('{"accuracy": 0.91}')
    return clone


def test_import_of_the_package_loads_nothing_but_itself(tmp_path: Path) -> None:
    assert {n for n in imported("-c", "import ciplug", cwd=tmp_path) if n.startswith("ciplug")} == {
        "ciplug",
        "ciplug._version",
        "ciplug.loading",
    }


@pytest.mark.parametrize("args", [("-c", "import ciplug"), ("-m", "ciplug", "--version")])
def test_what_does_no_work_loads_next_to_nothing(tmp_path: Path, args: tuple[str, ...]) -> None:
    found = packages(imported(*args, cwd=tmp_path))
    assert not found & (FORGES_AND_NUMBERS | READERS_AND_RENDERERS)
    assert not found & {"argparse", "dataclasses", "json", "subprocess", "yaml"}


@pytest.mark.parametrize("configured", [False, True], ids=["by-options", "by-ciplug-yaml"])
def test_record_to_a_git_store_loads_what_it_needs(checkout: Path, configured: bool) -> None:
    options = ["--metrics", "metrics.json"]
    if configured:
        (checkout / "ciplug.yaml").write_text(CONFIG)
        options = []
    found = imported("-m", "ciplug", "record", *options, cwd=checkout)
    assert "ciplug.stores.git.store" in found
    assert not packages(found) & (FORGES_AND_NUMBERS | READERS_AND_RENDERERS)
    assert not found & {"sqlite3", "urllib.request"}
    assert ("yaml" in found) is configured
    assert not ours(found) & {"records.verdict", "reports", "gates", "registry", "forges"}
    assert not ours(found) & (OF_KILLED_RUNS | OF_MLFLOW | OF_TARGETS | OF_EXTENDS | OF_READERS | {"steps.train"})


def test_run_loads_nothing_of_what_the_training_did_not_use(checkout: Path) -> None:
    (checkout / "ciplug.yaml").write_text(CONFIG)
    training = """open('metrics.json', 'w').write('{"accuracy": 0.92}')"""
    found = imported("-m", "ciplug", "run", "--", sys.executable, "-c", training, cwd=checkout)
    assert "steps.train" in ours(found)
    assert not packages(found) & (FORGES_AND_NUMBERS | READERS_AND_RENDERERS)
    assert not ours(found) & (OF_KILLED_RUNS | OF_MLFLOW | OF_TARGETS | OF_EXTENDS | OF_READERS)
    assert not ours(found) & {"gates", "registry", "forges"}


def test_a_job_of_a_branch_loads_nothing_of_what_its_policy_does_not_ask_for(checkout: Path) -> None:
    (checkout / "ciplug.yaml").write_text(CONFIG)
    found = imported("-m", "ciplug", "ci", cwd=checkout)
    assert "gates.evaluate" in ours(found)
    assert not packages(found) & (FORGES_AND_NUMBERS | {"jinja2", "pydantic", "statistics"})
    rare = OF_KILLED_RUNS | OF_MLFLOW | OF_TARGETS | OF_EXTENDS | OF_EVENTS | OF_RARE_GATES
    assert not ours(found) & (rare | {"steps.train", "records.columns"})


def test_a_command_looks_for_no_garbage_at_its_end(tmp_path: Path) -> None:
    code = (
        "import atexit, gc; atexit.register(lambda: print(gc.get_freeze_count()))\n"
        "from ciplug.cli import program; program(['--version'])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert int(done.stdout.splitlines()[-1]) > 1000


def test_compare_loads_neither_a_forge_nor_pydantic(checkout: Path) -> None:
    _modules("-m", "ciplug", "record", "--metrics", "metrics.json", cwd=checkout)
    found = imported("-m", "ciplug", "compare", cwd=checkout)
    assert "tabulate" in found
    assert not packages(found) & (FORGES_AND_NUMBERS | {"jinja2", "pydantic"})
