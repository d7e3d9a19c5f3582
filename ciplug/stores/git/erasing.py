"""Runs that were erased: the branch keeps a mark of each, and readers and folds leave out whatever is pushed again."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import TypeVar

from ciplug.records.canonical import dumps
from ciplug.records.keys import ERASED, erased_mark
from ciplug.stores.git.cached_remote import CachedRemote
from ciplug.stores.git.content import Content, entry_path
from ciplug.stores.git.objects import LooseObjects

T = TypeVar("T")
_SCHEMA = 1


def read_erased(remote: CachedRemote, content: Content) -> frozenset[str]:
    """The marks of the runs that the branch names as erased."""
    entries = [content.logs[entry_path(ERASED, seq)] for seq in content.sequence(ERASED)]
    if not entries:
        return frozenset()
    blobs = remote.blobs(entries)
    return frozenset(mark for oid in entries for mark in _marks_in(blobs[oid]))


def _marks_in(data: bytes) -> Iterable[str]:
    try:
        marks = json.loads(data)["erased"]
        return [mark for mark in marks if isinstance(mark, str)]
    except (ValueError, KeyError, TypeError, RecursionError):
        return ()


def without_erased(objects: Mapping[str, T], erased: frozenset[str]) -> dict[str, T]:
    """Objects by their keys, without those about erased runs."""
    return {key: value for key, value in objects.items() if erased_mark(key) not in erased}


def note_erased(written: LooseObjects, content: Content, keys: Iterable[str]) -> None:
    """Put the marks of the runs that keys are about into the log of the erased."""
    marks = sorted({mark for key in keys if (mark := erased_mark(key))})
    if marks:
        seq = max(content.sequence(ERASED), default=0) + 1
        content.logs[entry_path(ERASED, seq)] = written.blob(dumps({"erased": marks, "schema": _SCHEMA}))
