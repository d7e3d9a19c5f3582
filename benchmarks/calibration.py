"""How often a gate fails a candidate that is no worse, passes one that is, and finds a loss: simulated pull requests.

python -m benchmarks.calibration [--pulls N] [--only TEXT] [--output FILE]

Each design draws a candidate and a baseline whose true difference is known, and asks the real gate, from the policy to
the verdict. At a true loss of exactly the allowance R, a FAIL and a PASS are both errors, and each must not be more
frequent than α. Beside it stands the rule without statistics, which fails on any measured loss beyond R. The suite runs
the same designs with fewer pull requests.
"""

from __future__ import annotations

import argparse
import math
import sys
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
if __name__ == "__main__":
    sys.path[0] = str(ROOT)

from ciplug.config.kinds import Mistakes, read_table  # noqa: E402
from ciplug.config.policy import Policy  # noqa: E402
from ciplug.gates.evaluate import evaluate  # noqa: E402
from ciplug.gates.evidence import Evidence  # noqa: E402
from ciplug.records.comparison import Side  # noqa: E402
from ciplug.records.examples import Examples, means  # noqa: E402
from ciplug.records.run import Run  # noqa: E402
from ciplug.records.verdict import PolicySource, Verdict  # noqa: E402
from ciplug.stats import drift_tests  # noqa: E402
from ciplug.stats.alpha_spending import look_of_seeds  # noqa: E402
from ciplug.stats.distributions import normal_isf  # noqa: E402
from ciplug.stats.sample import Sample  # noqa: E402

ALPHA = 0.05
BEGIN, END = "<!-- calibration: written by benchmarks/calibration.py -->", "<!-- end of calibration -->"
COMMIT = "1a2b3c4d" * 5
Draw = np.random.Generator


Measured: TypeAlias = "float | Sequence[float] | Examples | Sequence[Examples]"
"""One number, one a seed, the examples, or those of each seed."""


@dataclass(frozen=True, kw_only=True)
class Pull:
    """One pull request: what is measured of candidate and baseline."""

    candidate: Measured
    baseline: Measured | None = None
    history: Sequence[float] = ()
    n: int | None = None
    """The examples that either number is a proportion of."""
    among: int = 1
    """Runs that the baseline is the best of."""
    reruns: Sequence[float] = ()
    """Numbers of earlier runs of the commit."""


@dataclass(frozen=True, kw_only=True)
class Design:
    """A kind of evaluation, and the gate that judges it."""

    name: str
    draw: Callable[[Draw, float], Pull]
    """From a true loss, beside the baseline or below the bound, to a pull request."""
    gate: Mapping[str, Any]
    allowed: float
    """R: the true loss at which both FAIL and PASS are errors."""
    twice: float
    """The true loss that should be found; 2R, if no other is named."""
    metric: str = "accuracy"
    policy: Mapping[str, Any] = field(default_factory=dict)
    others: Mapping[str, Any] = field(default_factory=dict)
    """The other gates of the policy."""
    holds: bool = True
    """Whether the gate promises α: a comparison of two numbers does not."""
    power: float = 0.0
    """How often the loss of `twice` is found, at least."""
    passes: float = 0.0
    """How often an unchanged candidate passes, at least."""
    unchanged: float = 0.0
    """The true loss of an unchanged candidate: above a bound, it is below 0."""


def judge(policy: Policy, metric: str, pull: Pull) -> Verdict:
    """The verdict of a policy of one gate or several, whose metrics begin with `metric`."""
    ours, our_examples = _side("candidate", metric, pull.candidate, pull.n)
    theirs, their_examples = (
        (Side(role="baseline", label="", how=""), {})
        if pull.baseline is None
        else _side("baseline", metric, pull.baseline, pull.n, pull.among)
    )
    held = {run: e for side, kept in ((ours, our_examples), (theirs, their_examples)) for run, e in kept.items()}
    evidence = Evidence(
        candidate=ours,
        baselines=dict.fromkeys(policy.gates, theirs),
        history={metric: pull.history},
        reruns={metric: pull.reruns} if pull.reruns else {},
        looks=(look_of_seeds(len(ours.runs), policy.seeds.min_runs) if policy.seeds else 1) + len(pull.reruns),
        examples=held,
    )
    run = Run(id=ours.run or "", model="m", commit=COMMIT, status="finished", started="", ended="")
    return evaluate(policy, evidence, run, created="", policy_source=PolicySource(file="ciplug.yaml"))


def policy_of(design: Design) -> Policy:
    mistakes: Mistakes = []
    keys = {"samples": "p.jsonl", **design.policy}
    policy: Policy = read_table(Policy, {"gates": {design.metric: design.gate, **design.others}, **keys}, (), mistakes)
    assert not mistakes, mistakes
    return policy


def _side(
    role: Any, metric: str, measured: Measured, n: int | None, among: int = 1
) -> tuple[Side, Mapping[str, Examples]]:
    repeats: dict[str, tuple[float, ...]] = {}
    examples: dict[str, Examples] = {}
    if isinstance(measured, Examples):
        metrics = {**means(measured), **_scored(metric, measured)}
        examples = {role[0] * 32: measured}
    elif isinstance(measured, (int, float)):
        metrics = {metric: float(measured)}
    else:
        values = [means(one)[metric] if isinstance(one, Examples) else float(one) for one in measured]
        repeats = {metric: tuple(values)}
        metrics = {metric: float(np.mean(values))}
        examples = {f"{role}{i}": one for i, one in enumerate(measured) if isinstance(one, Examples)}
    if n is not None:
        metrics["rows"] = float(n)
    runs = tuple(f"{role}{i}" for i in range(len(repeats[metric]))) if repeats else ()
    run = runs[0] if examples and runs else role[0] * 32
    side = Side(role=role, label=role, how="", run=run, metrics=metrics, repeats=repeats, runs=runs, among=among)
    return side, examples


def _scored(metric: str, examples: Examples) -> dict[str, float]:
    """F1, recall and AUC as a training would report them."""
    if examples.labels is None or metric not in ("f1", "recall", "auc"):
        return {}
    labels = np.asarray(examples.labels) == "1"
    if metric == "auc":
        numbers = np.asarray(examples.scores["score"])
        ranks = np.argsort(np.argsort(numbers)) + 1.0
        m = labels.sum()
        return {"auc": float((ranks[labels].sum() - m * (m + 1) / 2) / (m * (len(labels) - m)))}
    said = np.asarray(examples.predictions) == "1"
    true = (labels & said).sum()
    return {metric: float(2 * true / (labels.sum() + said.sum()) if metric == "f1" else true / labels.sum())}


@dataclass(frozen=True, kw_only=True)
class Rates:
    false_fails: float
    """FAIL at a true loss of R."""
    false_passes: float
    """PASS at a true loss of R."""
    found: float
    """FAIL at the loss that should be found."""
    passed: float
    """PASS of an unchanged candidate."""
    naive_fails: float
    """Fails of the unchanged candidate by the rule without statistics."""


def _streams(design: Design) -> list[Draw]:
    """Random numbers of the design alone, so that luck is not shared: at the edge, of a loss, and unchanged."""
    return np.random.default_rng(zlib.crc32(design.name.encode())).spawn(3)


def rates(design: Design, pulls: int) -> Rates:
    policy, number = policy_of(design), policy_of(_naive(design))
    streams = _streams(design)
    worse, same = (
        [design.draw(stream, loss) for _ in range(pulls)]
        for stream, loss in zip(streams[1:], (design.twice, design.unchanged), strict=True)
    )
    fails, passes = at_the_edge(design, pulls)
    return Rates(
        false_fails=fails,
        false_passes=passes,
        found=_share(policy, design, worse, "FAIL"),
        passed=_share(policy, design, same, "PASS"),
        naive_fails=_share(number, design, same, "FAIL"),
    )


def at_the_edge(design: Design, pulls: int) -> tuple[float, float]:
    """FAIL and PASS at a true loss of exactly R: both are errors."""
    policy, draw = policy_of(design), _streams(design)[0]
    found = Counter(judge(policy, design.metric, design.draw(draw, design.allowed)).outcome for _ in range(pulls))
    return found["FAIL"] / pulls, found["PASS"] / pulls


def _share(policy: Policy, design: Design, pulls: Sequence[Pull], outcome: str) -> float:
    return sum(judge(policy, design.metric, pull).outcome == outcome for pull in pulls) / len(pulls)


def _naive(design: Design) -> Design:
    """The same rules on one number a run."""
    gate = {key: value for key, value in design.gate.items() if key not in ("n", "history", "baseline")}
    return replace(design, gate={**gate, "test": "point"}, policy={}, others=_as_numbers(design.others))


def _as_numbers(gates: Mapping[str, Any]) -> dict[str, Any]:
    return {name: {**gate, "test": "point"} for name, gate in gates.items()}


# --- One number a run ----------------------------------------------------------------------------------------------

NOISE = 0.008
"""The standard deviation of one training from the next."""


def point(draw: Draw, loss: float) -> Pull:
    new, old = draw.normal(0.9, NOISE, 2)
    return Pull(candidate=new - loss, baseline=old)


def history(kind: str, runs: int = 20) -> Callable[[Draw, float], Pull]:
    """The baseline is the last run of the history, and the candidate the next one."""

    def pull(draw: Draw, loss: float) -> Pull:
        values = draw.normal(0, NOISE, runs + 1)
        if kind == "autocorrelated":
            values = np.empty(runs + 1)
            values[0] = draw.normal(0, NOISE)
            for i in range(runs):
                values[i + 1] = 0.95 * values[i] + draw.normal(0, NOISE * math.sqrt(1 - 0.95**2))
        if kind == "trend":
            values[:-1] += 0.003 * np.arange(-runs + 1, 1)  # the candidate changes nothing but by its loss
        if kind == "jump":
            values[: runs // 2] -= 0.2
        values += 0.9
        return Pull(candidate=values[-1] - loss, baseline=values[-2], history=values[:-1].tolist())

    return pull


def best(draw: Draw, loss: float) -> Pull:
    """The baseline is the best of the last ten runs of twenty, none of which is better than another."""
    values = draw.normal(0.9, NOISE, 21)
    return Pull(candidate=values[-1] - loss, baseline=values[10:20].max(), history=values[:-1].tolist(), among=10)


def seeds(count: int) -> Callable[[Draw, float], Pull]:
    def pull(draw: Draw, loss: float) -> Pull:
        new, old = draw.normal(0.9, NOISE, (2, count))
        return Pull(candidate=(new - loss).tolist(), baseline=old.tolist())

    return pull


def independent(draw: Draw, loss: float) -> Pull:
    """1,000 examples a side, another draw for each, accuracy 0.85."""
    return Pull(candidate=draw.binomial(1000, 0.85 - loss) / 1000, baseline=draw.binomial(1000, 0.85) / 1000, n=1000)


# --- Example by example --------------------------------------------------------------------------------------------


def answers(right: Any, **more: Any) -> Examples:
    n = len(right)
    return Examples(
        source="simulated",
        ids=[f"{i:06}" for i in range(n)],
        labels=["1"] * n,
        predictions=["1" if one else "0" for one in right],
        **more,
    )


def paired(n: int, differing: float, *, lost: int = 0) -> Callable[[Draw, float], Pull]:
    """Right and wrong on the same examples; `differing` is the share that the candidate alone has right.

    lost: examples that the candidate lacks, of those that it has wrong.
    """

    def pull(draw: Draw, loss: float) -> Pull:
        where = draw.random(n)
        old = draw.random(n) < 0.85
        gains, losses = where < differing, (where >= differing) & (where < 2 * differing + loss)
        new = (old & ~losses) | gains
        old = (old | losses) & ~gains
        ours = answers(new)
        if lost:
            gone = set(np.flatnonzero(~new)[:lost].tolist())
            kept = [i for i in range(n) if i not in gone]
            ours = answers(new[kept])
            ours = Examples(**{**vars(ours), "ids": [f"{i:06}" for i in kept]})
        return Pull(candidate=ours, baseline=answers(old))

    return pull


def numbers(values: Any, name: str = "loss", **more: Any) -> Examples:
    return Examples(
        source="simulated", ids=[f"{i:06}" for i in range(len(values))], scores={name: values.tolist()}, **more
    )


def skewed(n: int, *, up: bool) -> Callable[[Draw, float], Pull]:
    """A latency or loss of each example, whose changes are lognormal: few are large. `up`: the losses are."""

    def pull(draw: Draw, loss: float) -> Pull:
        old = draw.lognormal(0, 1, n)
        change = draw.lognormal(-1, 1, n)
        change = (change - math.exp(-0.5)) * (1 if up else -1)
        return Pull(candidate=numbers(old + change + loss), baseline=numbers(old))

    return pull


def log_losses(n: int) -> Callable[[Draw, float], Pull]:
    """Two like models' log-losses; the loss is added to the mean."""

    def pull(draw: Draw, loss: float) -> Pull:
        margin = draw.normal(2, 1.5, n)
        other = margin + draw.normal(0, 0.8, n)
        old, new = np.log1p(np.exp(-margin)), np.log1p(np.exp(-other))
        return Pull(candidate=numbers(new - _GAP + loss), baseline=numbers(old))

    return pull


def _gap() -> float:
    draw = np.random.default_rng(0)
    margin = draw.normal(2, 1.5, 4_000_000)
    other = margin + draw.normal(0, 0.8, 4_000_000)
    return float((np.log1p(np.exp(-other)) - np.log1p(np.exp(-margin))).mean())


_GAP = 0.0373
"""What the noise of the other model adds to its mean log-loss: `_gap()`."""


def clusters(draw: Draw, loss: float) -> Pull:
    """60 users with 1 to 9 examples, whose differences go together."""
    sizes = draw.integers(1, 10, 60)
    of = np.repeat(np.arange(60), sizes)
    old = draw.normal(5, 1, len(of)) + draw.normal(0, 1, 60)[of]
    new = old + draw.normal(0, 1, 60)[of] + draw.normal(0, 1, len(of)) + loss
    more = {"clusters": [str(i) for i in of]}
    return Pull(candidate=numbers(new, **more), baseline=numbers(old, **more))


def trials(draw: Draw, loss: float) -> Pull:
    """100 tasks that a model tries five times each: right or wrong, and mostly alike within a task."""
    old_rate, new_rate = draw.beta(2, 1, 100), draw.beta(2, 1, 100)
    rate = 0.7 * old_rate + 0.3 * new_rate
    old = draw.random((100, 5)) < old_rate[:, None]
    new = draw.random((100, 5)) < np.clip(rate[:, None] - loss, 0, 1)
    more = {"clusters": [str(i) for i in range(100) for _ in range(5)]}
    return Pull(candidate=answers(new.ravel(), **more), baseline=answers(old.ravel(), **more))


def weighted(n: int, *, sigma: float = 1.0, groups: int = 0) -> Callable[[Draw, float], Pull]:
    """Lognormal weights. The differences of a large weight vary more; in clusters, they go together."""

    def pull(draw: Draw, loss: float) -> Pull:
        weights = draw.lognormal(0, sigma, n)
        old = draw.normal(5, 1, n)
        new = old + draw.normal(0, 1, n) * np.sqrt(0.5 + 0.5 * np.minimum(weights, 4)) + loss
        more: dict[str, Any] = {"weights": weights.tolist()}
        if groups:
            of = draw.integers(0, groups, n)
            new += draw.normal(0, 1, groups)[of]
            more["clusters"] = [str(i) for i in of]
        return Pull(candidate=numbers(new, **more), baseline=numbers(old, **more))

    return pull


def weighted_answers(n: int, differing: float) -> Callable[[Draw, float], Pull]:
    """Right or wrong on the same examples, with lognormal weights."""

    def pull(draw: Draw, loss: float) -> Pull:
        plain = paired(n, differing)(draw, loss)
        weights = draw.lognormal(0, 1, n).tolist()
        ours, theirs = plain.candidate, plain.baseline
        assert isinstance(ours, Examples) and isinstance(theirs, Examples)
        return Pull(candidate=replace(ours, weights=weights), baseline=replace(theirs, weights=weights))

    return pull


def seeds_on_examples(count: int, n: int, *, weights: bool = False) -> Callable[[Draw, float], Pull]:
    """Each seed of either side has a score for each of the same examples, which another seed would change a little."""

    def pull(draw: Draw, loss: float) -> Pull:
        shared = draw.normal(0, 1, n)
        more = {"weights": draw.lognormal(0, 1, n).tolist()} if weights else {}
        sides = []
        for worse in (loss, 0.0):
            own = shared + draw.normal(0, 0.5, n)
            levels = draw.normal(0, 0.02, count)
            sides.append([numbers(own + level + draw.normal(0, 0.5, n) + worse, **more) for level in levels])
        return Pull(candidate=sides[0], baseline=sides[1])

    return pull


def traded(gain: float, n: int = 1000) -> Callable[[Draw, float], Pull]:
    """A loss of quality, and a gain of latency on the same examples, from about 100 ms: both vary, and together."""

    def pull(draw: Draw, loss: float) -> Pull:
        shared = draw.normal(0, 1, n)
        quality = draw.normal(0, 1, n) + 0.5 * shared
        slow = 100 + 20 * draw.normal(0, 1, n)
        change = 0.05 * shared + draw.normal(0, 0.1, n)
        faster = slow * (1 - gain) + 3 * shared + draw.normal(0, 6, n)
        sides = [{"quality": quality + change - loss, "latency": faster}, {"quality": quality, "latency": slow}]
        ours, theirs = (
            Examples(
                source="simulated",
                ids=[f"{i:06}" for i in range(n)],
                scores={name: column.tolist() for name, column in columns.items()},
            )
            for columns in sides
        )
        return Pull(candidate=ours, baseline=theirs)

    return pull


TRADE_OFF = {"max_regression": 0.03, "gate": "latency", "min_improvement": "20%"}


def few_positives(metric: str, positives: int, n: int = 1000) -> Callable[[Draw, float], Pull]:
    """Two classifiers on few positives; the candidate's recall, or the distance of its classes, is that of the loss."""
    labels = np.arange(n) < positives
    texts = ["1" if one else "0" for one in labels]

    def pull(draw: Draw, loss: float) -> Pull:
        shared = draw.normal(0, 0.8, n)
        old = shared + draw.normal(0, 0.6, n)
        new = shared + draw.normal(0, 0.6, n)
        far, cut = (2.0, 1.0) if metric == "auc" else (4.0, 3.0)
        if metric == "auc":
            area = 0.5 * math.erfc(-far / 2) - loss
            sides = [new + labels * math.sqrt(2) * -normal_isf(area), old + labels * far]
        else:
            recall = 0.5 * math.erfc(-(far - cut) / math.sqrt(2))
            false = 0.5 * math.erfc(cut / math.sqrt(2)) * (n - positives)
            if metric == "f1":
                target = 2 * recall * positives / (positives + recall * positives + false) - loss
                share = target * (positives + false) / (positives * (2 - target))
            else:
                share = recall - loss
            sides = [new + labels * (cut - normal_isf(share)), old + labels * far]

        def side(values: Any) -> Examples:
            return Examples(
                source="simulated",
                ids=[f"{i:06}" for i in range(n)],
                labels=texts,
                predictions=["1" if one else "0" for one in values > cut],
                scores={"score": values.tolist()},
            )

        return Pull(candidate=side(sides[0]), baseline=side(sides[1]))

    return pull


def bounded(n: int, slices: int = 0, share: float = 0.85) -> Callable[[Draw, float], Pull]:
    """Right and wrong, of a share that is `loss` below the bound; in slices that are all alike, if there are some."""

    def pull(draw: Draw, loss: float) -> Pull:
        right = draw.random(n * max(1, slices)) < share - loss
        more = {"slices": {"part": [str(i) for i in range(slices) for _ in range(n)]}} if slices else {}
        return Pull(candidate=answers(right, **more))

    return pull


UP, DOWN = {"higher_is_better": True}, {"higher_is_better": False}
DESIGNS = (
    Design(
        name="one number a run, compared as it is",
        draw=point,
        gate={**UP, "max_regression": 0.01},
        allowed=0.01,
        twice=0.02,
        holds=False,
    ),
    *(
        Design(
            name=f"one number beside 20 runs{words}",
            draw=history(kind),
            gate={**UP, "max_regression": 0.01, "history": {}},
            allowed=0.01,
            twice=0.04,
            power=power,
        )
        for kind, words, power in (
            ("", "", 0.6),
            ("trend", ", a trend of 0.3 points a run", 0.5),
            ("autocorrelated", ", autocorrelation 0.95", 0.9),
            ("jump", ", a jump of 20 points", 0.6),
        )
    ),
    Design(
        name="the best of 10 runs beside 20 runs",
        draw=best,
        gate={**UP, "max_regression": 0.01, "history": {}, "baseline": "best"},
        allowed=0.01,
        twice=0.05,
        power=0.5,
    ),
    *(
        Design(
            name=f"{count} seeds a side",
            draw=seeds(count),
            gate={**UP, "max_regression": 0.01},
            policy={"seeds": {"min_runs": count}},
            allowed=0.01,
            twice=0.02,
            power=power,
        )
        for count, power in ((3, 0.25), (5, 0.5), (10, 0.8))
    ),
    Design(
        name="5 seeds a side, 2% allowed",
        draw=seeds(5),
        gate={**UP, "max_regression": "2%"},
        policy={"seeds": {"min_runs": 5}},
        allowed=0.018,
        twice=0.036,
        power=0.8,
    ),
    Design(
        name="proportions of independent sets of 1,000",
        draw=independent,
        gate={**UP, "max_regression": 0.01, "n": "rows"},
        allowed=0.01,
        twice=0.06,
        power=0.85,
    ),
    Design(
        name="proportions of independent sets of 1,000, 5% allowed",
        draw=independent,
        gate={**UP, "max_regression": "5%", "n": "rows"},
        allowed=0.0425,
        twice=0.085,
        power=0.7,
    ),
    *(
        Design(
            name=f"right or wrong, {n:,} examples, {2 * differing + 0.01:.1%} differ",
            draw=paired(n, differing),
            gate={**UP, "max_regression": 0.01},
            allowed=0.01,
            twice=0.05,
        )
        for n, differing in ((20, 0.0), (50, 0.0), (100, 0.0), (300, 0.0), (300, 0.005), (500, 0.0), (500, 0.02))
    ),
    Design(
        name="right or wrong, 1,000 examples, 11% differ",
        draw=paired(1000, 0.05),
        gate={**UP, "max_regression": 0.01},
        allowed=0.01,
        twice=0.04,
        power=0.8,
    ),
    Design(
        name="right or wrong, 1,000 examples, 5% allowed",
        draw=paired(1000, 0.05),
        gate={**UP, "max_regression": "5%"},
        allowed=0.0425 / 0.97,
        twice=0.085,
        power=0.8,
    ),
    Design(
        name="right or wrong, 1,000 examples, none allowed",
        draw=paired(1000, 0.05),
        gate={**UP, "max_regression": 0},
        allowed=0.0,
        twice=0.03,
        power=0.7,
    ),
    Design(
        name="right or wrong, 1,000 examples, 5 lost that are wrong",
        draw=paired(1000, 0.02, lost=5),
        gate={**UP, "max_regression": 0.02},
        allowed=0.02,
        twice=0.06,
        power=0.8,
    ),
    *(
        Design(
            name=f"{n:,} skewed numbers, {words}",
            draw=skewed(n, up=up),
            gate={**DOWN, "max_regression": 0.2},
            metric="loss",
            allowed=0.2,
            twice=twice,
        )
        for n, twice in ((100, 1.0), (300, 0.6), (1000, 0.4))
        for up, words in ((True, "few lose much"), (False, "few gain much"))
    ),
    Design(
        name="300 log-losses",
        draw=log_losses(300),
        gate={**DOWN, "max_regression": 0.05},
        metric="loss",
        allowed=0.05,
        twice=0.15,
        power=0.8,
    ),
    Design(
        name="300 log-losses, 20% allowed",
        draw=log_losses(300),
        gate={**DOWN, "max_regression": "20%"},
        metric="loss",
        allowed=0.2 * 0.2555,
        twice=0.2,
        power=0.8,
    ),
    Design(
        name="numbers in 60 clusters",
        draw=clusters,
        gate={**DOWN, "max_regression": 0.2},
        metric="loss",
        allowed=0.2,
        twice=0.8,
        power=0.8,
    ),
    Design(
        name="100 tasks tried 5 times",
        draw=trials,
        gate={**UP, "max_regression": 0.05},
        allowed=0.05,
        twice=0.2,
        power=0.8,
    ),
    *(
        Design(
            name=f"{n:,} numbers with weights of σ = {sigma:g}",
            draw=weighted(n, sigma=sigma),
            gate={**DOWN, "max_regression": 0.1},
            metric="loss",
            allowed=0.1,
            twice=twice,
            power=power,
        )
        for n, sigma, twice, power in ((30, 1.0, 1.5, 0.25), (300, 1.0, 0.5, 0.5), (1000, 1.5, 0.5, 0.45))
    ),
    Design(
        name="right or wrong, 1,000 examples with weights, 11% differ",
        draw=weighted_answers(1000, 0.05),
        gate={**UP, "max_regression": 0.01},
        allowed=0.01,
        twice=0.06,
        power=0.45,
    ),
    Design(
        name="300 numbers with weights, in 60 clusters",
        draw=weighted(300, groups=60),
        gate={**DOWN, "max_regression": 0.2},
        metric="loss",
        allowed=0.2,
        twice=1.0,
        power=0.55,
    ),
    *(
        Design(
            name=f"5 seeds a side on the same 300 examples{words}",
            draw=seeds_on_examples(5, 300, weights=weights),
            gate={**DOWN, "max_regression": 0.05},
            metric="loss",
            policy={"seeds": {"min_runs": 5}},
            allowed=0.05,
            twice=0.3,
            power=0.8,
        )
        for weights, words in ((False, ""), (True, ", with weights"))
    ),
    *(
        Design(
            name=f"0.01 allowed, or 0.03 if latency falls by 20%: it {words}",
            draw=traded(gain),
            gate={**UP, "max_regression": 0.01, "trade_off": TRADE_OFF},
            metric="quality",
            others={"latency": {**DOWN, "max_regression": "10%"}},
            allowed=allowed,
            twice=allowed + 0.03,
            power=0.6,
            passes=0.75,
        )
        for words, gain, allowed in (
            ("does not change", 0.0, 0.01),
            ("falls by just that", 0.2, 0.01),
            ("falls by just that, and 0.02 is lost", 0.2, 0.02),
            ("falls by 30%", 0.3, 0.03),
        )
    ),
    *(
        Design(
            name=f"{called} of {positives} positives in 1,000",
            draw=few_positives(metric, positives),
            gate={**UP, "max_regression": 0.02},
            metric=metric,
            allowed=0.02,
            twice=twice,
        )
        for metric, called in (("recall", "recall"), ("f1", "F1"), ("auc", "AUC"))
        for positives, twice in ((3, 0.3), (20, 0.3), (100, 0.12))
    ),
    Design(
        name="min, 1,000 examples",
        draw=bounded(1000),
        gate={"min": 0.85},
        allowed=0.0,
        twice=0.04,
        unchanged=-0.04,
        power=0.85,
        passes=0.85,
    ),
    Design(
        name="min in 20 slices of 30",
        draw=bounded(30, slices=20),
        gate={**UP, "min": 0.5, "slices": {"by": "part", "min_samples": 30, "min": 0.85}},
        allowed=0.0,
        twice=0.3,
        unchanged=-0.05,
    ),
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


HEADS = (
    "| data | FAIL at R | PASS at R | a loss of | is found | unchanged passes | unchanged fails as a number |",
    "| many tests | fails uncorrected | with Holm | with max-t | a loss of | is found with Holm | with max-t |",
    "| rows, reference and current | PSI by n | KS | χ² | PSI > 0.1 |",
)


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description="Simulate pull requests, and write the tables of docs/statistics.md.")
    parser.add_argument("--pulls", metavar="N", type=int, default=600)
    parser.add_argument("--only", metavar="TEXT", default="", help="rows whose name has this: the others stay")
    parser.add_argument("--output", metavar="FILE", type=Path, default=ROOT / "docs" / "statistics.md")
    args = parser.parse_args(argv)
    worst = 2.58 * math.sqrt(ALPHA * (1 - ALPHA) / args.pulls)
    head = f"α = {ALPHA:.0%}, {args.pulls:,} simulated pull requests of each kind (± {worst:.1%} at 5%)."
    text = args.output.read_text(encoding="utf-8")
    _, begin, rest = text.partition(BEGIN)
    written, end, _ = rest.partition(END)
    if not (begin and end):
        raise SystemExit(f"the markers are missing: {BEGIN} … {END}")
    if args.only and head not in written:
        raise SystemExit(f"{args.output} has another number of pull requests: leave out --only, or change --pulls")
    known = {line.split(" | ")[0].removeprefix("| "): line for line in written.splitlines() if line.startswith("| ")}
    tables = []
    for title, rows in zip(HEADS, (_designs, _families, _drift), strict=True):
        tables += ["", title, "|" + "---|" * (title.count("|") - 1)]
        for name, row in rows(args.pulls):
            if args.only in name:
                known[name] = row()
                print(known[name], file=sys.stderr, flush=True)
            tables += [known[name]] if name in known else []
    # What was written elsewhere in the file meanwhile stays.
    before, _, rest = args.output.read_text(encoding="utf-8").partition(BEGIN)
    after = rest.partition(END)[2]
    args.output.write_text(f"{before}{BEGIN}\n" + "\n".join([head, *tables]) + f"\n{END}{after}", encoding="utf-8")
    return 0


Rows = Iterator[tuple[str, Callable[[], str]]]
"""The name of each row, and how it is made: its random numbers are its own, so that it is the same made alone."""


def _designs(pulls: int) -> Rows:
    def row(design: Design) -> str:
        r = rates(design, pulls)
        return (
            f"| {design.name} | {r.false_fails:.1%} | {r.false_passes:.1%} | {design.twice:g} | {r.found:.0%} "
            f"| {r.passed:.0%} | {r.naive_fails:.1%} |"
        )

    yield from ((design.name, partial(row, design)) for design in DESIGNS)


def _families(pulls: int) -> Rows:
    from benchmarks.families import FAMILIES, row_of

    yield from ((family.name, partial(row_of, family, pulls)) for family in FAMILIES)


def _drift(pulls: int) -> Rows:
    def row(name: str, n: int, m: int) -> str:
        return f"| {name} | " + " | ".join(f"{share:.1%}" for share in drift_rates(5 * pulls, n, m).values()) + " |"

    for n, m in ((100, 100), (500, 500), (5000, 300)):
        name = f"{n:,} and {m:,}"
        yield name, partial(row, name, n, m)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
