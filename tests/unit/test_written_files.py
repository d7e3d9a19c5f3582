"""Which files a command has written: the ways of writing a file, and of touching it without writing."""

from __future__ import annotations

import os
import shutil
import sys
import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from ciplug.capture.written_files import COARSEST, Outputs, Stamp, is_rewritten, until_seen

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="links, owners and modes")
SECOND = 1_000_000_000


def _over(source: str) -> None:
    shutil.copy2(source, "out")


def _unpack() -> None:
    with tarfile.open("old.tar") as tar:
        tar.extraction_filter = lambda member, path: member  # `filter=` is not in each 3.10 and 3.11
        tar.extractall(".")


def _replace_by_old_name() -> None:
    Path("new").write_text("new")
    Path("new").rename("out")


def _same_bytes_and_time() -> None:
    before = Path("out").stat()
    Path("out").write_text("old")
    os.utime("out", ns=(before.st_atime_ns, before.st_mtime_ns))


def _retarget(to: str) -> None:
    Path("link").unlink()
    Path("link").symlink_to(to)


def _new_target() -> None:
    Path("fresh").write_text("new")
    _retarget("fresh")


WAYS: list[tuple[str, str, Callable[[], object], bool]] = [
    ("nothing", "out", lambda: None, False),
    ("read", "out", lambda: Path("out").read_text(), False),
    ("other bytes", "out", lambda: Path("out").write_text("new"), True),
    ("the same bytes", "out", lambda: Path("out").write_text("old"), True),
    ("the same bytes, and the time set back", "out", _same_bytes_and_time, True),
    ("touch", "out", lambda: Path("out").touch(), True),
    ("cp -p of a file of the same size and time", "out", lambda: _over("twin"), True),
    ("tar x of an older file", "out", _unpack, True),
    ("a rename over it", "out", _replace_by_old_name, True),
    ("deleted and written again", "out", lambda: (Path("out").unlink(), Path("out").write_text("old")), True),
    ("chmod", "out", lambda: Path("out").chmod(0o600), False),
    ("a hard link to it", "out", lambda: os.link("out", "another"), False),
    ("deleted", "out", lambda: Path("out").unlink(), True),
    ("new", "absent", lambda: Path("absent").write_text("new"), True),
    ("moved here from elsewhere", "absent", lambda: Path("twin").rename("absent"), True),
    ("never there", "absent", lambda: None, True),
    ("a link whose target is written", "link", lambda: Path("out").write_text("new"), True),
    ("a link whose target stays", "link", lambda: None, False),
    ("a link that points to a new file", "link", _new_target, True),
    ("a file of a folder", "folder", lambda: Path("folder/a").write_text("new"), False),
    ("all files of a folder", "folder", lambda: [Path(f"folder/{n}").write_text("new") for n in "ab"], True),
    ("a new file of a folder", "folder", lambda: Path("folder/c").write_text("new"), False),
]


@pytest.mark.parametrize(("path", "act", "written"), [way[1:] for way in WAYS], ids=[way[0] for way in WAYS])
def test_ways(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str, act: Callable[[], object], written: bool
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("folder").mkdir()
    for name in ("out", "twin", "folder/a", "folder/b"):
        Path(name).write_text("old")
        os.utime(name, ns=(1_700_000_000_123_456_789,) * 2)
    Path("link").symlink_to("out")
    with tarfile.open("old.tar", "w") as tar:
        tar.add("out")
    before = Outputs.before([Path(path)])
    act()
    assert (before.unwritten(Path(path)) == []) is written


def test_a_link_that_newly_points_to_an_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("out", "twin"):
        Path(name).write_text("old")
    Path("link").symlink_to("out")
    before = Outputs.before([Path("link")])
    # As if the command had begun long after: no program can set the time of change.
    before = replace(before, began=before.began + 2 * COARSEST)
    _retarget("twin")
    assert before.unwritten(Path("link")) == [Path("link")]


def test_of_a_folder_each_file_counts_by_itself(tmp_path: Path) -> None:
    for name in "abc":
        (tmp_path / name).write_text("old")
    before = Outputs.before([tmp_path])
    assert not before.has_written([tmp_path])
    (tmp_path / "b").write_text("new")
    (tmp_path / "d").write_text("new")
    assert before.unwritten(tmp_path) == [tmp_path / "a", tmp_path / "c"]
    assert before.has_written([tmp_path])


STAMP = Stamp((1, 2), 3, 10 * SECOND, 10 * SECOND, (0o644, 1, 0, 0))


@pytest.mark.parametrize(
    ("change", "written"),
    [
        ({}, False),
        ({"inode": (1, 3)}, True),
        ({"size": 4}, True),
        ({"modified": 1}, True),
        ({"modified": 11 * SECOND, "changed": 11 * SECOND}, True),
        ({"changed": 11 * SECOND}, True),
        ({"changed": 11 * SECOND, "attributes": (0o600, 1, 0, 0)}, False),
        ({"changed": 11 * SECOND, "attributes": (0o644, 2, 0, 0)}, False),
        ({"changed": 11 * SECOND, "attributes": (0o644, 2, 0, 0), "size": 4}, True),
    ],
)
def test_what_differs_after_a_write(change: dict[str, object], written: bool) -> None:
    assert is_rewritten(STAMP, STAMP._replace(**change)) is written  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("modified", "now", "wait"),
    [
        (10 * SECOND, 10 * SECOND + 500_000_000, 1_500_000_000),
        (10 * SECOND, 12 * SECOND, 0),
        (10 * SECOND, 9 * SECOND, 0),
        (10 * SECOND + 1, 10 * SECOND + 500_000_000, 0),
    ],
    ids=["a coarse clock", "long ago", "from the future", "a fine clock"],
)
def test_a_coarse_clock_is_waited_for(modified: int, now: int, wait: int) -> None:
    assert until_seen([STAMP._replace(modified=modified, changed=modified)], now) == wait
    assert until_seen([], now) == 0
