"""Which export writes a copy: an id that no two exports at the same time share.

An unfinished copy with the id of this export is of an earlier one that ended: this one alone has the id now.
"""

from __future__ import annotations

import hashlib
import platform
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ciplug.git.cache import cache_folder
from ciplug.locking import acquire, release, write_atomically
from ciplug.steps.session import Session

_ID = re.compile("[0-9a-f]{32}")


@contextmanager
def writer_of(session: Session) -> Iterator[str]:
    """Hold the id of this clone on this machine; a new one, while another export holds that."""
    folder = cache_folder(session.workspace, session.env) / "export"
    try:
        lock = acquire(folder / "lock")
    except OSError:
        lock = None
    if lock is None:
        yield secrets.token_hex(16)
        return
    try:
        yield _id_in(folder)
    finally:
        release(lock)


def _id_in(folder: Path) -> str:
    """The id in a file. A copy of the file on another machine, as by a cache of a CI host, gives another id."""
    file = folder / "writer"
    try:
        own = file.read_text(encoding="ascii").strip() if file.exists() else ""
        if not _ID.fullmatch(own):
            own = secrets.token_hex(16)
            write_atomically(file, own.encode())
    except (OSError, ValueError):
        return secrets.token_hex(16)
    return hashlib.sha256(f"{own}:{platform.node()}:{folder.absolute()}".encode(errors="replace")).hexdigest()[:32]
