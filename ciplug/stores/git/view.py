"""The result of one fetch of a git store: the branch, pending writes, and what was kept of a lost branch.

Whoever may push may push anything to any ref. What no writer of ours makes is left unread, and reported.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

from ciplug.errors import Cause, GitKind, StoreError, counted
from ciplug.git.failures import Failure
from ciplug.records.keys import signature_key
from ciplug.stores.git.cached_remote import NO_BRANCH, UNREACHABLE_HINT, CachedRemote
from ciplug.stores.git.content import (
    DEEPEST,
    FOLDER_MOST,
    KEPT_MOST,
    NEW,
    PENDING_MOST,
    WRITE_MOST,
    WRITES_MOST,
    Content,
    Files,
    has_our_format,
    read_content,
)
from ciplug.stores.git.erasing import read_erased, without_erased
from ciplug.stores.git.objects import FILES, TREE
from ciplug.stores.git.refs import OUR_INBOX, OUR_KEEP, OUR_TIP, Refs
from ciplug.stores.git.restore import KeptLogs, kept_logs, lost_objects, restore_objects

_MOMENT = 0.3


@dataclass
class View:
    """The result of one fetch."""

    tip: str | None
    """Commit of the branch on the remote; None where there is none."""
    keep: tuple[str, str | None]
    """The ref that keeps the last tip, and its commit."""
    content: Content
    """The content of the branch, with segments that only `keep` has. Its logs are the branch's alone."""
    pending: dict[str, tuple[str, dict[str, str]]]
    """Remote ref → commit, and key → blob, of each write that is not folded: what only `keep` has is one of them."""
    parents: tuple[str, ...]
    """The parents of the next tip."""
    unsound: dict[str, str]
    """Remote ref → commit of everything that no ciplug writer has pushed."""
    lost: tuple[str, ...] = ()
    """A sentence on the objects that the branch has lost, and that readers take from `keep`."""
    kept_logs: KeptLogs = field(default_factory=KeptLogs)
    """Entries of logs that the branch has lost. They do not count until somebody puts them back."""
    gone: str | None = None
    """The last tip seen here, if both the branch and the kept ref are gone."""
    erased: frozenset[str] = frozenset()
    """The marks of erased runs: everything about them is left out of this view."""
    postponed: tuple[str, ...] = ()
    """The refs of pending writes that are left out, since all of them together have too many files."""
    beyond: tuple[str, ...] = ()
    """The refs of pending writes that are left out, since there are too many."""
    revived: tuple[str, ...] = ()
    """The refs of pending writes that hold objects of erased runs."""

    @cached_property
    def objects(self) -> dict[str, str]:
        """Key → blob of what is in no segment. What is folded counts before what is pending.

        Two pending writes with other bytes under one key are a conflict: neither is among the objects.
        """
        pending = {key: oid for _, files in self.pending.values() for key, oid in files.items()}
        return {**{key: oid for key, oid in pending.items() if key not in self.contested}, **self.content.new}

    @cached_property
    def contested(self) -> dict[str, tuple[str, ...]]:
        """Key → the refs of the pending writes that claim it with different bytes."""
        claims: dict[str, dict[str, list[str]]] = {}
        for ref, (_, files) in self.pending.items():
            for key, oid in files.items():
                if key not in self.content.new:
                    claims.setdefault(key, {}).setdefault(oid, []).append(ref)
        return {
            key: tuple(sorted(ref for refs in by_oid.values() for ref in refs))
            for key, by_oid in sorted(claims.items())
            if len(by_oid) > 1
        }


def fetch_view(remote: CachedRemote, refs: Refs) -> View:
    """Fetch, and read every name."""
    view = _view(remote, refs, _fetch(remote, refs))
    if (view.lost or view.kept_logs) and not remote.offline:
        # A server that moves one ref after the other shows the like for a moment.
        time.sleep(_MOMENT)
        view = _view(remote, refs, _fetch(remote, refs))
    if last := view.tip or view.keep[1]:
        remote.remember(last)
    else:
        view.gone = remote.remembered()
        if not view.gone and not remote.offline:
            remote.remember(NO_BRANCH)
    return view


def _fetch(remote: CachedRemote, refs: Refs) -> dict[str, str]:
    """Our refs, once they are what the remote has; offline, as the last fetch left them.

    A fetch always has a depth: anyone may push a commit that has all of a project's history behind it. And with a
    depth, git asks for objects even where nothing is new, so it is seen by a listing whether anything is.
    """
    failure = None
    listed = remote.list_few_refs()
    if listed is not None and refs.ours(listed) == _ours(remote, refs):
        return _ours(remote, refs)
    if not remote.offline:
        # Asking for a branch that is not there fails, and costs as much as an answer.
        has_branch = remote.remembered() is not None
        by_name = ("--depth=1", "--prune", f"+{refs.tip}:{OUR_TIP}", *refs.refspecs)
        failure = remote.fetch(*by_name) if has_branch else None
        if not has_branch or (failure and GitKind.NO_REF in failure.kinds):
            failure = _fetch_without_branch(remote, refs)
    if failure:
        raise remote.unreadable(f"the store at {remote.address}", failure, hint=UNREACHABLE_HINT)
    remote.note_fetch()
    return _ours(remote, refs)


def _ours(remote: CachedRemote, refs: Refs) -> dict[str, str]:
    """What a fetch has brought. A fold fetches the series branch for itself: that is not a write."""
    places = tuple(refs.places.values())
    return {ref: oid for ref, oid in remote.refs("refs/store").items() if ref == OUR_TIP or ref.startswith(places)}


def _fetch_without_branch(remote: CachedRemote, refs: Refs) -> Failure | None:
    """Fetch a store that may have no branch: by one listing, which has all refs, whoever makes the branch meanwhile."""
    # Unlike a name, a pattern may match nothing. It may match other branches, too.
    refspecs = (f"+{refs.tip}*:{OUR_TIP}*", f"^{refs.series}", *refs.refspecs)
    failure = remote.fetch("--depth=1", "--prune", *refspecs)
    if failure and GitKind.SILENT in failure.kinds:
        # Nothing matches: and nothing was pruned.
        for ref in remote.refs("refs/store"):
            remote.forget(ref)
        return None
    return failure


def _view(remote: CachedRemote, refs: Refs, ours: Mapping[str, str]) -> View:
    tip = ours.get(OUR_TIP)
    kept = next((ref for ref in (*refs.our_keep, *ours) if ref in ours and ref.startswith(OUR_KEEP)), None)
    keep = (refs.remote(kept), ours[kept]) if kept else (refs.keep[0], None)
    files, unsound, postponed = _walk(remote, {ref: oid for ref, oid in ours.items() if ref != kept or oid != tip})
    unsound.update({ref: ours[ref] for ref in [*files] if ref.startswith(OUR_INBOX) and not _is_named(ref, ours[ref])})
    pending = {
        refs.remote(ref): (ours[ref], {key.removeprefix("new/"): oid for key, (_, oid) in files[ref].items()})
        for ref in sorted(files)
        if ref.startswith(OUR_INBOX) and ref not in unsound
    }
    beyond = tuple(sorted(pending, key=lambda ref: (not _names_a_signature(pending[ref][1]), ref))[WRITES_MOST:])
    left_out = set(beyond)
    pending = {ref: write for ref, write in pending.items() if ref not in left_out}
    content = read_content(remote, files[OUR_TIP], refs.branch) if OUR_TIP in files else None
    if kept in files and not has_our_format(remote, files[kept]):
        if content is None:
            raise _of_another_format(refs.remote(kept))
        # The branch says what the format is: whoever may push may push any file here.
        unsound[kept] = ours[kept]
        del files[kept]
    before = read_content(remote, files[kept], refs.branch) if kept in files else None
    logs = kept_logs(remote, before, content or Content()) if before else KeptLogs()
    # A tip that follows what was kept has lost no object: its writer died, or could not keep it too. But no writer of
    # ours takes an entry out of a log.
    if keep[1] in remote.parents(tip):
        before = None
    if tip and content is None and before is None:
        seen = remote.remembered()
        again = f"; or, if somebody has replaced it: git push --force REMOTE {seen}:{refs.tip}" if seen else ""
        raise StoreError(
            f"the branch '{refs.branch}' is not a store of ciplug: it has no file FORMAT, or too many files",
            hint=f"is it a branch of yours? Name another for the store: git:?branch=NAME{again}",
            cause=Cause.FORMAT,
        )
    lost: tuple[str, ...] = ()
    parents: tuple[str, ...] = (tip,) if tip and content is not None else ()
    if before is not None:
        if content is None:
            content = replace(before.copy(), logs={}, blocks={})
            # Without the entries of its logs, the next tip does not follow from what was kept.
            parents = () if logs else tuple(filter(None, [keep[1]]))
            counts = {"object": len(content.new), "segment": len(content.segments)}
            lost = lost_objects(refs.branch, *(counted(n, noun) for noun, n in counts.items() if n))
        else:
            restored = restore_objects(remote, before, content)
            content = restored.content
            if restored.objects:
                pending[keep[0]] = (keep[1] or "", restored.objects)
            lost = lost_objects(refs.branch, counted(restored.number, "object") if restored.number else "")
    erased = read_erased(remote, content) if content else frozenset()
    revived: tuple[str, ...] = ()
    if content and erased:
        content = replace(content.copy(), new=without_erased(content.new, erased))
        kept_of = {ref: (oid, without_erased(keys, erased)) for ref, (oid, keys) in pending.items()}
        revived = tuple(ref for ref, (_, keys) in kept_of.items() if len(keys) < len(pending[ref][1]))
        pending = kept_of
    return View(
        tip=tip,
        keep=keep,
        content=content or Content(),
        pending=pending,
        parents=parents,
        unsound={refs.remote(ref): oid for ref, oid in unsound.items() if ref != OUR_TIP},
        lost=lost,
        kept_logs=logs,
        postponed=tuple(sorted(map(refs.remote, postponed))),
        beyond=beyond,
        erased=erased,
        revived=revived,
    )


def _of_another_format(ref: str) -> StoreError:
    return StoreError(
        f"{ref} has another format, and there is no branch beside it",
        hint=f"use the version of ciplug that wrote it, or, if somebody has pushed it: git push REMOTE :{ref}",
        cause=Cause.FORMAT,
    )


def _names_a_signature(keys: Mapping[str, str]) -> bool:
    return any(signature_key(key) in keys for key in keys)


def _is_named(ref: str, commit: str) -> bool:
    """Whether the name of a write's ref is the id of its commit, as its writer has chosen it."""
    return ref.rpartition("/")[2] == commit


def _walk(remote: CachedRemote, refs: Mapping[str, str]) -> tuple[dict[str, Files], dict[str, str], set[str]]:
    """The files of every ref that a writer of ours can have pushed, the commits of the refs that none has, and the refs
    that are one too many: the largest.
    """
    whose = {ref: f"{oid}^{{tree}}" for ref, oid in refs.items()}
    large = _too_large(remote, whose.values())
    roots = remote.trees(name for name in whose.values() if name not in large)
    sound = {ref for ref, name in whose.items() if name in roots}
    postponed: set[str] = set()
    total = 0
    files: dict[str, Files] = {ref: {} for ref in sound}
    size = dict.fromkeys(sound, 0)
    level = [(ref, "", roots[f"{refs[ref]}^{{tree}}"]) for ref in sound]
    while level:
        inner = []
        for ref, path, entries in sorted(level, key=lambda one: len(one[2])):
            size[ref] += len(entries)
            total += 0 if _is_branch(ref) else len(entries)
            if total > PENDING_MOST and not _is_branch(ref):
                postponed.add(ref)
                continue
            if (
                size[ref] > (KEPT_MOST if _is_branch(ref) else WRITE_MOST)
                or path.count("/") > DEEPEST
                or not (ref == OUR_TIP or all(_is_sound(ref, path, name, mode) for name, (mode, _) in entries.items()))
            ):
                sound.discard(ref)
            if path == "" and _is_branch(ref) and "FORMAT" not in entries:
                sound.discard(ref)
            for name, (mode, oid) in entries.items() if ref in sound else ():
                if mode == TREE:
                    inner.append((ref, f"{path}{name}/", oid))
                else:
                    files[ref][path + name] = (mode, oid)
        read_on = sound - postponed
        inner = [entry for entry in inner if entry[0] in read_on]
        large = _too_large(remote, (oid for _, _, oid in inner))
        sound -= {ref for ref, _, oid in inner if oid in large}
        inner = [entry for entry in inner if entry[0] in sound]
        trees = remote.trees({oid for _, _, oid in inner})
        level = [(ref, path, trees[oid]) for ref, path, oid in inner]
    unsound = {ref: oid for ref, oid in refs.items() if ref not in sound}
    return {ref: files[ref] for ref in sound - postponed}, unsound, postponed & sound


def _too_large(remote: CachedRemote, names: Iterable[str]) -> set[str]:
    """Those of these trees that are too large for a write of ours; none of them is read."""
    wanted = set(names)
    sizes = remote.tree_sizes(wanted) if wanted else {}
    return {name for name, size in sizes.items() if size > FOLDER_MOST}


def _is_branch(ref: str) -> bool:
    return ref == OUR_TIP or ref.startswith(OUR_KEEP)


def _is_sound(ref: str, folder: str, name: str, mode: str) -> bool:
    """Whether a writer of ours could have put this entry into its tree: files and folders, of a write below new/."""
    named = name.isprintable() and "/" not in name and name.lower() not in ("", ".", "..", ".git")
    is_free = folder or _is_branch(ref)
    return named and (mode == TREE or mode in FILES if is_free else name == NEW and mode == TREE)
