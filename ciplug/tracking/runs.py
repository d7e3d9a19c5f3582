"""The set of all runs, which only grows, over a Store."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from ciplug.errors import NotFound, RecordError
from ciplug.records import keys as key_grammar
from ciplug.records.canonical import NO_COMMIT, digest, dumps
from ciplug.records.keys import RunKey, parse_runs, run_key
from ciplug.records.read import read_run
from ciplug.records.run import Run
from ciplug.stores.base import Store

if TYPE_CHECKING:
    from ciplug.records.examples import Examples
    from ciplug.records.series import Series
    from ciplug.records.verdict import Verdict
    from ciplug.tracking.catalog import Catalog

LOADED_MOST = 5_000
"""Runs that are kept in memory once they have been read."""


def run_objects(
    run: Run, series: Mapping[str, Series] | None = None, examples: bytes | None = None
) -> dict[str, bytes]:
    """What is stored of a run; `examples` as `ciplug.records.examples` encodes them."""
    key = run_key(run)
    objects = {key.key: dumps(run)}
    if examples:
        objects[key.examples] = examples
    if series:
        from ciplug.records.series import encode

        objects[key.series] = encode(series)
    return objects


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
        self._unsent = dict(unsent or {})
        self._keys: list[RunKey] | None = None
        self._of_commit: dict[str, list[RunKey]] = {}
        self._loaded: dict[str, Run] = {}
        self.problems: dict[str, str] = {}
        """Key → why the record there cannot be read. It stays where it is, and stops nothing else."""

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences on the state of the store that a person must see, as far as it has been read."""
        return tuple(self._store.notes)

    def _list(self, *prefixes: str) -> list[str]:
        own = [key for key in self._unsent if key.startswith(prefixes)]
        return sorted({*self._store.keys(*prefixes), *own})

    def _read(self, keys: Iterable[str]) -> dict[str, bytes]:
        wanted = list(keys)
        found = {key: self._unsent[key] for key in wanted if key in self._unsent}
        rest = [key for key in wanted if key not in found]
        return {**found, **(self._store.read(rest) if rest else {})}

    @cached_property
    def catalog(self) -> Catalog:
        """All runs as columns, as the store is when this is first asked."""
        from ciplug.tracking.catalog import Catalog

        return Catalog(self._store, self._cache, self._unsent, offline=self._offline)

    def recorded(self) -> list[RunKey]:
        """Every recorded run, by its key alone. This lists the store."""
        if self._keys is None:
            self._keys = parse_runs(self._list(key_grammar.EVERY_RUN))
        return self._keys

    def recorded_on(self, commits: Iterable[str | None]) -> dict[str, list[RunKey]]:
        """Commit → its runs, by their keys alone; commits without a run are absent. Nothing is listed."""
        wanted = list(dict.fromkeys(commit or NO_COMMIT for commit in commits))
        unknown = [commit for commit in wanted if commit not in self._of_commit]
        if unknown:
            self._of_commit.update({commit: [] for commit in unknown})
            for key in parse_runs(self._list(*map(key_grammar.runs_on, unknown))):
                self._of_commit[key.commit or NO_COMMIT].append(key)
        return {commit: keys for commit in wanted if (keys := self._of_commit[commit])}

    def of_commits(self, commits: Iterable[str | None], model: str | None = None) -> dict[str, list[Run]]:
        """Commit → its runs, in the order of `commits`; those without a run are absent."""
        keys = [key for found in self.recorded_on(commits).values() for key in found]
        found: dict[str, list[Run]] = {}
        for run in self.load(keys):
            if model is None or run.model == model:
                found.setdefault(run.commit or NO_COMMIT, []).append(run)
        return found

    def at(self, commit: str | None, run_id: str) -> Run:
        """The run of this commit with this id. Raises RecordError when it is not there, or cannot be read."""
        key = RunKey(commit, run_id)
        if runs := self.load([key]):
            return runs[0]
        raise RecordError(self.problems.get(key.key, f"{key.key}: it is not there"))

    def load(self, keys: Iterable[RunKey]) -> list[Run]:
        """The records of these keys, in order, without those that cannot be read (see `problems`)."""
        wanted = list(keys)
        data = self._read(k.key for k in wanted if k.key not in self._loaded)
        runs = []
        for key in wanted:
            try:
                run = self._loaded.get(key.key) or read_run(data[key.key], key.key)
            except KeyError:
                self.problems[key.key] = f"{key.key}: the store does not hold it, or cannot read it any more"
            except RecordError as problem:
                self._note(key.key, problem)
            else:
                runs.append(run)
                # What is recorded never changes. Each model of a commit asks for all runs of the commits around it.
                if len(self._loaded) < LOADED_MOST:
                    self._loaded[key.key] = run
        return runs

    def _note(self, key: str, problem: RecordError) -> None:
        self.problems[key] = f"{problem.message}; {problem.hint}" if problem.hint else problem.message

    def get(self, run_id: str, near: str | None = None) -> Run:
        """The run of this id, or of this beginning of an id. Raises NotFound when there is not exactly one.

        A whole id is looked for on the commit `near` first, at a cost that does not grow with the store.
        """
        on_commit = self.recorded_on([near]).get(near, []) if near else []
        matches = [key for key in on_commit if key.id == run_id]
        if run_id and not matches:
            matches = parse_runs(self.catalog.find(run_id))
        if run_id and not matches:
            # What cannot be read answers no question, and is there all the same.
            matches = [key for key in parse_runs(self.catalog.problems) if key.id.startswith(run_id)]
        if not matches:
            raise NotFound(f"no run '{run_id}' in {self._store.uri}", hint="list them: ciplug runs list")
        if len(matches) > 1:
            some = ", ".join(k.id[:12] for k in matches[:4])
            raise NotFound(f"'{run_id}' is the beginning of {len(matches)} runs: {some}", hint="give more of the id")
        runs = self.load(matches)
        if not runs:
            raise RecordError(f"run {matches[0].id} cannot be read: {self.problems[matches[0].key]}")
        return runs[0]

    def series(self, run: Run) -> dict[str, Series]:
        """Step series by metric; empty where the run logged none."""
        key = run_key(run).series
        data = self._read([key]).get(key)
        if data is None:
            return {}
        from ciplug.records.series import decode

        return decode(data, key)

    def examples(self, run: Run) -> Examples | None:
        """The examples of its evaluation; None where there are none. What cannot be read is among the problems."""
        from ciplug.records.examples import decode

        key = run_key(run).examples
        data = self._read([key]).get(key)
        try:
            return None if data is None else decode(data, key)
        except RecordError as problem:
            self._note(key, problem)
            return None

    def verdicts(self, run: Run) -> dict[str, tuple[Verdict, str]]:
        """Key → verdict and digest of its bytes as they are stored, of every judgement that was recorded on a run."""
        from ciplug.records import read

        found = {}
        for key, data in self._read(self._list(run_key(run).verdicts)).items():
            try:
                found[key] = read.verdict(data, key), digest(data)
            except RecordError as problem:
                self._note(key, problem)
        return found
