"""How often a monitor calls a version bad that is not, and how fast it finds a shift: simulated nights, no store.

    python -m benchmarks.watching --nights 365 --columns 50

Each night has predictions of the same distribution as the reference (A/A), and is judged as `ciplug monitor` judges it:
the population stability index of every column, Holm over the columns, failures in a row. The reference is one sample,
so the nights of a year are not independent: that is why years are simulated, and not nights.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ciplug.config.gate import Baseline, LeastEffect, ResolvedGate
from ciplug.gates.drift_gate import checks
from ciplug.stats.drift_tests import ColumnDrift, DataDrift, numeric
from ciplug.stats.sample import Sample


@dataclass(frozen=True, kw_only=True)
class Setting:
    """One year."""

    columns: int = 50
    nights: int = 365
    rows: int = 1000
    """Predictions of a night."""
    reference: int = 5000
    consecutive: int = 3
    alpha: float = 0.05
    least: float = LeastEffect().psi
    shift: float = 0.0
    """Of the first column, in standard deviations, from the first night on."""


def failures(setting: Setting, seed: int) -> Iterator[bool]:
    """Whether each night fails."""
    draw = random.Random(seed)
    names = [f"c{number}" for number in range(setting.columns)]
    reference = {name: _sample(draw, setting.reference, 0.0) for name in names}
    gate = ResolvedGate(
        kind="drift",
        metric="drift",
        reference="reference",
        baseline=Baseline(),
        severity="error",
        on_missing="fail",
        on_no_baseline="warn",
        on_inconclusive="warn",
        atol=0.0,
        alpha=setting.alpha,
        min_effect=LeastEffect(psi=setting.least),
    )
    for _ in range(setting.nights):
        columns = {
            name: ColumnDrift(
                kind="numbers",
                tests=(numeric(reference[name], _sample(draw, setting.rows, setting.shift if name == "c0" else 0.0)),),
            )
            for name in names
        }
        results = checks("drift", gate, DataDrift(columns=columns))
        yield any(check.result.outcome == "FAIL" for check in results)


def _sample(draw: random.Random, count: int, mean: float) -> Sample:
    sample = Sample()
    sample.extend_complete([draw.gauss(mean, 1.0) for _ in range(count)])
    return sample


def issues(nights: Sequence[bool], consecutive: int) -> int:
    """How many issues are opened: one where so many nights in a row fail, closed by the first that does not."""
    count = row = 0
    for failed in nights:
        row = row + 1 if failed else 0
        count += row == consecutive
    return count


def nights_to_find(setting: Setting, seed: int) -> int | None:
    """The night on which the issue is opened; None: it is not."""
    row = 0
    for night, failed in enumerate(failures(setting, seed), 1):
        row = row + 1 if failed else 0
        if row == setting.consecutive:
            return night
    return None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("columns", "nights", "rows", "reference", "consecutive"):
        parser.add_argument(f"--{name}", type=int, default=getattr(Setting(), name))
    parser.add_argument("--years", type=int, default=1)
    parser.add_argument("--shift", type=float, default=0.3)
    args = parser.parse_args()
    given = {name: getattr(args, name) for name in ("columns", "nights", "rows", "reference", "consecutive")}
    quiet = Setting(**given)
    for seed in range(args.years):
        year = list(failures(quiet, seed))
        found = {needed: issues(year, needed) for needed in (1, 2, 3)}
        print(f"A/A year {seed}: {sum(year)} of {len(year)} nights fail; issues by consecutive: {found}", flush=True)
    moved = Setting(**{**given, "nights": 30, "shift": args.shift})
    nights = [nights_to_find(moved, 1000 + seed) for seed in range(max(3, args.years))]
    print(f"a shift of {args.shift} sd of one column is confirmed in night: {nights}")


if __name__ == "__main__":
    main()
