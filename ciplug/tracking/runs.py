"""The set of all runs, which only grows, over a Store: each as it was recorded, and as it was amended since."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from ciplug.errors import NotFound, RecordError, listed
from ciplug.records import keys as key_grammar
from ciplug.records.amendment import Amendment
from ciplug.records.canonical import NO_COMMIT, digest
from ciplug.records.changes import Changes, RefusedParam
from ciplug.records.inputs import decode_texts
from ciplug.records.keys import (
    RunKey,
    amended_run,
    is_verdict,
    parse_beside,
    parse_late_inputs,
    parse_late_series,
    parse_runs,
    record_beside,
    run_key,
    signature_key,
    stem_of,
)
from ciplug.records.last_point import as_series
from ciplug.records.read import read_run
from ciplug.records.run import Run
from ciplug.records.run_evidence import RunEvidence, evidence_of
from ciplug.stores import Store, store_name
from ciplug.stores.base import Erases
from ciplug.tracking.amended import NO_CHANGES, foreign_notes, ignored_note, newer_notes
from ciplug.tracking.amended import changes as fold_all

if TYPE_CHECKING:
    from ciplug.records.examples import Examples
    from ciplug.records.series import Series
    from ciplug.records.verdict import Verdict
    from ciplug.tracking.catalog import Catalog

T = TypeVar("T")

_CANDIDATES_MOST = 5
"""Runs that an error names, where the beginning of an id fits several."""
LOADED_MOST = 5_000
"""Runs that are kept in memory once they have been read."""


class Runs:
    """Questions about runs. `unsent` are objects of the local spool: they count as if they had been sent.

    `cache` is the folder of the catalog, which answers questions over many runs; without one it is in memory.
    When `offline`, the catalog answers as it was left, and the store is not asked.
    """

    def __init__(
        self,
        store: Store,
        unsent: Mapping[str, bytes] | None = None,
        cache: Path | None = None,
        *,
        offline: bool = False,
    ) -> None:
        self._store = store
        self._cache = cache
        self._offline = offline
        self._waiting = dict(unsent or {})
        self._keys: list[RunKey] | None = None
        self._of_commit: dict[str, list[RunKey]] = {}
        self._amendment_keys: dict[RunKey, list[str]] = {}
        self._records: dict[RunKey, Run] = {}
        self._changes: dict[RunKey, Changes] = {}
        self.ignored: Callable[[Mapping[RunKey, Sequence[str]]], Collection[str]] = lambda amendments: ()
        """Which of the amendments of runs change nothing, by their keys; asked for all that are read."""
        self.needs_signatures: Callable[[], bool] = lambda: False
        """Whether only what is signed may change a signed run: then the objects themselves are read, not columns."""
        self.check_beside: Callable[[RunKey, str, bytes], None] = lambda run, key, data: None
        """Raises RecordError for an object beside a record or an amendment that is not what was signed with it."""
        self._amendments: dict[RunKey, list[str]] = {}
        self.problems: dict[str, str] = {}
        """Key → why the record there cannot be read. It stays where it is, and stops nothing else."""

    @property
    def is_offline(self) -> bool:
        """Whether the catalog answers as it was left: the store is not asked."""
        return self._offline

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences on the state of the store that a person must see, as far as it has been read."""
        foreign = foreign_notes([*self._changes.values(), *self._catalog_foreign])
        return (*self._store.notes, *newer_notes(self.newer), *dict.fromkeys(foreign))

    @property
    def _catalog_foreign(self) -> Sequence[Changes]:
        return self.catalog.foreign if "catalog" in self.__dict__ else ()

    @property
    def newer(self) -> tuple[Amendment, ...]:
        """The amendments of a newer ciplug, of the runs that were read."""
        if "catalog" in self.__dict__:  # it has read every amendment
            return tuple(self.catalog.newer)
        return tuple(one for changes in self._changes.values() for one in changes.newer)

    @cached_property
    def _unsent(self) -> dict[str, bytes]:
        """What waits to be sent, without what was erased since it was recorded."""
        store = self._store
        asks = bool(self._waiting) and not self._offline
        erased = store.erased_among(self._waiting) if asks and isinstance(store, Erases) else set[str]()
        return {key: data for key, data in self._waiting.items() if key not in erased}

    def _list(self, *prefixes: str) -> list[str]:
        own = [key for key in self._unsent if key.startswith(prefixes)]
        return sorted({*self._store.keys(*prefixes), *own})

    def _read(self, keys: Iterable[str]) -> dict[str, bytes]:
        wanted = list(keys)
        unsent = {key: self._unsent[key] for key in wanted if key in self._unsent}
        rest = [key for key in wanted if key not in unsent]
        return {**unsent, **(self._store.read(rest) if rest else {})}

    @cached_property
    def catalog(self) -> Catalog:
        """All runs as columns, in the state of the store at the first access."""
        from ciplug.tracking.catalog import Catalog

        return Catalog(
            self._store, self._cache, self._unsent, offline=self._offline, ignored=lambda found: self.ignored(found)
        )

    def recorded(self) -> list[RunKey]:
        """Every recorded run, by its key alone. This lists the store."""
        if self._keys is None:
            listed = self._list(key_grammar.EVERY_RUN, key_grammar.EVERY_AMENDMENT)
            self._keys = parse_runs(listed)
            self._of_commit, self._amendment_keys = {}, {}
            for key in self._keys:
                self._of_commit.setdefault(key.commit or NO_COMMIT, []).append(key)
            self._take_amendments(listed)
        return self._keys

    def _take_amendments(self, listed: Iterable[str]) -> None:
        """Note the keys of amendments, and of the objects beside them, by the run that they are of."""
        for key in listed:
            if run := amended_run(key):
                self._amendment_keys.setdefault(run, []).append(key)
            elif late := parse_late_series(key) or parse_late_inputs(key):
                self._amendment_keys.setdefault(late.run_key, []).append(key)

    def recorded_on(self, commits: Iterable[str | None]) -> dict[str, list[RunKey]]:
        """Commit → its runs, by their keys alone; commits without a run are absent. Nothing is listed."""
        wanted = list(dict.fromkeys(commit or NO_COMMIT for commit in commits))
        unknown = [commit for commit in wanted if commit not in self._of_commit]
        if unknown:
            self._of_commit.update({commit: [] for commit in unknown})
            prefixes = [prefix(c) for c in unknown for prefix in (key_grammar.runs_on, key_grammar.amendments_on)]
            listed = self._list(*prefixes)
            for key in parse_runs(listed):
                self._of_commit[key.commit or NO_COMMIT].append(key)
            self._take_amendments(listed)
        return {commit: keys for commit in wanted if (keys := self._of_commit[commit])}

    def of_commits(self, commits: Iterable[str | None], model: str | None = None) -> dict[str, list[Run]]:
        """Commit → its runs, in the order of `commits`; those without a run are absent."""
        keys = [key for by_commit in self.recorded_on(commits).values() for key in by_commit]
        by_commit: dict[str, list[Run]] = {}
        for run in self.load(keys):
            if model is None or run.model == model:
                by_commit.setdefault(run.commit or NO_COMMIT, []).append(run)
        return by_commit

    def at(self, commit: str | None, run_id: str) -> Run:
        """The run of this commit with this id. Raises RecordError when it is not there, or cannot be read."""
        key = RunKey(commit, run_id)
        if runs := self.load([key]):
            return runs[0]
        raise RecordError(self.problems.get(key.key, f"{key.key}: it is not there"))

    def load(self, keys: Iterable[RunKey]) -> list[Run]:
        """The runs of these keys as amended, in order, without those that cannot be read (see `problems`)."""
        wanted = list(keys)
        amendments = self._unread_amendments(wanted)
        data = self._read([*(k.key for k in wanted if k not in self._records), *amendments])
        self._fold(wanted, data)
        runs = []
        for key in wanted:
            try:
                record = self._records.get(key) or read_run(data[key.key], key.key)
            except KeyError:
                self.problems[key.key] = f"{key.key}: it is missing from the store, or can no longer be read"
            except RecordError as problem:
                self._note(key.key, problem)
            else:
                if key in self._changes:
                    self._changes[key] = self._changes[key].of_model(record.model)
                runs.append(self._changes[key].applied_to(record) if key in self._changes else record)
                # What is recorded never changes. Each model of a commit asks for all runs of the commits around it.
                if len(self._records) < LOADED_MOST or key in self._changes:
                    self._records[key] = record
        return runs

    def _unread_amendments(self, runs: Sequence[RunKey]) -> list[str]:
        """Keys of the amendments of these runs that have not been read. Commits that were not listed yet, are."""
        unlisted = [run for run in runs if (run.commit or NO_COMMIT) not in self._of_commit]
        if "catalog" in self.__dict__ and (self._offline or not self.needs_signatures()):
            # It has read every amendment, for many runs at a lower price. Nobody signs its columns.
            changes_of = {run: self.catalog.changes(run.key) for run in unlisted}
            self._changes.update({run: changes for run, changes in changes_of.items() if changes != NO_CHANGES})
        else:
            self.recorded_on(run.commit for run in unlisted)
        return [key for run in runs if run not in self._changes for key in self._amendments_of(run)]

    def _amendments_of(self, run: RunKey) -> list[str]:
        """Keys of the amendments of a run that was listed, without those that do not count, which are named."""
        if (run.commit or NO_COMMIT) not in self._of_commit:
            # The catalog has told what changed about the run.
            return []
        if run not in self._amendments:
            keys = [key for key in self._amendment_keys.get(run, ()) if amended_run(key)]
            ignored = self.ignored({run: keys}) if keys else ()
            self._amendments[run] = [key for key in keys if key not in ignored]
            self.problems.update((key, ignored_note(key)) for key in sorted(ignored))
        return self._amendments[run]

    def _fold(self, runs: Iterable[RunKey], data: Mapping[str, bytes]) -> None:
        """Fold what was read of the amendments of these runs."""
        for run in runs:
            keys = self._amendments_of(run)
            if run not in self._changes and keys:
                # One that was listed, and is not there, is as unreadable as one that is damaged.
                folded = fold_all({key: data.get(key, b"") for key in keys}, self.problems)
                self._changes[run] = folded[run.key]

    def changes(self, run: Run) -> Changes:
        """Return the combined amendments of a loaded run, with those of the runs that started it."""
        line = [self._changes.get(run_key(run), NO_CHANGES)]
        passed: set[str] = {run.id}
        above = run.parent
        while above is not None and above not in passed:
            passed.add(above)
            parent = RunKey(run.commit, above)
            self._fold([parent], self._read(self._unread_amendments([parent])))
            had_problem = parent.key in self.problems
            loaded = self.load([parent])  # Amendments that name another model than its own are set aside then.
            line.append(self._changes.get(parent, NO_CHANGES))
            if not had_problem:
                self.problems.pop(parent.key, None)  # A parent that is gone is not a problem of its child.
            above = loaded[0].parent if loaded else None
        changes = line.pop()
        while line:
            changes = replace(line.pop(), parent=changes)
        return changes

    def started_by(self, run: Run) -> Iterator[Run]:
        """Yield the runs above a child run that the store has, its parent first."""
        passed = {run.id}
        while run.parent is not None and run.parent not in passed:
            passed.add(run.parent)
            above = RunKey(run.commit, run.parent)
            had_problem = above.key in self.problems
            loaded = self.load([above])
            if not had_problem:
                self.problems.pop(above.key, None)  # A parent that is gone is not a problem of its child.
            if not loaded:
                return
            run = loaded[0]
            yield run

    def refused_params(self, run: Run) -> tuple[RefusedParam, ...]:
        """The attempts to change a parameter of a run that was loaded, in the order in which they are folded."""
        key = run_key(run)
        return self._changes[key].refused_params(self._records[key].params) if key in self._changes else ()

    def evidence(self, run: Run) -> RunEvidence:
        """A run that was loaded, as gates and comparisons take it: what was recorded, and what was added since.

        Whatever is decided by a run's status, parameters, times or inputs is decided by this one: a loaded run is
        for display.
        """
        key = run_key(run)
        if key not in self._changes:
            return RunEvidence(run)
        return evidence_of(self._records[key], self._changes[key])

    def objects_of(self, runs: Iterable[RunKey]) -> list[str]:
        """Keys of the records and the amendments of these runs: what `load` is going to read."""
        wanted = list(runs)
        self.recorded_on(run.commit for run in wanted)
        amendments = (key for run in wanted for key in self._amendments_of(run))
        return [*(run.key for run in wanted), *amendments]

    def signatures_of(self, runs: Iterable[RunKey]) -> list[str]:
        """Keys of the signatures that are beside what `objects_of` returns, whether they exist or not."""
        return list(map(signature_key, self.objects_of(runs)))

    def digests(self, runs: Iterable[Run]) -> dict[str, str]:
        """Return key → digest of the records and the amendments of these runs, as the store has them."""
        data = self._read(self.objects_of(map(run_key, runs)))
        return {key: digest(data[key]) for key in sorted(data)}

    def object(self, key: str) -> bytes | None:
        """The bytes of any object; None where it is not there."""
        return self._read([key]).get(key)

    def objects(self, keys: Iterable[str]) -> dict[str, bytes]:
        """Key → the bytes of any objects, without those that are not there."""
        return self._read(keys)

    def amendments_listed(self, run: RunKey) -> list[str]:
        """The keys of all amendments of a run, whether they change anything or not."""
        self.recorded_on([run.commit])
        return [key for key in self._amendment_keys.get(run, ()) if amended_run(key)]

    def beside(self, run: RunKey) -> list[str]:
        """The keys of what is beside the record of a run: series, examples, schemas and profiles."""
        return [key for key in self._list(f"{stem_of(run.key)}.") if key != run.key and parse_beside(key)]

    def _note(self, key: str, problem: RecordError) -> None:
        self.problems[key] = f"{problem.message}; {problem.hint}" if problem.hint else problem.message

    def beginning(self, text: str) -> list[RunKey]:
        """Return the runs whose id begins so, in the order of their keys; the one whose id it is, if there is one."""
        # What cannot be read answers no question, and is there all the same.
        unread = (key for key in parse_runs(self.catalog.problems) if key.id.startswith(text))
        return (parse_runs(self.catalog.find(text)) or list(unread)) if text else []

    def key_of(self, run_id: str, near: str | None = None) -> RunKey:
        """The key of the run of this id, or of this beginning of an id. Raises NotFound unless there is exactly one.

        A whole id is looked for on the commit `near` first, at a cost that does not grow with the store.
        """
        on_commit = self.recorded_on([near]).get(near, []) if near else []
        matches = [key for key in on_commit if key.id == run_id] or self.beginning(run_id)
        if not matches:
            raise NotFound(f"no run '{run_id}' in {store_name(self._store)}", hint="list them: ciplug runs list")
        if len(matches) > 1:
            named = listed([self.describe(key) for key in matches], most=_CANDIDATES_MOST)
            raise NotFound(f"'{run_id}' is the beginning of {len(matches)} runs: {named}", hint="give more of the id")
        return matches[0]

    def describe(self, key: RunKey) -> str:
        """A run in a few words, for errors that list several: `ab12cd34ef01 (wine, 2026-11-30 01:15)`."""
        row = self.catalog.row_of(key.key)
        entries = self.catalog.entries([row]) if row is not None else []
        if not entries:
            return key.id[:12]
        facts = entries[0].attributes
        return f"{key.id[:12]} ({facts.get('model', '-')}, {facts.get('started', '-')[:16].replace('T', ' ')})"

    def get(self, run_id: str, near: str | None = None) -> Run:
        """The run of this id, or of this beginning of an id, as `key_of` finds it."""
        return self.of_key(self.key_of(run_id, near))

    def of_key(self, key: RunKey) -> Run:
        """The run of this key. Raises RecordError when it cannot be read."""
        runs = self.load([key])
        if not runs:
            raise RecordError(f"run {key.id} cannot be read: {self.problems[key.key]}")
        return runs[0]

    def series(self, run: Run) -> dict[str, Series]:
        """Step series by metric, with what was logged late; empty where the run logged none.

        A metric of one point, of step 0, has no series: the point is in `run.last`.
        """
        return self.series_of([run])[0]

    def series_of(self, runs: Sequence[Run]) -> list[dict[str, Series]]:
        """What `series` returns of each of these runs, in one read."""
        keys = [self._series_keys(run_key(run)) for run in runs]
        data = self._read([key for of in keys for key in of])
        return [self._merged_series(run_key(run), of, data) for run, of in zip(runs, keys, strict=True)]

    def _series_keys(self, key: RunKey) -> list[str]:
        late = sorted(filter(None, map(parse_late_series, self.beside_amendments(key))), key=lambda k: k.order)
        return [key.series, *(one.series for one in late)]

    def _merged_series(self, key: RunKey, keys: Iterable[str], data: Mapping[str, bytes]) -> dict[str, Series]:
        from ciplug.records.series import decode, merge

        read = {one: self._readable(decode, data[one], one, key) or {} for one in keys if one in data}
        late = [series for one, series in read.items() if one != key.series]
        first = read.get(key.series, {})
        if late:
            alone = self._record(key).last
            first = {**{name: as_series(alone[name]) for one in late for name in one if name in alone}, **first}
        return merge([one for one in (first, *late) if one])

    def _record(self, key: RunKey) -> Run:
        """The record of a run without its amendments."""
        return self._records.get(key) or read_run(self._read([key.key])[key.key], key.key)

    def input_texts(self, run: Run) -> dict[str, str]:
        """Digest → schema or profile of an input, with those of inputs that were named late."""
        key = run_key(run)
        keys = [key.inputs, *filter(parse_late_inputs, self.beside_amendments(key))]
        data = self._read(keys)
        by_object = [self._readable(decode_texts, data[one], one, key) or {} for one in keys if one in data]
        return {name: text for texts in by_object for name, text in texts.items()}

    def examples(self, run: Run) -> Examples | None:
        """The examples of its evaluation; None where there are none. What cannot be read is among the problems."""
        from ciplug.records.examples import decode

        key = run_key(run).examples
        data = self._read([key]).get(key)
        return None if data is None else self._readable(decode, data, key, run_key(run))

    def beside_amendments(self, run: RunKey) -> list[str]:
        """Keys of the series, schemas and profiles beside those amendments of a run that change anything."""
        self.recorded_on([run.commit])
        counted = set(self._amendments_of(run))
        listed = self._amendment_keys.get(run, ())
        return [key for key in listed if key not in counted and record_beside(key) in counted]

    def _readable(self, decode: Callable[[bytes, str], T], data: bytes, key: str, run: RunKey) -> T | None:
        """What an object beside a record holds; what cannot be read is among the problems, and stops nothing else."""
        try:
            self.check_beside(run, key, data)
            return decode(data, key)
        except RecordError as problem:
            self._note(key, problem)
            return None

    def verdicts(self, run: Run) -> dict[str, tuple[Verdict, str]]:
        """Return key → (verdict, digest of its stored content) for every verdict on a run.

        What cannot be read, or is a verdict on another run, is among the problems.
        """
        from ciplug.records.read import verdict_on

        verdicts = {}
        for key, data in self._read(filter(is_verdict, self._list(run_key(run).verdicts))).items():
            try:
                verdicts[key] = verdict_on(run, data, key), digest(data)
            except RecordError as problem:
                self._note(key, problem)
        return verdicts
