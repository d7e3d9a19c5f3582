"""The verdicts that were recorded on a run."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from ciplug.records.run import Run
from ciplug.records.verdict import Verdict
from ciplug.steps.session import Session
from ciplug.steps.signers import signers_of

if TYPE_CHECKING:
    from ciplug.tracking.runs import Runs


class RecordedVerdict(NamedTuple):
    """A verdict, and whether it counts as evidence: where the policy names signers, an unsigned one does not."""

    verdict: Verdict
    counts: bool = True


def verdicts_on(session: Session, runs: Runs, run: Run) -> list[RecordedVerdict]:
    """Return the recorded verdicts on a run: those that count first, and of these the latest."""
    signers = signers_of(session)
    recorded = [
        RecordedVerdict(verdict, counts=not signers or signers.of_verdict(runs, key, digest) is not None)
        for key, (verdict, digest) in runs.verdicts(run).items()
    ]
    return sorted(recorded, key=lambda one: (one.counts, one.verdict.created), reverse=True)
