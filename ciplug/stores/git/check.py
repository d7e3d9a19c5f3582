"""Check a git store: read everything that its refs name, and compare it with the expected content."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from ciplug.errors import RecordError
from ciplug.records import columns
from ciplug.stores.base import Problem
from ciplug.stores.git import segments
from ciplug.stores.git.cached_remote import CachedRemote
from ciplug.stores.git.content import Content, folders, is_foldable, unfoldable
from ciplug.stores.git.objects import LooseObjects
from ciplug.stores.git.refs import Refs
from ciplug.stores.git.restore import lost_entries
from ciplug.stores.git.view import View

_AT_ONCE = 1000


@dataclass
class Findings:
    """The problems, and the changes that repair them."""

    problems: list[Problem] = field(default_factory=list)
    index: dict[str, bytes] = field(default_factory=dict)
    """Segment → marks, of all segments; empty where the INDEX is right."""
    columns: dict[str, bytes] = field(default_factory=dict)
    """Segment → its right columns, where the stored ones are wrong."""


def find_problems(remote: CachedRemote, refs: Refs, view: View) -> Findings:
    """Read everything."""
    content = view.content
    findings = Findings()
    findings.problems += [Problem(refs.tip, sentence, repairable=True) for sentence in view.lost]
    findings.problems += [
        Problem(ref, "it is not a write of ciplug: it is left alone, and unread", repairable=True)
        for ref in sorted(view.unsound)
    ]
    findings.problems += [Problem(refs.tip, sentence) for sentence in lost_entries(refs.branch, view.kept_logs)]
    findings.problems += [
        Problem(key, f"{len(claims)} pending writes claim it with different bytes, so neither is read: "
                f"{', '.join(claims)}; delete the wrong one: git push REMOTE :REF")
        for key, claims in view.contested.items()
    ]  # fmt: skip
    findings.problems += _unread(remote, view.objects, "the record is lost or damaged on the remote")
    findings.problems += _unread(remote, content.logs, "the entry is lost or damaged on the remote")
    findings.problems += _gaps(content)
    in_segments = _check_segments(remote, content, findings)
    findings.problems += _doubled(view, in_segments)
    return findings


def _gaps(content: Content) -> Iterator[Problem]:
    for log in sorted({path.rpartition("/")[0] for path in content.logs}):
        numbers = content.sequence(log)
        if numbers != list(range(1, len(numbers) + 1)):
            yield Problem(log, f"entries are missing: it has {len(numbers)}, the last is {numbers[-1]}")


def _check_segments(remote: CachedRemote, content: Content, findings: Findings) -> dict[str, str]:
    """Read every segment, and put what is wrong into `findings`; returns key → blob of all that they hold."""
    index: dict[str, bytes] = {}
    indexed: dict[str, bytes] = {}
    for data in remote.sound_blobs(content.indexes).values():
        indexed.update(segments.read_index(data))
    in_segments: dict[str, str] = {}
    written = LooseObjects(remote.repository, remote.format)
    for name, oid in sorted(content.segments.items()):
        lines = remote.sound_blobs([oid]).get(oid)
        if lines is None:
            findings.problems.append(Problem(name, "the segment is lost or damaged on the remote"))
            continue
        try:
            held = segments.read_lines(lines, name)
        except RecordError as problem:
            findings.problems.append(Problem(name, problem.message))
            continue
        if not segments.is_named_for(name, lines):
            findings.problems.append(Problem(name, "its lines are not those that it was closed with"))
        in_segments.update({key: written.blob(data) for key, data in held.records.items()})
        in_segments.update(held.blobs)
        findings.problems += _unread(remote, held.blobs, "the series are lost or damaged on the remote")
        index[name] = segments.marks_of(held.keys)
        if indexed.get(name) != index[name]:
            findings.problems.append(Problem(name, "the INDEX does not match this segment", repairable=True))
        right = columns.encode(columns.of(sorted({**dict.fromkeys(held.blobs, b""), **held.records}.items())))
        if not _are_columns(_blob(remote, content.columns.get(name)), right):
            findings.problems.append(Problem(name, "its columns are not those of its records", repairable=True))
            findings.columns[name] = right
    if any(indexed.get(name) != marks for name, marks in index.items()):
        findings.index = {**indexed, **index}
    return in_segments


def _are_columns(data: bytes | None, right: bytes) -> bool:
    """Whether columns say what these say, as far as this version reads them."""
    try:
        held = columns.decode(data or b"", "")
    except RecordError:
        return columns.is_newer(data or b"")
    return not held.lacking and columns.encode(held) == right


def _blob(remote: CachedRemote, oid: str | None) -> bytes | None:
    return remote.sound_blobs([oid]).get(oid) if oid else None


def _unread(remote: CachedRemote, objects: Mapping[str, str], what: str) -> Iterator[Problem]:
    for chunk in _chunks(sorted(objects)):
        blobs = remote.sound_blobs(objects[key] for key in chunk)
        yield from (Problem(key, what) for key in chunk if objects[key] not in blobs)


def _chunks(keys: list[str]) -> Iterable[list[str]]:
    return (keys[at : at + _AT_ONCE] for at in range(0, len(keys), _AT_ONCE))


def _doubled(view: View, in_segments: Mapping[str, str]) -> Iterator[Problem]:
    """Pending writes that cannot be folded."""
    folded = dict(view.content.new)
    above = {part for key in folded for part in folders(key)}
    for ref, (_, files) in view.pending.items():
        if not view.contested.keys().isdisjoint(files):
            continue
        other = [key for key, oid in files.items() if in_segments.get(key, folded.get(key, oid)) != oid]
        if other:
            yield Problem(other[0], f"{ref} holds other bytes under this key: the first that was accepted counts")
        elif odd := [key for key in files if not is_foldable(key)]:
            yield Problem(odd[0], f"{ref} holds a key that is in no folder: it is read, and never folded")
        elif unfoldable(files, folded, above):
            yield Problem(min(files), f"{ref} holds a key below another key: it is read, and stays where it is")
        else:
            folded.update({key: oid for key, oid in files.items() if key not in in_segments})
            above.update(part for key in files for part in folders(key))
