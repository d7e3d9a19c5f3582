"""How a ratio is taken: two commands in turn, A B A B …, so that a busy machine slows both alike."""

from __future__ import annotations

import os
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

# What a CI host, an activated environment or a user's configuration would add to a measured command.
_CLEAN = {
    "CIPLUG_PUSH_TOKEN": None,
    "CIPLUG_SPOOL": None,
    "CIPLUG_STORE": None,
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_AUTHOR_NAME": "Bench",
    "GIT_AUTHOR_EMAIL": "bench@example.com",
    "GIT_COMMITTER_NAME": "Bench",
    "GIT_COMMITTER_EMAIL": "bench@example.com",
    "DVC_NO_ANALYTICS": "1",
    "no_proxy": "127.0.0.1",
    "NO_PROXY": "127.0.0.1",
}
_CI = ("CI", "GITHUB_ACTIONS", "GITLAB_CI", "JENKINS_URL", "BUILD_TAG", "GITEA_ACTIONS")


def environment() -> dict[str, str]:
    """The environment of every measured command: this process's own, without CI and without configuration."""
    env = {key: value for key, value in os.environ.items() if key not in _CI and not key.startswith("PYTHON")}
    for key, value in _CLEAN.items():
        env.pop(key, None)
        if value is not None:
            env[key] = value
    return env


def call(argv: Sequence[str], cwd: Path, env: Mapping[str, str] | None = None) -> bytes:
    """Run a command and return its standard output; when it fails, its words are raised."""
    done = subprocess.run(argv, cwd=cwd, env=env or environment(), capture_output=True)
    if done.returncode:
        words = (done.stderr or done.stdout).decode(errors="replace").strip()
        raise RuntimeError(f"{' '.join(argv)} ended with {done.returncode}: {words}")
    return done.stdout


@dataclass(frozen=True)
class Arm:
    """One side of a ratio: `prepare` is not timed, and hands its result to `timed`."""

    prepare: Callable[[], Path]
    timed: Callable[[Path], object]

    def seconds(self) -> float:
        return seconds_of(self.timed, self.prepare())


def seconds_of(timed: Callable[[Path], object], place: Path) -> float:
    """Seconds of the clock."""
    start = time.perf_counter()
    timed(place)
    return time.perf_counter() - start


@dataclass(frozen=True)
class Timing:
    """Seconds of every sample, in the order taken."""

    samples: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(self.samples)

    def __str__(self) -> str:
        low, high = min(self.samples), max(self.samples)
        return f"{_seconds(self.median)} ({_seconds(low)}–{_seconds(high)})"


def _seconds(value: float) -> str:
    return f"{value:.2f} s" if value >= 1 else f"{value * 1000:.0f} ms"


@dataclass(frozen=True)
class Result:
    """One row of the table."""

    name: str
    ours: Timing
    floor_name: str
    floor: Timing
    aim: float | None = None
    """The largest ratio that is good enough."""
    notes: str = ""

    @property
    def ratios(self) -> list[float]:
        """Ours by the floor, of each pair."""
        return [a / b for a, b in zip(self.ours.samples, self.floor.samples, strict=True)]

    @property
    def ratio(self) -> float:
        return statistics.median(self.ratios)


@dataclass(frozen=True)
class Fact:
    """A figure that is no ratio of times."""

    name: str
    value: str
    notes: str = ""


@dataclass(frozen=True)
class Skipped:
    """A measurement that could not be made, and why."""

    name: str
    reason: str


def interleave(ours: Arm, floor: Arm, pairs: int) -> tuple[Timing, Timing]:
    """Time both in turn. Of several pairs, one more comes first and is thrown away: it warms the disk's cache."""
    if pairs > 1:
        ours.seconds(), floor.seconds()
    taken = [(ours.seconds(), floor.seconds()) for _ in range(pairs)]
    return Timing(tuple(a for a, _ in taken)), Timing(tuple(b for _, b in taken))
