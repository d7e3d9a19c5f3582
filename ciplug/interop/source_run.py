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
from ciplug.capture.events import Event
from ciplug.capture.logged import Fold
from ciplug.records.last_point import LastPoint
from ciplug.records.left_out import LeftOut, Why
from ciplug.records.provenance import Context, Provenance
from ciplug.records.run import File, Run, Scalar, Status, metric_name
from ciplug.records.series import Series
from ciplug.steps.session import stamp

NAME_MOST = 250
_WHOLE_MOST = 2**63
_FRACTION = re.compile(r"\.(\d+)")


def stable_id(system: str, *identity: str) -> str:
    """Return the id of a run: 32 hex digits that follow from what tells it apart in its system."""
    return hashlib.sha256("\0".join(("import", system, *identity)).encode(errors="replace")).hexdigest()[:32]


QUIET_SECONDS = 600


def goes_on(last: float | None) -> bool:
    """Whether a run of a system that does not say when one has ended may go on: it was written minutes ago.

    Args:
        last: the time of its last value, in Unix seconds.
    """
    return last is not None and time.time() - last < QUIET_SECONDS


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
    """Gathers the values of a run one by one. What cannot be kept is left out by name; nothing is raised."""

    def __init__(self) -> None:
        self._fold = Fold()
        self._timed: set[str] = set()
        """Metrics of which a value has a time."""
        self._left: dict[str, LeftOut] = {}
        self._params: dict[str, Scalar] = {}
        self._tags: dict[str, str] = {}

    def metric(self, name: str, value: object, step: object = None, time: float | None = None) -> None:
        """Take a value of a metric; of a mapping, each value in it.

        A text in the place of a number is NaN, and noted; so is a step that is not a whole number.

        Args:
            time: Unix seconds.
        """
        for key, one in _leaves(name, value):
            if not events.is_metric_name(key):
                self.leave_out(key, "name")
                continue
            if time is not None and math.isfinite(time) and events.within_years(time):
                self._timed.add(metric_name(key))
            else:
                time = None
            at = 0.0 if time is None else time
            self._add([{"time": at, **event} for event in events.measured(key, one, step, at)])

    def params(self, values: Mapping[str, Any], prefix: str = "") -> None:
        """Take parameters; nested names are joined by `/`, and a list is kept as JSON."""
        for key, value in _leaves(prefix, values):
            if not key.strip() or not key.isprintable() or len(key) > NAME_MOST:
                self.leave_out(key, "param")
            else:
                self._params[key] = _scalar(value)

    def tag(self, name: str, value: object) -> None:
        """Take a tag; None and an empty text are none."""
        text = value if isinstance(value, str) else "" if value is None else str(value)
        if name.strip() and text.strip():
            self._tags[name[:NAME_MOST]] = text

    def leave_out(self, name: str, why: Why, found: str | None = None, file: str | None = None) -> None:
        """Note a name, or a file, that gives nothing."""
        short = name[:NAME_MOST]
        self._left.setdefault(short, LeftOut(name=short, why=why, found=found, file=file))

    def values(self) -> Values:
        """All that was taken."""
        logged = self._fold.logged()
        bare = [name for name in logged.metrics if name not in self._timed]
        last, series = dict(logged.last), dict(logged.series)
        for name in bare:
            last[name] = replace(last[name], time=None)
            if name in series:
                series[name] = Series(series[name].steps, series[name].values)
        left = {**{one.name: one for one in logged.left_out}, **self._left}
        return Values(
            metrics=logged.metrics,
            last=last,
            series=series,
            params=dict(sorted(self._params.items())),
            tags=dict(sorted(self._tags.items())),
            left_out=tuple(left.values()),
        )

    def _add(self, some: list[Event]) -> None:
        self._fold.add(json.dumps(some).encode())


def _leaves(prefix: str, value: object) -> Iterator[tuple[str, Any]]:
    """The flattened names of a value, and what is no mapping at them. Deep nesting is a value by its text."""
    waiting = [(prefix, value, 0)]
    while waiting:
        key, one, depth = waiting.pop()
        if isinstance(one, Mapping) and one and depth < 32:
            inner = [(f"{key}/{name}" if key else str(name), child, depth + 1) for name, child in one.items()]
            waiting += reversed(inner)
        elif key or not isinstance(one, Mapping):
            yield key, one


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
    started = next((one for one in (run.started, run.ended) if one is not None), 0.0)
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


def moment(unix_seconds: float) -> str:
    """Return a moment as records have it; one outside the years of a calendar is 1970."""
    known = math.isfinite(unix_seconds) and events.within_years(unix_seconds)
    return stamp(datetime.fromtimestamp(unix_seconds if known else 0.0, timezone.utc))


def unix_seconds(value: object) -> float | None:
    """Return Unix seconds of a number, of ISO 8601 text or of a datetime; None for anything else.

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
    if isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value):
        return float(value) if events.within_years(value) else None
    return None


def context_of(**facts: Any) -> Provenance:
    """Return a provenance of which only facts of the context are known."""
    return Provenance(context=Context(**facts))
