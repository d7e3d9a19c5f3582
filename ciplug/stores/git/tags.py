"""Tags in the repository of the code that go with an entry of a log: pushed with it, or not at all.

They are annotated, and made by Python. Their commits are objects of the checkout, which the push borrows.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, Protocol

from ciplug.errors import GitKind
from ciplug.git.push import PushResult
from ciplug.stores.git.objects import AUTHOR, LooseObjects

_OF_OTHERS = {GitKind.NOT_SENT, GitKind.ROLLED_BACK}
"""What a ref is told where another one of its push was refused."""


class NewTag(NamedTuple):
    """A tag to make."""

    name: str
    commit: str
    message: str
    seconds: int
    """When its event was made, since 1970."""
    signature: str = ""
    """The signature of the tag, as git appends it."""


class Mirror(Protocol):
    """Who knows the tags of an entry."""

    @property
    def repository(self) -> tuple[Path, Path]:
        """The folders of git with the commits, and with the list of where a shallow clone ends."""
        ...

    def tags(self, entry: bytes) -> Sequence[NewTag]:
        """The tags that go with an entry."""
        ...

    def refused(self, tags: Sequence[str], words: str) -> None:
        """Is called where the entry was accepted without its tags."""
        ...


def content_of(tag: NewTag) -> bytes:
    """The content of an annotated tag, as git signs it."""
    head = [f"object {tag.commit}", "type commit", f"tag {tag.name}", f"tagger {AUTHOR} {tag.seconds} +0000"]
    return "\n".join([*head, "", tag.message, ""]).encode()


def write_tags(written: LooseObjects, tags: Sequence[NewTag]) -> dict[str, str]:
    """Write the objects of tags; returns ref → object id."""
    return {f"refs/tags/{tag.name}": written.tag(content_of(tag) + tag.signature.encode()) for tag in tags}


def refusal_of(result: PushResult, refs: Mapping[str, str]) -> str | None:
    """Why a push with tags failed, where it may go well without them; None: the tags are not the reason."""
    if result.ok or result.network:
        return None
    if not result.rejected:
        return result.reason.words
    own = [result.rejected[ref] for ref in refs if ref in result.rejected]
    reasons = [reason for reason in own if not reason.kinds <= _OF_OTHERS]
    words = "; ".join(dict.fromkeys(reason.words for reason in reasons))
    return (f"{words}: {result.remote.words}" if result.remote else words) if reasons else None


@contextmanager
def borrowed(env: Mapping[str, str], cache: Path, mirror: Mirror) -> Iterator[dict[str, str]]:
    """The environment in which git finds the commits of the checkout beside the objects of the cache."""
    objects, shallow = mirror.repository
    ends: set[str] = set()
    for file in (cache / "shallow", shallow):
        if file.is_file():
            ends |= set(file.read_text().split())
    quoted = str(objects).replace("\\", "\\\\").replace('"', '\\"')
    others = env.get("GIT_ALTERNATE_OBJECT_DIRECTORIES")
    given = {**env, "GIT_ALTERNATE_OBJECT_DIRECTORIES": f'"{quoted}"' + (os.pathsep + others if others else "")}
    with tempfile.TemporaryDirectory(prefix="ciplug-") as folder:
        if ends:
            file = Path(folder) / "shallow"
            file.write_text("".join(f"{commit}\n" for commit in sorted(ends)))
            given["GIT_SHALLOW_FILE"] = str(file)
        yield given
