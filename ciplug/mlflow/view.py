"""What this process sees of the runs of a checkout: its session, the spool and the open runs, and the store."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Collection, Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, unquote

from ciplug import console
from ciplug.capture.spool import Spool
from ciplug.errors import UsageError
from ciplug.mlflow import state
from ciplug.mlflow.base import Base
from ciplug.mlflow.journals import Journals, Local
from ciplug.mlflow.state import Experiment, LoggedModel, RunState
from ciplug.records.canonical import digest
from ciplug.records.keys import RunKey
from ciplug.records.last_point import as_series
from ciplug.steps.session import Session, open_session

if TYPE_CHECKING:
    from ciplug.records.series import Series
    from ciplug.tracking.runs import Runs

SCHEME = "ciplug"
SERVER_AGE = 10.0
"""Seconds after which a server asks the store again."""
CLIENT_AGE = 5.0
OPEN_RUN = "CIPLUG_MLFLOW_RUN"
"""The variable by which a program tells those that it starts where the run is that it began last: `<id>:<folder>`."""
_SERIES_MOST = 100
"""Runs whose series are kept in memory."""


class View:
    """A checkout, its store, and what this machine has not sent yet."""

    def __init__(self, uri: str, folder: Path | None = None) -> None:
        """
        Args:
            folder: the one that a URI without a path means; without it, the present one.
        """
        self.uri = uri
        self.process = os.getpid()
        self.is_server = False
        self.began = int(time.time() * 1000)
        self.lock = threading.RLock()
        path, self._store = parse_uri(uri)
        self._path = path.absolute() if path else folder_of_open_run(os.environ) or folder
        self.manifests: dict[str, str] = {}
        """Digest of a folder among the artifacts → the list of its files, which never changes."""
        self._series: dict[RunKey, tuple[object, Mapping[str, Series]]] = {}

    @cached_property
    def session(self) -> Session:
        return open_session(cwd=self._path, store=self._store, for_recording=True, listener=console)

    @cached_property
    def spool(self) -> Spool:
        around = self.session.env.get("CIPLUG_RUN_DIR")
        return Spool(Path(around).parent) if around else self.session.spool

    @cached_property
    def journals(self) -> Journals:
        return Journals(self.spool, self.session.spooled_for)

    @cached_property
    def base(self) -> Base:
        return Base(self.session, self.journals)

    # Questions

    def local(self) -> dict[str, Local]:
        """Return what this machine has beside the store."""
        with self.lock:
            return self.journals.read()

    def look(self, max_age: float | None = None) -> dict[str, Local]:
        """Return what this machine has, and ask the store if the last answer is too old."""
        with self.lock:
            local = self.journals.read()
            self.base.refresh((SERVER_AGE if self.is_server else CLIENT_AGE) if max_age is None else max_age)
            return local

    def forget(self, ids: Collection[str]) -> None:
        """Take note that these runs, experiments and logged models were removed from the store."""
        with self.lock:
            self.journals.drop(ids)
            self.base.refresh(0.0)

    def run(self, run_id: str) -> RunState | None:
        with self.lock:
            local = self.journals.read()
            own = local.get(run_id)
            found = None
            if own is not None and (own.begun is not None or not self.base.is_open):
                found = self.base.local_run(run_id, own)
            if found is None:
                self.base.refresh(float("inf"))
                found = self.base.run(run_id, own)
            if found is None:
                # Another machine may have recorded it since.
                local = self.look()
                found = self.base.run(run_id, local.get(run_id))
            return found

    def points(self, run_id: str, metric: str) -> list[tuple[int, int, float]]:
        """Return the points of a metric of a run: time in milliseconds, step, value."""
        with self.lock:
            local = self.journals.read()
            own = local.get(run_id)
            if own and own.begun is not None:
                return _points(own.logged.series.get(metric))
            found = set(self._recorded_points(run_id, own, metric))
            for logged in own.sessions if own else ():
                found.update(_points(logged.series.get(metric)))
            return list(found)

    def _recorded_points(self, run_id: str, own: Local | None, metric: str) -> list[tuple[int, int, float]]:
        run = self.run(run_id)
        key = self.base.run_key(run_id, own) if run else None
        if run is None or key is None:
            return []
        series = self._recorded_series(key, own)
        if metric in series:
            return _points(series[metric])
        point = run.metrics.get(metric)
        return [] if point is None else [(point.time or 0, point.step, point.value)]

    def _recorded_series(self, key: RunKey, own: Local | None) -> Mapping[str, Series]:
        """The series of a recorded run, which a chart asks for one by one."""
        mark = (self.base.generation, frozenset(own.objects) if own else frozenset())
        if key not in self._series or self._series[key][0] != mark:
            if len(self._series) >= _SERIES_MOST:
                self._series.clear()
            runs = self._runs(own)
            record = runs.load([key])[0]
            points = {name: as_series(point) for name, point in record.last.items()}
            self._series[key] = mark, {**points, **runs.series(record)}
        return self._series[key][1]

    def _runs(self, own: Local | None) -> Runs:
        from ciplug.steps.signers import by_signatures
        from ciplug.tracking.runs import Runs

        session = self.base.reading
        return by_signatures(session, Runs(session.store, own.objects if own else {}))

    def texts(self, run_id: str) -> dict[str, str]:
        """Return digest → schema or profile of the inputs of a run."""
        with self.lock:
            own = self.journals.read().get(run_id)
            logged = [own.logged, *own.sessions] if own else []
            found = {digest(text.encode(errors="replace")): text for one in logged for text in one.texts}
            key = None if own and own.begun is not None else self.base.run_key(run_id, own)
            if key is not None:
                runs = self._runs(own)
                found.update(runs.input_texts(runs.load([key])[0]))
            return found

    def experiments(self, local: Mapping[str, Local] | None = None) -> dict[str, Experiment]:
        with self.lock:
            local = self.look() if local is None else local
            found = self.base.experiments(local, self._implied(local))
            # Nobody has created the default one, nor those that ciplug's own runs are in.
            oldest = min([self.began, *(one.created for one in found.values() if one.created is not None)]) - 1
            return {
                id_: one if one.created is not None else replace(one, created=oldest, updated=oldest)
                for id_, one in found.items()
            }

    def _implied(self, local: Mapping[str, Local]) -> dict[str, str]:
        names = {}
        for run_id, one in local.items():
            if one.begun is not None or one.objects:
                run = self.base.local_run(run_id, one)
                if run is not None:
                    names[run.experiment] = run.experiment_name
        return names

    def experiment(self, id_: str) -> Experiment | None:
        return self.experiments().get(id_)

    def plain_default(self) -> Experiment | None:
        """Return the default experiment where nothing is known about it, and the store was not read.

        A program that logs to no other one never reads the store: it is there in each, and nobody gives it a place.
        """
        with self.lock:
            if self.is_server or self.base.is_open or state.experiment_key(state.DEFAULT_ID).id in self.local():
                return None
            return Experiment(id=state.DEFAULT_ID, name=state.DEFAULT_EXPERIMENT)

    def logged_model(self, id_: str) -> LoggedModel | None:
        with self.lock:
            local = self.journals.read()
            self.base.refresh(float("inf"))
            found = self.base.logged_model(id_, local.get(state.model_key(id_).id))
            if found is None:
                local = self.look()
                found = self.base.logged_model(id_, local.get(state.model_key(id_).id))
            return found


def _points(series: Series | None) -> list[tuple[int, int, float]]:
    if series is None:
        return []
    times = series.times or (0.0,) * len(series.steps)
    return [
        (round(time * 1000), step, value) for time, step, value in zip(times, series.steps, series.values, strict=True)
    ]


def folder_of_open_run(env: Mapping[str, str]) -> Path | None:
    """The checkout in which another process has begun the run that this one continues, such as of `mlflow run URL`.

    MLflow starts the program of a project in a clone of its own, which knows nothing of the run.
    """
    run, _, folder = env.get(OPEN_RUN, "").partition(":")
    return Path(folder) if run and run == env.get("MLFLOW_RUN_ID") and Path(folder).is_dir() else None


def parse_uri(uri: str) -> tuple[Path | None, str | None]:
    """Return the folder of a checkout, None for the present one, and the store. Raises UsageError."""
    rest = uri.removeprefix(f"{SCHEME}:")
    path, _, query = rest.partition("?")
    if path.startswith("//"):
        path = "/" + path.lstrip("/")
    store = None
    # A plus is part of git+https://…, whether it is encoded or not, and no address has a blank.
    for name, values in parse_qs(query.replace("+", "%2B"), keep_blank_values=True).items():
        if name != "store":
            raise UsageError(f"{uri}: unknown option '{name}'", hint="the only option is ?store=ADDRESS, %-encoded")
        store = values[-1]
    if path and not Path(unquote(path)).is_dir():
        raise UsageError(f"{uri}: there is no folder {unquote(path)}", hint="name a checkout: ciplug:/path/to/checkout")
    return (Path(unquote(path)) if path else None), store
