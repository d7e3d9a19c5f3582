"""Put several runs side by side, and keep what differs. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from ciplug.records.run import NO_TIME, File, Run
from ciplug.records.run_diff import CodeDiff, FileFact, Part, Rows, RunDiff, SeriesSummary, Value
from ciplug.records.series import Series


def diff(
    names: Sequence[str],
    runs: Sequence[Run],
    series: Sequence[Mapping[str, Series]],
    code: Sequence[CodeDiff] = (),
    *,
    all: bool = False,
) -> RunDiff:
    """Return what differs between the runs.

    Args:
        names: the name of each run for people.
        series: metric → steps, of each run.
        code: of each run but the first.
        all: keep what is alike, too.
    """
    facts = [dict(_parts(run, steps)) for run, steps in zip(runs, series, strict=True)]
    parts: dict[Part, Rows] = {}
    same: dict[Part, int] = {}
    for part in facts[0]:
        rows = _rows([one[part] for one in facts])
        kept = rows if all else {name: values for name, values in rows.items() if not _alike(values)}
        if kept:
            parts[part] = kept
        if len(kept) < len(rows):
            same[part] = len(rows) - len(kept)
    return RunDiff(tuple(names), tuple(runs), parts, same, tuple(code))


def _rows(facts: Sequence[Mapping[str, Value]]) -> dict[str, tuple[Value | None, ...]]:
    names = dict.fromkeys(name for one in facts for name in one)
    return {name: tuple(one.get(name) for one in facts) for name in names}


def _alike(values: Sequence[Value | None]) -> bool:
    """Whether all runs have the same value. 1 and 1.0 are one number, NaN is itself, and True is not 1."""
    return len({(isinstance(value, bool), _comparable(value)) for value in values}) == 1


def _comparable(value: Value | None) -> object:
    if isinstance(value, float) and math.isnan(value):
        return "NaN"
    if isinstance(value, SeriesSummary):
        return tuple(map(_comparable, (value.steps, value.last_step, value.last, value.min, value.max)))
    if isinstance(value, FileFact):
        return value.digest
    return value


def _parts(run: Run, series: Mapping[str, Series]) -> Iterator[tuple[Part, Mapping[str, Value]]]:
    origin, context = run.provenance, run.provenance.context
    about: dict[str, Value | None] = {
        "name": run.name,
        "model": run.model,
        "status": run.status,
        "started": None if run.started == NO_TIME else run.started,
        "commit": run.commit,
        "branch": context.branch,
        "seconds": origin.wall_seconds,
        "seed": origin.seed,
        "parent": run.parent,
        "command": " ".join(origin.command) or None,
        "changed files": origin.named_dirt() or ("yes" if origin.dirty else None),
        "host": context.host,
        "actor": context.actor,
    }
    yield "run", _present(about)
    yield "params", dict(sorted(run.params.items()))
    yield "metrics", dict(sorted(run.metrics.items()))
    yield "series", {name: SeriesSummary.of(one) for name, one in sorted(series.items()) if one.steps}
    machine = origin.hardware
    environment: dict[str, Value | None] = {
        "python": origin.python,
        "os": origin.os,
        "cpu": machine.cpu,
        "cores": machine.cores,
        "memory (bytes)": machine.memory_bytes,
        "gpus": ", ".join(machine.gpus) or None,
        "image": context.image,
        **{f"{path} (lock file)": digest for path, digest in sorted(origin.lockfiles.items())},
    }
    yield "environment", _present(environment)
    yield "packages", dict(sorted(origin.packages.items()))
    named = {f"{one.name}{f' ({one.context})' if one.context else ''}": FileFact(one.digest) for one in run.inputs}
    yield "datasets", {**_files(run.datasets), **named}
    yield "artifacts", _artifacts(run.artifacts)
    yield "tags", dict(sorted(run.tags.items()))


def _present(values: Mapping[str, Value | None]) -> dict[str, Value]:
    return {name: value for name, value in values.items() if value is not None}


def _files(files: Sequence[File]) -> dict[str, FileFact]:
    return {file.path: FileFact(file.digest, file.size) for file in sorted(files, key=lambda file: file.path)}


def _artifacts(files: Sequence[File]) -> dict[str, FileFact]:
    stored = {file.path: file.store is not None or "://" in file.path for file in files}
    return {path: replace(fact, is_here=stored[path]) for path, fact in _files(files).items()}
