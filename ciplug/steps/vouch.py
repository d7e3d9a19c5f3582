"""Vouch for the events of a model that nobody has signed, as when a team begins to sign."""

from __future__ import annotations

from ciplug._version import __version__
from ciplug.errors import UsageError
from ciplug.records.registry_event import Vouch
from ciplug.registry import events, ledger
from ciplug.signing import SIGNING_KEY
from ciplug.steps.promotion.writing import check_key
from ciplug.steps.registered_model import read_model
from ciplug.steps.session import Session, now, stamp
from ciplug.steps.signers import sign_event, signers_of
from ciplug.steps.trust import need_trusted


def vouch(session: Session, model: str) -> int:
    """Append a signed event by which all before it count; returns its number, 0 where all of them count already.

    Raises UsageError without a key, PromotionRefused with one of nobody whose signature counts.
    """
    need_trusted(session, hint="vouch in the pipeline of a trusted branch")
    sign = sign_event(session)
    if sign is None or not signers_of(session):
        raise UsageError(
            "only an allowed signer vouches for events",
            hint=f"name the signers in ciplug.yaml (signers:), and set {SIGNING_KEY} to the private key of one",
        )
    check_key(session)
    if not read_model(session, model).unsigned:
        return 0
    log = ledger.read(session.log, model)
    context = session.context
    event = events.wrap(
        Vouch(until=len(log.events)),
        model=model,
        created=stamp(now()),
        actor=context.actor,
        actor_source=context.host if context.actor else None,
        run_url=context.run_url,
        ciplug=__version__,
    )
    return ledger.append(session.log, log, event, sign).events[-1].seq
