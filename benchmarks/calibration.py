"""How often each test fails a candidate that is no worse, and finds one that is: simulated pull requests.

python benchmarks/calibration.py [--pulls N] [--output FILE]

Each design draws candidates from a model whose true loss is known, and asks the test. At a true loss that is just
the allowance, the share of FAIL must be the error rate α or less. Beside it stands the rule without statistics, which
fails on any measured loss beyond its margin. The suite runs the same designs with fewer pull requests.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
if __name__ == "__main__":
    sys.path[0] = str(ROOT)

from ciplug.records.examples import Examples  # noqa: E402
from ciplug.stats import drift_tests, means, proportions, resampling  # noqa: E402  # noqa: E402
from ciplug.stats.holm import holm  # noqa: E402
from ciplug.stats.intervals import Interval, Rule, Undecided, decide  # noqa: E402
from ciplug.stats.paired_examples import Paired  # noqa: E402
from ciplug.stats.sample import Sample  # noqa: E402
from ciplug.stats.scores import compare  # noqa: E402

ALPHA = 0.05
BEGIN, END = "<!-- calibration: written by benchmarks/calibration.py -->", "<!-- end of calibration -->"
Result = Interval | Undecided


@dataclass(frozen=True, kw_only=True)
class Design:
    """A kind of evaluation, and the test that it gets."""

    name: str
    pulls: Callable[[np.random.Generator, float, int, Rule], list[Result]]
    """From a true loss and a number of pull requests to what the test says of each."""
    allowed: float = 0.0
    margin: float = 0.01
    """Of the rule without statistics."""
    regression: float
    """The true loss that should be found."""
    power: float
    """How often it is, at least."""
    nominal: bool = True
    """The test reaches its α; else it keeps below, being exact on few possible values."""


@dataclass(frozen=True, kw_only=True)
class Rates:
    false_fails: float
    """FAIL at a true loss of just the allowance."""
    naive: float
    """Fails of the rule without statistics, where nothing has changed."""
    unchanged_fails: float
    """FAIL where nothing has changed."""
    found: float
    """FAIL at the stated regression."""
    passes_at_regression: float


def rates(design: Design, pulls: int, seed: int = 1) -> Rates:
    rule = Rule(higher_is_better=True, allowed=design.allowed, alpha=ALPHA)
    streams = np.random.default_rng(seed).spawn(3)
    same = design.pulls(streams[0], 0.0, pulls, rule)
    edge = design.pulls(streams[1], design.allowed, pulls, rule) if design.allowed else same
    worse = design.pulls(streams[2], design.regression, max(1, pulls // 4), rule)
    return Rates(
        false_fails=_share(edge, "FAIL"),
        naive=sum(isinstance(r, Interval) and r.estimate < -design.margin - 1e-9 for r in same) / pulls,
        unchanged_fails=_share(same, "FAIL"),
        found=_share(worse, "FAIL"),
        passes_at_regression=_share(worse, "PASS"),
    )


def _share(results: Sequence[Result], verdict: str) -> float:
    return sum(isinstance(r, Interval) and decide(r) == verdict for r in results) / len(results)


def independent(generator: np.random.Generator, loss: float, pulls: int, rule: Rule) -> list[Result]:
    """1,000 examples a side, another draw for each, accuracy 0.85."""
    test = lru_cache(maxsize=None)(lambda a, b: proportions.newcombe((a, 1000), (b, 1000), rule))
    new, old = generator.binomial(1000, 0.85 - loss, pulls), generator.binomial(1000, 0.85, pulls)
    return [test(int(a), int(b)) for a, b in zip(new, old, strict=True)]


def _paired(
    test: Callable[[int, int, Rule], Result], disagreement: float = 0.1, n: int = 1000
) -> Callable[[np.random.Generator, float, int, Rule], list[Result]]:
    """The same n examples on both sides, which disagree on some of them."""

    def pulls(generator: np.random.Generator, loss: float, pulls: int, rule: Rule) -> list[Result]:
        shares = [(disagreement + loss) / 2, (disagreement - loss) / 2, 1 - disagreement]
        cached = lru_cache(maxsize=None)(lambda losses, wins: test(losses, wins, rule))
        return [cached(int(losses), int(wins)) for losses, wins, _ in generator.multinomial(n, shares, pulls)]

    return pulls


def _mcnemar(losses: int, wins: int, rule: Rule) -> Result:
    return proportions.mcnemar(losses=losses, wins=wins, n=1000, rule=rule)


def _bootstrap(losses: int, wins: int, rule: Rule) -> Result:
    return resampling.bootstrap_mean(np.repeat([-1.0, 1.0, 0.0], [losses, wins, 1000 - losses - wins]), rule)


def _newcombe_paired(losses: int, wins: int, rule: Rule) -> Result:
    both = round(0.85 * (1000 - losses - wins))
    rest = 1000 - losses - wins - both
    return proportions.newcombe_paired(both=both, losses=losses, wins=wins, neither=rest, rule=rule)


def small_bootstrap(generator: np.random.Generator, loss: float, pulls: int, rule: Rule) -> list[Result]:
    """50 normal differences: where the expansion of the tails matters."""
    return [resampling.bootstrap_mean(row, rule) for row in generator.normal(-loss, 1, (pulls, 50))]


def sign_flips(generator: np.random.Generator, loss: float, pulls: int, rule: Rule) -> list[Result]:
    """200 differences of heavy-tailed scores that either side draws alike."""
    new, old = generator.lognormal(0, 1, (2, 200, pulls))
    return resampling.sign_flip(new - old - loss, np.ones(200), [rule] * pulls, seed=3)


def clusters(generator: np.random.Generator, loss: float, pulls: int, rule: Rule) -> list[Result]:
    """60 clusters of 1 to 9 examples, whose differences go together."""
    sizes = generator.integers(1, 10, 60)
    shared = generator.normal(0, 1, (60, pulls)) * sizes[:, None]
    own = generator.normal(0, 1, (60, pulls)) * np.sqrt(sizes)[:, None]
    return resampling.sign_flip(shared + own - loss * sizes[:, None], sizes.astype(float), [rule] * pulls, seed=3)


def seeds(generator: np.random.Generator, loss: float, pulls: int, rule: Rule) -> list[Result]:
    """5 seeds a side with a standard deviation of 0.8 points."""
    new, old = generator.normal(0.9, 0.008, (2, pulls, 5))
    return [means.welch(a - loss, b, rule) for a, b in zip(new, old, strict=True)]


def history(generator: np.random.Generator, loss: float, pulls: int, rule: Rule) -> list[Result]:
    """One number beside those of 12 earlier runs."""
    values = generator.normal(0.9, 0.008, (pulls, 13))
    return [means.prediction(row[0] - loss, row[1:].tolist(), rule) for row in values]


def _scored(metric: str, n: int) -> Callable[[np.random.Generator, float, int, Rule], list[Result]]:
    """Two classifiers of two classes that share half of their noise; the candidate has `loss` more of its own."""

    def pulls(generator: np.random.Generator, loss: float, pulls: int, rule: Rule) -> list[Result]:
        results = []
        for _ in range(pulls):
            labels = (generator.random(n) < 0.4).astype(float)
            shared, new, old = generator.normal(0, 0.5, (3, n))
            sides = [labels + shared + new * (1 + loss), labels + shared + old]
            new_side, old_side = (
                Examples(
                    source="simulated",
                    ids=[str(i) for i in range(n)],
                    labels=[str(int(v)) for v in labels],
                    predictions=[str(int(v > 0.5)) for v in side],
                    scores={"score": side},  # type: ignore[dict-item]
                )
                for side in sides
            )
            results.append(compare(Paired(new_side, old_side), metric, rule)[2])
        return results

    return pulls


def family(generator: np.random.Generator, loss: float, pulls: int, rule: Rule) -> list[Result]:
    """Twenty metrics of 1,000 examples, of which the first has lost; the worst of them speaks, after Holm."""
    test = lru_cache(maxsize=None)(
        lambda losses, wins: proportions.mcnemar(losses=losses, wins=wins, n=1000, rule=rule)
    )
    results: list[Result] = []
    for _ in range(pulls):
        drawn = generator.multinomial(1000, [0.05, 0.05, 0.9], 20)
        drawn[0] = generator.multinomial(1000, [0.05 + loss / 2, 0.05 - loss / 2, 0.9])
        tests = [test(int(losses), int(wins)) for losses, wins, _ in drawn]
        adjusted = holm({i: t.p for i, t in enumerate(tests)})
        # The family speaks by its worst, which no upper bound lets fail where Holm's correction does not.
        worst = min(range(20), key=lambda i: tests[i].p)
        failed = decide(tests[worst], adjusted_p=adjusted[worst]) == "FAIL"
        results.append(tests[worst] if failed else replace(tests[worst], high=math.inf))
    return results


QUICK = (
    Design(name="proportions of independent sets, Newcombe", pulls=independent, regression=0.05, power=0.9),
    Design(
        name="proportions of independent sets, 1 point allowed, Newcombe",
        pulls=independent,
        allowed=0.01,
        regression=0.06,
        power=0.85,
    ),
    Design(
        name="right or wrong on the same examples, exact McNemar",
        pulls=_paired(_mcnemar),
        regression=0.03,
        power=0.85,
        nominal=False,
    ),
    Design(
        name="right or wrong on the same examples, 1 point allowed, bootstrap",
        pulls=_paired(_bootstrap),
        allowed=0.01,
        regression=0.04,
        power=0.85,
        nominal=False,
    ),
    Design(
        name="right or wrong on the same examples, 1 point allowed, Newcombe",
        pulls=_paired(_newcombe_paired),
        allowed=0.01,
        regression=0.04,
        power=0.85,
    ),
    Design(
        name="mean of 50 scores, bootstrap with expanded tails",
        pulls=small_bootstrap,
        margin=0.1,
        regression=0.5,
        power=0.95,
    ),
    Design(name="mean of 200 heavy-tailed scores, sign-flip", pulls=sign_flips, margin=0.1, regression=0.7, power=0.8),
    Design(name="mean of scores in 60 clusters, sign-flip", pulls=clusters, margin=0.1, regression=0.5, power=0.8),
    Design(name="5 seeds a side, Welch", pulls=seeds, regression=0.015, power=0.75),
    Design(name="one number beside 12 runs, prediction interval", pulls=history, regression=0.03, power=0.9),
    Design(name="20 metrics, McNemar and Holm", pulls=family, regression=0.05, power=0.9, nominal=False),
)
SLOW = (
    Design(name="F1 of 300 examples, bootstrap", pulls=_scored("f1", 300), regression=1.0, power=0.7),
    Design(name="AUC of 150 examples, bootstrap", pulls=_scored("auc", 150), regression=1.0, power=0.6),
)


def drift_rates(pulls: int, n: int, m: int, seed: int = 1) -> dict[str, float]:
    """How often data that have not moved are said to have, by each test, and by the customary PSI > 0.1."""
    generator = np.random.default_rng(seed)
    found: dict[str, float] = {"psi": 0, "ks": 0, "chi2": 0, "PSI > 0.1": 0}
    for _ in range(pulls):
        a, b = generator.normal(size=n).tolist(), generator.normal(size=m).tolist()
        numbers = Sample(a), Sample(b)
        results: dict[str, Any] = {test: drift_tests.numeric(*numbers, test=test) for test in ("psi", "ks")}
        results["chi2"] = drift_tests.categorical(*(Counter(str(round(v)) for v in side) for side in (a, b)))
        for name, result in results.items():
            found[name] += result.drifted(alpha=ALPHA, floor=0) / pulls
        found["PSI > 0.1"] += (results["psi"].effect > 0.1) / pulls
    return found


def bootstraps_of_a_mean(kind: str, n: int, pulls: int, seed: int = 1) -> dict[str, tuple[float, float]]:
    """How often the true mean lies above, and below, the interval of each kind of bootstrap."""
    from scipy import stats

    generator = np.random.default_rng(seed)
    if kind == "normal":
        values, truth = generator.normal(size=(pulls, n)), 0.0
    elif kind == "heavy tails, as between two like models":
        values, truth = generator.lognormal(size=(pulls, n)) - generator.lognormal(size=(pulls, n)), 0.0
    else:
        values, truth = generator.lognormal(size=(pulls, n)), math.exp(0.5)
    rule = Rule(higher_is_better=True, alpha=ALPHA)
    ours = [r for row in values if isinstance(r := resampling.bootstrap_mean(row, rule), Interval)]
    bounds = {"expanded percentile (ciplug)": (np.array([r.low for r in ours]), np.array([r.high for r in ours]))}
    for method in ("percentile", "BCa"):
        interval = stats.bootstrap(
            (values,),
            np.mean,
            axis=-1,
            n_resamples=2_000,
            batch=50,
            confidence_level=1 - 2 * ALPHA,
            method=method,
            rng=1,
        ).confidence_interval
        bounds[f"{method} (scipy)"] = interval.low, interval.high
    return {name: (float((high < truth).mean()), float((low > truth).mean())) for name, (low, high) in bounds.items()}


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description="Simulate pull requests, and write the table of docs/statistics.md.")
    parser.add_argument("--pulls", metavar="N", type=int, default=10_000)
    parser.add_argument("--output", metavar="FILE", type=Path, default=ROOT / "docs" / "statistics.md")
    args = parser.parse_args(argv)
    lines = [
        "| test | fails at the allowance | fails unchanged | naive rule fails unchanged | a regression of | is found |",
        "|---|---|---|---|---|---|",
    ]
    for design in (*QUICK, *SLOW):
        pulls = args.pulls if design in QUICK else max(1, args.pulls // 10)
        r = rates(design, pulls)
        regression = f"{design.regression:g}" + (" more noise" if design in SLOW else "")
        shares = f"{r.false_fails:.1%} | {r.unchanged_fails:.1%} | {r.naive:.1%}"
        lines.append(f"| {design.name} | {shares} | {regression} | {r.found:.0%} |")
        print(lines[-1], file=sys.stderr, flush=True)
    lines += ["", "| rows, reference and current | PSI by n | KS | χ² | PSI > 0.1 |", "|---|---|---|---|---|"]
    for n, m in ((100, 100), (500, 500), (5000, 300)):
        d = drift_rates(max(1, args.pulls // 10), n, m)
        lines.append(f"| {n:,} and {m:,} | " + " | ".join(f"{share:.1%}" for share in d.values()) + " |")
        print(lines[-1], file=sys.stderr, flush=True)
    lines += [
        "",
        "| differences | n | expanded percentile (ciplug) | percentile (scipy) | BCa (scipy) |",
        "|---|---|---|---|---|",
    ]
    for kind in ("normal", "heavy tails, as between two like models", "skewed to one side"):
        for n in (20, 50, 200):
            found = bootstraps_of_a_mean(kind, n, max(1, args.pulls // 10))
            shares = (f"{above:.1%} / {below:.1%}" for above, below in found.values())
            lines.append(f"| {kind} | {n} | {' | '.join(shares)} |")
            print(lines[-1], file=sys.stderr, flush=True)
    worst = 2.58 * math.sqrt(ALPHA * (1 - ALPHA) / args.pulls)
    accuracy = f"± {worst:.1%}; F1, AUC and drift: a tenth as many"
    head = f"α = {ALPHA:.0%}, {args.pulls:,} simulated pull requests a row ({accuracy})."
    text = args.output.read_text(encoding="utf-8")
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise SystemExit(f"the markers are missing: {BEGIN} … {END}")
    args.output.write_text(f"{before}{BEGIN}\n" + "\n".join([head, "", *lines]) + f"\n{END}{after}", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
