"""Check the segments of a git store, one in memory at a time: lines, names, INDEX and columns."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field

from ciplug.errors import RecordError
from ciplug.git.objects import object_id
from ciplug.records import columns
from ciplug.stores.base import Problem, Visit
from ciplug.stores.git import segments
from ciplug.stores.git.cached_remote import CachedRemote
from ciplug.stores.git.content import Content
from ciplug.stores.git.segments import Segment


@dataclass
class SegmentChecks:
    """What is wrong with the segments, and the files that repair it."""

    problems: list[Problem] = field(default_factory=list)
    index: dict[str, bytes] = field(default_factory=dict)
    """Segment → marks, of all segments; empty where the INDEX is right."""
    columns: dict[str, bytes] = field(default_factory=dict)
    """Segment → its right columns, where the stored ones are wrong."""
    claimed: dict[str, str] = field(default_factory=dict)
    """Key → blob, of the claimed keys that a segment holds."""
    apart: dict[str, str] = field(default_factory=dict)
    """Key → blob of what the lines only name."""


def check_segments(remote: CachedRemote, content: Content, claimed: Collection[str], visit: Visit) -> SegmentChecks:
    """Read every segment once.

    Args:
        claimed: the keys of pending writes.
        visit: takes the records in the lines.
    """
    checks = SegmentChecks()
    indexed: dict[str, bytes] = {}
    for data in remote.sound_blobs(content.indexes).values():
        indexed.update(segments.read_index(data))
    marks: dict[str, bytes] = {}
    problems: list[list[Problem]] = []
    # A key that two segments hold is read from the later one.
    for name in sorted(content.segments, reverse=True):
        oid, beside = content.segments[name], content.columns.get(name)
        blobs = remote.sound_blobs(filter(None, (oid, beside)))
        if oid not in blobs:
            problems.append([Problem(name, "the segment is lost or damaged on the remote")])
            continue
        try:
            held = segments.read_lines(blobs[oid], name)
        except RecordError as problem:
            problems.append([Problem(name, problem.message)])
            continue
        visit(held.records)
        _note_keys(remote, checks, held, claimed)
        marks[name] = segments.marks_of(held.keys)
        wrong = indexed.get(name) != marks[name]
        problems.append([*_of_files(checks, name, blobs[oid], held, blobs.get(beside or ""), index_is_wrong=wrong)])
    checks.problems = [problem for found in reversed(problems) for problem in found]
    if any(indexed.get(name) != block for name, block in marks.items()):
        checks.index = {**indexed, **marks}
    return checks


def _note_keys(remote: CachedRemote, checks: SegmentChecks, held: Segment, claimed: Collection[str]) -> None:
    """Note where keys are that later checks ask for; what an earlier call has noted counts."""
    records = {key: held.records[key] for key in held.records.keys() & claimed}
    computed = {key: object_id("blob", data, remote.format) for key, data in records.items()}
    named = {key: held.blobs[key] for key in held.blobs.keys() & claimed}
    for key, oid in {**computed, **named}.items():
        checks.claimed.setdefault(key, oid)
    for key, oid in held.blobs.items():
        checks.apart.setdefault(key, oid)


def _of_files(
    checks: SegmentChecks, name: str, lines: bytes, held: Segment, stored: bytes | None, *, index_is_wrong: bool
) -> Iterator[Problem]:
    if not segments.is_named_for(name, lines):
        yield Problem(name, "its lines are not those that it was closed with")
    if index_is_wrong:
        yield Problem(name, "the INDEX does not match this segment", repairable=True)
    right = columns.encode(columns.of(sorted({**dict.fromkeys(held.blobs, b""), **held.records}.items())))
    if stored != right and not _are_columns(stored or b"", right):
        yield Problem(name, "its columns are not those of its records", repairable=True)
        checks.columns[name] = right


def _are_columns(data: bytes, right: bytes) -> bool:
    """Whether columns say what these say, as far as this version reads them."""
    try:
        held = columns.decode(data, "")
    except RecordError:
        return columns.is_newer(data)
    return not held.lacking and columns.encode(held) == right
