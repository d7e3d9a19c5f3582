"""Bare repositories of our own, which hold what was fetched or what is to be pushed."""

from __future__ import annotations

import os
from pathlib import Path

from ciplug.git.objects import is_commit_id
from ciplug.git.run import run_git


def file_url(path: Path) -> str:
    """The file:// URL of a repository on this disk."""
    return path.resolve().as_uri()


def init_bare(path: Path, object_format: str) -> None:
    """Lay out an empty bare repository: what `git init --bare` makes, without starting a process."""
    for folder in ("objects/pack", "refs/heads"):
        (path / folder).mkdir(parents=True, exist_ok=True)
    write_config(path, object_format)
    (path / "HEAD").write_text("ref: refs/heads/none\n")


def own_refs(path: Path, below: str) -> dict[str, str]:
    """Ref → object id, of one ref of a repository of ours, or of those below it: a fetch writes each to a file."""
    if (path / "packed-refs").exists():
        lines = run_git("for-each-ref", "--format=%(objectname) %(refname)", below, cwd=path).stdout.decode()
        return {ref: oid for oid, _, ref in (line.partition(" ") for line in lines.splitlines())}
    files = [path / below, *(Path(folder, name) for folder, _, names in os.walk(path / below) for name in names)]
    found = {}
    for file in files:
        if file.is_file() and file.suffix != ".lock":
            oid = file.read_text(encoding="ascii", errors="replace").strip()
            if is_commit_id(oid):
                found[file.relative_to(path).as_posix()] = oid
    return found


def write_config(path: Path, object_format: str) -> None:
    """Write the configuration of a repository of ours anew: it names no promisor, so nothing is fetched unasked."""
    version = 0 if object_format == "sha1" else 1
    text = f"[core]\n\trepositoryformatversion = {version}\n\tbare = true\n[gc]\n\tauto = 0\n"
    if object_format != "sha1":
        text += f"[extensions]\n\tobjectFormat = {object_format}\n"
    (path / "config").write_text(text)
