"""Check a git store: read everything that its refs name, and compare it with the expected content."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from ciplug.errors import listed
from ciplug.stores.base import Problem, Visit
from ciplug.stores.git.cached_remote import CachedRemote
from ciplug.stores.git.content import Content, folders, is_foldable, unfoldable
from ciplug.stores.git.log_entries import readable_entries
from ciplug.stores.git.pending import most_of
from ciplug.stores.git.refs import Refs
from ciplug.stores.git.restore import lost_entries
from ciplug.stores.git.segment_checks import check_segments
from ciplug.stores.git.snapshot import Snapshot
from ciplug.stores.git.view import View

_AT_ONCE = 100
"""Objects in memory at a time: series may have megabytes."""
_BYTES_AT_ONCE = 64 * 1024 * 1024


@dataclass
class Findings:
    """The problems, and the changes that repair them."""

    problems: list[Problem] = field(default_factory=list)
    index: dict[str, bytes] = field(default_factory=dict)
    """Segment → marks, of all segments; empty where the INDEX is right."""
    columns: dict[str, bytes] = field(default_factory=dict)
    """Segment → its right columns, where the stored ones are wrong."""


def find_problems(remote: CachedRemote, refs: Refs, snapshot: Snapshot, visit: Visit) -> Findings:
    """Read everything, each object once.

    Args:
        visit: takes the objects that can be read: of two under one key, the one that counts comes first.
    """
    view = snapshot.view
    content = view.content
    findings = Findings()
    findings.problems += [Problem(refs.tip, sentence, repairable=True) for sentence in view.lost]
    findings.problems += [
        Problem(ref, "it is not a write of ciplug, which ignores it", repairable=True) for ref in sorted(view.unsound)
    ]
    findings.problems += [
        Problem(ref, f"all pending writes have too many files, so it is not read; delete it: git push REMOTE :{ref}")
        for ref in view.postponed
    ]
    findings.problems += [
        Problem(ref, "it holds objects of an erased run, which nobody reads: `ciplug compact` deletes it")
        for ref in view.revived
    ]
    findings.problems += [Problem(refs.tip, sentence) for sentence in lost_entries(refs.branch, view.kept_logs)]
    findings.problems += [
        Problem(key, f"{len(claims)} pending writes claim it with different bytes, so neither is read: "
                f"{', '.join(claims)}; delete the wrong one: git push REMOTE :REF")
        for key, claims in view.contested.items()
    ]  # fmt: skip
    waiting = {key: oid for key, oid in view.objects.items() if key not in content.new}
    sizes = snapshot.pending.sizes(waiting.items())
    large = {key for key, oid in waiting.items() if sizes.get(oid, 0) > most_of(key)}
    findings.problems += [_too_large(view, key, sizes[waiting[key]]) for key in sorted(large)]
    named = (content.segments, content.columns, content.new, content.logs, content.blocks, content.states)
    remote.bring([*content.indexes, *(oid for part in named for oid in part.values())])
    lost = "the record is lost or damaged on the remote"
    unread = list(_read(remote, content.new, lost, visit))
    of_logs = [*_read(remote, content.logs, "the entry is lost or damaged on the remote"), *_gaps(content)]
    of_logs += _of_blocks(remote, content)
    of_logs += _read(remote, content.states, "the state beside this log is lost or damaged on the remote")
    claimed = {key for _, files in view.pending.values() for key in files}
    held = check_segments(remote, content, claimed, visit)
    findings.index, findings.columns, in_segments = held.index, held.columns, held.claimed
    remote.bring(held.apart.values())
    of_series = _read(remote, held.apart, "the series are lost or damaged on the remote", visit)
    of_segments = [*held.problems, *of_series]
    here = {key: oid for key, oid in waiting.items() if oid in sizes and key not in large}
    unread += [
        Problem(key, f"{lost}, or it has more than {most_of(key):,} bytes, which no record has: {_refs_of(view, key)}")
        for key, oid in waiting.items()
        if oid not in sizes
    ]
    unread += _read(remote, {key: oid for key, oid in here.items() if key in in_segments}, lost, sizes=sizes)
    unread += _read(remote, {key: oid for key, oid in here.items() if key not in in_segments}, lost, visit, sizes)
    findings.problems += [*sorted(unread), *of_logs, *of_segments, *_doubled(view, in_segments)]
    return findings


def _of_blocks(remote: CachedRemote, content: Content) -> Iterator[Problem]:
    for path in sorted(content.blocks):
        entries = readable_entries(remote, content, [path])
        if not entries:
            yield Problem(path, "the entries are lost or damaged on the remote")
        for key in sorted(entries.keys() & content.logs.keys()):
            yield Problem(key, f"it is no entry of the log, which has {path} instead: somebody has pushed it")


def _gaps(content: Content) -> Iterator[Problem]:
    for log in sorted(content.log_names):
        numbers = content.sequence(log)
        if numbers != list(range(1, len(numbers) + 1)):
            yield Problem(log, f"entries are missing: it has {len(numbers)}, the last is {numbers[-1]}")


def _too_large(view: View, key: str, size: int) -> Problem:
    words = f"it has {size:,} bytes, more than any record: it is neither read nor folded; {_refs_of(view, key)}"
    return Problem(key, words)


def _refs_of(view: View, key: str) -> str:
    refs = [ref for ref, (_, files) in view.pending.items() if key in files]
    return f"it is in {listed(refs)}: git push REMOTE {' '.join(f':{ref}' for ref in refs[:3])}"


def _chunks(objects: Mapping[str, str], sizes: Mapping[str, int]) -> Iterator[list[str]]:
    """Keys in order, so many at a time as memory has room for."""
    chunk: list[str] = []
    total = 0
    for key in sorted(objects):
        size = sizes.get(objects[key], 0)
        if chunk and (len(chunk) == _AT_ONCE or total + size > _BYTES_AT_ONCE):
            yield chunk
            chunk, total = [], 0
        chunk.append(key)
        total += size
    if chunk:
        yield chunk


def _read(
    remote: CachedRemote,
    objects: Mapping[str, str],
    what: str,
    visit: Visit | None = None,
    sizes: Mapping[str, int] = MappingProxyType({}),
) -> Iterator[Problem]:
    """Read objects, key → blob, a few at a time; yields a problem for each that cannot be read.

    Args:
        sizes: blob → bytes, as far as they are known.
    """
    for chunk in _chunks(objects, sizes):
        blobs = remote.sound_blobs(objects[key] for key in chunk)
        if visit:
            visit({key: blobs[objects[key]] for key in chunk if objects[key] in blobs})
        yield from (Problem(key, what) for key in chunk if objects[key] not in blobs)


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
            yield Problem(
                odd[0],
                f"{ref} holds a key that is none of ciplug: it is never folded; delete it: git push REMOTE :{ref}",
            )
        elif unfoldable(files, folded, above):
            yield Problem(min(files), f"{ref} holds a key below another key: it is read, and stays where it is")
        else:
            folded.update({key: oid for key, oid in files.items() if key not in in_segments})
            above.update(part for key in files for part in folders(key))
