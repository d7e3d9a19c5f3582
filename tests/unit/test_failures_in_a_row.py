"""Which run of a window counts, and how often a version has failed in a row."""

from __future__ import annotations

import pytest

from ciplug.comparison.failures_in_a_row import streak
from ciplug.records.monitored import Monitored
from ciplug.records.run import Run


def look(hour: int, outcome: str, again: int = 0) -> Run:
    """The window of a day that ends at an hour, counted from the first of December."""
    day, rest = divmod(hour, 24)
    until = f"2026-12-{day + 1:02}T{rest:02}:{again:02}:00.000Z"
    since = f"2026-11-30T{rest:02}:{again:02}:00.000Z" if not day else f"2026-12-{day:02}T{rest:02}:{again:02}:00.000Z"
    return Run(
        id=f"{hour}-{again}", model="wine", status="finished", started=until, ended=until,
        monitor=Monitored(version=1, stage="Production", since=since, until=until, outcome=outcome, policy="p"),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("looks", "failures"),
    [
        ([look(4, "FAIL"), look(28, "FAIL")], ["28-0", "4-0"]),
        # A job that is started again when the files are gone takes no failure back.
        ([look(4, "FAIL"), look(28, "FAIL"), look(28, "INCONCLUSIVE", 20)], ["28-0", "4-0"]),
        ([look(4, "FAIL"), look(4, "INCONCLUSIVE", 1), look(28, "FAIL", 5)], ["28-5", "4-0"]),
        # Other labels may; and a failure that was found again counts once.
        ([look(4, "FAIL"), look(28, "FAIL"), look(28, "PASS", 20)], []),
        ([look(4, "FAIL"), look(4, "FAIL", 9), look(28, "PASS"), look(28, "FAIL", 20)], ["28-20", "4-9"]),
        # One that was decided by nobody is passed over, and no window grows by it.
        ([look(4, "FAIL"), look(28, "INCONCLUSIVE"), look(52, "FAIL")], ["52-0", "4-0"]),
    ],
)
def test_a_window_counts_once_by_the_last_run_that_decided_it(looks: list[Run], failures: list[str]) -> None:
    found = streak(looks, lambda seen: seen.outcome)
    assert [run.id for run in found.failures] == failures
