"""The verdicts that were recorded on a run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ciplug.records.run import Run
from ciplug.records.verdict import Verdict
from ciplug.steps.session import Session
from ciplug.steps.signatures import signers_of

if TYPE_CHECKING:
    from ciplug.tracking.runs import Runs


def verdicts_on(session: Session, runs: Runs, run: Run) -> list[Verdict]:
    """Return the recorded verdicts on a run, the latest first; with `signers`, those that are signed."""
    signers = signers_of(session)
    counting = [
        verdict
        for key, (verdict, digest) in runs.verdicts(run).items()
        if not signers or signers.of_verdict(runs, key, digest)
    ]
    return sorted(counting, key=lambda verdict: verdict.created, reverse=True)
