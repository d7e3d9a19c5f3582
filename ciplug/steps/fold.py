"""Fold the pending writes of the store and of its files."""

from __future__ import annotations

from ciplug.steps.session import Session


def fold(session: Session) -> int:
    """Fold the pending writes; returns how many those were."""
    return session.store.compact() + (session.files.compact() if session.files else 0)
