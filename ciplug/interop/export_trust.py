"""Who has recorded a run, in a word that its copy in another system keeps."""

from __future__ import annotations

from collections.abc import Callable

from ciplug.records.run import Run
from ciplug.steps.session import Session
from ciplug.steps.signers import signers_of

TRUSTED, UNSIGNED, FORK = "trusted", "unsigned", "fork"
"""From the most to the least. `unsigned`: the policy names signers, and none of them has signed it."""
NOT_RECORDED = "not recorded"
"""A run of this machine that is still open, or waits here to be sealed."""
_ORDER = (FORK, UNSIGNED, TRUSTED)
_DEEPEST = 100


class RunTrust:
    """The trust in the runs of a store; a child run has no more of it than the runs that started it.

    Args:
        record: returns the record of a run by its id.
    """

    def __init__(self, session: Session, record: Callable[[str], Run | None]) -> None:
        self._session, self._record = session, record
        self._known: dict[str, str] = {}

    def of(self, run: Run) -> str:
        words = []
        line: set[str] = set()
        one: Run | None = run
        while one is not None and one.id not in line and len(line) < _DEEPEST:
            line.add(one.id)
            words.append(self._alone(one))
            one = self._record(one.parent) if one.parent else None
        return min(words, key=_ORDER.index)

    def _alone(self, run: Run) -> str:
        if run.id not in self._known:
            self._known[run.id] = self._read(run)
        return self._known[run.id]

    def _read(self, run: Run) -> str:
        if not run.provenance.context.trusted:
            return FORK
        signers = signers_of(self._session)
        if not signers:
            return TRUSTED
        runs = self._session.remember("runs for trust", self._session.runs)
        return UNSIGNED if signers.of_run(runs, run) is None else TRUSTED
