"""Paths in records are input from others: whatever they are, nothing is written outside of one folder."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ciplug.errors import RecordError, UsageError
from ciplug.steps import placing

DIGEST = "sha256:" + "0" * 64
PIECES = st.sampled_from(
    ["..", ".", "", "/", "\\", "a", "b.txt", ".git", ".GIT", "git~1", "C:", "con", "NUL.txt", "\0", "\n", " ", "ä", "~"]
)
PATHS = st.one_of(st.lists(PIECES, max_size=6).map("/".join), st.text(max_size=40), st.lists(PIECES).map("".join))


@pytest.mark.parametrize(
    "path", ["model.bin", "a/b/c", "out/ä b.txt", "...", "a..b", ".gitignore", ".github/x", "~", "-"]
)
def test_ordinary_paths(path: str) -> None:
    assert placing.parts(path, windows=False) == tuple(path.split("/"))


@pytest.mark.parametrize(
    "path",
    [
        *("", "/", "/etc/passwd", "..", "../x", "a/../../x", "a//b", "a/", "./a", "a\0b", "a\nb", "\ud800", "a" * 256),
        *(".git/config", ".git", "sub/.GIT/hooks/x", ".git /x", ".git./x", "git~1/config", ".g\u200cit/config"),
    ],
)
def test_refused_everywhere(path: str) -> None:
    with pytest.raises(RecordError):
        placing.parts(path, windows=False)


@pytest.mark.parametrize(
    "path", ["C:/x", "a\\..\\..\\x", "x:stream", "con", "NUL.txt", "com1.log", "a/lpt9", "a.", "a /b", "a?", "COM¹"]
)
def test_refused_on_windows(path: str) -> None:
    with pytest.raises(RecordError):
        placing.parts(path, windows=True)
    assert placing.parts(path, windows=False)


@given(PATHS)
def test_whatever_is_taken_stays_below(path: str) -> None:
    try:
        found = placing.parts(path)
    except RecordError:
        return
    folder = Path("/somewhere/down")
    target = folder.joinpath(*found)
    assert target.is_relative_to(folder)
    assert ".." not in target.parts
    assert len(target.parts) == len(folder.parts) + len(found)


@pytest.mark.parametrize(
    ("path", "place"),
    [
        ("out/model.bin", "out/model.bin"),
        ("/mnt/models/m.bin", "m.bin"),
        ("../shared/m.bin", "m.bin"),
        ("s3://bucket/a/m.bin", "m.bin"),
        ("C:\\models\\m.bin", "m.bin"),
    ],
)
def test_own_place(path: str, place: str) -> None:
    assert placing.own_place(path) == place


def test_members() -> None:
    manifest = f"{DIGEST} a b/ä.txt\n{DIGEST} c\n".encode()
    assert placing.members(manifest, "out") == {"a b/ä.txt": DIGEST, "c": DIGEST}


@pytest.mark.parametrize(
    "manifest",
    [
        b"",
        b"\n",
        f"{DIGEST} a".encode(),
        f"{DIGEST} ../a\n".encode(),
        f"{DIGEST} /a\n".encode(),
        f"{DIGEST}\n".encode(),
        b"sha256:../../x a\n",
        b"md5:00 a\n",
        f"{DIGEST} a\nsha256:{'1' * 64} a\n".encode(),
        f"{DIGEST} \xff\n".encode("latin-1"),
    ],
)
def test_members_that_cannot_be_read(manifest: bytes) -> None:
    with pytest.raises(RecordError, match="out: the list of its files"):
        placing.members(manifest, "out")


LINES = st.tuples(st.sampled_from([DIGEST, f"sha256:{'1' * 64}", "sha256:1"]), PATHS).map(" ".join)


@given(st.binary(max_size=300) | st.lists(LINES, max_size=4).map(lambda lines: "".join(f"{line}\n" for line in lines)))
def test_members_of_anything_are_all_of_its_lines(manifest: bytes | str) -> None:
    data = manifest.encode(errors="surrogatepass") if isinstance(manifest, str) else manifest
    try:
        found = placing.members(data, "out")
    except RecordError:
        return
    assert {f"{digest} {path}" for path, digest in found.items()} == set(data.decode().removesuffix("\n").split("\n"))
    assert all(placing.parts(path) for path in found)


def test_clash() -> None:
    assert placing.clash([("a",), ("b", "a"), ("b", "c")]) is None
    assert placing.clash([("a",), ("a",)]) == "a"
    assert placing.clash([("a",), ("a", "b")]) == "a/b"
    assert placing.clash([("a", "b"), ("a",)]) == "a"
    assert placing.clash([("A",), ("a",)], one_case=False) is None
    assert placing.clash([("A",), ("a",)], one_case=True) == "a"
    assert placing.clash([("\u00e4",), ("a\u0308",)], one_case=True)


@pytest.mark.skipif(sys.platform == "win32", reason="symbolic links")
def test_nothing_is_written_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "to" / "a").mkdir(parents=True)
    (tmp_path / "to" / "a" / "b").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "to" / "file").touch()
    assert placing.below(tmp_path / "to", ("a", "c", "d")) == tmp_path / "to" / "a" / "c" / "d"
    with pytest.raises(RecordError, match="symbolic link"):
        placing.below(tmp_path / "to", ("a", "b", "x"))
    with pytest.raises(RecordError, match="is a file"):
        placing.below(tmp_path / "to", ("file", "x"))


@pytest.mark.skipif(sys.platform == "win32", reason="symbolic links")
def test_a_link_that_comes_to_stand_in_the_way_is_seen_before_a_file_is_placed(tmp_path: Path) -> None:
    """The paths were checked before the files were fetched; that may have taken hours."""
    folder, arrived, elsewhere = tmp_path / "to", tmp_path / "to" / ".arrived", tmp_path / "elsewhere"
    arrived.mkdir(parents=True)
    elsewhere.mkdir()
    (arrived / ("0" * 64)).write_bytes(b"model")
    assert placing.below(folder, ("a", "model.bin")) == folder / "a" / "model.bin"
    (folder / "a").symlink_to(elsewhere)
    with pytest.raises(RecordError, match="a is a symbolic link: nothing is written through it"):
        placing.place(folder, {("a", "model.bin"): DIGEST}, arrived)
    assert list(elsewhere.iterdir()) == []


def test_one_file_is_placed_under_several_names(tmp_path: Path) -> None:
    digest = "sha256:" + hashlib.sha256(b"model").hexdigest()
    (tmp_path / digest[7:]).write_bytes(b"model")
    placing.place(tmp_path / "to", {("a",): digest, ("b", "c"): digest, ("d",): digest}, tmp_path)
    written = [path for path in (tmp_path / "to").rglob("*") if path.is_file()]
    assert sorted(path.relative_to(tmp_path / "to").as_posix() for path in written) == ["a", "b/c", "d"]
    assert {path.read_bytes() for path in written} == {b"model"}


def test_a_folder_that_is_in_the_way_or_closed(tmp_path: Path) -> None:
    placing.make_folder(tmp_path / "a" / "b")
    placing.make_folder(tmp_path / "a" / "b")
    (tmp_path / "file").touch()
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(UsageError, match="a file is in its place"):
            placing.make_folder(folder)
