"""What is wrong with a git store: everything that its refs name is read, and held against what it should be."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from ciplug.errors import RecordError
from ciplug.records import columns
from ciplug.stores.base import Problem
from ciplug.stores.git import segments as git_segments
from ciplug.stores.git.objects import Objects
from ciplug.stores.git.remote import GitRemote
from ciplug.stores.git.view import Refs, View, folders, unfoldable

_AT_ONCE = 1000


def find_problems(
    remote: GitRemote, refs: Refs, view: View
) -> tuple[list[Problem], dict[str, bytes], dict[str, bytes]]:
    """The problems; then what mends them: the INDEX as segment → marks, and the columns of segments, if need be."""
    content = view.content
    problems = [Problem(refs.tip, sentence, repairable=True) for sentence in view.lost]
    problems += [Problem(ref, "it is no write of ciplug: it is left alone, and unread") for ref in sorted(view.unsound)]
    problems += _unread(remote, view.objects, "the record is lost or damaged on the remote")
    problems += _unread(remote, content.logs, "the entry is lost or damaged on the remote")
    for log in sorted({path.rpartition("/")[0] for path in content.logs}):
        numbers = content.sequence(log)
        if numbers != list(range(1, len(numbers) + 1)):
            problems.append(Problem(log, f"entries are missing: it has {len(numbers)}, the last is {numbers[-1]}"))

    index: dict[str, bytes] = {}
    rewritten: dict[str, bytes] = {}
    indexed: dict[str, bytes] = {}
    for data in remote.sound_blobs(content.indexes).values():
        indexed.update(git_segments.read_index(data))
    in_segments: dict[str, str] = {}
    written = Objects(remote.repository, remote.format)
    for name, oid in sorted(content.segments.items()):
        lines = remote.sound_blobs([oid]).get(oid)
        if lines is None:
            problems.append(Problem(name, "the segment is lost or damaged on the remote"))
            continue
        try:
            held = git_segments.read_lines(lines, name)
        except RecordError as problem:
            problems.append(Problem(name, problem.message))
            continue
        if not git_segments.is_named_for(name, lines):
            problems.append(Problem(name, "its lines are not those that it was closed with"))
        in_segments.update({key: written.blob(data) for key, data in held.records.items()})
        in_segments.update(held.blobs)
        problems += _unread(remote, held.blobs, "the series are lost or damaged on the remote")
        index[name] = git_segments.marks_of(held.keys)
        if indexed.get(name) != index[name]:
            problems.append(Problem(name, "the INDEX does not have it right", repairable=True))
        right = columns.encode(columns.of(sorted(held.records.items())))
        if not _are_columns(_blob(remote, content.columns.get(name)), right):
            problems.append(Problem(name, "its columns are not those of its records", repairable=True))
            rewritten[name] = right
    problems += _doubled(view, in_segments)
    wrong = {name: marks for name, marks in index.items() if indexed.get(name) != marks}
    return problems, ({**indexed, **index} if wrong else {}), rewritten


def _are_columns(data: bytes | None, right: bytes) -> bool:
    """Whether columns say what these say, as far as this version reads them."""
    try:
        held = columns.decode(data or b"", "")
    except RecordError:
        return columns.is_newer(data or b"")
    return not held.lacking and columns.encode(held) == right


def _blob(remote: GitRemote, oid: str | None) -> bytes | None:
    return remote.sound_blobs([oid]).get(oid) if oid else None


def _unread(remote: GitRemote, objects: Mapping[str, str], what: str) -> Iterator[Problem]:
    for chunk in _chunks(sorted(objects)):
        found = remote.sound_blobs(objects[key] for key in chunk)
        yield from (Problem(key, what) for key in chunk if objects[key] not in found)


def _chunks(keys: list[str]) -> Iterable[list[str]]:
    return (keys[at : at + _AT_ONCE] for at in range(0, len(keys), _AT_ONCE))


def _doubled(view: View, in_segments: Mapping[str, str]) -> Iterator[Problem]:
    """Pending writes that cannot be folded."""
    folded = dict(view.content.new)
    above = {part for key in folded for part in folders(key)}
    for ref, (_, files) in view.pending.items():
        other = [key for key, oid in files.items() if in_segments.get(key, folded.get(key, oid)) != oid]
        if other:
            yield Problem(other[0], f"{ref} holds other bytes under this key: the first that was accepted counts")
        elif unfoldable(files, folded, above):
            yield Problem(min(files), f"{ref} holds a key below another key: it is read, and stays where it is")
        else:
            folded.update({key: oid for key, oid in files.items() if key not in in_segments})
            above.update(part for key in files for part in folders(key))
