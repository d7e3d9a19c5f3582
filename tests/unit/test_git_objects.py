"""git's objects, written and read by Python, are those that git writes and reads."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ciplug.errors import GitError
from ciplug.git import cat_file
from ciplug.git.bare import init_bare
from ciplug.git.objects import object_id, parse_tree, read_objects, sizes
from ciplug.git.run import start_git
from ciplug.stores.git.objects import BLOB, TREE, LooseObjects, blob_id
from tests.project import git

EMPTY_TREES = {
    "sha1": "4b825dc642cb6eb9a060e54bf8d69288fbee4904",
    "sha256": "6ef19b41225c5369f1c104d45d8d85efa9b057b53b14b4b9b939dd74decc5321",
}


def names_in(repository: Path) -> list[str]:
    return sorted(path.relative_to(repository).as_posix() for path in (repository / "objects").rglob("*"))


def test_ids_are_those_of_git() -> None:
    assert object_id("blob", b"hello\n", "sha1") == "ce013625030ba8dba906f756967f9e9ca394464a"
    assert blob_id([b"hel", b"lo\n"], 6, "sha1") == "ce013625030ba8dba906f756967f9e9ca394464a"
    for object_format, oid in EMPTY_TREES.items():
        assert object_id("tree", b"", object_format) == oid


@pytest.mark.parametrize("object_format", EMPTY_TREES)
def test_git_reads_what_was_written(tmp_path: Path, object_format: str) -> None:
    repository = tmp_path / "own.git"
    init_bare(repository, object_format)
    written = LooseObjects(repository, object_format)
    # git sorts a folder as if its name ended with a slash: a-b, a.b, a/, a0.
    paths = ["a/x", "a/y/z", "a-b", "a.b", "a0", "b", "ä"]
    files = {path: written.blob(path.encode()) for path in paths}
    tree = written.nested_tree(files)
    first = written.commit(tree, (), "first", 5)
    second = written.commit(tree, (first,), "second", 6)
    git(repository, "update-ref", "refs/heads/main", second)
    git(repository, "fsck", "--strict")
    assert git(repository, "ls-tree", "-r", "-z", "--name-only", "main").strip("\0").split("\0") == sorted(paths)
    assert git(repository, "log", "--format=%H %at %ct %an %ce %s %T", "main").splitlines() == [
        f"{second} 6 6 ciplug ciplug@localhost second {tree}",
        f"{first} 5 5 ciplug ciplug@localhost first {tree}",
    ]
    root = parse_tree(read_objects(repository, [tree])[tree][1], object_format)
    assert root["b"] == (BLOB, files["b"])
    assert root["a"][0] == TREE
    assert set(root) == {"a", "a-b", "a.b", "a0", "b", "ä"}
    inner = parse_tree(read_objects(repository, [root["a"][1]])[root["a"][1]][1], object_format)
    assert inner["x"] == (BLOB, files["a/x"])


NAMES = st.text(st.characters(exclude_characters="/\0"), min_size=1, max_size=8).filter(
    lambda name: name not in (".", "..")
)


def test_more_names_than_a_pipe_takes_at_once(tmp_path: Path) -> None:
    init_bare(tmp_path, "sha1")
    written = LooseObjects(tmp_path, "sha1")
    many = {written.blob(str(number).encode()): str(number).encode() for number in range(150)}
    absent = [object_id("blob", f"not {number}".encode(), "sha1") for number in range(150)]
    found = read_objects(tmp_path, [name for pair in zip(many, absent, strict=True) for name in pair])
    assert found == {oid: ("blob", data) for oid, data in many.items()}


def test_a_damaged_object_is_an_error_in_the_words_of_git(tmp_path: Path) -> None:
    init_bare(tmp_path, "sha1")
    written = LooseObjects(tmp_path, "sha1")
    damaged, sound = written.blob(Random(7).randbytes(10_000)), written.blob(b"two")
    file = tmp_path / "objects" / damaged[:2] / damaged[2:]
    file.chmod(0o600)
    file.write_bytes(file.read_bytes()[:5_000])
    with pytest.raises(GitError, match=f"git cat-file failed: .*{damaged}"):
        read_objects(tmp_path, [sound, damaged, sound])


@given(st.dictionaries(NAMES, st.tuples(st.sampled_from([BLOB, TREE]), st.just("ab" * 20)), max_size=6))
def test_a_tree_is_read_as_it_was_written(entries: dict[str, tuple[str, str]]) -> None:
    trees: list[bytes] = []

    class Kept(LooseObjects):
        def _write(self, kind: str, data: bytes) -> str:
            trees.append(data)
            return object_id(kind, data, "sha1")

    # Somebody's tree may hold names that are not UTF-8.
    entries["\udcff"] = (BLOB, "cd" * 20)
    Kept(Path("nowhere"), "sha1").tree(entries)
    assert b"\xff" in trees[0]
    assert parse_tree(trees[0], "sha1") == entries


def test_a_blob_in_pieces_is_the_same_blob(tmp_path: Path) -> None:
    for name in ("one", "other"):
        init_bare(tmp_path / name, "sha1")
    one, other = LooseObjects(tmp_path / "one", "sha1"), LooseObjects(tmp_path / "other", "sha1")
    data = b"x" * 100_000
    assert other.blob_of([data[:1], data[1:70_000], data[70_000:]], len(data)) == one.blob(data)
    assert names_in(tmp_path / "one") == names_in(tmp_path / "other")
    oid = object_id("blob", data, "sha1")
    for repository in (tmp_path / "one", tmp_path / "other"):
        assert read_objects(repository, [oid]) == {oid: ("blob", data)}
    # Once more changes nothing.
    assert other.blob_of([data], len(data)) == one.blob(data) == oid
    assert names_in(tmp_path / "one") == names_in(tmp_path / "other")


@pytest.mark.parametrize("size", [4, 6])
def test_a_blob_of_another_size_is_refused(tmp_path: Path, size: int) -> None:
    init_bare(tmp_path, "sha1")
    with pytest.raises(ValueError, match="another size"):
        LooseObjects(tmp_path, "sha1").blob_of([b"hello"], size)


def test_an_object_that_exists_is_not_written_again(tmp_path: Path) -> None:
    init_bare(tmp_path, "sha1")
    oid = LooseObjects(tmp_path, "sha1").blob(b"once")
    file = tmp_path / "objects" / oid[:2] / oid[2:]
    before = file.stat()
    LooseObjects(tmp_path, "sha1").blob(b"once")
    assert (file.stat().st_ino, file.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    done = subprocess.run(["git", "cat-file", "-p", oid], cwd=tmp_path, capture_output=True, check=True)
    assert done.stdout == b"once"


def test_one_process_answers_until_its_repository_is_made_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[Path] = []

    def start(*args: str, cwd: Path) -> subprocess.Popen[bytes]:
        started.append(cwd)
        return start_git(*args, cwd=cwd)

    monkeypatch.setattr(cat_file, "start_git", start)
    own, other = tmp_path / "own.git", tmp_path / "other.git"
    init_bare(own, "sha1")
    init_bare(other, "sha1")
    later = LooseObjects(other, "sha1").blob(b"later")
    first = LooseObjects(own, "sha1").blob(b"first")
    assert read_objects(own, [first, later]) == {first: ("blob", b"first")}
    # What a fetch brings as a pack is seen.
    git(other, "update-ref", "refs/tags/later", later)
    git(own, "fetch", "-q", str(other), "refs/tags/later")
    git(own, "repack", "-q", "-a", "-d")
    assert read_objects(own, [later]) == {later: ("blob", b"later")}
    assert started == [own]
    shutil.rmtree(own)
    init_bare(own, "sha1")
    assert read_objects(own, [first]) == {}
    assert started == [own, own]
    assert (sizes(own, [first]), sizes(own, ["HEAD:no such file"])) == ({}, {})
    # One that was killed is replaced.
    kept = [process for key, process in cat_file._kept.items() if key[0] == str(own)]
    for process in kept:
        process.kill()
    again = LooseObjects(own, "sha1").blob(b"again")
    assert (read_objects(own, [again]), sizes(own, [again])) == ({again: ("blob", b"again")}, {again: 5})
    cat_file.close(own)
    assert all(process.poll() is not None for process in kept)
