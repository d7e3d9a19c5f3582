"""How often a version in production has failed in a row, by its monitor runs. Pure.

A window that was judged twice counts once, by the last run that decided it. One that could not be decided is passed
over: it is neither a failure nor a recovery.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from ciplug.errors import counted
from ciplug.records import moment
from ciplug.records.monitored import Monitored
from ciplug.records.run import Run

FAILED = ("FAIL", "ERROR")
UNDECIDED = "INCONCLUSIVE"
_DAY = 86_400.0


@dataclass(frozen=True)
class Streak:
    """The monitor runs of a version, the last first, one for each window."""

    windows: Sequence[Run]
    """All of them, those that were not decided among them."""
    failures: Sequence[Run]
    """The failures since the last window that passed."""
    passes: int = 0
    """Windows in a row that passed, up to the last that was decided."""


def streak(runs: Iterable[Run], outcome: Callable[[Monitored], str | None]) -> Streak:
    """The failures in a row.

    Args:
        runs: of one version in one stage.
        outcome: the outcome that counts; None: the window has none.
    """
    windows = _windows(runs, outcome)
    decided = [run for run in windows if _is_decided(run, outcome)]
    failed = [_of(run, outcome) in FAILED for run in decided]
    first_pass = failed.index(False) if False in failed else len(failed)
    if first_pass:
        return Streak(windows, decided[:first_pass])
    passes = failed.index(True) if True in failed else len(failed)
    return Streak(windows, (), passes)


def told_before(runs: Sequence[Run], outcome: Callable[[Monitored], str | None], consecutive: int) -> Streak | None:
    """The failures that a look before the last one confirmed, and that no look since found to be over; None: none.

    A window may be looked at again: what is known of it now is not what people were told.

    Args:
        runs: as `streak` takes them, the last recorded first.
        consecutive: how many failures in a row are confirmed.
    """
    for number in range(1, len(runs)):
        then = streak(runs[number:], outcome)
        if len(then.failures) >= consecutive:
            return then
        if then.passes:
            return None
    return None


def streak_text(failures: int, consecutive: int) -> str:
    """ "confirmed: 3 windows in a row failed"."""
    words = f"{counted(failures, 'window')}{' in a row' if failures != 1 else ''} failed"
    return f"confirmed: {words}" if failures >= consecutive else f"{words}; {consecutive} in a row confirm the failure"


def _of(run: Run, outcome: Callable[[Monitored], str | None]) -> str | None:
    return None if run.monitor is None else outcome(run.monitor)


def _is_decided(run: Run, outcome: Callable[[Monitored], str | None]) -> bool:
    return _of(run, outcome) not in (None, UNDECIDED)


def _windows(runs: Iterable[Run], outcome: Callable[[Monitored], str | None]) -> list[Run]:
    """One run for each window, the last first.

    A job that is started again judges nearly the same window: one that ends within half a window, or half a day, of
    the one after it is the same. If its files are gone by then, what was found before still counts.
    """
    found = sorted(
        (run for run in runs if run.monitor is not None), key=lambda run: (_end(run), run.ended, run.id), reverse=True
    )
    windows: list[Run] = []
    last: Run | None = None
    for run in found:
        if last is None or _end(last) - _end(run) >= min(_length(last), _DAY) / 2:
            windows.append(run)
            last = run
        elif _is_decided(run, outcome) and not _is_decided(windows[-1], outcome):
            windows[-1] = run
    return windows


def _seconds(text: str) -> float:
    try:
        return moment.parse(text).timestamp()
    except ValueError:
        return 0.0


def _end(run: Run) -> float:
    return _seconds(run.monitor.until) if run.monitor else 0.0


def _length(run: Run) -> float:
    return _end(run) - _seconds(run.monitor.since) if run.monitor else 0.0
