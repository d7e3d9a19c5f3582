"""Keep the files that came beside bundles: those that their records name, each with the bytes of its digest."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from pathlib import Path

from ciplug.bundles.checked import Bundle
from ciplug.errors import CiplugError, FileChanged, RecordError, counted
from ciplug.steps.placing import members
from ciplug.steps.session import Session
from ciplug.stores.files import checked, hex_of

_SHOWN = 19
"""Characters of a digest, in a message."""


def keep_files(session: Session, bundles: Sequence[Bundle]) -> tuple[list[Bundle], list[CiplugError]]:
    """Send the files of bundles; returns the bundles all of whose files are kept now, and what is wrong with others.

    A file that the place has already need not come again. Raises StoreError where the place takes none.
    """
    files = session.files if any(map(_names_files, bundles)) else None
    if files is None:
        return list(bundles), []
    good: list[Bundle] = []
    refused: list[CiplugError] = []
    with tempfile.TemporaryDirectory(prefix="ciplug-files-") as scratch:
        sending: dict[str, Path] = {}
        absent: dict[str, set[str]] = {}
        for one in bundles:
            try:
                present = _on_disk(one, Path(scratch))
                needed = set(_needed(one, present))
            except RecordError as problem:
                refused.append(problem)
                continue
            absent[one.name] = needed - present.keys()
            sending.update((digest, path) for digest, path in present.items() if digest in needed)
            good.append(one)
        unsent = set().union(*absent.values())
        lost = files.missing(unsent) if unsent else set()
        for one in [one for one in good if absent[one.name] & lost]:
            good.remove(one)
            refused.append(_without(one, absent[one.name] & lost))
        size = sum(path.stat().st_size for path in sending.values())
        with session.listener.transfer("files sent", len(sending), size) as tell:
            files.put(sending, tell)
    return good, refused


def _names_files(bundle: Bundle) -> bool:
    return any(artifact.store for run in bundle.runs for artifact in run.artifacts)


def _on_disk(bundle: Bundle, scratch: Path) -> dict[str, Path]:
    """The files beside a bundle. Raises RecordError for one whose bytes are not those of its digest."""
    present = {}
    for digest, content in bundle.files.items():
        path = content if isinstance(content, Path) else scratch / hex_of(digest)
        try:
            if isinstance(content, bytes):
                if f"sha256:{sha256(content).hexdigest()}" != digest:
                    raise FileChanged("other bytes", digest)
                path.write_bytes(content)
            else:
                for _ in checked(path, digest):
                    pass
        except FileChanged:
            raise RecordError(f"{bundle.name}: the file {digest[:_SHOWN]}… beside it has other bytes") from None
        present[digest] = path
    return present


def _needed(bundle: Bundle, present: Mapping[str, Path]) -> Iterator[str]:
    """The digests of the files that the records of a bundle say are kept."""
    for run in bundle.runs:
        for artifact in run.artifacts:
            if artifact.store is None:
                continue
            yield artifact.digest
            # A folder whose list is in the store already had its files sent with that.
            if artifact.kind == "folder" and artifact.digest in present:
                listed = present[artifact.digest].read_bytes()
                yield from members(listed, f"{bundle.name}: {artifact.path!r:.80}").values()


def _without(bundle: Bundle, digests: set[str]) -> RecordError:
    paths = [a.path for run in bundle.runs for a in run.artifacts if a.digest in digests]
    what = repr(paths[0])[:80] if paths else f"{min(digests)[:_SHOWN]}…"
    more = f", and {counted(len(digests) - 1, 'other file')}" if len(digests) > 1 else ""
    return RecordError(
        f"{bundle.name}: the content of {what}{more} is neither beside it nor in the store",
        hint="hand over the folder `files` beside the bundle, too, or record digests alone: --artifact-store none",
    )
