"""Mirror the registry as tags in the repository of the code: made with each event, never read as truth."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ciplug import signing
from ciplug.console import warning
from ciplug.errors import ConfigError, GitError, RecordError, listed
from ciplug.git.commits import has_commit
from ciplug.git.credentials import redact
from ciplug.git.objects import read_objects
from ciplug.git.remote import list_refs
from ciplug.git.run import run_git
from ciplug.records import read
from ciplug.records.canonical import digest
from ciplug.records.registry_event import RegistryEvent
from ciplug.records.registry_labels import MovedFrom
from ciplug.registry import ledger
from ciplug.registry.model import Model
from ciplug.registry.reading import origin_in
from ciplug.registry.state import after, counting
from ciplug.registry.tags import Tag, can_be_mirrored, is_of, tags_by_event, tags_of
from ciplug.steps.registered import is_signed
from ciplug.steps.session import Session
from ciplug.stores import DEFAULT_URI
from ciplug.stores.git.tags import NewTag, content_of

if TYPE_CHECKING:
    from ciplug.stores.git.store import GitStore

_NAMESPACE = "git"
"""In which ssh keys sign objects of git."""
_SIGNATURE = b"-----BEGIN "
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
            self._session, self._model.name, [_tag(self._model.name, tag, event, digest(entry)) for tag in tags]
        )

    def refused(self, tags: Sequence[str], words: str) -> None:
        """Tell that the event is accepted, and its tags are not."""
        hint = f"allow this account to create tags, and {_RESTORE.format(model=self._model.name)}"
        self._session.tell(warning(f"the tags {listed(tags)} were not made: {words}", hint))


def _tag(model: str, tag: Tag, event: RegistryEvent, content: str) -> NewTag:
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
    store = _git_store(session)
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


def _git_store(session: Session) -> GitStore:
    from ciplug.stores.git.store import GitStore

    if not isinstance(session.store, GitStore):
        raise ConfigError(f"the store {session.store_name} has no tags")
    return session.store


def due_tags(session: Session, model: str) -> dict[str, NewTag]:
    """Name → tag, unsigned, as the whole log of a model says."""
    log = ledger.read(session.log, model)
    digests = [*(event.previous for event in log.events[1:]), log.head.digest if log.head else None]
    contents = {event.seq: one or "" for event, one in zip(log.events, digests, strict=False)}
    signed = is_signed(session)
    found = tags_by_event(model, log.events, counting(log.events, signed), origin_in(session.log, signed))
    return {tag.name: _tag(model, tag, event, contents[event.seq]) for tag, event in found}


def expected_tags(session: Session, model: str) -> dict[str, str]:
    """Tag → commit, as the whole log of a model says."""
    return {tag.name: tag.commit for tag in due_tags(session, model).values()}


def wrong_tags(session: Session, model: str) -> dict[str, str]:
    """Tag → a clause, of those that are not as the log says: on another commit, of no event, of another content.

    Tags that are missing are not among them: a host may refuse tags, and the event stands.
    """
    due, actual = due_tags(session, model), found_tags(session, model)
    wrong = {name: "has the form of the registry's tags, and belongs to no event" for name in actual if name not in due}
    known = {name: oid for name, (oid, _) in actual.items() if name in due}
    contents = _contents(session, known.values())
    for name, oid in known.items():
        if actual[name][1] != due[name].commit:
            wrong[name] = f"is on {actual[name][1][:12]}, and its event is about {due[name].commit[:12]}"
        elif oid in contents and not _is_of(due[name], contents[oid]):
            wrong[name] = "was not made with its event as the log has it: one of them was changed"
    return wrong


def _is_of(due: NewTag, content: bytes) -> bool:
    rest = content.removeprefix(content_of(due))
    return rest != content and (not rest or rest.startswith(_SIGNATURE))


def _contents(session: Session, oids: Iterable[str]) -> dict[str, bytes]:
    """Object → content, of tags: those of this clone, and the others of the remote."""
    wanted = set(oids)
    objects = read_objects(session.need_workspace().top, wanted)
    if not session.offline and (missing := wanted - objects.keys()):
        objects.update(_git_store(session).tag_objects(missing))
    return {oid: data for oid, (_, data) in objects.items()}


def found_tags(session: Session, model: str) -> dict[str, tuple[str, str]]:
    """Tag → its object and its commit: of the remote, or offline of this clone. Raises GitError."""
    workspace = session.need_workspace()
    if session.offline or not workspace.remotes:
        text = run_git(
            "for-each-ref", "--format=%(objectname)\t%(refname)%0a%(*objectname)\t%(refname)^{}", "refs/tags",
            cwd=workspace.top,
        ).stdout.decode(errors="replace")  # fmt: skip
    else:
        listing = list_refs(workspace, session.env, f"refs/tags/{model}@v*", f"refs/tags/{model}#*")
        if listing.failure:
            raise GitError(
                f"the tags of {redact(session.remote_url or '')} cannot be listed: {listing.failure.words}",
                hint=listing.failure.hint,
                kind=listing.failure.kind,
            )
        text = listing.text
    objects: dict[str, str] = {}
    commits: dict[str, str] = {}
    for line in text.splitlines():
        oid, _, ref = line.partition("\t")
        name = ref.removeprefix("refs/tags/")
        if oid and is_of(model, name.removesuffix("^{}")):
            (commits if name.endswith("^{}") else objects)[name.removesuffix("^{}")] = oid
    return {name: (oid, commits.get(name, oid)) for name, oid in objects.items()}


def restore_tags(session: Session, model: str) -> list[str]:
    """Make the tags that are missing, and move those that are elsewhere; returns their names.

    Raises ConfigError where the registry has no tags, GitError where the remote refuses them.
    """
    if not is_mirrored(session):
        raise ConfigError(
            "this registry is not mirrored as tags",
            hint="set 'mirror_tags: true' in ciplug.yaml; the store must be that of the code, git:",
        )
    actual, due = found_tags(session, model), due_tags(session, model)
    wrong = wrong_tags(session, model)
    tags = make_tags(session, model, [tag for name, tag in due.items() if name not in actual or name in wrong])
    if not tags:
        return []
    present = {f"refs/tags/{name}": oid for name, (oid, _) in actual.items()}
    result = _git_store(session).restore_tags(TagMirror(session, Model(model)), tags, present)
    if not result.ok:
        raise GitError(f"the tags were not made: {result.reason.words}", hint=result.reason.hint)
    return [tag.name for tag in tags]
