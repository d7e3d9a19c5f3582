from __future__ import annotations

import hashlib
import os
import sys
from pathlib import Path

import pytest

from ciplug.capture.content import digest_file, examine
from ciplug.errors import InputError
from ciplug.records.run import File

posix = pytest.mark.skipif(sys.platform == "win32", reason="symbolic links and pipes")


def describe(path: Path, top: Path) -> File:
    return examine(path, top).file


def sha(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def test_file(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "ä b.csv").write_bytes(b"x" * 3_000_000)
    expected = File(path="data/ä b.csv", digest=sha(b"x" * 3_000_000), size=3_000_000)
    assert describe(Path("data/ä b.csv"), tmp_path) == expected
    assert describe(tmp_path / "data" / "ä b.csv", tmp_path) == expected
    assert digest_file(tmp_path / "data" / "ä b.csv") == expected.digest


def test_empty_file_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    assert describe(Path("empty"), tmp_path) == File(path="empty", digest=sha(b""), size=0)


def test_file_outside_keeps_the_path_it_was_given(tmp_path: Path) -> None:
    (tmp_path / "top").mkdir()
    (tmp_path / "shared.csv").write_text("1")
    assert describe(tmp_path / "shared.csv", tmp_path / "top").path == (tmp_path / "shared.csv").as_posix()


def test_folder_is_the_digest_of_its_sorted_lines(tmp_path: Path) -> None:
    model = tmp_path / "model"
    (model / "weights").mkdir(parents=True)
    (model / "weights" / "0.bin").write_bytes(b"weights")
    (model / "config.json").write_bytes(b"{}")
    lines = sorted([f"{sha(b'weights')} weights/0.bin\n", f"{sha(b'{}')} config.json\n"])
    assert describe(Path("model"), tmp_path) == File(
        path="model", digest=sha("".join(lines).encode()), size=9, kind="folder"
    )


def test_a_folder_is_read_once_and_knows_its_files(tmp_path: Path) -> None:
    model = tmp_path / "model"
    (model / "weights").mkdir(parents=True)
    (model / "weights" / "ä.bin").write_bytes(b"weights")
    (model / "same.bin").write_bytes(b"weights")
    (model / "empty").touch()
    content = examine(Path("model"), tmp_path)
    assert content.manifest is not None
    assert sha(content.manifest) == content.file.digest
    assert sorted(content.manifest.decode().splitlines()) == sorted(
        [f"{sha(b'weights')} same.bin", f"{sha(b'weights')} weights/ä.bin", f"{sha(b'')} empty"]
    )
    assert {digest: member.size for digest, member in content.members.items()} == {sha(b"weights"): 7, sha(b""): 0}
    assert all(member.path.read_bytes() in (b"weights", b"") for member in content.members.values())
    assert examine(model / "empty", tmp_path).manifest is None


def test_folder_digest_sees_names_and_contents(tmp_path: Path) -> None:
    for name, file, content in (("a", "x", "1"), ("b", "x", "1"), ("c", "y", "1"), ("d", "x", "2")):
        (tmp_path / name).mkdir()
        (tmp_path / name / file).write_text(content)
    a, b, c, d = (describe(Path(name), tmp_path).digest for name in "abcd")
    assert a == b
    assert len({a, c, d}) == 3


def test_missing(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"model\.bin: there is no such file") as caught:
        describe(Path("model.bin"), tmp_path)
    assert caught.value.hint
    with pytest.raises(InputError, match="no such file"):
        digest_file(tmp_path / "model.bin")


def test_empty_folder_has_a_name(tmp_path: Path) -> None:
    (tmp_path / "model" / "sub").mkdir(parents=True)
    with pytest.raises(InputError, match="holds no file"):
        describe(Path("model"), tmp_path)


@posix
class TestLinks:
    def test_a_link_inside_counts_as_its_file(self, tmp_path: Path) -> None:
        for name in ("plain", "linked"):
            (tmp_path / name).mkdir()
        (tmp_path / "cache").write_text("weights")
        (tmp_path / "plain" / "w").write_text("weights")
        (tmp_path / "linked" / "w").symlink_to("../cache")
        assert describe(Path("linked"), tmp_path).digest == describe(Path("plain"), tmp_path).digest

    def test_the_named_path_may_be_a_link(self, tmp_path: Path) -> None:
        (tmp_path / "top").mkdir()
        (tmp_path / "mounted.csv").write_text("1")
        (tmp_path / "top" / "data.csv").symlink_to(tmp_path / "mounted.csv")
        assert describe(Path("data.csv"), tmp_path / "top") == File(path="data.csv", digest=sha(b"1"), size=1)

    @pytest.mark.parametrize(
        ("target", "says"),
        [
            ("../../secret", "leads out"),
            ("nowhere", "points to nothing"),
            ("..", "folder is not followed"),
            ("bad", "nothing"),
        ],
    )
    def test_refused(self, tmp_path: Path, target: str, says: str) -> None:
        (tmp_path / "secret").write_text("s")
        (tmp_path / "top" / "model").mkdir(parents=True)
        (tmp_path / "top" / "model" / "w").write_text("w")
        (tmp_path / "top" / "model" / "bad").symlink_to(target)
        with pytest.raises(InputError, match=says):
            describe(Path("model"), tmp_path / "top")

    def test_a_pipe_does_not_hang(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "pipe")
        with pytest.raises(InputError, match="neither a file nor a folder"):
            describe(Path("pipe"), tmp_path)

    def test_names_that_records_cannot_hold(self, tmp_path: Path) -> None:
        for name in (b"a\nb", b"\xff"):
            with open(os.fsencode(tmp_path) + b"/" + name, "w"):
                pass
            with pytest.raises(InputError, match="control characters"):
                describe(Path(os.fsdecode(name)), tmp_path)
