"""The content of the files of a commit: from git, or from DVC's cache on this disk. Nothing is fetched."""

from __future__ import annotations

import configparser
import hashlib
import json
import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from posixpath import dirname
from typing import Any

from ciplug.errors import InputError
from ciplug.git.objects import ObjectReader
from ciplug.interop.dvc_project import Project, parse_tracked
from ciplug.interop.dvc_yaml import load

_MD5 = re.compile(r"[0-9a-f]{32}")
_FILE_MODES = (b"100644", b"100755", b"100664")
FETCH = "dvc fetch --all-commits"


class NotCached(InputError):
    """DVC tracks the file, and its content is not in the cache of this machine."""


class Cache:
    """DVC's cache: content by its MD5."""

    def __init__(self, top: Path) -> None:
        self._folder = _cache_folder(top)

    def find(self, md5: str) -> Path | None:
        """The file with this content; None if it was not fetched."""
        if not _MD5.fullmatch(md5.removesuffix(".dir")):
            return None
        name = Path(md5[:2], md5[2:])
        # DVC 3, and DVC 2 and older.
        places = (self._folder / "files" / "md5" / name, self._folder / name)
        return next((place for place in places if place.is_file()), None)


def _cache_folder(top: Path) -> Path:
    for name in ("config.local", "config"):
        parser = configparser.ConfigParser(strict=False, interpolation=None)
        try:
            parser.read(top / ".dvc" / name, encoding="utf-8")
        except (configparser.Error, OSError, UnicodeDecodeError):
            continue
        if parser.has_option("cache", "dir"):
            return top / ".dvc" / parser.get("cache", "dir").strip("'\" ")
    return top / ".dvc" / "cache"


class CommitFiles:
    """The files of one commit."""

    def __init__(self, objects: ObjectReader, cache: Cache, commit: str, project: Project) -> None:
        self._objects, self._cache, self._commit, self._project = objects, cache, commit, project

    def write(self, path: str, root: Path) -> Path | None:
        """Write a file or folder below `root`, and return where it is; None where the commit has no such file.

        Raises NotCached, and InputError for a damaged cache.
        """
        target = root / path
        found = self._objects.read(f"{self._commit}:{path}")
        if found is not None:
            kind, content = found
            if kind == "tree":
                for name, data in self._below(content):
                    _write(target / name, data)
                return target if target.exists() else None
            _write(target, content)
            return target
        md5 = self._md5(path)
        return None if md5 is None else self._from_cache(path, md5, target)

    def changed_since_run(self) -> list[str] | None:
        """Return the files that its stages have read or written otherwise, by dvc.lock; None where it says nothing.

        Of a file that DVC tracks, dvc.lock itself says what it was.
        """
        project, changed, is_known = self._project, [], False
        for path, md5 in sorted(project.dependencies.items()):
            found = self._objects.read(f"{self._commit}:{path}")
            if found is not None and found[0] == "blob":
                is_known = True
                # DVC 2 and older took the digest of a text with the line ends of Unix.
                if md5 not in (_md5(found[1]), _md5(found[1].replace(b"\r\n", b"\n"))):
                    changed.append(path)
        for path in project.metrics:
            found = self._objects.read(f"{self._commit}:{path}") if path in project.outputs else None
            if found is not None and found[0] == "blob" and _md5(found[1]) != project.outputs[path]:
                changed.append(path)
        for path, values in sorted(project.settings.items()):
            found = self._objects.read(f"{self._commit}:{path}")
            if found is None or not path.endswith((".yaml", ".yml", ".json")):
                continue
            try:
                document = load(found[1], f"{self._commit[:8]}:{path}")
            except InputError:
                continue
            if any(_at(document, name) != value for name, value in values.items()):
                changed.append(path)
        return changed if is_known else None

    def _below(self, tree: bytes, prefix: str = "", depth: int = 0) -> Iterator[tuple[str, bytes]]:
        for mode, name, oid in _entries(tree, len(self._commit) // 2):
            inner = self._objects.read(oid)
            if inner is None or name in ("", ".", "..") or "/" in name:
                continue
            if inner[0] == "tree" and depth < 32:
                yield from self._below(inner[1], f"{prefix}{name}/", depth + 1)
            elif mode in _FILE_MODES:
                yield prefix + name, inner[1]

    def _md5(self, path: str) -> str | None:
        if path in self._project.outputs:
            return self._project.outputs[path]
        tracked = self._objects.read(f"{self._commit}:{path}.dvc")
        if tracked is not None and tracked[0] == "blob":
            return parse_tracked(tracked[1], f"{self._commit[:8]}:{path}.dvc")
        above = dirname(path)
        while above:
            md5 = self._project.outputs.get(above, "")
            if md5.endswith(".dir") and (listing := self._cache.find(md5)):
                return self._listing(listing).get(path[len(above) + 1 :])
            above = dirname(above)
        return None

    def _from_cache(self, path: str, md5: str, target: Path) -> Path:
        found = self._cache.find(md5)
        if found is None:
            raise self._not_cached(path)
        if not md5.endswith(".dir"):
            _copy(found, target)
            return target
        for name, inner in self._listing(found).items():
            file = self._cache.find(inner)
            if file is None:
                raise self._not_cached(f"{path}/{name}")
            _copy(file, target / name)
        return target

    def _not_cached(self, path: str) -> NotCached:
        what = "its content is not in DVC's cache here"
        return NotCached(f"{self._commit[:8]}:{path}: {what}", what=what, hint=FETCH)

    def _listing(self, file: Path) -> dict[str, str]:
        """Path in a folder → MD5."""
        try:
            listed = json.loads(file.read_bytes())
            names = {str(one["relpath"]): str(one["md5"]) for one in listed}
        except (OSError, ValueError, TypeError, KeyError):
            raise InputError(f"{file}: not a folder of DVC's cache", hint=FETCH) from None
        return {name: md5 for name, md5 in names.items() if not name.startswith("/") and ".." not in name.split("/")}


def _md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def _at(document: Any, name: str) -> Any:
    """The value of a parameter, whose name joins the names above it by dots."""
    if isinstance(document, Mapping) and name in document:
        return document[name]
    for part in name.split("."):
        if isinstance(document, list) and part.isdecimal() and int(part) < len(document):
            document = document[int(part)]
        elif isinstance(document, Mapping):
            document = document.get(part)
        else:
            return None
    return document


def _entries(tree: bytes, oid_bytes: int) -> Iterator[tuple[bytes, str, str]]:
    """The mode, name and id of each entry of a tree, as git writes it."""
    at = 0
    while at < len(tree):
        space = tree.index(b" ", at)
        end = tree.index(b"\0", space)
        yield (
            tree[at:space],
            tree[space + 1 : end].decode(errors="surrogateescape"),
            tree[end + 1 : end + 1 + oid_bytes].hex(),
        )
        at = end + 1 + oid_bytes


def _write(target: Path, content: bytes) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(content)


def _copy(file: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(file, target)
