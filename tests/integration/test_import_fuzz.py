"""Runs of other systems with changed bytes: each reader names what it cannot read, and reads the rest."""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from ciplug.interop.import_runs import Candidate, Choice, Importer
from ciplug.interop.import_systems import SYSTEMS
from ciplug.steps.session import open_session
from tests.project import Project

DATA = Path(__file__).parents[1] / "data" / "imports"
TIMES = int(os.environ.get("CIPLUG_TEST_FUZZED_IMPORTS", "50"))


@pytest.mark.slow
@pytest.mark.parametrize("system", ["wandb", "trackio", "tensorboard", "neptune"])
def test_no_changed_byte_stops_an_import(system: str, tmp_path: Path) -> None:
    if system in ("tensorboard", "neptune"):
        pytest.importorskip({"neptune": "pyarrow"}.get(system, system))
    project = Project.create(tmp_path / "project", config="version: 1\n")
    importer = Importer(open_session(cwd=project.folder, env=os.environ), Choice(unfinished=True), lambda count: None)
    source = tmp_path / "source"
    shutil.copytree(DATA / system, source)
    if system == "trackio":
        with closing(sqlite3.connect(source / "wine.db")) as database:
            database.executescript((source / "wine.sql").read_text())
    files = [file for file in source.rglob("*") if file.suffix not in (".txt", ".sql") and file.is_file()]
    contents = {file: file.read_bytes() for file in files}
    chance, told = random.Random(system), 0
    for _ in range(TIMES):
        file = chance.choice(files)
        changed = bytearray(contents[file])
        for _ in range(chance.choice((1, 1, 8))):
            changed[chance.randrange(len(changed))] = chance.randrange(256)
        file.write_bytes(bytes(changed) if chance.random() < 0.8 else bytes(changed[: chance.randrange(len(changed))]))
        for one in SYSTEMS[system].open(importer, source, ()).runs():
            if isinstance(one, Candidate):
                try:
                    told += bool(one.read().problems)
                except Exception:
                    told += 1
            else:
                told += 1
        file.write_bytes(contents[file])
    assert told > TIMES / 10
