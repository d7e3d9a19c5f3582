"""What one fetch of a git store shows: the branch, what is pending, and what was kept of a branch that is lost.

Whoever may push may push anything to any ref. What no writer of ours makes is left unread, and named.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from ciplug.errors import StoreError
from ciplug.records.keys import EntryKey, parse_entry
from ciplug.stores.git.objects import FILES, TREE, Objects, object_id
from ciplug.stores.git.remote import GitRemote
from ciplug.stores.git.segments import INDEX, NAME, read_lines

FORMAT = b"ciplug git store 1\n"
NEW, SEGMENTS = "new", "segments"
LINES, COLUMNS = ".ndjson", ".columns.json"
_MOMENT = 0.3
_DEEPEST, _WRITE_MOST = 8, 20_000
"""Folders of a key, and files and folders of a write: anyone who may push may push a tree that is endless."""


@dataclass(frozen=True)
class Refs:
    """The refs of a store on branch `branch`: on the remote, and in our repository, where a fetch puts them."""

    branch: str

    @property
    def tip(self) -> str:
        return f"refs/heads/{self.branch}"

    @property
    def series(self) -> str:
        return f"refs/heads/{self.branch}-series"

    @property
    def keep(self) -> tuple[str, str]:
        """The last tip that a writer of ours has made; the second where the host refuses the first."""
        return f"refs/{self.branch}/keep/tip", f"refs/heads/{self.branch}-keep/tip"

    def inbox(self, name: str) -> tuple[str, str]:
        """Where a write goes; the second where the host refuses the first."""
        return f"refs/{self.branch}/inbox/{name}", f"refs/heads/{self.branch}-inbox/{name}"

    def trial(self, name: str) -> tuple[str, str]:
        """Where a write is tried, which no reader sees; the second where the host refuses the first."""
        return f"refs/{self.branch}/trial/{name}", f"refs/heads/{self.branch}-trial/{name}"

    @property
    def places(self) -> dict[str, str]:
        """Folder of the remote → folder in our repository."""
        return {
            f"refs/{self.branch}/inbox/": "refs/store/inbox/",
            f"refs/heads/{self.branch}-inbox/": "refs/store/inbox-heads/",
            f"refs/{self.branch}/keep/": "refs/store/keep/",
            f"refs/heads/{self.branch}-keep/": "refs/store/keep-heads/",
        }

    @property
    def refspecs(self) -> list[str]:
        return [f"+{theirs}*:{ours}*" for theirs, ours in self.places.items()]

    def remote(self, ours: str) -> str:
        """The remote's name of one of our refs."""
        if ours == OUR_TIP:
            return self.tip
        theirs, own = next((t, o) for t, o in self.places.items() if ours.startswith(o))
        return theirs + ours.removeprefix(own)


OUR_TIP = "refs/store/branch"
_INBOX = ("refs/store/inbox/", "refs/store/inbox-heads/")
_KEPT = ("refs/store/keep/", "refs/store/keep-heads/")


@dataclass
class Content:
    """What a branch holds, by object ids."""

    new: dict[str, str] = field(default_factory=dict)
    """Key → blob of the objects that are in no segment yet."""
    segments: dict[str, str] = field(default_factory=dict)
    """Name → blob of its lines."""
    columns: dict[str, str] = field(default_factory=dict)
    indexes: list[str] = field(default_factory=list)
    """Blobs of the INDEX: two where two branches are seen as one."""
    logs: dict[str, str] = field(default_factory=dict)
    """Path → blob of each entry."""

    def copy(self) -> Content:
        """One that can be changed while a view still shows this."""
        return Content(dict(self.new), dict(self.segments), dict(self.columns), list(self.indexes), dict(self.logs))

    def sequence(self, log: str) -> list[int]:
        """The numbers of a log's entries, in order."""
        entries = (parse_entry(path) for path in self.logs if path.startswith(f"{log}/"))
        return sorted(entry.seq for entry in entries if entry and entry.log == log)


@dataclass
class View:
    """What one fetch saw."""

    tip: str | None
    """Commit of the branch on the remote; None where there is none."""
    keep: tuple[str, str | None]
    """The ref that keeps the last tip, and its commit."""
    content: Content
    """Of the branch, and of what was kept where the branch has lost it."""
    pending: dict[str, tuple[str, dict[str, str]]]
    """Remote ref → commit, and key → blob, of each write that is not folded."""
    parents: tuple[str, ...]
    """Of the next tip."""
    unsound: dict[str, str]
    """Remote ref → commit of what no writer of ours has pushed."""
    lost: tuple[str, ...] = ()
    """Sentences on what the branch has lost, and `keep` still holds."""
    gone: str | None = None
    """The tip that was seen here before, where nothing is left of the branch nor of what was kept."""

    @property
    def objects(self) -> dict[str, str]:
        """Key → blob of what is in no segment; of two pending writes of one key, the ref that sorts first."""
        found = dict(self.content.new)
        for _, files in self.pending.values():
            for key, oid in files.items():
                found.setdefault(key, oid)
        return found


def entry_path(log: str, seq: int) -> str:
    return EntryKey(log, seq).key


def look(remote: GitRemote, refs: Refs) -> View:
    """Fetch, and read every name."""
    view = _view(remote, refs, _fetch(remote, refs))
    if view.lost:
        # A server that moves one ref after the other shows the like for a moment.
        time.sleep(_MOMENT)
        view = _view(remote, refs, _fetch(remote, refs))
    if known := view.tip or view.keep[1]:
        remote.remember(known)
    else:
        view.gone = remote.remembered()
    return view


def _fetch(remote: GitRemote, refs: Refs) -> dict[str, str]:
    """Our refs, once they are what the remote has."""
    failure = remote.fetch("--depth=1", "--prune", f"+{refs.tip}:{OUR_TIP}", *refs.refspecs)
    if failure and "couldn't find remote ref" in failure:
        remote.forget(OUR_TIP)
        # git fails with --depth where nothing matches.
        failure = remote.fetch("--depth=1", "--prune", *refs.refspecs) and remote.fetch("--prune", *refs.refspecs)
        # Between the two, the first fold may have moved into the branch what the inbox then lacked.
        if not failure:
            again = remote.fetch("--depth=1", f"+{refs.tip}:{OUR_TIP}")
            failure = None if again and "couldn't find remote ref" in again else again
    if failure:
        raise StoreError(
            f"cannot read the store at {remote.address}: {failure}",
            hint="is the repository reachable with this checkout's credentials?",
        )
    # What a fold has fetched for itself, of the series branch, is no write of anybody's.
    known = (OUR_TIP, *refs.places.values())
    return {ref: oid for ref, oid in remote.refs("refs/store").items() if ref.startswith(known)}


def _view(remote: GitRemote, refs: Refs, found: Mapping[str, str]) -> View:
    tip = found.get(OUR_TIP)
    kept = next((ref for ref in found if ref.startswith(_KEPT)), None)
    keep = (refs.remote(kept), found[kept]) if kept else (refs.keep[0], None)
    files, unsound = _walk(remote, {ref: oid for ref, oid in found.items() if ref != kept or oid != tip})
    pending = {
        refs.remote(ref): (found[ref], {key.removeprefix("new/"): oid for key, (_, oid) in files[ref].items()})
        for ref in sorted(files)
        if ref.startswith(_INBOX)
    }
    content = _content(remote, files[OUR_TIP], refs.branch) if OUR_TIP in files else None
    before = None
    # A tip that follows what was kept has lost nothing: its writer died, or could not keep it too.
    if kept in files and keep[1] not in remote.parents(tip):
        before = _content(remote, files[kept], refs.branch)
    if tip and content is None and before is None:
        raise StoreError(
            f"the branch '{refs.branch}' is no store of ciplug: it has no file FORMAT",
            hint="is it a branch of yours? Name another for the store: git:?branch=NAME",
        )
    lost: tuple[str, ...] = ()
    parents = (tip,) if tip and content is not None else ()
    if before is not None:
        lost = _what_is_lost(before, content, refs.branch)
        content = _union(remote, before, content)
        parents = tuple(oid for oid in (keep[1], *parents) if oid)
    return View(
        tip=tip,
        keep=keep,
        content=content or Content(),
        pending=pending,
        parents=parents,
        unsound={refs.remote(ref): oid for ref, oid in unsound.items() if ref != OUR_TIP},
        lost=lost,
    )


Files = dict[str, tuple[str, str]]
"""Path → (mode, object id)."""


def _walk(remote: GitRemote, refs: Mapping[str, str]) -> tuple[dict[str, Files], dict[str, str]]:
    """The files of every ref that a writer of ours can have pushed, and the commits of the refs that none has."""
    roots = remote.trees(f"{oid}^{{tree}}" for oid in refs.values())
    sound = {ref for ref, oid in refs.items() if f"{oid}^{{tree}}" in roots}
    files: dict[str, Files] = {ref: {} for ref in sound}
    size = dict.fromkeys(sound, 0)
    level = [(ref, "", roots[f"{refs[ref]}^{{tree}}"]) for ref in sound]
    while level:
        inner = []
        for ref, path, entries in level:
            size[ref] += len(entries)
            if not _is_branch(ref) and (
                size[ref] > _WRITE_MOST
                or path.count("/") > _DEEPEST
                or not all(_is_sound(path, name, mode) for name, (mode, _) in entries.items())
            ):
                sound.discard(ref)
            if path == "" and _is_branch(ref) and "FORMAT" not in entries:
                sound.discard(ref)
            for name, (mode, oid) in entries.items() if ref in sound else ():
                if mode == TREE:
                    inner.append((ref, f"{path}{name}/", oid))
                else:
                    files[ref][path + name] = (mode, oid)
        inner = [found for found in inner if found[0] in sound]
        trees = remote.trees(oid for _, _, oid in inner)
        level = [(ref, path, trees[oid]) for ref, path, oid in inner]
    return {ref: files[ref] for ref in sound}, {ref: oid for ref, oid in refs.items() if ref not in sound}


def _is_branch(ref: str) -> bool:
    return ref == OUR_TIP or ref.startswith(_KEPT)


def _is_sound(folder: str, name: str, mode: str) -> bool:
    """Whether a writer of ours could have put this entry into its tree: new/, and files and folders below it."""
    named = name.isprintable() and "/" not in name and name.lower() not in ("", ".", "..", ".git")
    return named and (mode == TREE or mode in FILES if folder else name == NEW and mode == TREE)


def is_readable(keys: Collection[str]) -> bool:
    """Whether readers take a write of these keys for one of ours, by its size and depth."""
    paths = [f"{NEW}/{key}" for key in keys]
    above = {part for path in paths for part in folders(path)}
    return len(paths) + len(above) <= _WRITE_MOST and all(path.count("/") <= _DEEPEST for path in paths)


def _content(remote: GitRemote, files: Files, branch: str) -> Content:
    _check_format(remote, files["FORMAT"][1], branch)
    content = Content()
    for path, (_, oid) in files.items():
        top, _, rest = path.partition("/")
        if top == NEW:
            content.new[rest] = oid
        elif top == SEGMENTS:
            if rest == INDEX:
                content.indexes.append(oid)
            elif rest.endswith(LINES) and NAME.fullmatch(rest.removesuffix(LINES)):
                content.segments[rest.removesuffix(LINES)] = oid
            elif rest.endswith(COLUMNS):
                content.columns[rest.removesuffix(COLUMNS)] = oid
        elif path != "FORMAT":
            content.logs[path] = oid
    return content


def _check_format(remote: GitRemote, oid: str, branch: str) -> None:
    if oid == object_id("blob", FORMAT, remote.format):
        return
    data = remote.blobs([oid]).get(oid, b"")
    raise StoreError(
        f"the branch '{branch}' is of another format: {data[:60].decode(errors='replace').strip()!r}",
        hint="use the version of ciplug that wrote it, or a newer one",
    )


def _what_is_lost(before: Content, now: Content | None, branch: str) -> tuple[str, ...]:
    now = now or Content()
    parts = [
        (len(before.segments.keys() - now.segments.keys()), "segments"),
        (len(before.new.keys() - now.new.keys()) if not now.segments.keys() - before.segments.keys() else 0, "objects"),
        (len(before.logs.keys() - now.logs.keys()), "entries of the registry"),
    ]
    lost = [f"{number} {what}" for number, what in parts if number]
    if not lost:
        return ()
    return (
        f"the branch '{branch}' was moved back, replaced or deleted by somebody: {', '.join(lost)} are taken from "
        "what was kept of it",
    )


def _union(remote: GitRemote, before: Content, now: Content | None) -> Content:
    """Both branches as one. A log is a chain: it is taken whole, the longer of the two if one continues the other."""
    if now is None:
        return before
    # What is loose in the one may be in a segment of the other.
    apart = {**now.segments, **before.segments}.items() ^ (now.segments.items() & before.segments.items())
    lines = remote.blobs(oid for _, oid in apart)
    keys = {name: read_lines(lines[oid], name).keys for name, oid in apart}
    closed = set[str]().union(*keys.values())
    # A drop that was cut off half-way leaves what it kept in segments of both.
    old_keys = set[str]().union(*(keys[name] for name in keys if name in before.segments))
    newer = {name: oid for name, oid in now.segments.items() if not (name in keys and keys[name] <= old_keys)}
    logs = dict(now.logs)
    for log in {path.rpartition("/")[0] for path in before.logs}:
        old = {path: oid for path, oid in before.logs.items() if path.rpartition("/")[0] == log}
        new = {path: oid for path, oid in now.logs.items() if path.rpartition("/")[0] == log}
        if not (old.items() <= new.items()):
            logs = {path: oid for path, oid in logs.items() if path not in new} | old
    return Content(
        new={key: oid for key, oid in {**now.new, **before.new}.items() if key not in closed},
        segments={**newer, **before.segments},
        columns={**now.columns, **before.columns},
        indexes=list(dict.fromkeys([*now.indexes, *before.indexes])),
        logs=logs,
    )


def folders(key: str) -> Iterator[str]:
    """`a` and `a/b` of `a/b/c`."""
    at = key.find("/")
    while at >= 0:
        yield key[:at]
        at = key.find("/", at + 1)


def root_tree(written: Objects, content: Content, index: bytes) -> str:
    """Write the trees of a branch with this content; returns the root's id."""
    files: dict[str, str] = {"FORMAT": written.blob(FORMAT), **content.logs}
    files.update({f"{NEW}/{key}": oid for key, oid in content.new.items()})
    files.update({f"{SEGMENTS}/{name}{LINES}": oid for name, oid in content.segments.items()})
    files.update({f"{SEGMENTS}/{name}{COLUMNS}": oid for name, oid in content.columns.items()})
    if content.segments:
        files[f"{SEGMENTS}/{INDEX}"] = written.blob(index)
    return written.nested_tree(files)


def unfoldable(keys: Mapping[str, str], folded: Mapping[str, str], above: Iterable[str]) -> bool:
    """Whether these keys (key → blob) cannot stand beside those that are folded: other bytes, or one below another."""
    taken = set(above)
    return any(
        folded.get(key, oid) != oid or key in taken or any(part in folded for part in folders(key))
        for key, oid in keys.items()
    )
