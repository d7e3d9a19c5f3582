"""Checkpoints in the store, states of models: whoever reads a long log for the first time begins at the last of them.

A state is bound to the log on both sides: it names the event that it ends with, and the event after that one names the
digest of the state. So a state is as good as that event: who may append an event may state, and nobody else. Where
the policy names signers, an allowed signer must have signed it. `ciplug registry verify` compares the state with
what all events make.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from ciplug.errors import BrokenLog
from ciplug.records.canonical import digest, dumps
from ciplug.records.keys import log_of
from ciplug.registry import ledger
from ciplug.registry.ledger import Ledger
from ciplug.registry.model import Model
from ciplug.registry.model_values import FORMAT, model_from, model_value
from ciplug.stores.base import Head, KeepsStates, Log

if TYPE_CHECKING:
    from ciplug.registry.replay import IsSigned

EVERY = 128
"""Events from one state to the next."""


class State(NamedTuple):
    """The state of a model after an event, as the store keeps it."""

    model: Model
    head: Head
    tail: Ledger
    """The events after it, verified; the first of them names it."""


def key_of(signers: Mapping[str, str], repository: str = "") -> str:
    """A text that changes with what decides which events count: the signers of a policy, name → key, and what they
    sign for.
    """
    return digest(dumps([dict(signers), repository] if repository else dict(signers)))


def is_due(model: Model, head: Head | None) -> bool:
    """Whether the event after this head should name the state."""
    return bool(head and head.seq % EVERY == 0 and not (model.skipped or model.awaits or model.problem))


def encode(model: Model, head: Head, signers: str) -> bytes:
    """The bytes of a state: what it is of, then a line a version. So two that follow each other differ in a few lines.

    Args:
        signers: from `key_of`.
    """
    value = model_value(model)
    versions = value.pop("versions")
    first = {"format": FORMAT, "head": head, "signers": signers, **value}
    return b"".join(_line(line) for line in (first, *versions))


def _line(value: object) -> bytes:
    return json.dumps(value, default=dict, separators=(",", ":")).encode() + b"\n"


def _decode(data: bytes, model: str, signers: str) -> tuple[Model, Head] | None:
    """None for a damaged state, or one that depends on something else."""
    with contextlib.suppress(ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError):
        lines = data.split(b"\n")
        first: Mapping[str, Any] = json.loads(lines[0])
        if (first["format"], first["signers"], first["model"]["name"]) != (FORMAT, signers, model):
            return None
        versions = json.loads(b"[" + b",".join(lines[1:-1]) + b"]")
        seq, seen = first["head"]
        if isinstance(seq, int) and seq > 0:
            return model_from({**first, "versions": versions}), Head(seq, str(seen))
    return None


def read(log: Log, model: str, signers: str, is_signed: IsSigned | None) -> State | None:
    """The state of a model that the store keeps, and the events since; None where it cannot be read on from."""
    data = log.state(log_of(model)) if isinstance(log, KeepsStates) else None
    found = _decode(data, model, signers) if data else None
    if data is None or found is None:
        return None
    state, head = found
    try:
        tail = ledger.read(log, model, head)
    except BrokenLog:
        return None
    named = tail.events and tail.events[0].state == digest(data)
    if not named or (is_signed and not is_signed(tail.events[0])):
        return None
    return None if is_signed and tail.vouches else State(state, head, tail)
