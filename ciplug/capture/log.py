"""What a training logs while it runs: a line of JSON each, appended in one write, by any number of processes.

A process that is killed loses nothing that it had logged. A power cut may cost what the system had not written yet:
it is told to write every SYNC_SECONDS while a run logs, and does so by itself within half a minute.
"""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ciplug.errors import StoreError, UsageError
from ciplug.records.run import METRIC_NAME, Scalar
from ciplug.records.series import Series

FILE = "log.ndjson"
SYNC_SECONDS = 5.0
_synced: dict[Path, float] = {}


def append(folder: Path, event: dict[str, Any]) -> None:
    """Add one event to the log of a run. A line up to a pipe's size is never torn by another process's.

    Raises StoreError when the disk does not take it.
    """
    # It starts with a newline too: a line that a full disk or a kill has cut off costs no other.
    data = f"\n{json.dumps({**event, 'time': time.time()})}\n".encode()
    path = folder / FILE
    now = time.monotonic()
    try:
        file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            while data:
                data = data[os.write(file, data) :]
            if now - _synced.setdefault(path, now) >= SYNC_SECONDS:
                os.fsync(file)
                _synced[path] = now
        finally:
            os.close(file)
    except OSError as problem:
        raise StoreError(
            f"nothing can be logged: {path}: {problem.strerror}",
            hint="free some space there, or name another folder: CIPLUG_SPOOL=DIR; what was logged before is kept",
        ) from None


def number(key: str, value: object) -> float:
    """A metric's value as a float: Python's and numpy's numbers, one-element arrays and tensors."""
    if isinstance(value, (bool, str)) or value is None:
        raise UsageError(f"metric '{key}': a number is expected, not {value!r}")
    try:
        single: Any = value.item() if hasattr(value, "item") else value
        if isinstance(single, bool):
            raise TypeError
        return float(single)
    except OverflowError:
        raise UsageError(f"metric '{key}': an integer too large for a number") from None
    except (TypeError, ValueError):
        raise UsageError(f"metric '{key}': a number is expected, not {type(value).__name__}") from None


def whole_step(key: str, value: object) -> int:
    """A step as the series keep it: a whole number of 64 bits."""
    try:
        step = int(value)  # type: ignore[call-overload]
    except (TypeError, ValueError, OverflowError):
        step = None
    if step is None or step != value or not -(2**63) <= step < 2**63:
        raise UsageError(f"metric '{key}': the step {value!r} is no whole number of 64 bits")
    return int(step)


@dataclass
class Logged:
    """The sum of a log."""

    metrics: dict[str, float] = field(default_factory=dict)
    params: dict[str, Scalar] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    artifacts: list[str] = field(default_factory=list)
    datasets: list[str] = field(default_factory=list)
    series: dict[str, Series] = field(default_factory=dict)
    model: str | None = None
    name: str | None = None
    seed: int | None = None
    torn: bool = False
    """A line is no event: its process was killed while it wrote, or something else wrote to the file."""


def read(folder: Path) -> Logged:
    """Everything that was logged to a run's folder."""
    logged = Logged()
    steps: dict[str, list[tuple[int, float, float]]] = {}
    path = folder / FILE
    for line in path.read_bytes().split(b"\n") if path.exists() else []:
        if not line:
            continue
        try:
            _take(json.loads(line), logged, steps)
        except (ValueError, TypeError, KeyError, OverflowError, UsageError):
            logged.torn = True
    for key, points in steps.items():
        points.sort(key=lambda point: point[0])  # several processes may have logged to it
        logged.series[key] = Series(
            steps=tuple(p[0] for p in points),
            values=tuple(p[1] for p in points),
            times=tuple(p[2] for p in points),
        )
    return logged


def _take(event: Any, logged: Logged, steps: dict[str, list[tuple[int, float, float]]]) -> None:
    if not isinstance(event, dict):
        raise TypeError
    if "metric" in event:
        key, value = str(event["metric"]), float(event["value"])
        if not METRIC_NAME.fullmatch(key):
            raise ValueError
        point = None
        if event.get("step") is not None:
            point = (whole_step(key, event["step"]), value, float(event["time"]))
        logged.metrics[key] = value
        if point:
            steps.setdefault(key, []).append(point)
    elif "param" in event:
        if not isinstance(event["value"], (str, int, float, bool)):
            raise TypeError
        logged.params[str(event["param"])] = event["value"]
    elif "tag" in event:
        logged.tags[str(event["tag"])] = str(event["value"])
    elif "artifact" in event:
        logged.artifacts.append(str(event["artifact"]))
    elif "dataset" in event:
        logged.datasets.append(str(event["dataset"]))
    elif "model" in event:
        logged.model = str(event["model"])
    elif "name" in event:
        logged.name = str(event["name"])
    elif "seed" in event:
        logged.seed = int(event["seed"])
