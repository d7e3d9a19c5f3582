"""Compare the code that runs with the code that was committed.

The filters of the configuration (Git LFS, nbstripout, git-crypt) are switched off while git looks for files that
differ: where such a program is not installed, git stops, or takes every file for changed. The files that then seem to
differ are compared here, those of Git LFS by their digest.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from ciplug.errors import GitError
from ciplug.git import lfs
from ciplug.git.environment import Config, git_environment
from ciplug.git.objects import find_objects, read_objects
from ciplug.git.run import run_git
from ciplug.git.safe_directory import is_named, name_safe
from ciplug.git.workspace import Workspace, configuration

_CHUNK = 1024 * 1024
# `git diff` would refresh the user's index where files have other times than it knows, as in a copied checkout. This
# command takes such files for changed, and they are compared here.
_DIFF = ("diff-index", "HEAD", "--raw", "-z", "--no-abbrev", "--no-renames", "--no-ext-diff")
# Every answer that git would take from elsewhere than the work tree and HEAD is switched off: a file system monitor, an
# index that compares less of a file's times, and objects in the place of others.
_OWN_EYES = (
    *("--no-replace-objects", "-c", "core.fsmonitor=false"),
    *("-c", "core.checkStat=default", "-c", "core.trustctime=true"),
)
_SUBMODULES = "--ignore-submodules=dirty"
_FILES = ("100644", "100755", "120000")
"""The modes of files, and of symbolic links."""


@dataclass(frozen=True)
class Dirt:
    """The tracked files that differ from the commit. Paths are from the top of the repository, sorted."""

    files: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()
    """Those that differ and are set aside, because the user said so."""
    digest: str | None = None
    """sha256 of the names and contents of `files`; None where there are none."""
    outputs: tuple[str, ...] = ()
    """Those that differ, and are what the command itself is to write: whether it does is seen at its end."""
    unfiltered: Mapping[str, str] = field(default_factory=dict)
    """Those of `files` that could not be compared, since git's filter for them does not run here: path → its name."""


def measure_dirt(
    workspace: Workspace,
    outputs: Iterable[Path] = (),
    ignores: Callable[[str], bool] = lambda path: False,
    *,
    own: Iterable[Path] = (),
) -> Dirt:
    """Return the tracked files whose content, mode or kind differs from HEAD now: staged or not, deleted, renamed.

    A submodule differs if another commit is checked out there, or a tracked file in it differs, or if its folder has
    content without the repository that would tell. Untracked files do not
    count. Files that git was told to take for unchanged (`git update-index --assume-unchanged`) do.

    Args:
        outputs: files and folders that the training writes: that they changed is their purpose. A relative one is seen
            from the repository's top.
        ignores: whether a path is set aside by the user.
        own: the outputs of the command that is about to begin: those that differ are named apart.
    """
    if workspace.head is None:
        return Dirt()
    written = tuple(_inside(workspace.top, outputs))
    changes = [one for one in _differing(workspace.top, workspace.config, written) if not _is_in(one.path, written)]
    changes.sort(key=lambda one: one.path)
    ignored = [one for one in changes if ignores(one.name)]
    awaited = tuple(_inside(workspace.top, own))
    to_write = [one for one in changes if one not in ignored and _is_in(one.path, awaited)]
    kept = [one for one in changes if one not in ignored and one not in to_write]
    return Dirt(
        files=tuple(one.name for one in kept),
        ignored=tuple(one.name for one in ignored),
        digest=_digest(workspace.top, [one.path for one in kept]) if kept else None,
        outputs=tuple(one.name for one in to_write),
        unfiltered={one.name: one.filter for one in kept if one.filter},
    )


def committed(top: Path, files: Iterable[Path], commit: str = "HEAD", config: Config | None = None) -> set[Path]:
    """Return the files of the work tree at `top` that are as they are in a commit; none where it is not there.

    A file in a submodule is compared with the commit that this one names for it.

    Args:
        config: the configuration of the repository; None: it is read.
    """
    inside = {name: file for file in files for name in _inside(top, [file]) if "\n" not in name}
    if not inside:
        return set()
    named = {name: f"{commit}:{name}" for name in inside}
    try:
        answers = find_objects(top, named.values())
    except GitError:
        answers = {}
    stored = {name: answers[asked].oid for name, asked in named.items() if asked in answers}
    same = _in_submodules(top, [file for name, file in inside.items() if name not in stored], commit)
    if stored:
        compared = [_Change(name, blob) for name, blob in stored.items()]
        different = {one.path for one in _really_different(top, config or configuration(top), compared)}
        same |= {inside[name] for name in stored if name not in different}
    return same


def _in_submodules(top: Path, files: Iterable[Path], commit: str) -> set[Path]:
    """Those of the files that are as in their submodule, at the commit that a commit of the repository names."""
    by_place: dict[Path, list[Path]] = {}
    for file in files:
        above = Path(os.path.normpath(top / file)).parents
        if (place := next((one for one in above if (one / ".git").exists()), top)) != top:
            by_place.setdefault(place, []).append(file)
    found: set[Path] = set()
    for place, own in by_place.items():
        link = f"{commit}:{next(_inside(top, [place]), '')}"
        named = run_git("rev-parse", "--verify", "--quiet", "--end-of-options", link, cwd=top, check=False).stdout
        if named:
            if is_named(top):
                name_safe(place.resolve())
            found |= committed(place, own, named.decode().split()[-1])
    return found


def is_tracked(workspace: Workspace, path: Path) -> bool:
    """Whether git tracks a file, or one in a folder."""
    literal = f":(top,literal){next(_inside(workspace.top, [path]), '.git')}"
    done = run_git("ls-files", "-z", "--", literal, cwd=workspace.top, check=False)
    return bool(done.stdout)


class _Change(NamedTuple):
    """A path that differs from HEAD, or seems to."""

    path: str
    """With the bytes that are not UTF-8 as os.fsdecode gives them."""
    committed: str = ""
    """The id of its blob in HEAD, if it is a file, or a link, in both with one mode: its content decides."""
    filter: str = ""
    """The filter that the file could not be read through."""

    @property
    def name(self) -> str:
        """The path as a text that any file can hold."""
        return self.path.encode(errors="surrogateescape").decode(errors="replace")


def _differing(top: Path, config: Config, outputs: tuple[str, ...] = (), prefix: str = "") -> Iterator[_Change]:
    """The paths of one repository and its submodules that differ; `prefix` precedes them."""
    excluded = [f":(exclude,top,literal){path}" for path in outputs]
    raw = run_git(*_OWN_EYES, *_without_filters(config), *_DIFF, _SUBMODULES, "--", ":/", *excluded, cwd=top).stdout
    submodules, hidden = _index(top, config)
    changes = dict(_changes(raw))
    for path, blob in hidden.items():
        # One that is not there has no content to compare.
        changes.setdefault(path, _Change(path, blob if os.path.lexists(top / path) else ""))
    for change in _really_different(top, config, list(changes.values())):
        yield change._replace(path=prefix + change.path)
    for path in submodules:
        inner = top / path
        if path in changes:
            continue
        if not (inner / ".git").exists():
            if _is_filled(inner):
                yield _Change(prefix + path)
        else:
            if is_named(top):
                name_safe(inner.resolve())
            if run_git("rev-parse", "--verify", "--quiet", "HEAD", cwd=inner, check=False).stdout:
                yield from _differing(inner, configuration(inner), prefix=f"{prefix}{path}/")


def _is_filled(folder: Path) -> bool:
    """Whether a submodule's folder has content. Without its repository, as in an image, nothing can be compared."""
    try:
        return any(folder.iterdir())
    except FileNotFoundError:
        return False
    except OSError:
        return True


def _without_filters(config: Config) -> list[str]:
    """The options of git that switch every filter of a configuration off."""
    off = {"clean": "", "smudge": "", "process": "", "required": "false"}
    return [
        word for name in _filters(config) for key, to in off.items() for word in ("-c", f"filter.{name}.{key}={to}")
    ]


def _filters(config: Config) -> list[str]:
    """The names of the filters that a configuration gives a program."""
    keys = [key for key, _ in config if key.startswith("filter.")]
    programs = (re.fullmatch(r"filter\.(.+)\.(?:clean|process|required)", key, re.DOTALL) for key in keys)
    return list(dict.fromkeys(match[1] for match in programs if match))


def _changes(raw: bytes) -> Iterator[tuple[str, _Change]]:
    """The entries of `git diff-index --raw -z`: `:<mode> <mode> <blob> <blob> <status>`, NUL, path, NUL."""
    parts = raw.split(b"\0")
    for header, name in zip(parts[::2], parts[1::2], strict=False):
        before, after, blob, _, status = header.decode().lstrip(":").split(" ")
        path = os.fsdecode(name)
        same_kind = status == "M" and before == after and before in _FILES
        yield path, _Change(path, blob if same_kind else "")


def _index(top: Path, config: Config) -> tuple[list[str], dict[str, str]]:
    """The submodules, and the files that git takes for unchanged unseen: path → blob.

    Of a sparse checkout, files that are not there belong elsewhere.
    """
    listed = run_git(*_OWN_EYES, "ls-files", "-v", "--stage", "-z", cwd=top).stdout
    submodules, hidden = [], {}
    sparse = any(key == "core.sparsecheckout" and value.lower() == "true" for key, value in config)
    for match in re.finditer(rb"(?:^|(?<=\0))(?:\S 160000|([a-zS]) 100\d+) (\w+) 0\t([^\0]+)", listed):
        tag, blob, path = match[1], match[2].decode(), os.fsdecode(match[3])
        if tag is None:
            submodules.append(path)
        elif not (sparse and tag in b"sS") or os.path.lexists(top / path):
            hidden[path] = blob
    return submodules, hidden


def _really_different(top: Path, config: Config, changes: list[_Change]) -> Iterator[_Change]:
    """Leave out what only seems to differ: by its times, or because git has compared it without its filter."""
    undecided = []
    for one in changes:
        if not one.committed or (top / one.path).is_symlink():
            if not one.committed or _link(top / one.path, one.committed) != one.committed:
                yield one
        else:
            undecided.append(one)
    undecided = [one for one in undecided if _raw(top / one.path, one.committed) != one.committed]
    by_filter = _attribute(top, [one.path for one in undecided])
    of_lfs = [one for one in undecided if by_filter.get(one.path) == "lfs"]
    pointers = _pointers(top, [one.committed for one in of_lfs])
    filters = set(_filters(config))
    others = []
    for one in undecided:
        pointer = pointers.get(one.committed)
        if pointer is not None and one in of_lfs:
            if not _holds(top / one.path, pointer):
                yield one
        else:
            others.append(one)
    hashed = _hashed(top, [one.path for one in others])
    for one in others:
        if hashed.get(one.path) != one.committed:
            name = by_filter.get(one.path, "")
            yield one._replace(filter=name if one.path not in hashed and name in filters else "")


def _holds(path: Path, pointer: lfs.Pointer) -> bool:
    try:
        return not path.is_symlink() and lfs.holds(path, pointer)
    except OSError:
        return False


def _attribute(top: Path, paths: list[str]) -> dict[str, str]:
    """Path → the name of its filter, for the paths that have one."""
    if not paths:
        return {}
    request = b"".join(os.fsencode(path) + b"\0" for path in paths)
    parts = run_git("check-attr", "-z", "--stdin", "filter", cwd=top, input=request).stdout.split(b"\0")
    named = zip(parts[::3], parts[2::3], strict=False)
    return {os.fsdecode(path): os.fsdecode(value) for path, value in named if value not in (b"unspecified", b"unset")}


def _pointers(top: Path, blobs: list[str]) -> dict[str, lfs.Pointer]:
    """Blob → what it says, for the blobs that are pointers. The content of large ones is not read."""
    if not blobs:
        return {}
    request = "".join(f"{blob}\n" for blob in dict.fromkeys(blobs)).encode()
    sizes = run_git("cat-file", "--batch-check=%(objectname) %(objectsize)", cwd=top, input=request).stdout.split(b"\n")
    fields = (line.split() for line in sizes)
    small = [two[0].decode() for two in fields if len(two) == 2 and two[1].isdigit() and int(two[1]) < 1024]
    read = {blob: lfs.parse_pointer(data) for blob, (_, data) in read_objects(top, small).items()}
    return {blob: pointer for blob, pointer in read.items() if pointer is not None}


def _raw(path: Path, committed: str) -> str:
    """The id of the blob of a file as it is, without a filter; empty where it cannot be read."""
    try:
        if not stat.S_ISREG(path.lstat().st_mode):
            return ""
        with path.open("rb", buffering=0) as file:
            digest = _digest_like(committed)
            digest.update(b"blob %d\0" % os.fstat(file.fileno()).st_size)
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
    except OSError:
        return ""
    return digest.hexdigest()


def _link(path: Path, committed: str) -> str:
    """The id of the blob of a symbolic link, by the digest that another id of the repository has."""
    try:
        target = os.fsencode(path.readlink())
    except OSError:
        return ""
    digest = _digest_like(committed)
    digest.update(b"blob %d\0" % len(target) + target)
    return digest.hexdigest()


def _digest_like(oid: str) -> hashlib._Hash:
    """The digest by which a repository with such an object id names its objects."""
    return hashlib.sha256() if len(oid) == 64 else hashlib.sha1(usedforsecurity=False)


def _hashed(top: Path, paths: list[str]) -> dict[str, str]:
    """Path → the id that git would give the file, through its filter; without those whose filter does not run."""
    if not paths:
        return {}
    plain = [path for path in paths if "\n" not in path and not path.startswith('"')]
    request = b"".join(os.fsencode(path) + b"\n" for path in plain)
    # What a filter says on stderr decides, and nothing else may be there.
    env = git_environment({"GIT_TRACE": "0", "GIT_TRACE_CURL": "0"})
    done = run_git("hash-object", "--stdin-paths", cwd=top, input=request, env=env, check=False)
    ids = done.stdout.decode().split()
    # Of a filter that is not required, git reports the failure and goes on without it.
    whole = done.returncode == 0 and not done.stderr and len(ids) == len(plain)
    hashed = dict(zip(plain, ids, strict=True)) if whole else {}
    for path in paths:
        if path not in hashed:
            done = run_git("hash-object", "--", path, cwd=top, env=env, check=False)
            if done.returncode == 0 and not done.stderr:
                hashed[path] = done.stdout.decode().strip()
    return hashed


def _inside(top: Path, paths: Iterable[Path]) -> Iterator[str]:
    """The paths that are in the repository, from its top."""
    for path in paths:
        absolute = Path(os.path.normpath(top / path))
        if absolute.is_relative_to(top):
            yield absolute.relative_to(top).as_posix()


def _is_in(path: str, places: tuple[str, ...]) -> bool:
    """Whether a path is one of the places, or in a folder among them."""
    return any(place in (path, ".") or path.startswith(f"{place}/") for place in places)


def with_files(top: Path, digest: str | None, files: Iterable[str]) -> str:
    """Return the digest of a dirty tree that has some more files that differ."""
    more = _digest(top, sorted(files))
    return more if digest is None else f"sha256:{hashlib.sha256(f'{digest} {more}'.encode()).hexdigest()}"


def _digest(top: Path, paths: Iterable[str]) -> str:
    """The digest of paths, modes and contents: two trees of one commit with the same one are the same code."""
    lines = hashlib.sha256()
    for path in paths:
        lines.update(os.fsencode(path) + b"\0" + _content(top / path) + b"\n")
    return f"sha256:{lines.hexdigest()}"


def _content(path: Path) -> bytes:
    try:
        mode = path.lstat().st_mode
        if stat.S_ISLNK(mode):
            return b"link " + os.fsencode(path.readlink())
        if stat.S_ISDIR(mode):
            return b"folder " + run_git("rev-parse", "HEAD", cwd=path, check=False).stdout.strip()
        if not stat.S_ISREG(mode):
            return b"other"
        content = hashlib.sha256()
        with path.open("rb", buffering=0) as file:
            while chunk := file.read(_CHUNK):
                content.update(chunk)
    except FileNotFoundError:
        return b"deleted"
    except OSError:
        return b"unreadable"
    return f"{mode & 0o111 != 0:d} {content.hexdigest()}".encode()
