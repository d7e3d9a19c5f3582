"""The files that runs name, with those in their folders."""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from ciplug.errors import CiplugError
from ciplug.records.run import File
from ciplug.steps import placing
from ciplug.steps.fetch import MANIFEST_MOST
from ciplug.stores.files import Files, hex_of


@dataclass(frozen=True)
class KeptFile:
    """An artifact of a run whose content is kept."""

    run: str
    """The key of the run."""
    path: str
    digest: str
    is_folder: bool

    def __str__(self) -> str:
        return f"{self.run}: {self.path}"


def kept_files(artifacts: Iterable[File], key: str) -> dict[str, list[KeptFile]]:
    """Place → those of the artifacts of a run that are kept there."""
    places: dict[str, list[KeptFile]] = {}
    for file in artifacts:
        if file.store:
            kept = KeptFile(key, file.path, file.digest, file.kind == "folder")
            places.setdefault(file.store, []).append(kept)
    return places


def read_folders(files: Files, digests: Collection[str]) -> tuple[dict[str, Mapping[str, str]], dict[str, str]]:
    """Read the lists of folders: digest → path → digest of each file in it; and digest → why a list cannot be read."""
    folders: dict[str, Mapping[str, str]] = {}
    problems: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        try:
            files.get(digests, folder, lambda _: None, MANIFEST_MOST)
        except CiplugError:
            for digest in digests:
                try:
                    files.get([digest], folder, lambda _: None, MANIFEST_MOST)
                except CiplugError as problem:
                    problems[digest] = problem.message
        for digest in set(digests) - problems.keys():
            try:
                folders[digest] = placing.members((folder / hex_of(digest)).read_bytes(), digest)
            except CiplugError as problem:
                problems[digest] = problem.message
    return folders, problems
