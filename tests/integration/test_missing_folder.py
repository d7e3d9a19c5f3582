"""A folder store whose folder does not exist: readers say so, only a writer makes it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ciplug.stores import Store, open_store

pytest.importorskip("obstore")


def store_at(folder: Path) -> Store:
    return open_store(folder.as_uri(), None, {"PATH": os.environ["PATH"], "XDG_CACHE_HOME": str(folder.parent / "c")})


def test_a_reader_and_a_trial_make_no_folder_and_name_it(tmp_path: Path) -> None:
    folder = tmp_path / "runs"
    store = store_at(folder)
    assert store.keys("runs/") == [] or not list(store.keys("runs/"))
    assert [trial.cause for trial in store.try_writes()] == [None, None]
    assert not folder.exists()
    (note,) = store.notes
    assert f"the folder {folder} does not exist, so the store holds nothing" in note


def test_a_writer_makes_it_and_says_so(tmp_path: Path) -> None:
    folder = tmp_path / "runs"
    store = store_at(folder)
    store.add({"runs/none/20261123T120000Z-" + "1" * 32: b"{}"})
    assert folder.is_dir()
    assert store.notes[0] == f"the folder {folder} did not exist, and was made"
    assert not store_at(folder).notes
