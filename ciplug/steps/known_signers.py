"""Who signs, where the settings in reach name nobody: a lock file knows it, and so does the default branch."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from ciplug import config
from ciplug.errors import CiplugError, PromotionRefused, Refusal
from ciplug.git.branch_files import tree_of_commit
from ciplug.git.commits import local_tip
from ciplug.git.history import default_branch
from ciplug.records.registry_event import RegistryEvent, Vouch
from ciplug.registry import ledger
from ciplug.registry.events import payload_of
from ciplug.registry.ladder import Ladder
from ciplug.registry.model import Model, Version
from ciplug.registry.reading import origin_in
from ciplug.registry.replayed_rules import broken_rules
from ciplug.steps.committed_settings import inside, settings_in
from ciplug.steps.session import Session
from ciplug.steps.signers import signers_of
from ciplug.stores.base import Head

_EVENTS_MOST = 2_000
"""Events that a pull reads to look for signatures. Of a longer log the state that the store keeps is enough."""


@dataclass(frozen=True)
class LockedSigners:
    """The allowed signers of a store, as a lock file has them."""

    repository: str
    signers: Mapping[str, str]


class Standing(NamedTuple):
    """What is wrong with the events of a version, and what could not be checked."""

    refusal: PromotionRefused | None
    notes: tuple[str, ...] = ()


def with_known_signers(session: Session, locked: Mapping[str, LockedSigners]) -> Session:
    """The same session with the signers that are known here, if its settings name none.

    Args:
        locked: place of a store → who signs there, of a lock file.
    """
    if signers_of(session):
        return session
    known = locked.get(session.place_of_store) or _of_default_branch(session)
    return replace(session, known_signers=(known.signers, known.repository)) if known else session


def _of_default_branch(session: Session) -> LockedSigners | None:
    """The signers that the default branch names, as this clone knows it: a branch cannot do without them."""
    workspace = session.workspace
    file = inside(session.config.path or session.cwd / config.FILE, session.top)
    if workspace is None or file is None:
        return None
    with suppress(CiplugError):
        branch = default_branch(workspace, session.env)
        tip = local_tip(workspace, branch) if branch else None
        settings = settings_in(tree_of_commit(workspace, tip, session.env), Path(file), str(branch)) if tip else None
        if settings and settings[0].signers:
            return LockedSigners(settings[0].repository or session.place_of_store, dict(settings[0].signers))
    return None


def locked_signers(session: Session) -> LockedSigners | None:
    """What a lock file is to keep of the signers in force; None where nothing needs a signature."""
    signers = signers_of(session)
    return LockedSigners(signers.repository, dict(signers.keys)) if signers else None


def check_without_signers(session: Session, model: Model, version: Version, head: Head | None) -> Standing:
    """What the events of a version show by themselves, where nobody knows who may sign."""
    if signers_of(session) or head is None or head.seq > _EVENTS_MOST:
        return Standing(None)
    events = ledger.read(session.log, model.name).events
    about = {event.seq for event in events if getattr(payload_of(event), "version", None) == version.number}
    ladder = session.config.ladder_of(model.name)
    for seq, words in broken_rules(model.name, events, Ladder(ladder).stages, origin=origin_in(session.log, None)):
        if seq in about:
            return Standing(_refusal(model, version, f"event {seq} {words}"))
    if not any(event.signature for event in events):
        return Standing(None)
    if lapsed := sorted(_lapsed(events) & about):
        words = f"event {lapsed[0]} of it has no signature, though events before it are signed"
        return Standing(_refusal(model, version, words))
    return Standing(
        None,
        (
            f"warning: the events of '{model.name}' are signed, and nothing here says by whom they must be: pull in a "
            "checkout whose ciplug.yaml names the signers, name that file with --config, or keep a ciplug.lock that "
            "such a checkout has written",
        ),
    )


def _lapsed(events: list[RegistryEvent] | tuple[RegistryEvent, ...]) -> set[int]:
    """The events without a signature after one with a signature, but for those that a later signed one vouches for."""
    first = min(event.seq for event in events if event.signature)
    vouched = max((event.seq for event in events if event.signature and event.type == Vouch.type), default=0)
    return {event.seq for event in events if not event.signature and event.seq > max(first, vouched)}


def _refusal(model: Model, version: Version, words: str) -> PromotionRefused:
    return PromotionRefused(
        Refusal.NO_VERDICT,
        f"version {version.number} of '{model.name}' cannot be trusted: {words}",
        hint=f"find out who moved it: ciplug registry verify '{model.name}'",
    )
