"""A branch that was moved back, replaced or deleted by somebody: what it has lost, from the tip that was kept."""

from __future__ import annotations

from ciplug.stores.git.cached_remote import CachedRemote
from ciplug.stores.git.content import Content
from ciplug.stores.git.segments import read_lines


def what_is_lost(before: Content, now: Content | None, branch: str) -> tuple[str, ...]:
    """A sentence on what the branch has lost; empty where it has lost nothing."""
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


def union(remote: CachedRemote, before: Content, now: Content | None) -> Content:
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
