"""The progress of transfers: a bar on a terminal, one line elsewhere."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ciplug import console
from tests.project import Project


def test_one_line_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with console.transfer("files sent", 2, 3_000_000) as tell:
        tell(1_000_000)
        tell(2_000_000)
    said = capsys.readouterr().err
    assert said.startswith("ciplug: files sent: 2 (3.0 MB, ")
    assert len(said.splitlines()) == 1


def test_nothing_when_it_failed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match="cut off"), console.transfer("files sent", 2, None):
        raise ValueError("cut off")
    assert capsys.readouterr().err == ""


@contextlib.contextmanager
def shown(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """A terminal in the place of stderr; what it has shown is in the list afterwards."""
    theirs, ours = os.openpty()
    said: list[str] = []
    with open(ours, "w", encoding="utf-8") as terminal, monkeypatch.context() as patch:
        patch.setattr(sys, "stderr", terminal)
        yield said
    with contextlib.suppress(OSError):  # how a pseudo-terminal ends
        while piece := os.read(theirs, 10_000):
            said.append(piece.decode())
    os.close(theirs)


def test_a_long_step_is_silent_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    def size() -> int:
        raise AssertionError("nobody needs it")

    with console.progress("hashing", size) as tell:
        tell(1_000_000)
    assert capsys.readouterr().err == ""


@pytest.mark.skipif(sys.platform == "win32", reason="pseudo-terminals")
@pytest.mark.parametrize(("size", "is_shown"), [(200_000_000, True), (2_000_000, False)])
def test_a_long_step_has_a_bar_on_a_terminal(monkeypatch: pytest.MonkeyPatch, size: int, is_shown: bool) -> None:
    with shown(monkeypatch) as said, console.progress("hashing", lambda: size) as tell:
        tell(size)
    assert ("hashing" in "".join(said)) == is_shown


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="pseudo-terminals")
def test_hashing_is_shown_on_a_terminal_and_in_no_log(tmp_path: Path) -> None:
    from tests.terminal import Terminal

    project = Project.create(tmp_path / "work")
    (project.folder / "metrics.json").write_text('{"accuracy": 0.9}')
    with (project.folder / "train.bin").open("wb") as file:
        file.truncate(300_000_000)
    words = ("record", "--metrics", "metrics.json", "--dataset", "train.bin", "--bundle", "run.zip")
    terminal = Terminal.ciplug(*words, cwd=project.folder)
    terminal.expect("hashing: ")
    assert terminal.end() == 0
    assert "hashing" not in project.ciplug(*words).stderr


@pytest.mark.skipif(sys.platform == "win32", reason="pseudo-terminals")
@pytest.mark.parametrize("size", [2_000_000, None])
def test_a_bar_on_a_terminal(monkeypatch: pytest.MonkeyPatch, size: int | None) -> None:
    with shown(monkeypatch) as said, console.transfer("files sent", 1, size) as tell:
        tell(2_000_000)
    assert ("%|" in "".join(said)) == (size is not None)
    assert "files sent: 1 (2.0 MB" in "".join(said)
