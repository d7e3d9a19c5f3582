"""Fetching as Python calls it: what it returns, and what happens to the folder meanwhile."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ciplug.errors import NotFound, RecordError, UsageError
from ciplug.records.run import File, Run
from ciplug.steps.fetch import fetch
from ciplug.steps.session import Session, open_session
from ciplug.stores.files import Tell

STAMP = "2026-11-23T12:00:00.000Z"
FILES = {"model.bin": b"a model", "out/a.txt": b"words", "out/b/c.txt": b"more words"}


def sha(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


@pytest.fixture
def session(tmp_path: Path) -> Session:
    env = {**os.environ, "CIPLUG_STORE": (tmp_path / "store").as_uri()}
    work = tmp_path / "work"
    work.mkdir()
    return open_session(cwd=work, env=env)


@pytest.fixture
def run(session: Session, tmp_path: Path) -> Run:
    """A run with the file model.bin, the folder out, and lost.bin, of which only the digest was recorded."""
    assert session.files is not None
    members = {"a.txt": FILES["out/a.txt"], "b/c.txt": FILES["out/b/c.txt"]}
    manifest = "".join(f"{sha(data)} {name}\n" for name, data in members.items()).encode()
    sent = {}
    for data in (*FILES.values(), manifest):
        path = tmp_path / sha(data)[7:]
        path.write_bytes(data)
        sent[sha(data)] = path
    session.files.put(sent, lambda _: None)
    where = session.files.uri
    artifacts = (
        File(path="model.bin", digest=sha(FILES["model.bin"]), size=7, store=where),
        File(path="out", digest=sha(manifest), size=15, kind="folder", store=where),
        File(path="lost.bin", digest="sha256:" + "0" * 64, size=1),
    )
    return Run(id="1" * 32, model="wine", status="finished", started=STAMP, ended=STAMP, artifacts=artifacts)


def held(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_everything(session: Session, run: Run, tmp_path: Path) -> None:
    fetched = fetch(session, run, tmp_path / "to" / "deep")
    assert held(tmp_path / "to" / "deep") == FILES
    assert sorted(fetched.files) == sorted(tmp_path / "to" / "deep" / name for name in FILES)
    assert fetched.written == 3
    assert [artifact.path for artifact in fetched.digest_only] == ["lost.bin"]
    again = fetch(session, run, tmp_path / "to" / "deep")
    assert (again.files, again.written) == (fetched.files, 0)


@pytest.mark.parametrize(
    ("paths", "due"),
    [
        (["model.bin"], ["model.bin"]),
        (["./model.bin"], ["model.bin"]),
        (["out"], ["out/a.txt", "out/b/c.txt"]),
        (["out/b/"], ["out/b/c.txt"]),
        (["out/a.txt", "model.bin"], ["model.bin", "out/a.txt"]),
        (["out", "out/a.txt"], ["out/a.txt", "out/b/c.txt"]),
        (["."], sorted(FILES)),
        ([".", "model.bin"], sorted(FILES)),
    ],
)
def test_some(session: Session, run: Run, tmp_path: Path, paths: list[str], due: list[str]) -> None:
    fetch(session, run, tmp_path / "to", paths)
    assert sorted(held(tmp_path / "to")) == due


@pytest.mark.parametrize(
    ("paths", "says"),
    [
        (["modell.bin"], "has no artifact 'modell.bin'"),
        (["out/none"], "out has no file 'none'"),
        (["lost.bin"], "recorded only the digests of these artifacts: lost.bin: sha256:000"),
    ],
)
def test_what_cannot_be_had(session: Session, run: Run, tmp_path: Path, paths: list[str], says: str) -> None:
    with pytest.raises(NotFound, match=says):
        fetch(session, run, tmp_path / "to", paths)
    assert not (tmp_path / "to").exists() or held(tmp_path / "to") == {}


def test_progress_has_the_number_of_files_and_their_bytes(session: Session, run: Run, tmp_path: Path) -> None:
    calls: list[tuple[int, int | None]] = []
    arrived: list[int] = []

    @contextmanager
    def progress(files: int, size: int | None) -> Iterator[Tell]:
        calls.append((files, size))
        yield arrived.append

    fetch(session, run, tmp_path / "to", progress=progress)
    fetch(session, run, tmp_path / "some", ["out/a.txt"], progress=progress)
    fetch(session, run, tmp_path / "to", progress=progress)
    assert calls == [(3, 22), (1, None)]
    assert sum(arrived) == 22 + 5


def test_a_file_that_differs(session: Session, run: Run, tmp_path: Path) -> None:
    (tmp_path / "model.bin").write_bytes(b"mine")
    with pytest.raises(UsageError, match=r"model\.bin: exists, and differs from what the run recorded"):
        fetch(session, run, tmp_path, ["model.bin"])
    assert (tmp_path / "model.bin").read_bytes() == b"mine"
    fetch(session, run, tmp_path, ["model.bin"], force=True)
    assert (tmp_path / "model.bin").read_bytes() == b"a model"
    (tmp_path / "model.bin").unlink()
    (tmp_path / "model.bin").mkdir()
    with pytest.raises(UsageError, match="is a folder"):
        fetch(session, run, tmp_path, ["model.bin"], force=True)


@pytest.mark.skipif(sys.platform == "win32", reason="symbolic links")
def test_a_link_that_is_made_while_files_are_fetched(session: Session, run: Run, tmp_path: Path) -> None:
    folder, elsewhere = tmp_path / "to", tmp_path / "elsewhere"
    elsewhere.mkdir()

    @contextmanager
    def progress(files: int, size: int | None) -> Iterator[Tell]:
        yield lambda _: None
        (folder / "out").symlink_to(elsewhere)

    with pytest.raises(RecordError, match="out is a symbolic link: nothing is written through it"):
        fetch(session, run, folder, ["out"], progress=progress)
    assert held(elsewhere) == {}
