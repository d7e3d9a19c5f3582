"""Notices on one run: why its numbers do not count, or may be incomplete."""

from __future__ import annotations

from ciplug.records.changes import Changes
from ciplug.records.notice import Kind, Notice, Resumed, Subject
from ciplug.records.run import Run

_NO_CHANGES = Changes()
_UNFINISHED = {"killed": Kind.KILLED, "unknown": Kind.END_UNKNOWN}


def objection(run: Run, changes: Changes, of: Subject = "candidate") -> Notice | None:
    """Return the notice on a run whose numbers do not count, as a run in the role `of`; None where they count."""
    if changes.counts:
        return None
    above = changes
    while above.state == "active" and not above.unread and above.parent:
        above = above.parent
    final = above.deletion or above.withdrawal
    kind = Kind.UNREAD_AMENDMENT if final is None else Kind.DELETED if above.deletion else Kind.WITHDRAWN
    return Notice(
        kind=kind,
        of=of,
        model=run.model,
        run=run.id,
        parent=None if above is changes else run.parent,
        by=final.author if final else None,
        reason=final.reason if final else None,
        path=above.unread[0] if final is None and above.unread else None,
    )


def newer_amendment(run: Run, changes: Changes, of: Subject = "candidate") -> Notice | None:
    """Return the notice on a run that a newer ciplug amended, or one that started it; None where none did."""
    if not changes.newer:
        return None
    first = changes.newer[0]
    return Notice(kind=Kind.NEWER_AMENDMENT, of=of, model=run.model, run=first.run, schema=first.schema)


def unfinished_run(run: Run, changes: Changes = _NO_CHANGES, seed: str | None = None) -> Notice:
    """Return the notice on a run that did not finish, or may not have; `seed` names it where it is one of several."""
    kind, setback = _UNFINISHED.get(run.status, Kind.FAILED), changes.setback
    if setback and setback.status == run.status:
        return Notice(kind=kind, run=run.id, seed=seed, by=setback.author, resumed="then")
    origin = run.provenance
    resumed: Resumed | None = "later" if changes.late.status == "finished" else None
    in_mlflow = kind.name if origin.exit_code == 0 and "mlflow.run_id" in run.tags and not resumed else None
    return Notice(
        kind=kind,
        run=run.id,
        seed=seed,
        exit_code=origin.exit_code,
        signal=origin.signal,
        resumed=resumed,
        detail=in_mlflow,
    )
