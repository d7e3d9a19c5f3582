"""What a promotion checks of a version's files: they are kept, they have content, and the run wrote them."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from hashlib import sha256
from pathlib import Path, PurePosixPath

from ciplug.errors import PromotionRefused, Refusal, listed
from ciplug.records.run import File, Run
from ciplug.reports.untrusted import clean
from ciplug.steps import placing
from ciplug.steps.fetch import MANIFEST_MOST
from ciplug.steps.session import Session
from ciplug.steps.unwritten_artifacts import not_written
from ciplug.stores.files import hex_of

_NO_BYTES = f"sha256:{sha256(b'').hexdigest()}"
_NEVER_EMPTY = frozenset(
    [
        ".bin",
        ".cbm",
        ".ckpt",
        ".gguf",
        ".h5",
        ".hdf5",
        ".joblib",
        ".json",
        ".keras",
        ".mlmodel",
        ".npy",
        ".npz",
        ".onnx",
        ".pb",
        ".pickle",
        ".pkl",
        ".pt",
        ".pth",
        ".safetensors",
        ".tflite",
        ".ubj",
    ]
)
"""Endings of the names of models and their settings. In a folder, other files may be empty: `__init__.py`, a log."""


def check_files(session: Session, run: Run) -> None:
    """Raise PromotionRefused where there is no file to deploy, or one that nobody can fetch or the run did not write.

    An artifact that is an address elsewhere is not looked for there.
    """
    if not run.artifacts:
        raise PromotionRefused(
            Refusal.NO_FILE,
            f"run {run.id[:12]} has no artifact, so there is no file to deploy",
            hint="name what the training writes with --artifact, or as 'artifacts:' in ciplug.yaml, and train again",
        )
    _check_content(run, (file.path for file in run.artifacts if file.size == 0))
    if left := not_written(session, run):
        raise PromotionRefused(
            Refusal.FILE_NOT_WRITTEN,
            f"run {run.id[:12]} did not write its artifact {left[0].path}: {left[0].reason.value}",
            hint="promote a run whose training writes it: ciplug run -- COMMAND",
        )
    _check_kept(run, [file.path for file in run.artifacts if not file.store and "://" not in file.path])
    kept = [file for file in run.artifacts if file.store]
    _check_kept(run, _missing(session, ((file.store, file.digest, file.path) for file in kept)))
    folders = list(_folders(session, [file for file in kept if file.kind == "folder"]))
    members = [(folder.store, digest, f"{folder.path}/{name}") for folder, of in folders for name, digest in of.items()]
    _check_kept(run, _missing(session, members))
    _check_content(
        run, (path for _, digest, path in members if digest == _NO_BYTES and PurePosixPath(path).suffix in _NEVER_EMPTY)
    )


def _check_content(run: Run, empty: Iterable[str]) -> None:
    if path := next(iter(empty), None):
        raise PromotionRefused(
            Refusal.EMPTY_FILE,
            f"the artifact {clean(path)} of run {run.id[:12]} is empty, so there is nothing to deploy",
            hint="have the training write it, or leave it out of the artifacts, and train again",
        )


def _check_kept(run: Run, lacking: Sequence[str]) -> None:
    if lacking:
        raise PromotionRefused(
            Refusal.FILE_NOT_KEPT,
            f"no store has the content of {listed([clean(path) for path in lacking])} of run {run.id[:12]}, so "
            "nobody can deploy it",
            hint="record a run with a place for its files: --artifact-store, and --artifact-limit for large ones",
        )


def _missing(session: Session, files: Iterable[tuple[str | None, str, str]]) -> list[str]:
    """Return the paths of those files that their place does not have, of (place, digest, path)."""
    by_place: dict[str, dict[str, str]] = {}
    for place, digest, path in files:
        by_place.setdefault(place or "", {}).setdefault(digest, path)
    return [
        path
        for place, paths in by_place.items()
        for missing in [session.files_at(place).missing(paths)]
        for digest, path in paths.items()
        if digest in missing
    ]


def _folders(session: Session, folders: Sequence[File]) -> Iterator[tuple[File, Mapping[str, str]]]:
    """Yield each folder with the digests of its files by their paths in it."""
    with tempfile.TemporaryDirectory() as place:
        for folder in folders:
            files = session.files_at(folder.store or "")
            files.get([folder.digest], Path(place), lambda _: None, MANIFEST_MOST)
            yield folder, placing.members((Path(place) / hex_of(folder.digest)).read_bytes(), folder.path)
