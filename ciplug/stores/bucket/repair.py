"""Check a store in a bucket, and repair what can be repaired without losing data."""

from __future__ import annotations

from ciplug.stores.base import Problem, Visit
from ciplug.stores.bucket import index
from ciplug.stores.bucket import segment_files as segments
from ciplug.stores.bucket.base import each
from ciplug.stores.bucket.check import Inspection, inspect
from ciplug.stores.bucket.folding import Folding
from ciplug.stores.bucket.index import Claim
from ciplug.stores.bucket.reading import Reader, View


def check(reader: Reader, folding: Folding, *, repair: bool, visit: Visit) -> list[Problem]:
    """Return the problems of a store, and which of them were repaired."""
    problems = _finish_folds(reader, folding) if repair else []
    # Listed before the index is: what is in a segment that was listed is then in the index, too.
    listed = {entry.name for kind in (*segments.KINDS, "objects") for entry in reader.bucket.list(kind)}
    view = reader.see()
    inspection = inspect(reader.bucket, listed, view.state, view.pending, visit)
    problems += [
        Problem(name, why, repairable=index.parse_name(name) is not None and name not in view.state.beyond)
        for name, why in reader.wrong.items()
    ]
    problems += [
        Problem(f"inbox/{name}", "it holds objects of an erased run, which nobody reads: `ciplug compact` deletes it")
        for name in view.revived
    ]
    problems += [
        Problem(index.claim_name(number), "objects of this unfinished fold are missing", repairable=True)
        for number in view.state.open
        if folding.is_stuck(number)
    ]
    repaired = repair and _repair(reader, folding, view, inspection)
    problems += inspection.problems + [
        one._replace(repaired=repaired, repairable=True) for one in inspection.repairable
    ]
    reader.forget()
    return problems


def _finish_folds(reader: Reader, folding: Folding) -> list[Problem]:
    """Finish what was begun, from what is left, and write again what a fold has left where that is damaged."""
    state = reader.see().state
    stuck = [number for number in state.open if folding.is_stuck(number)]
    stuck += [parsed[0] for name in state.bad if (parsed := index.parse_name(name))]
    for number in sorted({*state.open, *stuck}):
        folding.finish(number, repair=number in stuck)
    return [
        Problem(index.claim_name(number), "the fold was not finished, or its end lost", True, repaired=True)
        for number in stuck
    ]


def _repair(reader: Reader, folding: Folding, view: View, inspection: Inspection) -> bool:
    """Write anew what is not as the index has it, and index what it lacks; False where another was faster."""
    if inspection.rewrite or inspection.adopt:
        claim = Claim(
            files=tuple(index.in_order(inspection.rewrite)),
            adopt=tuple(sorted(inspection.adopt)),
            skip=tuple(inspection.skip),
        )
        number = view.state.last + 1
        if view.state.open or not reader.bucket.create(index.claim_name(number), index.encode_claim(claim)):
            return False
        folding.finish(number)
    each(reader.bucket.delete, inspection.delete)
    return True
