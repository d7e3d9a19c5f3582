"""A session that contacts nothing: it sees what this clone fetched last."""

from __future__ import annotations

from dataclasses import replace

from ciplug.errors import CiplugError, StoreError
from ciplug.steps.session import Session


def offline(session: Session) -> Session:
    """The same session, reading the store from the cache of this clone, and the policy from the checkout."""
    return replace(session, offline=True, context=replace(session.context, target_branch=None))


def not_here(session: Session, problem: CiplugError) -> CiplugError:
    """The error for what the cache does not have; any other one as it is."""
    if not isinstance(problem, StoreError) or not session.offline:
        return problem
    return StoreError(
        f"the cache of this clone lacks something that the chain needs: {problem.message}",
        hint="it is in the store, which cannot be read: see why with --fetch",
        cause=problem.cause,
    )
