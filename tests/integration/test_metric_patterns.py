"""A pattern in the place of a file: the newest match that the run wrote, read as ciplug.yaml says."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.project import Project

CONFIG = """\
version: 1
model: wine
metrics:
  - {file: "logs/version_*/metrics.csv", take: best, of: val_loss}
gates:
  val_loss: {higher_is_better: false, max: 1}
"""
TRAIN = """\
import os, pathlib, sys
number = len(os.listdir("logs")) if os.path.isdir("logs") else 0
if sys.argv[1:] != ["nothing"]:
    folder = pathlib.Path(f"logs/version_{number}")
    folder.mkdir(parents=True)
    (folder / "metrics.csv").write_text(f"epoch,loss,val_loss\\n0,0.9,0.5\\n1,0.7,0.4{number}\\n2,0.1,0.8\\n")
"""


def test_the_newest_match_that_the_run_wrote(tmp_path: Path) -> None:
    project = Project.create(tmp_path / "work", config=CONFIG)
    (project.folder / "train.py").write_text(TRAIN)
    (project.folder / ".gitignore").write_text("logs/\n")
    project.commit("training")
    for number in range(2):
        project.ciplug("run", "--", sys.executable, "train.py")
        newest = project.json("runs", "list", "--json")[0]
        assert newest["metrics"] == {"loss": 0.7, "val_loss": float(f"0.4{number}")}
    done = project.ciplug("run", "--", sys.executable, "train.py", "nothing", code=None)
    assert done.returncode == 2 and "the command did not write it" in done.stderr
    project.ciplug("record")
    assert project.json("runs", "list", "--json")[0]["metrics"] == {"loss": 0.7, "val_loss": 0.41}
    gone = project.ciplug("record", "--metrics", "logs/v_*/metrics.csv", code=2)
    assert "logs/v_*/metrics.csv: no file matches this pattern" in gone.stderr
