"""A run of another system, whichever it is, and its record: pure, and the same bytes whenever it is made."""

from __future__ import annotations

import hashlib
import json
import math
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from typing import Any

from ciplug.capture import events
from ciplug.capture.logged import Fold
from ciplug.records.last_point import LastPoint
from ciplug.records.left_out import LeftOut, Why
from ciplug.records.provenance import Context, Provenance
from ciplug.records.run import NO_TIME, File, Run, Scalar, Status, metric_name
from ciplug.records.series import Series
from ciplug.steps.session import stamp

NAME_MOST = 250
NamePath = tuple[str, ...]
"""Names, each within what the one before it names."""
KIND = "_type"
"""The key of W&B and Trackio for what is no number: a histogram, an image, a table."""
NOT_FINITE = ("NaN", "Infinity", "-Infinity")
_DEPTH_MOST = 32
_WHOLE_MOST = 2**63
_FRACTION = re.compile(r"\.(\d+)")


def stable_id(system: str, *identity: str) -> str:
    """Return the id of a run: 32 hex digits that follow from what tells it apart in its system."""
    whole = "\0".join(("import", system, *identity))
    # A name of a file that is not UTF-8 has halves of surrogate pairs.
    return hashlib.sha256(whole.encode(errors="surrogatepass")).hexdigest()[:32]


QUIET_SECONDS = 600


def goes_on(last: float | None) -> bool:
    """Whether a run of a system that does not say when one has ended may go on: it was written minutes ago.

    Args:
        last: the time of its last value, in Unix seconds.
    """
    # A moment far in the future is of a wrong clock, and no reason to wait for it.
    return last is not None and abs(time.time() - last) < QUIET_SECONDS


def full_commit(text: object) -> str | None:
    """Return the full id of a commit as records have it; None for anything else."""
    commit = text.strip().lower() if isinstance(text, str) else ""
    return commit if len(commit) in (40, 64) and set(commit) <= set("0123456789abcdef") else None


@dataclass(frozen=True, kw_only=True)
class Values:
    """The numbers, settings and words of a run."""

    metrics: Mapping[str, float] = field(default_factory=dict)
    last: Mapping[str, LastPoint] = field(default_factory=dict)
    series: Mapping[str, Series] = field(default_factory=dict)
    params: Mapping[str, Scalar] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    left_out: tuple[LeftOut, ...] = ()


class Log:
    """Gathers the values of a run one by one. What cannot be kept is left out by name; nothing is raised.

    Nested names are joined by `/`. If two are joined to one, such as `a/b` and the `b` in `a`, neither is kept.
    """

    def __init__(self) -> None:
        self._fold = Fold()
        self._timed: set[str] = set()
        """Metrics of which a value has a time."""
        self._numbers: set[str] = set()
        """Metrics of which a value is a number, if only NaN."""
        self._left: dict[str, LeftOut] = {}
        self._params: dict[str, Scalar] = {}
        self._tags: dict[str, str] = {}
        self._paths: dict[str, NamePath] = {}
        """Metric → the names that were joined to its own."""
        self._clashing: dict[str, None] = {}
        """Names of metrics that are joined of different names."""
        self._contradicted: dict[str, None] = {}
        """Names of parameters with several values."""

    def metric(
        self, name: str, value: object, step: object = None, time: float | None = None, *, below: NamePath = ()
    ) -> None:
        """Take a value of a metric; of a mapping, each value in it.

        A text among numbers is NaN, and noted; a step that is not a whole number is noted, and so is a metric without
        any number.

        Args:
            time: Unix seconds.
            below: names that stand before its own.
        """
        for path, one in leaves((*below, name), value):
            self._metric(path, one, step, time)

    def logged(self, name: str, value: object, step: object = None, time: float | None = None) -> None:
        """Take what a training has logged: numbers are metrics, texts are tags, and media are left out."""
        for path, one in leaves((name,), value, with_kinds=True):
            if isinstance(one, Mapping) and KIND in one:
                self.leave_out("/".join(path), "list", str(one[KIND])[:40])
            elif isinstance(one, str) and one not in NOT_FINITE:
                self.tag("/".join(path), one)
            else:
                self._metric(path, one, step, time)

    def _metric(self, path: NamePath, value: object, step: object, time: float | None) -> None:
        key = "/".join(path)
        if not events.is_metric_name(key):
            self.leave_out(key, "name")
            return
        name = metric_name(key)
        if self._paths.setdefault(name, path) != path:
            self._clashing[name] = None
            return
        if time is not None and math.isfinite(time) and events.within_years(time):
            self._timed.add(name)
        else:
            time = None
        at = 0.0 if time is None else time
        measured = events.measured(key, value, step, at)
        if not any("left_out" in event for event in measured):
            self._numbers.add(name)
        self._fold.take([{"time": at, **event} for event in measured])

    def params(self, values: Mapping[str, Any]) -> None:
        """Take parameters; nested names are joined by `/`, and a list is kept as JSON."""
        for path, value in leaves((), values):
            key = "/".join(path)
            if not key.strip() or not key.isprintable() or len(key) > NAME_MOST:
                self.leave_out(key, "param")
                continue
            one = _scalar(value)
            if repr(self._params.setdefault(key, one)) != repr(one):
                self._contradicted[key] = None

    def tag(self, name: str, value: object) -> None:
        """Take a tag; None and an empty text are none."""
        text = value if isinstance(value, str) else "" if value is None else str(value)
        if len(name) > NAME_MOST:
            # Cut off, it could be the name of another one.
            self.leave_out(name, "name")
        elif name.strip() and text.strip():
            self._tags[name] = text

    def leave_out(self, name: str, why: Why, found: str | None = None, file: str | None = None) -> None:
        """Note a name, or a file, that gives nothing."""
        short = name[:NAME_MOST]
        self._left.setdefault(short, LeftOut(name=short, why=why, found=found, file=file))

    def values(self) -> Values:
        """All that was taken."""
        logged = self._fold.logged()
        named = self._numbers - self._clashing.keys()
        kept = {name: value for name, value in logged.metrics.items() if name in named}
        bare = [name for name in kept if name not in self._timed]
        last = {name: point for name, point in logged.last.items() if name in kept}
        series = {name: one for name, one in logged.series.items() if name in kept}
        for name in bare:
            last[name] = replace(last[name], time=None)
            if name in series:
                series[name] = Series(series[name].steps, series[name].values)
        left = {**{one.name: one for one in logged.left_out}, **self._left}
        left |= {name: LeftOut(name=name, why="twice") for name in (*self._clashing, *self._contradicted)}
        return Values(
            metrics=kept,
            last=last,
            series=series,
            params={name: one for name, one in sorted(self._params.items()) if name not in self._contradicted},
            tags=dict(sorted(self._tags.items())),
            left_out=tuple(left.values()),
        )


def leaves(path: NamePath, value: object, *, with_kinds: bool = False) -> Iterator[tuple[NamePath, Any]]:
    """The names that lead to each value in a mapping. One that is nested too deep is a value.

    Args:
        with_kinds: so is a mapping that says its KIND.
    """
    waiting: list[tuple[NamePath, object]] = [(path, value)]
    while waiting:
        at, one = waiting.pop()
        if isinstance(one, Mapping) and one and len(at) < _DEPTH_MOST and not (with_kinds and KIND in one):
            waiting += reversed([((*at, str(name)), child) for name, child in one.items()])
        elif at:
            yield at, one


def _scalar(value: object) -> Scalar:
    if isinstance(value, (str, bool, float)) or (isinstance(value, int) and abs(value) < _WHOLE_MOST):
        return value
    if isinstance(value, (list, tuple, Mapping)):
        return json.dumps(value, default=str, ensure_ascii=False)
    return str(value)


@dataclass(frozen=True, kw_only=True)
class SourceRun:
    """One run of another system."""

    id: str
    system: str
    values: Values
    name: str | None = None
    project: str | None = None
    """What the system groups its runs by."""
    model: str | None = None
    """The model of the run, where the source says it."""
    status: Status = "finished"
    started: float | None = None
    """Unix seconds."""
    ended: float | None = None
    commit: str | None = None
    parent: str | None = None
    provenance: Provenance = field(default_factory=Provenance)


def record_of(run: SourceRun, model: str, files: tuple[File, ...] = (), lost: tuple[LeftOut, ...] = ()) -> Run:
    """Return the record of a run.

    Args:
        files: its artifacts.
        lost: artifacts whose content is not kept.
    """
    values = run.values
    started = next((one for one in (run.started, run.ended) if one is not None), None)
    context = replace(run.provenance.context, host=f"{run.system}_import", commit=run.commit)
    project = {f"{run.system}.project": run.project} if run.project else {}
    return Run(
        id=run.id,
        model=model,
        status=run.status,
        started=moment(started),
        ended=moment(started if run.ended is None else run.ended),
        commit=run.commit,
        name=run.name,
        parent=run.parent,
        params=values.params,
        metrics=values.metrics,
        last=values.last,
        left_out=(*values.left_out, *lost),
        artifacts=files,
        tags={**project, **values.tags},
        provenance=replace(run.provenance, context=context),
    )


def moment(unix_seconds: float | None) -> str:
    """Return a moment as records have it; one outside the years of a calendar is not known."""
    if unix_seconds is None or not (math.isfinite(unix_seconds) and events.within_years(unix_seconds)):
        return NO_TIME
    return stamp(datetime.fromtimestamp(unix_seconds, timezone.utc))


_NO_DURATION = 100_000_000
"""Unix seconds, of March 1973: a smaller number counts seconds since something else."""


def unix_seconds(value: object) -> float | None:
    """Return Unix seconds of a number, of ISO 8601 text or of a datetime; None for anything else, as for a duration.

    A time without a zone is in UTC: what a record says does not depend on the machine that imports.
    """
    if isinstance(value, str):
        # Python 3.10 reads neither Z nor a fraction of another length.
        text = _FRACTION.sub(lambda match: f".{match[1]:0<6.6}", value.strip(), count=1).replace("Z", "+00:00")
        try:
            value = datetime.fromisoformat(text)
        except ValueError:
            return None
    if isinstance(value, datetime):
        return (value if value.tzinfo else value.replace(tzinfo=timezone.utc)).timestamp()
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        # NaN is within no years.
        return float(value) if value >= _NO_DURATION and events.within_years(value) else None
    return None


def context_of(**facts: Any) -> Provenance:
    """Return a provenance of which only facts of the context are known."""
    return Provenance(context=Context(**facts))
