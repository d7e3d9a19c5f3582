"""Files that look new, and that nobody has written: one from the future, and a new hard link to an old one."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from ciplug.capture.written_files import COARSEST, SECOND, Outputs, older_than

DAY = 86_400 * SECOND


def test_a_time_that_is_still_to_come_shows_no_write(tmp_path: Path) -> None:
    file = tmp_path / "model.bin"
    file.write_text("old")
    tomorrow = time.time_ns() + DAY
    os.utime(file, ns=(tomorrow, tomorrow))
    assert older_than(file, time.time_ns() + 2 * COARSEST) == [file]
    assert older_than(file, time.time_ns() - COARSEST) == []


@pytest.mark.parametrize("is_old", [True, False])
def test_a_new_hard_link_counts_by_the_time_of_its_file(tmp_path: Path, is_old: bool) -> None:
    file, link = tmp_path / "old.json", tmp_path / "metrics.json"
    file.write_text("{}")
    outputs = Outputs.before([link])
    if is_old:
        yesterday = time.time_ns() - DAY
        os.utime(file, ns=(yesterday, yesterday))
    os.link(file, link)
    assert outputs.unwritten(link) == ([link] if is_old else [])
