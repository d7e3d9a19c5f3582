"""Amendments over columns: what was recorded, as it is to be read now. Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

from ciplug.errors import RecordError
from ciplug.records import read
from ciplug.records.amendment import SCHEMA, Amendment, parse
from ciplug.records.changes import Changes, fold
from ciplug.records.inputs import DatasetInput
from ciplug.records.keys import RunKey, amended_run, parse_amendment, parse_amendments
from ciplug.tracking.query import LIFECYCLE, Column, Key, Kind

NO_CHANGES = Changes()


def changes(amendments: Mapping[str, object], problems: dict[str, str]) -> dict[str, Changes]:
    """Key of a run → what its amendments add up to, as `Memory.changes` returns it."""
    return Memory().changes(amendments, problems)


class Memory:
    """What a catalog has read of the amendments, so that it reads and combines only new ones when it is asked again."""

    def __init__(self) -> None:
        self._of_segment: dict[str, dict[str, object]] = {}
        self._folded: dict[RunKey, tuple[object, Changes]] = {}

    def read(
        self, segments: Collection[str], amendments: Callable[[Collection[str]], Iterable[tuple[str, str, object]]]
    ) -> None:
        """Read the amendments of segments that were not read yet. A segment never changes."""
        new = set(segments) - self._of_segment.keys()
        if not new:
            return
        found: dict[str, dict[str, object]] = {name: {} for name in new}
        for segment, key, record in amendments(new):
            try:
                found[segment][key] = _read(record, key) if parse_amendment(key) else record
            except RecordError:
                found[segment][key] = record
        self._of_segment.update(found)

    def recorded(self, segments: Collection[str]) -> dict[str, object]:
        """Return key → amendment, or its record where it cannot be read, of all in these segments."""
        return {key: one for name in segments for key, one in self._of_segment[name].items()}

    def changes(self, amendments: Mapping[str, object], problems: dict[str, str]) -> dict[str, Changes]:
        """Key of a run → what its amendments add up to.

        Args:
            amendments: key of an amendment → the amendment, or its record, as bytes or as JSON has it; None for one
                that cannot be read. A key among the amendments of a run that is not in the grammar is unreadable.
            problems: takes in key → why an amendment cannot be read.
        """
        of_run: dict[RunKey, list[Amendment]] = {}
        unread: dict[RunKey, list[str]] = {}
        last: dict[RunKey, int] = {}
        for key in parse_amendments(amendments):
            try:
                of_run.setdefault(key.run_key, []).append(_read(amendments[key.key], key.key))
            except RecordError as problem:
                problems[key.key] = f"{problem.message}; {problem.hint}" if problem.hint else problem.message
                unread.setdefault(key.run_key, []).append(key.key)
                last[key.run_key] = max(key.seq, last.get(key.run_key, 0))
        for stray in sorted(key for key in amendments if parse_amendment(key) is None):
            if run := amended_run(stray):
                problems[stray] = f"{stray}: not the key of an amendment"
                unread.setdefault(run, []).append(stray)
        folded: dict[RunKey, tuple[object, Changes]] = {}
        for run in {*of_run, *unread}:
            parts = (of_run.get(run, ()), unread.get(run, ()), last.get(run, 0))
            before = self._folded.get(run)
            folded[run] = before if before is not None and before[0] == parts else (parts, fold(*parts))
        self._folded = folded
        return {run.key: one for run, (_, one) in folded.items()}


def _read(record: object, key: str) -> Amendment:
    if isinstance(record, Amendment):
        return record
    if isinstance(record, bytes):
        return read.amendment(record, key)
    if record is None:
        raise RecordError(f"{key}: it cannot be read", hint="see why: ciplug fsck")
    try:
        return parse(record)
    except ValueError as problem:
        raise RecordError(f"{key}: {problem}") from None


def column(key: Key, recorded: Column, changed: Mapping[int, Changes], count: int) -> Column:
    """Return a column with the changes of some rows; a row whose value is removed is left out."""
    if key == LIFECYCLE:
        states: list[str] = ["active"] * count
        for row, one in changed.items():
            states[row] = one.effective
        return Column(range(count), states)
    if key.kind == "dataset":
        return _with_datasets(key, recorded, changed)
    news = {row: value for row, one in changed.items() for name, value in _values(one, key.kind) if name == key.name}
    if not news:
        return recorded
    cells = dict(zip(recorded.rows, recorded.values, strict=True))
    # A parameter never changes: its first value counts.
    cells = {**news, **cells} if key.kind == "param" else {**cells, **news}
    rows = sorted(row for row, value in cells.items() if value is not None)
    return Column(range(count) if len(rows) == count else rows, [cells[row] for row in rows])


def _with_datasets(key: Key, recorded: Column, changed: Mapping[int, Changes]) -> Column:
    """Return a column with a value for each dataset of a row: rows are repeated."""
    cells = [*zip(recorded.rows, recorded.values, strict=True)]
    cells += [(row, facts[key.name]) for row, one in changed.items() for facts in dataset_facts(one.late.inputs)]
    cells = sorted(dict.fromkeys((row, value) for row, value in cells if value is not None))
    return Column([row for row, _ in cells], [value for _, value in cells])


def dataset_facts(inputs: Iterable[DatasetInput]) -> list[dict[str, str | None]]:
    """Return what a search asks about datasets."""
    return [{"name": one.name, "digest": one.digest, "context": one.context} for one in inputs]


def newer_notes(newer: Sequence[Amendment]) -> list[str]:
    """Return the sentence on amendments that are understood in part only; none where there are none."""
    if not newer:
        return []
    more = f" and {len(newer) - 1:,} more" if len(newer) > 1 else ""
    return [
        f"amendment {newer[0].seq} of run {newer[0].run[:12]}{more}: written by a newer ciplug (schema "
        f"{newer[0].schema}, this one knows {SCHEMA}), and this ciplug understands only a part of it: upgrade ciplug"
    ]


def ignored_note(key: str) -> str:
    """Return the sentence on an amendment that changes nothing where the policy names signers."""
    return f"{key}: ignored: the run is signed, and no allowed signer has signed this amendment"


def foreign_notes(changed: Iterable[Changes]) -> list[str]:
    """Return a sentence for each run with amendments that name another model."""
    return [_foreign_note(changes.foreign) for changes in changed if changes.foreign]


def _foreign_note(foreign: Sequence[Amendment]) -> str:
    first = foreign[0]
    more = f" and {len(foreign) - 1:,} more" if len(foreign) > 1 else ""
    return (
        f"amendment {first.seq} of run {first.run[:12]}{more}, by {first.author[:60]!r}, names the model "
        f"{first.model[:60]!r}, and the run is of another one: ignored"
    )


def names(changes: Changes, kind: Kind) -> Collection[str]:
    """Return the names of this kind that the amendments of a run have set."""
    return [name for name, value in _values(changes, kind) if value is not None]


def _values(changes: Changes, kind: Kind) -> Iterable[tuple[str, Any]]:
    late = changes.late
    if kind == "attribute":
        facts = {"name": late.name, "status": late.status, "ended": late.ended}
        return [(name, value) for name, value in facts.items() if value is not None]
    tags = {**late.tags, **dict.fromkeys(late.untag)}
    return {"metric": late.metrics, "tag": tags, "param": late.params}.get(kind, {}).items()
