"""Copies of files that a run keeps: whole, or not at all."""

from __future__ import annotations

import errno
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ciplug.capture.frozen import freeze


@contextmanager
def little_room() -> Iterator[None]:
    """No file may be larger: like a full disk, the system writes what fits, and says so by its count alone.

    Not for longer than needed: the log of the tests may be a larger file.
    """
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@pytest.mark.parametrize("by_the_kernel", [True, False])
def test_a_file_that_does_not_fit_is_an_error(
    by_the_kernel: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not by_the_kernel:

        def other_file_system(*_: object) -> int:
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))

        monkeypatch.setattr(os, "copy_file_range", other_file_system, raising=False)
    data = os.urandom(80_000)
    (tmp_path / "model").write_bytes(data)
    freeze(tmp_path / "model", tmp_path / "whole")
    assert (tmp_path / "whole").read_bytes() == data
    with little_room(), pytest.raises(OSError, match="File too large"):
        freeze(tmp_path / "model", tmp_path / "copy")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model", "whole"]
