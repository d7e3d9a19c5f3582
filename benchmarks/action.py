"""What the action adds to a job before the training starts: its first step, by a plain `pip install` of the same."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from benchmarks.measuring import Result, Skipped, Timing, call, environment, seconds_of
from benchmarks.places import ROOT, Tools, scratch
from ciplug.install import CONTENTS

_FLOOR = "`python -m venv`, `pip install`"


def measure(tools: Tools, *, pairs: int, quick: bool) -> Iterator[Result | Skipped]:
    with scratch() as folder:
        try:
            reach = ("download", "--quiet", "--no-deps", "--dest", str(folder), "tabulate")
            call([sys.executable, "-I", "-m", "pip", *reach], folder, _hosted())
        except RuntimeError as problem:
            yield Skipped("the action's install step", f"PyPI cannot be reached without pip's settings: {problem}")
            return
        action = folder / "action"
        action.mkdir()
        for name in CONTENTS:
            copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
            copy(ROOT / name, action / name)
        # A pair takes ten seconds and more.
        yield from _measured(action, folder, max(1, pairs // 3))


def _measured(action: Path, folder: Path, pairs: int) -> Iterator[Result]:
    env = _hosted()

    def empty() -> Path:
        return Path(tempfile.mkdtemp(dir=folder))

    def floor(place: Path) -> None:
        call([sys.executable, "-I", "-m", "venv", str(place / "venv")], place, env)
        call([str(place / "venv/bin/python"), "-I", "-m", "pip", "install", "--quiet", str(action)], place, env)

    def ours(tool_cache: Path) -> None:
        job = {"RUNNER_TOOL_CACHE": str(tool_cache), "RUNNER_TEMP": str(folder), "GITHUB_OUTPUT": str(folder / "out")}
        call([sys.executable, "-I", str(action / "ciplug/install.py")], tool_cache, {**env, **job})

    taken: list[tuple[float, float, float]] = []
    # The first of several rounds warms the disk's cache.
    for _ in range(pairs if pairs == 1 else pairs + 1):
        kept = empty()
        taken.append((seconds_of(ours, kept), seconds_of(ours, kept), seconds_of(floor, empty())))
    fresh, again, pip = (Timing(tuple(column)) for column in zip(*taken[-pairs:], strict=True))
    yield Result("the action's install step, on a fresh disk", fresh, _FLOOR, pip, aim=0.5, notes="uv is fetched, too")
    yield Result("the action's install step, kept from an earlier job", again, _FLOOR, pip, aim=0.1)


def _hosted() -> Mapping[str, str]:
    """As on a hosted runner: pip and uv know of no index but PyPI, and no cache of theirs has anything."""
    env = {name: value for name, value in environment().items() if not name.startswith(("PIP_", "UV_"))}
    return {**env, "PIP_CONFIG_FILE": "/dev/null", "PIP_NO_CACHE_DIR": "1", "UV_NO_CACHE": "1"}
