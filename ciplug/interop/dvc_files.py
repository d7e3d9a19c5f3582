"""The content of the files of a commit: from git, or from DVC's cache on this disk. Nothing is fetched."""

from __future__ import annotations

import configparser
import hashlib
import json
import re
import shutil
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from posixpath import dirname
from typing import Any

from ciplug.errors import InputError
from ciplug.git.objects import ObjectReader
from ciplug.interop.dvc_project import Project, parse_tracked
from ciplug.interop.dvc_yaml import load

_MD5 = re.compile(r"[0-9a-f]{32}")
_CHUNK = 1024 * 1024
_FILE_MODES = (b"100644", b"100755", b"100664")
FETCH = "dvc fetch --all-commits"


class NotCached(InputError):
    """DVC tracks the file, and its content is not in the cache of this machine."""


class Cache:
    """DVC's cache: content by its MD5."""

    def __init__(self, top: Path) -> None:
        self._folder = _cache_folder(top)
        self.of_trees: dict[str, set[str]] = {}
        """MD5 of a tree of git → DVC's digests of this folder, by its version."""

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

    def __init__(self, objects: ObjectReader, cache: Cache, commit: str, folder: str, project: Project) -> None:
        self._objects, self._cache, self._commit, self._project = objects, cache, commit, project
        self._yaml = f"{folder}/dvc.yaml" if folder else "dvc.yaml"

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
        """Return the files that its stages have read or written otherwise, by dvc.lock.

        None where none is known to be another, and dvc.lock or the commit does not say so of all.
        """
        project, changed = self._project, [self._yaml] if self._project.is_other else []
        is_known = bool(project.dependencies)
        for path, md5 in sorted(project.dependencies.items()):
            is_same = self._has(path, md5)
            is_known &= is_same is not None
            changed += [path] if is_same is False else []
        for path in (*project.metrics, *(one.path for one in project.plots)):
            found = self._objects.read(f"{self._commit}:{path}") if path in project.outputs else None
            if found is not None and found[0] == "blob" and not _has_md5([found[1]], project.outputs[path]):
                changed.append(path)
        for path, values in sorted(project.settings.items()):
            found = self._objects.read(f"{self._commit}:{path}")
            document = _parameters(path, found[1]) if found is not None and found[0] == "blob" else None
            if document is None:
                is_known = False
            elif (path in project.whole and document.keys() != values.keys()) or any(
                not _is_same(_at(document, name), value) for name, value in values.items()
            ):
                changed.append(path)
        return changed if changed or is_known else None

    def _has(self, path: str, md5: str) -> bool | None:
        """Whether a file or folder of the commit has the content of a digest; None where the commit does not say it."""
        found = self._objects.read(f"{self._commit}:{path}")
        if not md5:
            return None
        if found is not None and found[0] == "blob":
            return _has_md5([found[1]], md5)
        if found is not None and found[0] == "tree":
            return self._has_listing(found[1], md5)
        try:
            tracked = self._md5(path)
        except InputError:
            return None
        return None if tracked is None else tracked == md5

    def _has_listing(self, tree: bytes, md5: str) -> bool:
        """Whether a folder in git is the one of a digest of DVC: that of the list of its files."""
        known = self._cache.of_trees
        if (key := _md5(tree)) not in known:
            files = sorted((name, _md5(data), _md5(_unix(data))) for name, data in self._below(tree))
            listings = ([{"md5": one[at], "relpath": one[0]} for one in files] for at in (1, 2))
            known[key] = {f"{_md5(json.dumps(listing, sort_keys=True).encode())}.dir" for listing in listings}
        return md5 in known[key]

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
        """The digest of what DVC tracks: an output of a stage, a .dvc file, or a file in a folder of these."""
        if (md5 := self._own_md5(path)) is not None:
            return md5
        above = dirname(path)
        while above:
            if (md5 := self._own_md5(above)) is not None and md5.endswith(".dir") and self._cache.find(md5):
                return self._listing(above, md5).get(path[len(above) + 1 :])
            above = dirname(above)
        return None

    def _own_md5(self, path: str) -> str | None:
        if path in self._project.outputs:
            return self._project.outputs[path]
        tracked = self._objects.read(f"{self._commit}:{path}.dvc")
        if tracked is not None and tracked[0] == "blob":
            return parse_tracked(tracked[1], f"{self._commit[:8]}:{path}.dvc")
        return None

    def _from_cache(self, path: str, md5: str, target: Path) -> Path:
        if not md5.endswith(".dir"):
            self._copy(path, md5, target)
            return target
        for name, inner in self._listing(path, md5).items():
            self._copy(f"{path}/{name}", inner, target / name)
        return target

    def _copy(self, path: str, md5: str, target: Path) -> None:
        found = self._cached(path, md5)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(found, target)
        # The copy is what counts, whatever becomes of the cache.
        if not _has_md5(_chunks(target), md5):
            target.unlink()
            raise self._damaged(path, found)

    def _cached(self, path: str, md5: str) -> Path:
        found = self._cache.find(md5)
        if found is None:
            raise self._not_cached(path)
        return found

    def _damaged(self, path: str, found: Path) -> InputError:
        what = "DVC's cache has other content than its name says"
        return InputError(f"{self._commit[:8]}:{path}: {what}", what=what, hint=f"rm {found}, and {FETCH}")

    def _not_cached(self, path: str) -> NotCached:
        what = "its content is not in DVC's cache here"
        return NotCached(f"{self._commit[:8]}:{path}: {what}", what=what, hint=FETCH)

    def _listing(self, path: str, md5: str) -> dict[str, str]:
        """Path in a folder → MD5."""
        file = self._cached(path, md5)
        try:
            content = file.read_bytes()
            names = {str(one["relpath"]): str(one["md5"]) for one in json.loads(content)}
        except (OSError, ValueError, TypeError, LookupError, RecursionError):
            raise InputError(f"{file}: not a folder of DVC's cache", hint=FETCH) from None
        if not _has_md5([content], md5.removesuffix(".dir")):
            raise self._damaged(path, file)
        return {name: md5 for name, md5 in names.items() if not name.startswith("/") and ".." not in name.split("/")}


def _md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def _unix(text: bytes) -> bytes:
    return text.replace(b"\r\n", b"\n")


def _has_md5(content: Iterable[bytes], md5: str) -> bool:
    """Whether a content has a digest. DVC 2 and older took that of a text with the line ends of Unix."""
    plain, text = (hashlib.md5(usedforsecurity=False) for _ in range(2))
    for part in content:
        plain.update(part)
        text.update(_unix(part))
    return md5 in (plain.hexdigest(), text.hexdigest())


def _chunks(file: Path) -> Iterator[bytes]:
    with file.open("rb") as stream:
        while part := stream.read(_CHUNK):
            # The end of a line stays whole.
            yield part + (stream.read(1) if part.endswith(b"\r") else b"")


def _parameters(path: str, content: bytes) -> Mapping[str, Any] | None:
    """The content of a file of parameters; None for one that is not read, such as Python code."""
    try:
        if path.endswith((".yaml", ".yml", ".json")):
            document = load(content, path)
            return document if isinstance(document, Mapping) else None
        if path.endswith(".toml"):
            if sys.version_info >= (3, 11):
                import tomllib
            else:
                import tomli as tomllib  # type: ignore[import-not-found,unused-ignore]
            return dict(tomllib.loads(content.decode()))
    except (InputError, ValueError, RecursionError):
        pass
    return None


def _is_same(one: Any, other: Any) -> bool:
    """Whether two parameters are equal. YAML 1.1 takes 1e-3 for text, and DVC writes it as 0.001."""
    if (isinstance(one, str) and isinstance(other, float)) or (isinstance(other, str) and isinstance(one, float)):
        try:
            one, other = float(one), float(other)
        except ValueError:
            return False
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(_is_same(one[name], other[name]) for name in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_is_same, one, other))
    return bool(one == other) or (one != one and other != other)


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
