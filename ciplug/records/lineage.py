"""From a run to those that started it. Pure."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from typing import TypeVar

T = TypeVar("T", bound=Hashable)


def ancestors(start: T, parent_of: Callable[[T], T | None]) -> Iterator[T]:
    """Yield the parent, its parent, and so on: the nearest first. A circle, which no writer makes, ends in itself."""
    passed = {start}
    while (parent := parent_of(start)) is not None and parent not in passed:
        passed.add(parent)
        yield parent
        start = parent
