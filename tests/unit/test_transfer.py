"""The progress of transfers: a bar on a terminal, one line elsewhere."""

from __future__ import annotations

import contextlib
import os
import sys

import pytest

from ciplug import console


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


@pytest.mark.skipif(sys.platform == "win32", reason="pseudo-terminals")
@pytest.mark.parametrize("size", [2_000_000, None])
def test_a_bar_on_a_terminal(monkeypatch: pytest.MonkeyPatch, size: int | None) -> None:
    theirs, ours = os.openpty()
    with open(ours, "w", encoding="utf-8") as terminal:
        monkeypatch.setattr(sys, "stderr", terminal)
        with console.transfer("files sent", 1, size) as tell:
            tell(2_000_000)
    said = ""
    with contextlib.suppress(OSError):  # how a pseudo-terminal ends
        while piece := os.read(theirs, 10_000):
            said += piece.decode()
    os.close(theirs)
    assert ("%|" in said) == (size is not None)
    assert "files sent: 1 (2.0 MB" in said
