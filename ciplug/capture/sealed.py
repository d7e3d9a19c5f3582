"""A finished run that waits in the spool for its store."""

from __future__ import annotations

import base64
import contextlib
import json
import shutil
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ciplug.errors import StoreError
from ciplug.locking import write_atomically
from ciplug.records.lineage import ancestors

SEALED = "sealed.json"
REFUSED = "refused.json"
"""The name of that file once the store holds other content under the same key, which it keeps for ever."""
_BEGUN = ("open.json", "ending.json")


@dataclass(frozen=True)
class Sealed:
    """A finished run that waits to be sent."""

    folder: Path
    store: str
    objects: Mapping[str, bytes]
    parent: str | None = None
    """The id of the run that it is a child of, or the amendment of, and is sent with."""
    incomplete: bool = False
    """Whether files that its program logged are left out, because nobody wrote them."""

    @property
    def id(self) -> str:
        return self.folder.name

    @property
    def waits(self) -> bool:
        """Whether no process, of those that share the spool, has sent it yet."""
        return (self.folder / SEALED).exists()

    def rewrite(self, objects: Mapping[str, bytes]) -> Sealed:
        """Replace its objects on disk before they are sent, so that a second attempt sends the same. Raises OSError."""
        if not self.waits:
            return self
        return write_sealed(self.folder, self.store, objects, self.parent, incomplete=self.incomplete)

    def set_aside(self) -> None:
        """Keep it on disk, and have no later command try to send it."""
        with contextlib.suppress(OSError):
            # In this order: without its sealed file it must not look like a killed run.
            for name in _BEGUN:
                (self.folder / name).unlink(missing_ok=True)
            (self.folder / SEALED).rename(self.folder / REFUSED)

    def discard(self) -> None:
        """Forget it, since the store has it."""
        # In this order: a half-removed folder must look neither like a killed run, nor like one that still waits.
        for name in (*_BEGUN, SEALED):
            with contextlib.suppress(OSError):
                (self.folder / name).unlink(missing_ok=True)
        shutil.rmtree(self.folder, ignore_errors=True)


def write_sealed(
    folder: Path, store: str, objects: Mapping[str, bytes], parent: str | None = None, *, incomplete: bool = False
) -> Sealed:
    """Put a finished run on disk, whole and synced. Raises OSError."""
    packed = {key: base64.b64encode(data).decode() for key, data in objects.items()}
    facts: dict[str, object] = {"store": store, "objects": packed}
    facts |= {"parent": parent} if parent else {}
    facts |= {"incomplete": True} if incomplete else {}
    write_atomically(folder / SEALED, json.dumps(facts).encode(), private=True)
    return Sealed(folder, store, objects, parent, incomplete)


def read_sealed(folder: Path) -> Sealed | None:
    """The finished run of an entry; None where another process has sent it. Raises StoreError for a damaged file."""
    path = folder / SEALED
    try:
        data = json.loads(path.read_bytes())
        objects = {key: base64.b64decode(value) for key, value in data["objects"].items()}
        return Sealed(folder, data["store"], objects, data.get("parent"), data.get("incomplete") is True)
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError, AttributeError) as problem:
        raise StoreError(f"{path} is damaged: {problem}", hint="move the folder away to go on") from None


def families(entries: Sequence[Sealed]) -> list[list[Sealed]]:
    """Return each run with its child runs and their children, as far as they are among these runs."""
    by_id = {entry.id: entry for entry in entries}
    groups: dict[str, list[Sealed]] = {}
    for entry in entries:
        groups.setdefault(_root(entry, by_id), []).append(entry)
    return list(groups.values())


def without_open_parents(entries: Sequence[Sealed], open_runs: Collection[str]) -> list[Sealed]:
    """Return the entries without those whose parent, or its parent, is among these ids of open runs: they wait for it.

    Sent without it, a child run would stand for the commit.
    """
    waiting = {
        one.id for members in families(entries) if any(one.parent in open_runs for one in members) for one in members
    }
    return [entry for entry in entries if entry.id not in waiting]


def _root(entry: Sealed, by_id: Mapping[str, Sealed]) -> str:
    """The id of the run at the top of a family, of those that are here."""

    def parent_of(run_id: str) -> str | None:
        parent = by_id[run_id].parent
        return parent if parent in by_id else None

    return [entry.id, *ancestors(entry.id, parent_of)][-1]
