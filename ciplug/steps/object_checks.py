"""Check the objects of a store as it hands them over, a few at a time: each is read once, and none is kept."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

from ciplug.errors import RecordError
from ciplug.records import beside, read
from ciplug.records.keys import (
    EVERY_AMENDMENT,
    EVERY_VERDICT,
    amended_run,
    is_described,
    parse_amendment,
    parse_amendment_signature,
    parse_late_inputs,
    parse_late_series,
    parse_run,
)
from ciplug.records.run import File
from ciplug.steps.kept_files import KeptFile, kept_files
from ciplug.steps.unreadable_objects import damage
from ciplug.stores.base import Problem


class ObjectChecks:
    """What was found in the objects that `take` was called with."""

    def __init__(self) -> None:
        self.runs = 0
        """Those that can be read."""
        self._kept: dict[str, list[KeptFile]] = {}
        self._seen: set[str] = set()
        self._of_runs: dict[str, str] = {}
        self._of_amendments: dict[str, str] = {}
        self._of_beside: dict[str, str] = {}
        self._of_verdicts: dict[str, str] = {}

    @property
    def kept(self) -> Mapping[str, Sequence[KeptFile]]:
        """Place → the artifacts that are kept there."""
        return self._kept

    def take(self, objects: Mapping[str, bytes]) -> None:
        """Check some objects. Of two under one key the first counts."""
        for key, data in objects.items():
            if key in self._seen:
                continue
            self._seen.add(key)
            if parse_run(key):
                self._take_run(key, data)
            elif beside.owner(key):
                try:
                    beside.check(key, data, key)
                except RecordError as problem:
                    self._of_beside[key] = problem.message.removeprefix(f"{key}: ")
            elif parse_amendment(key):
                try:
                    self._note_files(key, read.amendment(data, key).artifacts)
                except RecordError as problem:
                    self._of_amendments[key] = _words(problem)
            elif key.startswith(EVERY_VERDICT) and (why := damage(key, data)):
                self._of_verdicts[key] = why

    def _take_run(self, key: str, data: bytes) -> None:
        try:
            run = read.read_run(data, key)
        except RecordError as problem:
            self._of_runs[key] = _words(problem)
            return
        self.runs += 1
        self._note_files(key, run.artifacts)

    def _note_files(self, key: str, artifacts: Iterable[File]) -> None:
        for place, files in kept_files(artifacts, key).items():
            self._kept.setdefault(place, []).extend(files)

    def problems(self, reported: Collection[str]) -> Iterator[Problem]:
        """
        Args:
            reported: what the store itself has a problem with: its keys exist, and nothing more is said of them.
        """
        existing = self._seen.union(reported)
        # The amendments of a run that does not exist change nothing.
        amendments = {
            key: why for key, why in self._of_amendments.items() if (run := amended_run(key)) and run.key in existing
        }
        problems = [*sorted({**self._of_runs, **amendments}.items()), *sorted(self._of_beside.items())]
        yield from (Problem(key, why) for key, why in problems if key not in reported)
        yield from _without_run(existing)
        read = {key for key, _ in problems}.union(reported)
        yield from (Problem(key, why) for key, why in sorted(self._of_verdicts.items()) if key not in read)


def _without_run(keys: Collection[str]) -> Iterator[Problem]:
    """Amendments whose run does not exist, and what is beside an amendment that does not."""
    for key in sorted(key for key in keys if key.startswith(EVERY_AMENDMENT)):
        parsers = (parse_amendment, parse_late_series, parse_late_inputs, parse_amendment_signature)
        amendment = next(filter(None, (parse(key) for parse in parsers)), None)
        if amendment is None:
            yield Problem(key, "not the key of an amendment")
        elif amendment.key not in keys:
            yield Problem(key, "its amendment is not in the store")
        elif amendment.run_key.key not in keys and not is_described(amendment.run_key):
            yield Problem(key, "its run is not in the store")


def _words(problem: RecordError) -> str:
    return f"{problem.message}; {problem.hint}" if problem.hint else problem.message
