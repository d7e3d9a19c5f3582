"""What a report says of a training that did not finish: once, and before all else."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from ciplug.records.notice import Notice
    from ciplug.records.run import Run
    from ciplug.records.verdict import GateResult


class Crash(NamedTuple):
    """How a training ended that did not finish."""

    words: str
    """ "The training failed (exit code 1)"."""
    error: str | None
    """The exception, where the output shows one."""
    lines: tuple[str, ...]
    """The last lines of the output."""

    @property
    def more(self) -> str:
        """What a report says behind the words: the exception, else what to think of the numbers and where to look."""
        if self.error or self.lines:
            return self.error or _INCOMPLETE
        return f"{_INCOMPLETE}. → look at the log of the training"

    def is_told_by_notice(self, notice: Notice) -> bool:
        """Whether a notice says only what these words say already."""
        return notice.line.startswith(f"{self.words}: {_INCOMPLETE}")

    def is_told_by_gate(self, gate: GateResult) -> bool:
        """Whether a check of the run says only what these words say already."""
        how = self.words.removeprefix("The training ")
        return gate.gate == "run" and gate.reason == f"the run {how}: its numbers decide nothing"


_INCOMPLETE = "its numbers may be incomplete"


def crash_of(run: Run) -> Crash | None:
    """What to show first of a run that did not finish; None of one that did."""
    if run.status not in ("failed", "killed"):
        return None
    origin = run.provenance
    how = origin.signal or (f"exit code {origin.exit_code}" if origin.exit_code else "")
    words = "The training failed" if run.status == "failed" else "The training was killed"
    return Crash(f"{words} ({how})" if how else words, origin.error, origin.last_lines)
