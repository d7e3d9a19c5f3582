"""An import that is killed anywhere, and begun again, ten times: nothing is there twice, and nothing is missing."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests import killed
from tests.project import Project, git

ROOT = Path(__file__).parents[2]
RUNS, TIMES = 14, int(os.environ.get("CIPLUG_TEST_IMPORT_KILLS", "10"))
IN_WRITES_OF_THREE = """
import sys
from pathlib import Path
import ciplug
from ciplug import cli
from ciplug.interop import import_runs
from tests import killed
import_runs.RUNS_MOST = 3
killed.arm(Path(ciplug.__file__).parent)
sys.exit(cli.main(sys.argv[1:]))
"""


def _import(project: Project, source: Path, at: int, count: Path) -> int:
    env = {**os.environ, **killed.at_line(at, ["interop", "stores", "git"], count), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", IN_WRITES_OF_THREE, "import", "json", str(source)]
    done = subprocess.run(command, cwd=project.folder, env=env, capture_output=True, text=True, check=False)
    assert done.returncode in (0, -signal.SIGKILL), done.stderr
    return done.returncode


@pytest.mark.slow
def test_ten_killed_imports_leave_each_run_once(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for number in range(RUNS):
        run = {"name": f"run {number}", "metrics": {"loss": [number, 0.5]}, "artifacts": [f"{number % 5}.txt"]}
        (source / f"{number}.json").write_text(json.dumps(run))
        (source / f"{number}.txt").write_text(f"model {number}")
    whole = Project.with_remote(tmp_path / "whole", config="version: 1\n")
    count = tmp_path / "count"
    assert _import(whole, source, 0, count) == 0
    expected = whole.json("runs", "list", "--json")
    assert len(expected) == RUNS

    project = Project.with_remote(tmp_path / "killed", config="version: 1\n")
    chance = random.Random(7)
    ends = [_import(project, source, chance.randrange(1, int(count.read_text())), count) for _ in range(TIMES)]
    assert ends.count(-signal.SIGKILL) >= TIMES / 2
    assert _import(project, source, 0, count) == 0
    assert project.json("runs", "list", "--json") == expected
    refs = git(tmp_path / "killed" / "remote.git", "for-each-ref")
    assert _import(project, source, 0, count) == 0
    assert git(tmp_path / "killed" / "remote.git", "for-each-ref") == refs
    project.ciplug("fsck")
