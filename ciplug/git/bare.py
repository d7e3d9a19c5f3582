"""Bare repositories of our own, which hold what was fetched or what is to be pushed."""

from __future__ import annotations

from pathlib import Path


def file_url(path: Path) -> str:
    """The file:// URL of a repository on this disk."""
    return path.resolve().as_uri()


def init_bare(path: Path, object_format: str) -> None:
    """Lay out an empty bare repository: what `git init --bare` makes, without starting a process."""
    for folder in ("objects/pack", "refs/heads"):
        (path / folder).mkdir(parents=True, exist_ok=True)
    write_config(path, object_format)
    (path / "HEAD").write_text("ref: refs/heads/none\n")


def write_config(path: Path, object_format: str) -> None:
    """Write the configuration of a repository of ours anew: it names no promisor, so nothing is fetched unasked."""
    version = 0 if object_format == "sha1" else 1
    text = f"[core]\n\trepositoryformatversion = {version}\n\tbare = true\n[gc]\n\tauto = 0\n"
    if object_format != "sha1":
        text += f"[extensions]\n\tobjectFormat = {object_format}\n"
    (path / "config").write_text(text)
