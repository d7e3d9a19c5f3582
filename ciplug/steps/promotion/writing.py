"""Writing events of the registry: who may, how a lost race is tried again, and who is named as the actor."""

from __future__ import annotations

import itertools
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from ciplug._version import __version__
from ciplug.errors import Cause, Conflict, PromotionRefused, Refusal, StoreError
from ciplug.records.registry_event import Payload, RegistryEvent
from ciplug.registry import events, ledger
from ciplug.registry.lookalikes import lookalike
from ciplug.registry.model import Model, Version
from ciplug.registry.replay import after
from ciplug.reports.untrusted import clean_name
from ciplug.signing import SIGNING_KEY
from ciplug.steps.mirror_tags import mirror_next
from ciplug.steps.promotion.append import append
from ciplug.steps.promotion.masked import masked
from ciplug.steps.promotion.protected_policy import by_protected_policy
from ciplug.steps.registered_model import read_registry
from ciplug.steps.session import Session, now, stamp
from ciplug.steps.signers import signers_of, signs
from ciplug.stores.base import NoLog

if TYPE_CHECKING:
    from ciplug.forges.account import Account

PATIENCE = 120.0
"""Seconds in which whoever loses race after race tries again."""
_PAUSE = 0.1


P = TypeVar("P", bound=Payload)


@dataclass(frozen=True)
class Written(Generic[P]):
    """An event that the log of a model has accepted."""

    model: Model
    """The model after it."""
    event: int
    """Its number in the log; 0: nothing had to be written."""
    payload: P | None = None


def write(
    session: Session,
    name: str,
    make: Callable[[Session, Model], P | None],
    *,
    finishing: str | None = None,
) -> Written[P]:
    """Append one event to the log of a model. Who loses a race reads the log again, and makes the event anew.

    Raises PromotionRefused where this job must not write, StoreError where the store has no registry, and whatever
    `make` raises.

    Args:
        make: is called with the session that goes by the protected policy, and the model as it is; None: all is as it
            should be, and nothing is written.
        finishing: the model whose renaming to this one may be half written.
    """
    check_job(session)
    session = by_protected_policy(session)
    check_key(session)
    until = time.monotonic() + PATIENCE
    for lost_races in itertools.count():
        model, log, _ = read_registry(session, name)
        check_readable(model, finishing)
        payload = make(session, model)
        if payload is None:
            return Written(model, 0)
        check_new_name(session, name, log)
        mirror_next(session, model)
        try:
            log = append(session, model, log, event_of(session, name, payload))
        except Conflict:
            if time.monotonic() >= until:
                raise gave_up(name, lost_races + 1) from None
            pause(lost_races)
            continue
        return Written(after(model, log.events[-1]), log.events[-1].seq, payload)
    raise AssertionError


def check_job(session: Session) -> None:
    """Raise PromotionRefused in a job that must not change the registry, StoreError where there is none."""
    if not session.context.trusted:
        raise PromotionRefused(
            Refusal.FORK_JOB,
            "a fork's job must not promote, nor change the registry in any other way",
            hint="promote from a trusted branch's pipeline",
        )
    if session.proposes:
        # It is not decided yet that its commit goes in.
        raise PromotionRefused(
            Refusal.PULL_REQUEST_JOB,
            "a job of a pull request or merge queue never promotes, nor changes the registry in any other way",
            hint="promote once it is merged",
        )
    if isinstance(session.log, NoLog):
        raise session.log.refusal()


def check_key(session: Session) -> None:
    """Raise PromotionRefused where the policy names signers, and this job has no key of one of them."""
    if signers_of(session) and not signs(session):
        raise PromotionRefused(
            Refusal.NO_SIGNING_KEY,
            "the policy names signers, and this job has no key of one of them, so its events would not count",
            hint=f"run it in a job that has the key: {SIGNING_KEY}",
        )


def check_readable(model: Model, finishing: str | None = None) -> None:
    """Raise PromotionRefused where the state of the model may not be what the fold shows."""
    if model.skipped:
        raise PromotionRefused(
            Refusal.UNKNOWN_EVENTS,
            f"the registry of '{model.name}' cannot be judged by this ciplug: {model.notes[0]}",
            hint="upgrade ciplug, and run this command again",
        )
    if model.awaits and model.awaits != finishing:
        raise PromotionRefused(
            Refusal.NAME_TAKEN,
            f"'{model.awaits}' is being renamed to '{model.name}', and the second half is not written",
            hint=f"finish it: ciplug registry rename '{model.awaits}' '{model.name}'",
        )


def check_new_name(session: Session, name: str, log: ledger.Ledger) -> None:
    """Raise PromotionRefused for the first event of a name that people would take for another model."""
    if log.head is not None:
        return
    if other := lookalike(name, ledger.models(session.log)):
        raise PromotionRefused(
            Refusal.NAME_TAKEN,
            f"'{clean_name(name)}' looks like the model '{clean_name(other)}', and is written with other letters",
            hint="choose a name that people can tell from it",
        )


def event_of(session: Session, model: str, payload: Payload, confirmed: Account | None = None) -> RegistryEvent:
    """The event of this session's actor, pipeline and time.

    Args:
        confirmed: the actor, where a forge confirms it.
    """
    context = session.context
    source = "git configuration" if context.host == "local" else context.host
    return events.wrap(
        masked(session, payload),
        model=model,
        created=stamp(now()),
        actor=confirmed.login if confirmed else context.actor,
        actor_source=confirmed.by if confirmed else source if context.actor else None,
        actor_confirmed=confirmed is not None,
        run_url=context.run_url,
        ciplug=__version__,
    )


def pause(lost_races: int) -> None:
    """Wait a little: those who collided do not collide again."""
    time.sleep(random.uniform(0, _PAUSE * min(lost_races + 1, 10)))


def gave_up(model: str, attempts: int, left: str | None = None) -> StoreError:
    """The error of whoever loses every race: the store is busy, and no gate has failed."""
    return StoreError(
        f"'{model}': another event was appended first in each of {attempts} attempts" + (f"; {left}" if left else ""),
        hint="try again: a version that is registered is used; let one job promote at a time (a concurrency group)",
        cause=Cause.CONFLICT,
    )


def yanked(model: str, version: Version) -> PromotionRefused:
    """The refusal to use a version that was yanked."""
    why = f": {version.yanked}" if version.yanked else ""
    return PromotionRefused(
        Refusal.YANKED,
        f"version {version.number} of '{model}' was yanked{why}",
        hint=f"if it is good after all: ciplug registry yank '{model}' {version.number} --undo",
    )
