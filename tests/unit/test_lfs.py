"""What is a pointer file of Git LFS, and what is not."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from ciplug.capture.content import examine
from ciplug.capture.metric_files import read_metrics
from ciplug.errors import InputError
from ciplug.git.lfs import Pointer, holds, parse_pointer

OID = hashlib.sha256(b"content").hexdigest()
OTHER = hashlib.sha256(b"before").hexdigest()
VERSION = "version https://git-lfs.github.com/spec/v1\n"
POINTER = f"{VERSION}oid sha256:{OID}\nsize 7\n"


@pytest.mark.parametrize(
    ("text", "original"),
    [
        (POINTER, OID),
        (POINTER.rstrip("\n"), OID),
        (POINTER.replace("\n", "\r\n"), OID),
        (POINTER.replace("git-lfs.github", "hawser.github"), OID),
        (POINTER.replace("https://git-lfs.github.com/spec/v1", "http://git-media.io/v/2"), OID),
        (f"{VERSION}ext-0-case sha256:{OTHER}\noid sha256:{OID}\nsize 7\n", OTHER),
        (f"{VERSION}ext-0-a sha256:{OTHER}\next-1-b sha256:{'1' * 64}\noid sha256:{OID}\nsize 7\n", OTHER),
    ],
)
def test_a_pointer(text: str, original: str) -> None:
    assert parse_pointer(text.encode()) == Pointer(OID, 7, original)


@pytest.mark.parametrize(
    "text",
    [
        "",
        VERSION,
        f"{VERSION}oid sha256:{OID}\n",
        f"oid sha256:{OID}\nsize 7\n{VERSION}",
        f"{VERSION}size 7\noid sha256:{OID}\n",
        POINTER.replace("spec/v1", "spec/v9"),
        POINTER.replace(OID, OID[1:]),
        POINTER.replace(OID, OID.upper()),
        POINTER.replace("size 7", "size -7"),
        POINTER.replace("size 7", "size 7 bytes"),
        POINTER + "see the wiki\n",
        f"# {POINTER}",
        POINTER + "\n" * 1024,
        f"{VERSION}note text\noid sha256:{OID}\nsize 7\n",
        f"version: https://git-lfs.github.com/spec/v1\noid: sha256:{OID}\nsize: 7\n",
    ],
)
def test_a_file_that_looks_like_one(text: str, tmp_path: Path) -> None:
    assert parse_pointer(text.encode()) is None
    (tmp_path / "a.txt").write_bytes(text.encode())
    assert examine(tmp_path / "a.txt", tmp_path).file.digest == f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


def test_content_and_pointer_are_one_dataset(tmp_path: Path) -> None:
    pulled, bare = tmp_path / "pulled" / "set", tmp_path / "bare" / "set"
    for folder, text in ((pulled, "content"), (bare, POINTER)):
        (folder / "sub").mkdir(parents=True)
        (folder / "sub" / "data.bin").write_text(text)
        (folder / "plain.txt").write_text("in git itself")
    for path in (Path("set"), Path("set/sub/data.bin")):
        with_content = examine(path, pulled.parent, by_pointer=True)
        with_pointer = examine(path, bare.parent, by_pointer=True)
        assert with_content.file == with_pointer.file and with_content.manifest == with_pointer.manifest
        assert with_content.pointers == () and with_pointer.pointers == (bare / "sub" / "data.bin",)
    other = tmp_path / "other" / "set"
    (other / "sub").mkdir(parents=True)
    (other / "sub" / "data.bin").write_text("Content")
    assert examine(Path("set/sub/data.bin"), other.parent).file.digest != f"sha256:{OID}"


def test_where_the_content_is_needed_a_pointer_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "metrics.json"
    path.write_text(POINTER)
    (tmp_path / "link.json").symlink_to(path)
    for read in (
        lambda: examine(path, tmp_path),
        lambda: examine(tmp_path, tmp_path),
        lambda: read_metrics(path),
        lambda: read_metrics(tmp_path / "link.json"),
    ):
        with pytest.raises(InputError, match="only its Git LFS pointer is here") as caught:
            read()
        assert "git lfs pull" in str(caught.value.hint) and "lfs: true" in str(caught.value.hint)


def test_a_dataset_that_dvc_has_not_fetched(tmp_path: Path) -> None:
    (tmp_path / "data.csv.dvc").write_text("outs:\n- md5: 1\n  path: data.csv\n")
    with pytest.raises(InputError, match=r"data\.csv: there is no such file") as caught:
        examine(tmp_path / "data.csv", tmp_path)
    assert caught.value.hint == "DVC keeps it: dvc pull"


def test_the_content_of_a_pointer(tmp_path: Path) -> None:
    path, pointer = tmp_path / "a", Pointer(OID, 7, OID)
    for text, expected in (("content", True), ("Content", False), ("", False), (POINTER, True)):
        path.write_text(text)
        assert holds(path, pointer) is expected
    path.write_text("before")
    assert holds(path, Pointer(OID, 7, OTHER))
