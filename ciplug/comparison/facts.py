"""The time and memory that a run used, and the size of its artifacts, as metrics that a gate can name. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from ciplug.records.run import Run


def facts(run: Run) -> dict[str, float]:
    """Seconds, megabytes (10⁶ bytes) and sizes of the artifacts; what is not known is absent."""
    origin = run.provenance
    memory = origin.peak_memory_bytes
    values = {
        "run.wall_seconds": origin.wall_seconds,
        "run.cpu_seconds": origin.cpu_seconds,
        "run.peak_memory_mb": None if memory is None else memory / 1e6,
        "artifacts.mb": sum(file.size for file in run.artifacts) / 1e6 if run.artifacts else None,
        **{f"artifacts.{file.path}.mb": file.size / 1e6 for file in run.artifacts},
    }
    return {name: float(value) for name, value in values.items() if value is not None}


def is_fact(name: str) -> bool:
    """Whether a metric of this name is a fact about a run."""
    return name.startswith(("run.", "artifacts."))


def with_facts(run: Run, names: Iterable[str]) -> Run:
    """The run with those of these names that are facts among its metrics; a metric of such a name does not hide one."""
    wanted = [name for name in names if is_fact(name)]
    values = facts(run) if wanted else {}
    named = {name: values[name] for name in wanted if name in values}
    return replace(run, metrics={**run.metrics, **named}) if named else run
