"""What the store holds, as this process has seen it last, with what this machine has beside it."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from ciplug.console import warning
from ciplug.errors import CiplugError, StoreError, UsageError
from ciplug.mlflow import state
from ciplug.mlflow.journals import Journals, Local
from ciplug.mlflow.rows import Rows, read_rows
from ciplug.mlflow.state import Experiment, LoggedModel, RunState
from ciplug.records import read
from ciplug.records.changes import Changes, fold
from ciplug.records.keys import RunKey, is_described, parse_amendment, parse_run
from ciplug.records.read import read_run
from ciplug.records.run import Run
from ciplug.steps.record import begun_run
from ciplug.tracking.amended import NO_CHANGES
from ciplug.tracking.query import ENDED, KIND, STARTED, STATUS, Key

if TYPE_CHECKING:
    from ciplug.steps.session import Session
    from ciplug.tracking.catalog import Catalog

_RECORDS_MOST = 20_000
"""Records that are kept in memory: what is recorded never changes."""

_COLUMNS: Mapping[str, Key] = {
    "run_name": Key("attribute", "name"),
    "status": STATUS,
    "start_time": STARTED,
    "end_time": ENDED,
}
"""What MLflow calls an attribute → the column."""


class Base:
    """The store's runs, experiments and logged models."""

    def __init__(self, session: Session, journals: Journals) -> None:
        self._session = session
        self._offline: Session | None = None
        """Reads what this clone has, while the store cannot be reached."""
        self._journals = journals
        self._catalog: Catalog | None = None
        self._is_left = False
        """Whether the catalog is the one that an earlier process has left, because the store could not be asked."""
        self._asked = 0.0
        self._version = 0
        self.generation = 0
        """How often the store had something new."""
        self._rows: Rows | None = None
        self._deleted: list[str] | None = None
        self._values: dict[tuple[str, str], Mapping[int, Any]] = {}
        self._records: dict[RunKey, Run] = {}
        self._models: dict[RunKey, tuple[Changes, LoggedModel]] = {}

    # Keeping it

    def refresh(self, max_age: float) -> None:
        """Ask the store again, unless it was asked within the last `max_age` seconds.

        Where it cannot be reached, what this machine knows of it answers, with a warning.
        """
        if self._catalog is not None and time.monotonic() - self._asked < max_age and not self._journals.lost:
            return
        before = dict(self._journals.sent)
        try:
            if self._catalog is None or self._is_left:
                self._catalog = self._opened()
            else:
                self._catalog.refresh(unsent={})
        except StoreError as unreachable:
            self._go_offline(unreachable)
            return
        self._asked = time.monotonic()
        self._offline = None
        self._journals.lost = False
        for key in before:
            self._journals.sent.pop(key, None)
        if self._is_left or self._catalog.version != self._version:
            self._is_left = False
            self._take_new(self._catalog)

    def _take_new(self, catalog: Catalog) -> None:
        self._rows = self._deleted = None
        self._values = {}
        self._version = catalog.version
        self.generation += 1

    def _opened(self) -> Catalog:
        from ciplug.steps.signers import judged_runs
        from ciplug.tracking.catalog import Catalog

        session = self._session
        return Catalog(session.store, session.catalogs, ignored=judged_runs(session).ignored)

    def _go_offline(self, unreachable: StoreError) -> None:
        """Answer from what this clone has: a training goes on, and its runs wait in the spool. It is said once."""
        from ciplug.steps.evidence.offline import offline
        from ciplug.tracking.catalog import Catalog

        left = self._offline or offline(self._session)
        if self._catalog is None:
            try:
                self._catalog = Catalog(left.store, left.catalogs, offline=True, may_be_unknown=True)
            except UsageError:
                raise unreachable from None
            self._is_left = True
            self._take_new(self._catalog)
        if self._offline is None:
            self._session.tell(warning(f"the store cannot be reached: {unreachable.message}", unreachable.hint))
        self._offline = left
        self._asked = time.monotonic()

    @property
    def reading(self) -> Session:
        """The session whose store is read: while the store cannot be reached, that of what this clone has."""
        return self._offline or self._session

    @property
    def is_open(self) -> bool:
        """Whether this process has read the store."""
        return self._catalog is not None

    @property
    def catalog(self) -> Catalog:
        if self._catalog is None:
            self.refresh(0.0)
        if self._catalog is None:  # pragma: no cover
            raise StoreError("the store was not read")
        return self._catalog

    @property
    def rows(self) -> Rows:
        if self._rows is None:
            self._rows = read_rows(self.catalog)
        return self._rows

    def deleted_runs(self) -> list[str]:
        """Return the ids of the runs in the catalog that are deleted."""
        if self._deleted is None:
            changed = self.catalog.changed.items()
            self._deleted = [key.id for one, changes in changed if changes.deletion and (key := parse_run(one))]
        return self._deleted

    def values(self, kind: str, name: str) -> Mapping[int, Any]:
        """Return row → value of a key of MLflow's search; of a dataset's key, a list of values."""
        key = (kind, name)
        if key not in self._values:
            self._values[key] = self._read_values(kind, name)
        return self._values[key]

    def _read_values(self, kind: str, name: str) -> Mapping[int, Any]:
        def column(key: Key) -> dict[int, Any]:
            return dict(zip(*self.catalog.column(key), strict=True))

        if kind == "metric":
            return column(Key("metric", name))
        if kind == "parameter":
            return {row: str(value) for row, value in column(Key("param", name)).items()}
        if kind == "dataset":
            found: dict[int, list[str]] = {}
            for row, value in zip(*self.catalog.column(Key("dataset", name)), strict=True):
                found.setdefault(row, []).append(value)
            return found
        if kind == "tag" and name == state.KIND:
            return {row: value for row, value in column(KIND).items() if value == "monitor"}
        if kind == "tag" and name != state.RUN_NAME:
            return {} if name.startswith(state.HIDDEN) else column(Key("tag", name))
        if name == "run_id":
            return dict(enumerate(self.rows.ids))
        if name in ("run_name", state.RUN_NAME):
            names = {**column(Key("tag", state.RUN_NAME)), **column(_COLUMNS["run_name"])}
            named = {row: names.get(row) or id_[:8] for row, id_ in enumerate(self.rows.ids)}
            unnamed = column(Key("tag", state.UNNAMED)) if kind == "tag" else {}
            return {row: value for row, value in named.items() if row not in unnamed} if unnamed else named
        if name == "user_id":
            return {**column(Key("tag", state.OWN_USER)), **column(Key("tag", state.USER))}
        values = column(_COLUMNS[name]) if name in _COLUMNS else {}
        if name == "end_time":
            unended = column(Key("tag", state.UNENDED))
            values = {row: value for row, value in values.items() if row not in unended}
        if name in ("start_time", "end_time"):
            return {row: state.milliseconds(text) for row, text in values.items()}
        if name == "status":
            shown = {row: state.STATUS.get(value, value) for row, value in values.items()}
            return {**shown, **column(Key("tag", state.STATE))}
        return values

    # Runs

    def key_of(self, row: int) -> RunKey:
        return RunKey(self.rows.commits[row], self.rows.ids[row])

    def records(self, keys: Iterable[RunKey]) -> dict[RunKey, Run]:
        """Return the records of these runs; those that cannot be read are left out."""
        wanted = list(keys)
        missing = [key for key in wanted if key not in self._records]
        if missing:
            if len(self._records) + len(missing) > _RECORDS_MOST:
                self._records.clear()
                missing = wanted
            data = self.reading.store.read([key.key for key in missing])
            for key in missing:
                try:
                    self._records[key] = read_run(data[key.key], key.key)
                except (KeyError, CiplugError):
                    continue
        return {key: self._records[key] for key in wanted if key in self._records}

    def changes(self, key: RunKey, local: Local | None) -> Changes:
        """Return the amendments of a run, experiment or logged model, those of this machine included.

        The store is not read for a run that this machine has just recorded: nobody else has amended that.
        """
        is_new = not self.is_open and local is not None and key.key in local.objects
        known = self.catalog.changes(key.key) if not is_new and key.key in self._changed else NO_CHANGES
        if local is None:
            return known
        own = [(parsed, data) for one, data in local.objects.items() if (parsed := parse_amendment(one))]
        if not own:
            return known
        late = [read.amendment(data, parsed.key) for parsed, data in own]
        news = [one for one in late if one not in known.amendments]
        if not news:
            return known
        together = fold(sorted([*known.amendments, *news], key=lambda one: one.seq), known.unread, known.unread_seq)
        return together

    @property
    def _changed(self) -> Mapping[str, Changes]:
        return self.catalog.changed

    def states(self, rows: Sequence[int], local: Mapping[str, Local]) -> list[RunState]:
        """Return the runs in these rows of the catalog, as they are now."""
        keys = [self.key_of(row) for row in rows]
        records = self.records(keys)
        return [self._recorded(records[key], local.get(key.id)) for key in keys if key in records]

    def _recorded(self, record: Run, local: Local | None) -> RunState:
        changes = self.changes(RunKey(record.commit, record.id), local)
        return state.recorded_run(changes.applied_to(record), changes, local.sessions if local else ())

    def run(self, run_id: str, local: Local | None) -> RunState | None:
        """Return a run by its id; None where there is none."""
        if local is not None and (found := self.local_run(run_id, local)) is not None:
            return found
        row = self.rows.row_of.get(run_id)
        return None if row is None else next(iter(self.states([row], {run_id: local} if local else {})), None)

    def local_run(self, run_id: str, local: Local) -> RunState | None:
        """Return a run that is open here, or whose record is; None where the store alone has it."""
        if local.begun is not None:
            return state.open_run(begun_run(local.begun), local.logged)
        key = _record_in(local, run_id)
        if key is None:
            return None
        return self._recorded(_read_local(local.objects[key.key], key.key), local)

    def run_key(self, run_id: str, local: Local | None) -> RunKey | None:
        """Return the key of a recorded run, sealed or in the store."""
        if local is not None and (key := _record_in(local, run_id)):
            return key
        row = self.rows.row_of.get(run_id)
        return None if row is None else self.key_of(row)

    def model_of(self, run_id: str, local: Local | None) -> str:
        """Return the model of a recorded run, which its amendments name."""
        for one, data in local.objects.items() if local else ():
            if (key := parse_run(one)) and key.id == run_id:
                return _read_local(data, one).model
        return self.records([self.key_of(self.rows.row_of[run_id])])[self.key_of(self.rows.row_of[run_id])].model

    # Experiments and logged models

    def experiments(self, local: Mapping[str, Local], implied: Mapping[str, str]) -> dict[str, Experiment]:
        """Return all experiments by id.

        Args:
            implied: id → name, of those that runs of this machine are in.
        """
        names = {**implied, **self.rows.names}
        ids = {state.DEFAULT_ID, *names}
        for key in self.rows.described:
            if key.id.startswith("e"):
                ids.add(key.id[1:])
        for id_, one in local.items():
            if id_.startswith("e") and is_described(RunKey(None, id_)) and (one.objects or one.sessions):
                ids.add(id_[1:])
        found = {}
        for id_ in ids:
            key = state.experiment_key(id_)
            own = local.get(key.id)
            found[id_] = state.experiment(id_, self.changes(key, own), own.sessions if own else (), names.get(id_))
        return _with_unique_names(found)

    def logged_models(self, local: Mapping[str, Local]) -> dict[str, LoggedModel]:
        """Return all logged models by id."""
        keys = {key for key in self.rows.described if key.id.startswith("m")}
        keys |= {key for id_ in local if is_described(key := RunKey(None, id_)) and id_.startswith("m")}
        found = {}
        changed = self._changed
        for key in keys:
            own = local.get(key.id)
            if own is not None:
                one = state.logged_model(key, self.changes(key, own), own.sessions)
            else:
                one = self._recorded_model(key, changed.get(key.key, NO_CHANGES))
            found[one.id] = one
        return found

    def _recorded_model(self, key: RunKey, changes: Changes) -> LoggedModel:
        """A model of the store: made again only when something about it has changed."""
        kept = self._models.get(key)
        if kept is None or kept[0] is not changes:
            kept = self._models[key] = (changes, state.logged_model(key, changes, ()))
        return kept[1]

    def logged_model(self, id_: str, local: Local | None) -> LoggedModel | None:
        key = state.model_key(id_)
        changes = self.changes(key, local)
        sessions = local.sessions if local else []
        if not changes.amendments and not sessions:
            return None
        return state.logged_model(key, changes, sessions)


def _record_in(local: Local, run_id: str) -> RunKey | None:
    """Return the key of the record of a run that this machine has; None where it has none."""
    return next((key for one in local.objects if (key := parse_run(one)) and key.id == run_id), None)


@lru_cache(maxsize=256)
def _read_local(data: bytes, key: str) -> Run:
    return read_run(data, key)


def _with_unique_names(found: dict[str, Experiment]) -> dict[str, Experiment]:
    """Two machines may have given one name to two experiments: the lower id keeps it."""
    taken: set[str] = set()
    for id_ in sorted(found, key=lambda one: (len(one), one)):
        one = found[id_]
        if one.deleted:
            continue
        name, number = one.name, 1
        while name in taken:
            number += 1
            name = f"{one.name} ({number})"
        taken.add(name)
        if name != one.name:
            found[id_] = replace(one, name=name)
    return found
