"""The exit code of a whole pipeline step. Pure."""

from __future__ import annotations


def exit_code_of_ci(*, training: int, recording: int, report: int = 0, keeping: int = 0, gates: int = 0) -> int:
    """The first failure decides; 0 when all went well.

    Args:
        training: the exit code of the training command.
        recording: 2 or 3 where an input was not taken, or the run not stored.
        report: that of an error which left a model unjudged, or the whole report unwritten.
        keeping: that of an error in keeping the verdict.
        gates: 1 where the verdict fails the job.
    """
    return training or recording or report or keeping or gates
