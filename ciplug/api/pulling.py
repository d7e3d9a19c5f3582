"""Fetching a model version from Python."""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import NamedTuple

from ciplug.errors import UsageError


class PulledModel(NamedTuple):
    """A version that was fetched and verified."""

    folder: Path
    files: tuple[Path, ...]
    model: str
    version: int
    run: str
    digest: str | None


def pull(
    name: str,
    to: str | PathLike[str] = ".",
    *,
    locked: bool = False,
    lock: str | PathLike[str] = "ciplug.lock",
    offline: bool = False,
    force: bool = False,
    store: str | None = None,
) -> PulledModel:
    """Fetch a model version into a folder, each file verified: `ciplug.pull("models:/wine@production", to="model")`.

    Raises a CiplugError, and writes no file, where the registry, its evidence or the bytes do not verify.

    Args:
        name: MODEL@STAGE, MODEL@ALIAS, MODEL@vN, or a models:/ URI.
        locked: fetch exactly what the lock file says.
        lock: the lock file, which is written otherwise.
        offline: read the store as this clone read it last.
        force: overwrite files that differ.
        store: the store, in place of the configured one.
    """
    from ciplug.steps import pull as pulling
    from ciplug.steps.evidence.offline import offline as without_network
    from ciplug.steps.session import open_session

    parsed = pulling.version_name(name)
    session = open_session(store=store)
    if offline:
        session = without_network(session)
    folder = Path(to)
    done = pulling.pull(session, parsed, folder, lock=Path(lock), locked=locked, force=force)
    if done.fetched.digest_only:
        path = done.fetched.digest_only[0].path
        raise UsageError(f"{path}: only its digest was recorded, so it cannot be fetched")
    return PulledModel(folder, done.fetched.files, done.model, done.version.number, done.run.id, done.version.digest)
