"""Mirror the registry as tags in the repository of the code: made with each event, never read as truth."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ciplug import signing
from ciplug.console import warning
from ciplug.errors import ConfigError, RecordError, listed
from ciplug.git.commits import has_commit
from ciplug.records import read
from ciplug.records.canonical import digest
from ciplug.records.registry_event import RegistryEvent
from ciplug.records.registry_labels import MovedFrom
from ciplug.registry.model import Model
from ciplug.registry.replay import after
from ciplug.registry.tags import Tag, can_be_mirrored, tags_of
from ciplug.steps.session import Session
from ciplug.stores import DEFAULT_URI
from ciplug.stores.git.tags import NewTag, content_of

if TYPE_CHECKING:
    from ciplug.stores.git.store import GitStore

_NAMESPACE = "git"
"""In which ssh keys sign objects of git."""
_RESTORE = "put them there later: ciplug verify '{model}' --restore-tags"


class TagMirror:
    """The tags of the next event of a model, given the model before it."""

    def __init__(self, session: Session, model: Model) -> None:
        self._session = session
        self._model = model

    @property
    def repository(self) -> tuple[Path, Path]:
        """The folder of git with the commits, and its list of where a shallow clone ends."""
        folder = self._session.need_workspace().common_dir
        return folder / "objects", folder / "shallow"

    def tags(self, entry: bytes) -> list[NewTag]:
        """The tags that go with an event. What lacks its commit in this clone is told, and left out."""
        try:
            event = read.registry_event(entry, "event")
        except RecordError:
            return []
        if event.type == MovedFrom.type:
            # The versions come from another log: --restore-tags makes their tags.
            return []
        tags = list(tags_of(self._model, after(self._model, event), event.seq))
        return make_tags(
            self._session, self._model.name, [tag_of(self._model.name, tag, event, digest(entry)) for tag in tags]
        )

    def refused(self, tags: Sequence[str], words: str) -> None:
        """Tell that the event is accepted, and its tags are not."""
        hint = f"allow this account to create tags, and {_RESTORE.format(model=self._model.name)}"
        self._session.tell(warning(f"the tags {listed(tags)} were not made: {words}", hint))


def tag_of(model: str, tag: Tag, event: RegistryEvent, content: str) -> NewTag:
    """The tag of an event, before it is signed: its text follows from the event, so that a changed one is found.

    Args:
        content: the digest of the event, which the tag witnesses.
    """
    text = f"event {event.seq} of {model}\n\nA mirror of ciplug's registry, which decides.\n\nCiplug-Event: {content}"
    return NewTag(tag.name, tag.commit, text, tag.seconds)


def make_tags(session: Session, model: str, tags: Sequence[NewTag]) -> list[NewTag]:
    """Return the tags to make, signed where this job has a key. What lacks its commit in this clone is told."""
    top = session.need_workspace().top
    lacking = sorted({tag.commit for tag in tags if not has_commit(top, tag.commit)})
    if lacking:
        session.tell(
            warning(
                f"the tags {listed([tag.name for tag in tags if tag.commit in lacking])} were not made: commit "
                f"{lacking[0][:12]} is not in this clone",
                f"check out the whole history, and {_RESTORE.format(model=model)}",
            )
        )
    return [
        tag._replace(signature=signing.sign(content_of(tag), session.env, namespace=_NAMESPACE) or "")
        for tag in tags
        if tag.commit not in lacking
    ]


def is_mirrored(session: Session) -> bool:
    """Whether the registry has tags: the team wants them, and the store is the repository of the code."""
    own = session.store_uri.partition("?")[0] == DEFAULT_URI
    return session.config.mirror_tags and own and session.workspace is not None


def mirror_next(session: Session, model: Model) -> None:
    """Have the next event of a model pushed with its tags, where the registry has them.

    A name that no tag of GTO can have is told, and has none.
    """
    if not is_mirrored(session):
        return
    store = git_store(session)
    store.mirror = None
    if can_be_mirrored(model.name):
        store.mirror = TagMirror(session, model)
    else:
        session.tell(
            warning(
                f"mirror_tags: '{model.name}' has no tags, as GTO cannot read its name",
                "GTO takes letters, digits, - and _",
            )
        )


def git_store(session: Session) -> GitStore:
    """The store that has the tags. Raises ConfigError for one that has none."""
    from ciplug.stores.git.store import GitStore

    if not isinstance(session.store, GitStore):
        raise ConfigError(f"the store {session.store_name} has no tags")
    return session.store
