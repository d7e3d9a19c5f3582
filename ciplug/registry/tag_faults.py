"""What is wrong with the tags that mirror a log: they contradict the log, or they are a bad mirror of it. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from ciplug.registry.evidence_chain import Fault

CONTRADICTIONS = frozenset({Fault.TAG_OTHER_EVENT, Fault.TAG_BEYOND_LOG})
"""They speak against the log. Whoever rewrote it would like such a tag to be replaced."""
_SIGNATURE = b"-----BEGIN "
_CLAIM = re.compile(
    rb"\n\nevent ([1-9][0-9]{0,17}) of ([^\n]+)\n\n(?:[^\n]*\n)*?Ciplug-Event: (sha256:[0-9a-f]{64})(?:\n|\Z)"
)


class DueTag(NamedTuple):
    """A tag as the log wants it."""

    commit: str
    event: str
    """The digest of its event."""
    content: bytes
    """The annotated tag, without a signature."""


class FoundTag(NamedTuple):
    """A tag that is there."""

    commit: str
    content: bytes | None
    """What an annotated tag says; empty: it is not annotated; None: nobody could read it."""


class Claim(NamedTuple):
    """The event that a tag was made with, as its text says."""

    seq: int
    event: str


class WrongTag(NamedTuple):
    """A tag that is not as the log says."""

    fault: Fault
    name: str
    seq: int | None = None
    """The number of the event that it claims."""


def claim_of(model: str, content: bytes) -> Claim | None:
    """The event of a model that an annotated tag says it was made with; None: it has not the form of such a tag."""
    found = _CLAIM.search(content)
    if found is None or found[2] != model.encode():
        return None
    return Claim(int(found[1]), found[3].decode())


def tag_faults(
    model: str, due: Mapping[str, DueTag], found: Mapping[str, FoundTag], events: Sequence[str], *, every: bool
) -> list[WrongTag]:
    """Return the tags that do not say what the log says, those first that contradict it.

    Args:
        events: the digests of all events of the log.
        every: whether all tags are known; a clone may have fetched only some.
    """
    wrong = [one for name, tag in found.items() if (one := _fault(model, name, due.get(name), tag, events))]
    if every:
        wrong += [WrongTag(Fault.TAG_MISSING, name) for name in due if name not in found]
    return sorted(wrong, key=lambda one: one.fault not in CONTRADICTIONS)


def _fault(model: str, name: str, due: DueTag | None, tag: FoundTag, events: Sequence[str]) -> WrongTag | None:
    claim = claim_of(model, tag.content or b"")
    if claim and claim.event != (due.event if due else _event(claim.seq, events)):
        beyond = due is None and claim.seq > len(events)
        return WrongTag(Fault.TAG_BEYOND_LOG if beyond else Fault.TAG_OTHER_EVENT, name, claim.seq)
    if due is None:
        return WrongTag(Fault.TAG_OF_NO_EVENT, name)
    if tag.commit != due.commit:
        return WrongTag(Fault.TAG_ELSEWHERE, name)
    if tag.content is not None and not _says(tag.content, due.content):
        return WrongTag(Fault.TAG_OTHER_TEXT, name)
    return None


def _event(seq: int, events: Sequence[str]) -> str | None:
    return events[seq - 1] if seq <= len(events) else None


def _says(content: bytes, due: bytes) -> bool:
    rest = content.removeprefix(due)
    return rest != content and (not rest or rest.startswith(_SIGNATURE))


def tag_facts(
    wrong: WrongTag, due: Mapping[str, DueTag], found: Mapping[str, FoundTag], events: Sequence[str]
) -> dict[str, str | int | None]:
    """What there is to say about a wrong tag."""
    return {
        "tag": wrong.name,
        "expected": due[wrong.name].commit if wrong.name in due else None,
        "found": found[wrong.name].commit if wrong.name in found else None,
        "tag_event": wrong.seq,
        "events": len(events),
    }
