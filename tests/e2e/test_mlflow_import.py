"""A store of MLflow, copied into a store of ciplug and back: MLflow shows the same of each, field by field."""

from __future__ import annotations

import http.server
import json
import os
import shutil
import signal
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.test_mlflow_trainings import DATA, python, server  # noqa: F401
from tests.project import Project, git

pytestmark = [pytest.mark.e2e, pytest.mark.slow]
JUDGED = "version: 1\nmodel: wine\ngates:\n  accuracy: {higher_is_better: true, min: 0.5}\n"
NOWHERE = "http://127.0.0.1:1"
SETTINGS = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_ALLOW_FILE_STORE": "true"}


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project.create(tmp_path / "project", config="version: 1\n")


def _call(program: str, *words: str, cwd: Path, code: int = 0) -> str:
    env = {**os.environ, **SETTINGS}
    done = subprocess.run([program, *words], cwd=cwd, env=env, capture_output=True, text=True, timeout=300)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def _look(program: str, uri: str, cwd: Path) -> Any:
    file = cwd.parent / "looked.json"
    _call(program, str(DATA / "look.py"), uri, str(file), cwd=cwd)
    return json.loads(file.read_bytes())


def _refs(project: Project) -> str:
    return git(project.folder, "for-each-ref", "refs/ciplug")


CUT_OFF = """
import os, signal, sys
from ciplug import cli
from ciplug.interop import import_runs

import_runs.RUNS_MOST, writes = 2, []
write = import_runs.Importer._write

def cut_off(self):
    writes.append(1)
    if len(writes) == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    write(self)

import_runs.Importer._write = cut_off
cli.main(sys.argv[1:])
"""

INTERRUPTED = """
import sys
from ciplug import cli
from ciplug.registry import ledger

class Cut(BaseException):
    pass

append, events = ledger.append, 0

def cut_off(*words):
    global events
    events += 1
    if events == 2:
        raise Cut
    return append(*words)

ledger.append = cut_off
for _ in range(10):
    events = 0
    try:
        cli.main(sys.argv[1:])
    except Cut:
        pass
"""


def test_a_store_is_copied_there_and_back_and_shows_the_same(
    project: Project,
    tmp_path: Path,
    python: Callable[[str], str],  # noqa: F811
    server: tuple[str, int],  # noqa: F811
) -> None:
    program, folder = python("newest"), project.folder
    _call(program, str(DATA / "history.py"), "./mlruns", cwd=folder)
    theirs = _look(program, "./mlruns", folder)
    # The artifacts of a store that was moved are where the store is.
    shutil.move(folder / "mlruns", tmp_path / "moved")
    before = _tree(tmp_path / "moved")
    words = ("import", "mlflow", "../moved")
    _call(program, "-c", CUT_OFF, *words, cwd=folder, code=-signal.SIGKILL)
    said = _call(program, "-m", "ciplug", *words, cwd=folder)
    assert "5 new runs" in said and "2 known" in said and "4 new versions of registered models, 0 known" in said
    refs = _refs(project)
    said = _call(program, "-m", "ciplug", *words, cwd=folder)
    assert "0 new runs, 7 known, 0 files sent" in said
    assert "0 new versions of registered models, 4 known" in said
    assert "1 run still RUNNING in MLflow, not imported" in said
    assert _refs(project) == refs
    assert _tree(tmp_path / "moved") == before
    ours = _look(program, "ciplug:", folder)
    assert theirs["ids"].items() > ours["ids"].items()
    del theirs["found"]["Default"]["runs"]["open"]
    assert _known(ours) == _known(theirs)
    assert ours["times"] == theirs["times"]
    # Stages and aliases, too; and the log says where each is from.
    assert theirs["registry"]["o'same"]["versions"]["4"]["stage"] == "Production"
    history = project.json("registry", "history", "o'same", "--json")
    assert {one.get("payload", {}).get("origin", {}).get("imported_from") for one in history} == {"../moved", None}

    uri, _ = server
    assert "7 new runs, 0 known" in _call(program, "-m", "ciplug", "export", "mlflow", uri, cwd=folder)
    said = _call(program, "-m", "ciplug", "export", "mlflow", uri, cwd=folder)
    assert "0 new runs, 7 known" in said and "0 new versions of registered models, 4 known" in said
    assert _known(_look(program, uri, folder)) == _known(theirs)

    assert "cannot be reached" in _call(program, "-m", "ciplug", "import", "mlflow", NOWHERE, cwd=folder, code=3)
    from_server = Project.create(tmp_path / "from-server", config="version: 1\n")
    assert "7 new runs" in _call(program, "-m", "ciplug", "import", "mlflow", uri, cwd=from_server.folder)
    assert _known(_look(program, "ciplug:", from_server.folder)) == _known(theirs)
    # The file of the server itself, whose files only the server can give.
    # A stage that the policy judges is no stage by import.
    alone = Project.create(tmp_path / "from-sqlite", config=JUDGED)
    sqlite = f"sqlite:///{tmp_path / 'server.db'}"
    said = _call(program, "-m", "ciplug", "import", "mlflow", sqlite, "--no-artifacts", cwd=alone.folder)
    assert "7 new runs (2 of them deleted), 0 known, 0 files sent" in said
    for number, stage in ((3, "Staging"), (4, "Production"), (4, "production")):
        advice = f"ciplug promote 'o'same' --to {stage.lower()} --version {number}"
        assert f"version {number} of 'o'same' was {stage} there: {advice}" in said
    shown = alone.json("registry", "show", "o'same", "--json")
    stages = {one["number"]: one["stage"] for one in shown["versions"]}
    assert stages == {1: "Archived", 3: "None", 4: "None", 5: "None"}
    assert shown["aliases"] == {"champion": 3}


def test_ten_interrupted_imports_of_a_registry_leave_each_event_once(
    project: Project,
    python: Callable[[str], str],  # noqa: F811
) -> None:
    program, folder = python("newest"), project.folder
    _call(program, str(DATA / "history.py"), "./mlruns", cwd=folder)
    words = ("import", "mlflow", "./mlruns", "--no-artifacts")
    _call(program, "-c", INTERRUPTED, *words, cwd=folder)
    assert len(project.json("registry", "history", "o'same", "--json")) == 9
    _call(program, "-m", "ciplug", *words, cwd=folder)
    made = [
        (one["type"], one["payload"].get("version")) for one in project.json("registry", "history", "o'same", "--json")
    ]
    assert len(made) == 12 and [one for one in made if one[0] == "register"] == [("register", at) for at in range(1, 6)]
    project.ciplug("fsck")


def _known(looked: Any) -> Any:
    """What MLflow shows, without the experiments in which nothing is."""
    found = {name: one for name, one in looked["found"].items() if one["runs"] or one["tags"]}
    return [found, looked["registry"]]


def _tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


class _Broken(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_error(500)

    do_POST = do_GET  # noqa: N815 (the name is that of http.server)

    def log_message(self, *_: object) -> None:
        pass


def test_the_password_in_an_address_is_in_no_message(
    project: Project,
    python: Callable[[str], str],  # noqa: F811
) -> None:
    """MLflow's own error names the whole address that it has asked."""
    broken = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Broken)
    threading.Thread(target=broken.serve_forever, daemon=True).start()
    try:
        address = f"http://ann:correct-horse@127.0.0.1:{broken.server_port}"
        said = _call(python("newest"), "-m", "ciplug", "import", "mlflow", address, cwd=project.folder, code=3)
    finally:
        broken.shutdown()
    assert "too many 500 error responses" in said and "correct-horse" not in said
