"""Columns in a git store that another version of ciplug closed: read by what they have, the rest from the records."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from ciplug.records import columns
from ciplug.records.run import Run
from ciplug.stores import Store, open_store
from ciplug.tracking.run_objects import run_objects
from tests.stores import close_segments_at

NOW = columns.ATTRIBUTES


def filled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, attributes: tuple[str, ...]) -> Store:
    """A store with one closed segment, by a ciplug that knows these attributes."""
    close_segments_at(2, monkeypatch)
    subprocess.run(["git", "init", "-q", "--bare", str(tmp_path / "remote.git")], check=True)
    uri = f"git+{(tmp_path / 'remote.git').as_uri()}"
    env = {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    moment = "2026-11-28T00:00:00Z"
    with monkeypatch.context() as patch:
        patch.setattr(columns, "ATTRIBUTES", attributes)
        for number in range(3):
            run = Run(id=str(number), model="wine", status="finished", started=moment, ended=moment)
            open_store(uri, None, env).add(run_objects(run))
        open_store(uri, None, env).compact()
    return open_store(uri, None, env)


def test_an_attribute_that_was_added_later_is_read_from_the_records(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = filled(tmp_path, monkeypatch, tuple(name for name in NOW if name != "ended"))
    (held,) = store.columns(store.segments()).values()
    assert not held.lacking
    assert held.attributes["ended"] == ["2026-11-28T00:00:00Z"] * 3
    (problem,) = store.check()
    assert problem.what == "its columns are not those of its records"
    store.check(repair=True)
    assert store.check() == []


def test_an_attribute_that_only_a_newer_version_knows_is_not_a_problem(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = filled(tmp_path, monkeypatch, (*NOW, "planet"))
    (held,) = store.columns(store.segments()).values()
    assert not held.lacking and set(held.attributes) == set(NOW)
    assert store.check() == []
