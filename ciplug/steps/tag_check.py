"""Compare the tags that mirror a registry with its log, and put back those that do not contradict it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from ciplug.console import warning
from ciplug.errors import ConfigError, GitError
from ciplug.git.credentials import redact
from ciplug.git.objects import is_sound, read_objects
from ciplug.git.remote import list_refs
from ciplug.git.run import run_git
from ciplug.registry import ledger
from ciplug.registry.evidence_chain import Fault, Finding, Link
from ciplug.registry.evidence_chain_text import remedy, words
from ciplug.registry.model import Model, Version
from ciplug.registry.reading import origin_in
from ciplug.registry.replay import counting
from ciplug.registry.tag_faults import CONTRADICTIONS, DueTag, FoundTag, WrongTag, tag_facts, tag_faults
from ciplug.registry.tags import is_of, tags_by_event
from ciplug.reports.untrusted import clean
from ciplug.steps.mirror_tags import TagMirror, git_store, is_mirrored, make_tags, tag_of
from ciplug.steps.registered_model import is_signed
from ciplug.steps.session import Session
from ciplug.stores.base import Log
from ciplug.stores.git.tags import NewTag, content_of


class CheckedTags(NamedTuple):
    """The tags of a model beside its log."""

    to_make: Mapping[str, NewTag]
    """As the log wants them, unsigned."""
    due: Mapping[str, DueTag]
    found: Mapping[str, FoundTag]
    objects: Mapping[str, str]
    """Tag → its object."""
    events: Sequence[str]
    """The digests of all events."""
    wrong: Sequence[WrongTag]
    """Those that contradict the log come first."""

    def is_about(self, wrong: WrongTag, version: Version) -> bool:
        """Whether it is a tag of a version: on its commit, as the log says; one of no event: as it is."""
        tag = self.due.get(wrong.name) or self.found[wrong.name]
        return tag.commit == version.commit

    def finding(self, model: str, wrong: WrongTag) -> Finding:
        """What is wrong with a tag, as a link of the chain."""
        facts = {"model": model, **tag_facts(wrong, self.due, self.found, self.events)}
        return Finding(link=Link.TAGS, fault=wrong.fault, facts=facts)


def check_tags(session: Session, model: str) -> CheckedTags:
    """Compare the tags of the remote with the log, or offline those of this clone. Raises GitError."""
    objects = _listed(session, model)
    checked = _check(session, model, session.log, objects)
    if not session.offline and any(one.fault is Fault.TAG_BEYOND_LOG for one in checked.wrong):
        # Another job may have appended that event after this session had read the log.
        return _check(session, model, session.refreshed().log, objects)
    return checked


def _check(session: Session, model: str, log: Log, listed_tags: Mapping[str, tuple[str, str]]) -> CheckedTags:
    read = ledger.read(log, model)
    digests = [one or "" for one in (*(event.previous for event in read.events[1:]), read.head and read.head.digest)]
    signed = is_signed(session)
    by_event = tags_by_event(model, read.events, counting(read.events, signed), origin_in(log, signed))
    to_make: dict[str, NewTag] = {}
    due: dict[str, DueTag] = {}
    for tag, event in by_event:
        digest = digests[event.seq - 1]
        to_make[tag.name] = made = tag_of(model, tag, event, digest)
        due[tag.name] = DueTag(made.commit, digest, content_of(made))
    contents = _contents(session, [oid for oid, commit in listed_tags.values() if oid != commit])
    found = {
        name: FoundTag(commit, b"" if oid == commit else contents.get(oid))
        for name, (oid, commit) in listed_tags.items()
    }
    events = digests if read.events else []
    wrong = tag_faults(model, due, found, events, every=not session.offline)
    return CheckedTags(to_make, due, found, {name: oid for name, (oid, _) in listed_tags.items()}, events, wrong)


def wrong_tags(session: Session, model: str) -> dict[str, str]:
    """Tag → a clause, of those that are not as the log says.

    Tags that are missing are not among them: a host may refuse tags, and the event stands.
    """
    checked = check_tags(session, model)
    return {
        one.name: words(checked.finding(model, one)).removeprefix(f"the tag {one.name} ")
        for one in checked.wrong
        if one.fault is not Fault.TAG_MISSING
    }


def _contents(session: Session, oids: Iterable[str]) -> dict[str, bytes]:
    """Object → content, of tags: those of this clone, and the others of the remote."""
    wanted = set(oids)
    objects = read_objects(session.need_workspace().top, wanted)
    objects = {oid: entry for oid, entry in objects.items() if is_sound(oid, *entry)}
    if not session.offline and (missing := wanted - objects.keys()):
        objects.update(git_store(session).tag_objects(missing))
    return {oid: data for oid, (_, data) in objects.items()}


def _listed(session: Session, model: str) -> dict[str, tuple[str, str]]:
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

    A tag that contradicts the log stays as it is, and is told: it may be the last witness of what the log was.
    Raises ConfigError where the registry has no tags, GitError where the remote refuses them.
    """
    if not is_mirrored(session):
        raise ConfigError(
            "this registry is not mirrored as tags",
            hint="set 'mirror_tags: true' in ciplug.yaml; the store must be that of the code, git:",
        )
    checked = check_tags(session, model)
    names: list[str] = []
    for one in checked.wrong:
        finding = checked.finding(model, one)
        unread = one.name in checked.found and checked.found[one.name].content is None
        if one.fault in CONTRADICTIONS:
            advice = remedy(finding)
            session.tell(warning(f"not restored: {clean(words(finding), 300)}", advice and clean(advice, 400)))
        elif one.name in checked.due and unread:
            session.tell(warning(f"not restored: {clean(words(finding), 300)}; its text cannot be read"))
        elif one.name in checked.due:
            names.append(one.name)
    tags = make_tags(session, model, [checked.to_make[name] for name in names])
    if not tags:
        return []
    present = {f"refs/tags/{name}": oid for name, oid in checked.objects.items()}
    result = git_store(session).restore_tags(TagMirror(session, Model(model)), tags, present)
    if not result.ok:
        raise GitError(f"the tags were not made: {result.reason.words}", hint=result.reason.hint)
    return [tag.name for tag in tags]
