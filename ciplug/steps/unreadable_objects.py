"""Objects that nobody can read: named, and moved out of the way when somebody asks for it. Nothing is deleted."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping

from ciplug.errors import NewerRecord, RecordError
from ciplug.records import beside, read
from ciplug.records.canonical import dumps
from ciplug.records.keys import (
    EVERY_AMENDMENT,
    aside_key,
    is_run,
    is_verdict,
    verdict_key,
)
from ciplug.stores import Store

_AT_ONCE = 200


def unreadable(store: Store, keys: Iterable[str]) -> dict[str, str]:
    """Key → why it is damaged, of those objects that are there. What only a newer ciplug reads is not damaged."""
    wanted = sorted(keys)
    reasons: dict[str, str] = {}
    for at in range(0, len(wanted), _AT_ONCE):
        for key, data in store.read(wanted[at : at + _AT_ONCE]).items():
            if why := damage(key, data):
                reasons[key] = why
    return reasons


def damage(key: str, data: bytes) -> str | None:
    """Why an object cannot be read, as one clause; None where it can be, or where only a newer ciplug can tell."""
    try:
        if is_run(key):
            read.read_run(data, key)
        elif beside.owner(key):
            beside.check(key, data, key)
        elif is_verdict(key):
            verdict = read.verdict(data, key)
            if verdict_key(verdict, data) != key:
                return f"the verdict in it has the key {verdict_key(verdict, data)}"
        elif key.startswith(EVERY_AMENDMENT):
            read.amendment(data, key)
    except NewerRecord:
        return None
    except RecordError as problem:
        return problem.message.removeprefix(f"{key}: ")
    return None


def set_aside(store: Store, objects: Mapping[str, str]) -> list[str]:
    """Move objects to `aside/`, with their keys and the reasons; returns the keys of those that were moved.

    Args:
        objects: key → why it cannot be read.
    """
    data = store.read(objects)
    kept = [
        dumps({"key": key, "why": objects[key], "content": base64.b64encode(content).decode()})
        for key, content in data.items()
    ]
    if kept:
        store.add({aside_key(one): one for one in kept})
        store.drop(list(data), f"{len(data)} objects that cannot be read are set aside")
        store.refresh()
    left = store.read(data)
    return [key for key in data if key not in left]
