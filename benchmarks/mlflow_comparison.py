"""Two evaluations of models that are alike, or one worse: how often ciplug's gates and MLflow's comparison say so.

python benchmarks/mlflow_comparison.py [--pulls N] [--output FILE]

The other side is the code of MLflow 3.18, the first with `compare_evaluations`: its function that compares the values
of one scorer. It wants mlflow 3.18 and scipy in this environment. Its bootstrap interval is left out: what counts
here is `p_value < 0.05`, which does not depend on it.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
if __name__ == "__main__":
    sys.path[0] = str(ROOT)

from benchmarks.calibration import ALPHA, UP, Draw, Pull, judge  # noqa: E402
from ciplug.config.kinds import Mistakes, read_table  # noqa: E402
from ciplug.config.policy import Policy  # noqa: E402
from ciplug.records.examples import Examples  # noqa: E402
from ciplug.stats.holm import holm  # noqa: E402

BEGIN, END = "<!-- mlflow: written by benchmarks/mlflow_comparison.py -->", "<!-- end of mlflow -->"
Sides = tuple[Mapping[str, Any], Mapping[str, Any]]
"""Scorer → its values, of candidate and baseline."""


def ten_scorers(draw: Draw, loss: float, n: int = 200, together: float = 0.75) -> Sides:
    """Six of pass and fail, and four of numbers from 0 to 1: a bad answer is bad by most of them."""
    hard = draw.normal(0, 1, n)
    sides = []
    for worse in (loss, 0.0):
        answer = hard + draw.normal(0, 0.7, n) - worse
        columns: dict[str, Any] = {}
        for number in range(10):
            seen = math.sqrt(together) * answer + math.sqrt(1 - together) * draw.normal(0, 1, n)
            columns[f"s{number}"] = (seen > -0.8).astype(float) if number < 6 else 1 / (1 + np.exp(-seen))
        sides.append(columns)
    return sides[0], sides[1]


def five_trials(draw: Draw, loss: float) -> Sides:
    """100 tasks, each tried five times: a task is easier for one of two models that are as good on the whole."""
    shared, *own = draw.beta(2, 1, (3, 100))
    sides = []
    for rates, worse in zip(own, (loss, 0.0), strict=True):
        chance = np.clip(0.4 * shared + 0.6 * rates - worse, 0, 1)
        sides.append({"s0": (draw.random((100, 5)) < chance[:, None]).astype(float).ravel()})
    return sides[0], sides[1]


Decides = Callable[[Sides], dict[str, bool]]
"""Name of a way to decide → whether it says that the candidate is worse."""


def of_mlflow() -> tuple[Decides, str]:
    """The comparison of MLflow. Raises SystemExit where it is not installed."""
    try:
        import mlflow
        from mlflow.genai.evaluation.comparison import paired_comparison
    except ImportError as missing:
        raise SystemExit(f"{missing}: pip install 'mlflow>=3.18' scipy") from None

    paired_comparison._bootstrap_mean_ci = lambda deltas, level: (math.nan, math.nan)

    def decides(sides: Sides) -> dict[str, bool]:
        new, old = sides
        found = {
            name: paired_comparison._compare_paired_values(name, old[name], new[name], value_type="numeric")
            for name in new
        }
        corrected = holm({name: one.p_value for name, one in found.items()})
        return {
            "any": any(one.p_value < ALPHA for one in found.values()),
            "MLflow": any(one.p_value < ALPHA and one.diff < 0 for one in found.values()),
            "MLflow and Holm": any(corrected[name] < ALPHA and one.diff < 0 for name, one in found.items()),
        }

    return decides, str(mlflow.__version__)


def of_ciplug(names: Sequence[str], trials: int = 1) -> Decides:
    policies: dict[str, Policy] = {}
    for correction in ("holm", "max-t"):
        mistakes: Mistakes = []
        gates = {name: {**UP, "max_regression": 0} for name in names}
        keys = {"samples": "p.jsonl", "defaults": {"correction": correction}, "gates": gates}
        policies[correction] = read_table(Policy, keys, (), mistakes)
        assert not mistakes, mistakes

    def decides(sides: Sides) -> dict[str, bool]:
        n = len(sides[0][names[0]])
        more = {"clusters": [str(i // trials) for i in range(n)]} if trials > 1 else {}
        ours, theirs = (
            Examples(
                source="simulated",
                ids=[f"{i:05}" for i in range(n)],
                scores={name: column.tolist() for name, column in side.items()},
                **more,
            )
            for side in sides
        )
        pull = Pull(candidate=ours, baseline=theirs)
        return {
            f"ciplug, {correction}": judge(policy, names[0], pull).outcome == "FAIL"
            for correction, policy in policies.items()
        }

    return decides


COLUMNS = ("MLflow", "MLflow and Holm", "ciplug, holm", "ciplug, max-t")
SETS: tuple[tuple[str, Callable[[Draw, float], Sides], int, int, tuple[float, ...]], ...] = (
    ("ten scorers, 200 examples", ten_scorers, 10, 1, (0.0, 0.1, 0.2, 0.3, 0.4)),
    ("100 tasks tried 5 times", five_trials, 1, 5, (0.0, 0.02, 0.04, 0.06, 0.08)),
)


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description="Compare with MLflow, and write the table of docs/statistics.md.")
    parser.add_argument("--pulls", metavar="N", type=int, default=2_000)
    parser.add_argument("--output", metavar="FILE", type=Path, default=ROOT / "docs" / "statistics.md")
    args = parser.parse_args(argv)
    theirs, version = of_mlflow()
    lines = [
        f"MLflow {version} and ciplug on the same pairs of evaluations: {args.pulls:,} that are alike, half as many "
        f"of each loss. α = {ALPHA:.0%}.",
        "",
        "| evaluations | true loss | MLflow, any p < 0.05 | and worse | and Holm | ciplug, Holm | ciplug, max-t |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, draw_sides, scorers, trials, losses in SETS:
        ours = of_ciplug([f"s{number}" for number in range(scorers)], trials)
        for loss in losses:
            draw = np.random.default_rng(int(1000 * loss) + scorers)
            counts = dict.fromkeys(("any", *COLUMNS), 0)
            pulls = args.pulls if not loss else args.pulls // 2
            for _ in range(pulls):
                sides = draw_sides(draw, loss)
                for column, found in {**theirs(sides), **ours(sides)}.items():
                    counts[column] += found
            shares = " | ".join(f"{count / pulls:.1%}" for count in counts.values())
            lines.append(f"| {name} | {loss:g} | {shares} |")
            print(lines[-1], file=sys.stderr, flush=True)
    text = args.output.read_text(encoding="utf-8")
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise SystemExit(f"the markers are missing: {BEGIN} … {END}")
    args.output.write_text(f"{before}{BEGIN}\n" + "\n".join(lines) + f"\n{END}{after}", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
