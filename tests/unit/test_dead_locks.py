"""Locks that a killed push left in a repository of this machine are removed, and no others."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from ciplug.stores.git.dead_locks import release

REFS = ["refs/ciplug/inbox/one", "refs/ciplug/inbox/two"]


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "a b.git"
    for ref in REFS:
        (folder / ref).parent.mkdir(parents=True, exist_ok=True)
    (folder / "HEAD").write_text("ref: refs/heads/main\n")
    return folder


def lock(repository: Path, ref: str, age: float) -> Path:
    path = repository / f"{ref}.lock"
    path.touch()
    os.utime(path, (time.time() - age,) * 2)
    return path


def test_an_old_lock_is_removed_however_the_folder_is_named(repository: Path) -> None:
    work = repository.parent / "work"
    work.mkdir()
    (work / ".git").symlink_to(repository)
    for url in (str(repository), repository.as_uri(), str(work), work.as_uri()):
        old = lock(repository, REFS[0], 60)
        assert release(url, REFS) and not old.exists()
        assert not release(url, REFS), "there is none any more"
    old = lock(repository, REFS[0], 60)
    for url in (f"https://example.com{repository}", f"ssh://git@host{repository}", str(repository.parent / "none")):
        assert not release(url, REFS) and old.exists()


def test_a_young_lock_is_waited_for_and_one_of_the_future_stays(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = lock(repository, REFS[0], 60)
    slept: list[float] = []
    young = lock(repository, REFS[1], 5)

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 3:
            young.unlink()

    monkeypatch.setattr("ciplug.stores.git.dead_locks.time.sleep", sleep)
    assert release(str(repository), REFS)
    assert len(slept) == 3 and not old.exists()
    future = lock(repository, REFS[0], -3600)
    assert not release(str(repository), REFS) and future.exists()
