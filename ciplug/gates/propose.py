"""Propose first gates from the numbers of one run, for metrics whose names tell which direction is better."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal

from ciplug.records.classes import of_classes

MOST = 5
POINTS, FLOOR_POINTS = 0.01, 0.05
"""For a proportion: the loss that a change may cause, and the distance of the bound from the first run."""
PART, BOUND_PART = 0.05, 0.20
"""The same for any other metric, as a fraction of its value."""
MACHINE_PART, MACHINE_BOUND_PART = 0.20, 0.50
"""The same for values that differ from machine to machine."""


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


_PROPORTIONS = _set(
    "accuracy acc f1 f2 fbeta fscore auc auroc auprc aucpr roc ap map precision recall iou miou dice jaccard ndcg mrr "
    "hits r2 mcc kappa sensitivity specificity tpr tnr bleu rouge meteor chrf ssim spearman pearson kendall "
    "correlation silhouette"
)
"""Higher is better, and 1, or 100 of a percentage, is the most."""
_HIGHER = _set("psnr reward likelihood throughput")
_LOWER = _set(
    "loss logloss rmse mse mae mape smape wape rmsle msle error errors err wer cer perplexity ppl nll brier ece fpr "
    "fnr fdr eer fid deviance divergence regret toxicity latency"
)
_MACHINE = frozenset(("latency", "throughput"))
_PHRASES = {
    "true positive rate": "tpr",
    "true negative rate": "tnr",
    "false positive rate": "fpr",
    "false negative rate": "fnr",
    "false discovery rate": "fdr",
    "explained variance": "r2",
    "cross entropy": "loss",
    "negative log likelihood": "nll",
    "exact match": "accuracy",
    "win rate": "accuracy",
    "pass rate": "accuracy",
    "success rate": "accuracy",
}
_OTHERWISE = _set(
    "std stdev stddev sd stderr se var variance ci lower upper ratio weight weights scale threshold target baseline "
    "dummy random chance majority expected limit budget goal delta diff difference change improvement gap drop support "
    "count n num samples size steps patience tolerance coef coefficient grad gradient norm rank"
)
"""With one of these words it is about a metric, and not the metric."""
_TEST, _VALIDATION, _UNSAID, _TRAINING = range(4)
_SPLITS = {
    **dict.fromkeys(("test", "testing", "holdout", "oot"), _TEST),
    **dict.fromkeys(("val", "valid", "validation", "dev", "eval", "evaluation", "cv", "oof"), _VALIDATION),
    **dict.fromkeys(("train", "training"), _TRAINING),
}
"""The data that a metric is measured on, the best to judge by first."""
_WORD = re.compile(r"[A-Z]+(?![a-z])\d*|[A-Z]?[a-z]+\d*|\d+")


@dataclass(frozen=True, kw_only=True)
class ProposedGate:
    metric: str
    higher_is_better: bool
    bound: float | None
    """The least value where higher is better, else the largest; None: no bound is of use."""
    max_regression: str
    """The value for ciplug.yaml: an amount, or a percentage of the baseline."""
    warns: bool
    """Whether the gate only warns."""
    why: str
    """The origin of the gate, in one sentence."""

    @property
    def text(self) -> str:
        """The gate as ciplug.yaml has it."""
        rules = [f"higher_is_better: {str(self.higher_is_better).lower()}"]
        if self.bound is not None:
            rules.append(f"{'min' if self.higher_is_better else 'max'}: {self.bound:g}")
        rules.append(f"max_regression: {self.max_regression}")
        return f"{{{', '.join(rules + ['severity: warning'] * self.warns)}}}"


@dataclass(frozen=True)
class Proposal:
    gates: tuple[ProposedGate, ...]
    left: Mapping[str, str]
    """The other metrics, and why each has no gate."""


@dataclass(frozen=True)
class _Meaning:
    """The meaning of a metric's name."""

    higher_is_better: bool
    proportion: bool
    machine: bool
    split: int
    words: tuple[str, ...]
    """Without those of the split."""


def direction(name: str) -> bool | None:
    """Whether higher is better, by the words of the name; None where they do not say, or say both."""
    meaning = _meaning(name)
    return meaning.higher_is_better if meaning else None


def propose(metrics: Mapping[str, float], constants: Collection[str] = ()) -> Proposal:
    """A handful of gates that these very numbers pass, test data before validation before training.

    Args:
        metrics: name → value of one run; may be NaN or infinite.
        constants: names of metrics that had the same value at every step.
    """
    left: dict[str, str] = {}
    candidates: dict[str, tuple[_Meaning, ProposedGate]] = {}
    for name, value in metrics.items():
        meaning = _meaning(name)
        if not math.isfinite(value):
            left[name] = f"it is {value!r} in this run"
        elif meaning is None:
            left[name] = "its name does not say which way is better"
        elif name in constants:
            left[name] = f"it is {value:g} at every step"
        elif gate := _gate(name, value, meaning):
            candidates[name] = (meaning, gate)
        else:
            left[name] = f"from {value:g} no slack can be taken"
    chosen: dict[tuple[str, ...], str] = {}
    gates: list[ProposedGate] = []
    only_training = all(meaning.split == _TRAINING for meaning, _ in candidates.values())
    classes = of_classes(metrics)
    classes = classes if candidates.keys() - classes else frozenset()
    for name, (meaning, gate) in sorted(candidates.items(), key=_by_weight):
        same = next((one.metric for one in gates if _is_one_number(metrics, name, one.metric)), None)
        if meaning.words in chosen:
            left[name] = f"{chosen[meaning.words]} is gated"
        elif name in classes:
            left[name] = "it is of one class"
        elif same:
            left[name] = f"it is the same number as {same}"
        elif meaning.split == _TRAINING and not only_training:
            left[name] = "it is of the training data"
        elif len(gates) == MOST:
            left[name] = f"{MOST} gates are enough to begin with"
        else:
            chosen[meaning.words] = name
            gates.append(gate)
    return Proposal(tuple(gates), {name: left[name] for name in metrics if name in left})


def _is_one_number(metrics: Mapping[str, float], one: str, other: str) -> bool:
    """Whether two metrics are one number by two names. Equal scores of a perfect or a useless model are not a sign."""
    if not math.isclose(metrics[one], metrics[other], rel_tol=1e-12):
        return False
    return metrics[one] not in (0, 1, 100) or {_is_accuracy(one), _is_accuracy(other)} == {True}


def _is_accuracy(name: str) -> bool:
    """Whether it is the part of right answers: with one label each, so are weighted recall and micro averages."""
    words = {word.lower() for word in _WORD.findall(name)}
    return bool(words & {"accuracy", "acc", "micro"} or words >= {"weighted", "recall"}) and not words & {"balanced"}


def _by_weight(candidate: tuple[str, tuple[_Meaning, ProposedGate]]) -> tuple[int, bool, int, bool, str]:
    name, (meaning, _) = candidate
    return meaning.split, meaning.machine, len(meaning.words), not meaning.proportion, name


def _meaning(name: str) -> _Meaning | None:
    words = [word.lower() for word in _WORD.findall(name.replace("mAP", "map"))]
    joined = f" {' '.join(words)} "
    for phrase, word in _PHRASES.items():
        joined = joined.replace(f" {phrase} ", f" {word} ")
    words = joined.split()
    splits = [_SPLITS[word] for word in words if word in _SPLITS]
    rest = tuple(word for word in words if word not in _SPLITS)
    # precision5 and rouge1 are known, and so are f1 and r2.
    parts = {part for word in rest for part in (word, word.rstrip("0123456789"))}
    higher, lower = bool(parts & (_PROPORTIONS | _HIGHER)), bool(parts & _LOWER)
    if higher == lower or parts & _OTHERWISE:
        return None
    # The scorers of scikit-learn: neg_mean_squared_error.
    negated = lower and rest[0] in ("neg", "negative")
    return _Meaning(
        higher_is_better=higher or negated,
        proportion=bool(parts & _PROPORTIONS),
        machine=bool(parts & _MACHINE),
        split=splits[0] if splits else _UNSAID,
        words=rest,
    )


def _gate(name: str, value: float, meaning: _Meaning) -> ProposedGate | None:
    """The gate, None where the value leaves nothing to measure a loss by."""
    if meaning.proportion and 0 <= value <= 100:
        scale = 1 if value <= 1 else 100
        bound = _rounded(value - FLOOR_POINTS * scale, lower=True)
        lost, bounded = f"{POINTS * 100:g} point", f"{FLOOR_POINTS * 100:g} points"
        allowed = f"{POINTS * scale:g}"
        kept = bound if bound > 0 else None
    else:
        part, slack = (MACHINE_PART, MACHINE_BOUND_PART) if meaning.machine else (PART, BOUND_PART)
        worse = value - slack * abs(value) * (1 if meaning.higher_is_better else -1)
        if value == 0 or not math.isfinite(worse):
            return None
        bound = _rounded(worse, lower=meaning.higher_is_better)
        if not math.isfinite(bound):
            return None
        lost, bounded = f"{part:.0%}", f"{slack:.0%}"
        allowed, kept = lost, bound
    return ProposedGate(
        metric=name,
        higher_is_better=meaning.higher_is_better,
        bound=kept,
        max_regression=allowed,
        warns=meaning.machine,
        why=f"it was {value:.4g}; a change may lose {lost}"
        + (f", and the bound is {bounded} from that" if kept is not None else "")
        + ("; it differs from machine to machine, so it only warns" if meaning.machine else ""),
    )


def _rounded(value: float, *, lower: bool) -> float:
    """Three digits of it, never on the side that is stricter."""
    # Without the last digits, in which 0.9 - 0.05 is a little less than 0.85.
    exact = Decimal(f"{value:.12g}")
    if not exact:
        return 0.0
    unit = Decimal(1).scaleb(exact.adjusted() - 2)
    return float(exact.quantize(unit, rounding=ROUND_FLOOR if lower else ROUND_CEILING))
