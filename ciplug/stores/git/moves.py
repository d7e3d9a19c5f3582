"""Refs of a remote that are moved together, each only if it is where it was seen."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from ciplug.errors import GitKind
from ciplug.git.push import PushResult
from ciplug.stores.git.remote import GitRemote

Moves = Mapping[str, tuple[str | None, str | None]]
"""Ref → the object ids before and after; None: it does not exist."""


def move_refs(
    remote: GitRemote, moves: Moves, *, first: Sequence[str] = (), spare: Mapping[str, str] | None = None
) -> PushResult:
    """Move refs to commits of our repository: all at once, but for what is deleted.

    Deletions go once the others have moved: a git server that misses objects refuses the refs which need them, and
    carries out the deletions even of an atomic push. Where the server does not support atomic pushes, the refs named
    `first` go one by one before the others. So a process that dies in between leaves nothing that cannot be done again.

    Args:
        spare: ref → the name to use where the host refuses it.
    """
    made = [ref for ref in moves if moves[ref][1]]
    result = _push(remote, moves, made)
    if result.failure and GitKind.NO_ATOMIC in result.failure.kinds:
        order = [*first, *(ref for ref in made if ref not in first)]
        result, moves = _one_by_one(remote, moves, order, spare or {})
    elif names := _spare_names(result, spare or {}):
        return move_refs(remote, _renamed(moves, names), first=first)
    if result.ok and (deleted := [ref for ref in moves if not moves[ref][1]]):
        _push(remote, moves, deleted, atomic=False)
    return result


def _one_by_one(
    remote: GitRemote, moves: Moves, order: Iterable[str], spare: Mapping[str, str]
) -> tuple[PushResult, Moves]:
    """Push one ref after the other, up to the first that is refused; returns the last result, and the moves as made."""
    result = PushResult()
    for ref in order:
        result = _push(remote, moves, [ref])
        if names := _spare_names(result, spare):
            moves = _renamed(moves, names)
            result = _push(remote, moves, [names[ref]])
        if not result.ok:
            break
    return result, moves


def _push(remote: GitRemote, moves: Moves, refs: Sequence[str], *, atomic: bool = True) -> PushResult:
    leases = [f"--force-with-lease={ref}:{moves[ref][0] or ''}" for ref in refs]
    # Never with a `+`: it would override the lease.
    specs = [f"{moves[ref][1] or ''}:{ref}" for ref in refs]
    return remote.push(remote.repository, specs, [*(["--atomic"] if atomic and len(refs) > 1 else []), *leases])


def _spare_names(result: PushResult, spare: Mapping[str, str]) -> dict[str, str]:
    """Ref → its spare name, of the refs that the host itself refuses."""
    return {ref: spare[ref] for ref, reason in result.rejected.items() if ref in spare and not reason.lost_race}


def _renamed(moves: Moves, names: Mapping[str, str]) -> Moves:
    return {names.get(ref, ref): move for ref, move in moves.items()}
