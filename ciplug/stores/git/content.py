"""The content of a store's branch, as a tree of files."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Set
from dataclasses import dataclass, field

from ciplug.errors import Cause, StoreError
from ciplug.git.objects import object_id
from ciplug.records.keys import EntryKey, is_object
from ciplug.stores.git.blocks import SIZE, Block
from ciplug.stores.git.cached_remote import CachedRemote
from ciplug.stores.git.objects import LooseObjects
from ciplug.stores.git.segments import INDEX, NAME

FORMAT = b"ciplug git store 1\n"
NEW, SEGMENTS, STATES = "new", "segments", "states"
_LINES, _COLUMNS, _STATE = ".ndjson", ".columns.json", ".lines"
DEEPEST, WRITE_MOST = 8, 20_000
"""Folders of a key, and files and folders of a write: anyone who may push may push a tree that is endless."""
PENDING_MOST = 500_000
"""Files of all pending writes that one reader looks at: a thousand writes may name one large folder."""
WRITES_MOST = 20_000
"""Pending writes that one reader takes, those with a signature first: anyone may push any number of them."""
KEPT_MOST = 500_000
"""Files and folders of a branch, and of what was kept of it: that of a million runs has fewer."""
FOLDER_MOST = 8 * 1024 * 1024
"""Bytes of a folder of a write: one of WRITE_MOST files has less."""

Files = dict[str, tuple[str, str]]
"""Path → (mode, object id)."""


@dataclass
class Content:
    """The content of a branch, by object ids."""

    new: dict[str, str] = field(default_factory=dict)
    """Key → blob of the objects that are in no segment yet."""
    segments: dict[str, str] = field(default_factory=dict)
    """Name → blob of the segment's lines."""
    columns: dict[str, str] = field(default_factory=dict)
    indexes: list[str] = field(default_factory=list)
    """Blobs of the INDEX: two where two branches are seen as one."""
    logs: dict[str, str] = field(default_factory=dict)
    """Path → blob of each entry."""
    blocks: dict[str, str] = field(default_factory=dict)
    """Path → blob of many older entries of a log."""
    states: dict[str, str] = field(default_factory=dict)
    """Log → blob of the state that is kept beside it."""
    _sequences: dict[str, tuple[tuple[int, int], list[int]]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def copy(self) -> Content:
        """One that can be changed while a view still shows this."""
        return Content(
            dict(self.new),
            dict(self.segments),
            dict(self.columns),
            list(self.indexes),
            dict(self.logs),
            dict(self.blocks),
            dict(self.states),
        )

    def sequence(self, log: str) -> list[int]:
        """The numbers of a log's entries, in order."""
        # Entries are only ever added, so their count tells whether this was asked before.
        now = len(self.logs), len(self.blocks)
        count, found = self._sequences.get(log, (None, []))
        if count != now:
            start = len(log) + 1
            names = (path[start:] for path in self.logs if path.startswith(f"{log}/"))
            numbers = {seq for name in names if (seq := _seq_of(name)) is not None}
            blocks = (block for path in self.blocks if (block := Block.at(path)) and block.log == log)
            numbers.update(seq for block in blocks for seq in range(block.first, block.first + SIZE))
            found = sorted(numbers)
            self._sequences[log] = (now, found)
        return found

    @property
    def log_names(self) -> set[str]:
        """The logs, and folders that have the place of one."""
        return {path.rpartition("/")[0] for path in (*self.logs, *self.blocks)}


def _seq_of(name: str) -> int | None:
    """The number of the entry that is called so in its log; None for another file."""
    digits, dot, ending = name.partition(".")
    is_number = dot and ending == "json" and len(digits) <= 12 and digits.isascii() and digits.isdigit()
    return int(digits) if is_number and digits == f"{int(digits):06d}" else None


def entry_path(log: str, seq: int) -> str:
    return EntryKey(log, seq).key


def read_content(remote: CachedRemote, files: Files, branch: str) -> Content:
    """The content of a branch with these files. Raises StoreError where it has another format."""
    if not has_our_format(remote, files):
        raise _other_format(remote, files["FORMAT"][1], branch)
    content = Content()
    for path, (_, oid) in files.items():
        top, _, rest = path.partition("/")
        if top == NEW:
            content.new[rest] = oid
        elif top == SEGMENTS:
            if rest == INDEX:
                content.indexes.append(oid)
            elif rest.endswith(_LINES) and NAME.fullmatch(rest.removesuffix(_LINES)):
                content.segments[rest.removesuffix(_LINES)] = oid
            elif rest.endswith(_COLUMNS):
                content.columns[rest.removesuffix(_COLUMNS)] = oid
        elif top == STATES:
            content.states[rest.removesuffix(_STATE)] = oid
        elif path.endswith(".lines") and Block.at(path):
            content.blocks[path] = oid
        elif path != "FORMAT":
            content.logs[path] = oid
    return content


def has_our_format(remote: CachedRemote, files: Files) -> bool:
    """Whether the files of a branch are of the format that we write."""
    return files["FORMAT"][1] == object_id("blob", FORMAT, remote.format)


def _other_format(remote: CachedRemote, oid: str, branch: str) -> StoreError:
    data = remote.blobs([oid]).get(oid, b"")
    return StoreError(
        f"the branch '{branch}' has another format: {data[:60].decode(errors='replace').strip()!r}",
        hint="use the version of ciplug that wrote it, or a newer one",
        cause=Cause.FORMAT,
    )


def folders(key: str) -> Iterator[str]:
    """`a` and `a/b` of `a/b/c`."""
    at = key.find("/")
    while at >= 0:
        yield key[:at]
        at = key.find("/", at + 1)


def root_tree(written: LooseObjects, content: Content, index: bytes) -> str:
    """Write the trees of a branch with this content; returns the root's id."""
    files: dict[str, str] = {"FORMAT": written.blob(FORMAT), **content.logs, **content.blocks}
    files.update({f"{NEW}/{key}": oid for key, oid in content.new.items()})
    files.update({f"{SEGMENTS}/{name}{_LINES}": oid for name, oid in content.segments.items()})
    files.update({f"{SEGMENTS}/{name}{_COLUMNS}": oid for name, oid in content.columns.items()})
    files.update({f"{STATES}/{log}{_STATE}": oid for log, oid in content.states.items()})
    if content.segments:
        files[f"{SEGMENTS}/{INDEX}"] = written.blob(index)
    return written.nested_tree(files)


def unfoldable(keys: Mapping[str, str], folded: Mapping[str, str], above: Set[str]) -> bool:
    """Whether a key (of key → blob) conflicts with the folded ones: other content, or one path below another."""
    return any(
        folded.get(key, oid) != oid or key in above or any(part in folded for part in folders(key))
        for key, oid in keys.items()
    )


def is_foldable(key: str) -> bool:
    """Whether a key may be in the branch, which has room for our records alone: a file `runs` would stand in the way of
    every key below `runs/`, for ever.
    """
    return is_object(key)


def is_readable(keys: Collection[str]) -> bool:
    """Whether readers take a write of these keys for one of ours, by its size and depth."""
    paths = [f"{NEW}/{key}" for key in keys]
    above = {part for path in paths for part in folders(path)}
    return len(paths) + len(above) <= WRITE_MOST and all(path.count("/") <= DEEPEST for path in paths)
