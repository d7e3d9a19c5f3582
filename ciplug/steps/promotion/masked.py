"""Secrets in the words of an event: the log of a model never changes, so nothing could take them out again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any, TypeVar, cast

from ciplug.capture.masking import Masks
from ciplug.records.registry_event import Payload
from ciplug.steps.record import masked_notes
from ciplug.steps.session import Session

P = TypeVar("P", bound=Payload)
_TEXTS = {"reason", "description", "source", "location", "run_link"}


def masking(session: Session) -> Callable[[str], str]:
    """What masks the secrets of this job in a text."""
    masks = Masks.of(session.env, session.config.redact)
    return lambda text: masks.text(text, "a text")


def masked(session: Session, payload: P) -> P:
    """Return the event's fields with the secrets masked in what people wrote: reasons, descriptions, tags."""
    masks = Masks.of(session.env, session.config.redact)
    present = {one.name: getattr(payload, one.name) for one in fields(cast(Any, payload))}
    changed: dict[str, Any] = {
        name: masks.text(text, f"the {name}") for name, text in present.items() if name in _TEXTS and text
    }
    if present.get("tags"):
        changed["tags"] = masks.mapping(present["tags"], "tag")
    if "key" in present and present.get("value"):
        changed["value"] = masks.value(present["key"], present["value"], f"tag {present['key']}")
    session.tell(*masked_notes(masks))
    return cast(P, replace(cast(Any, payload), **changed)) if changed else payload
