"""What a training logs while it runs: a line of JSON each, appended in one write, by any number of processes."""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ciplug.errors import UsageError
from ciplug.records.run import Scalar
from ciplug.records.series import Series

FILE = "log.ndjson"


def append(folder: Path, event: dict[str, Any]) -> None:
    """Add one event to the log of a run. A line up to a pipe's size is never torn by another process's."""
    line = json.dumps({**event, "time": time.time()}) + "\n"
    file = os.open(folder / FILE, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(file, line.encode())
    finally:
        os.close(file)


def number(key: str, value: object) -> float:
    """A metric's value as a float: Python's and numpy's numbers, one-element arrays and tensors."""
    if isinstance(value, (bool, str)) or value is None:
        raise UsageError(f"metric '{key}': a number is expected, not {value!r}")
    try:
        return float(value.item() if hasattr(value, "item") else value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        raise UsageError(f"metric '{key}': a number is expected, not {type(value).__name__}") from None


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
    torn: bool = False
    """The last line was cut off: its process was killed while it wrote."""


def read(folder: Path) -> Logged:
    """Everything that was logged to a run's folder."""
    logged = Logged()
    steps: dict[str, list[tuple[int, float, float]]] = {}
    path = folder / FILE
    for line in path.read_bytes().split(b"\n") if path.exists() else []:
        if not line:
            continue
        try:
            event = json.loads(line)
        except ValueError:
            logged.torn = True
            continue
        if "metric" in event:
            key, value = event["metric"], float(event["value"])
            logged.metrics[key] = value
            if event.get("step") is not None:
                steps.setdefault(key, []).append((event["step"], value, event["time"]))
        elif "param" in event:
            logged.params[event["param"]] = event["value"]
        elif "tag" in event:
            logged.tags[event["tag"]] = event["value"]
        elif "artifact" in event:
            logged.artifacts.append(event["artifact"])
        elif "dataset" in event:
            logged.datasets.append(event["dataset"])
        elif "model" in event:
            logged.model = event["model"]
    for key, points in steps.items():
        logged.series[key] = Series(
            steps=tuple(p[0] for p in points),
            values=tuple(p[1] for p in points),
            times=tuple(p[2] for p in points),
        )
    return logged
