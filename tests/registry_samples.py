"""Events of a registry, for tests."""

from __future__ import annotations

from dataclasses import replace

from ciplug.records.registry_event import Payload, Promote, Register, RegistryEvent
from ciplug.registry.events import wrap

STAMP = "2026-11-23T12:00:00.000Z"


def event(seq: int, payload: Payload, model: str = "wine") -> RegistryEvent:
    return replace(wrap(payload, model=model, created=STAMP), seq=seq)


EVENTS = [
    event(1, Register(version=1, run="run-1")),
    event(2, Promote(version=1, run="run-1", stage="Staging")),
    event(3, Promote(version=1, run="run-1", stage="Production")),
    event(4, Register(version=2, run="run-2")),
    event(5, Promote(version=2, run="run-2", stage="Staging")),
    event(6, Promote(version=2, run="run-2", stage="Production")),
]
"""Two versions of 'wine' climb to production, one after the other."""
