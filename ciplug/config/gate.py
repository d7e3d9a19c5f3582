"""One gate of ciplug.yaml: its rules, what they compare with, and how."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Literal, get_args

from ciplug.config import kinds, values
from ciplug.config.allowance import ALLOWANCE, TRADE_OFF, Allowance, TradeOff
from ciplug.config.kinds import Mistake, Table, key, one_of

Action = Literal["fail", "warn"]
Severity = Literal["error", "warning"]
ACTION = one_of("fail", "warn")
SEVERITY = one_of("error", "warning")
ACTIONS = ("on_missing", "on_no_baseline", "on_inconclusive")
"""The keys that take an Action."""
REFERENCES = ("merge-base", "target", "previous", "production", "best", "mean")
Source = Literal["any", "ci"]
SOURCE = one_of("any", "ci")
PairedTest = Literal["newcombe", "mcnemar", "tango", "t", "bootstrap", "sign-flip"]
PAIRED_TESTS: tuple[PairedTest, ...] = get_args(PairedTest)
"""Tests that compare example by example. Newcombe's compares two proportions instead where the gate has `n`."""
WEIGHTED_TESTS: tuple[PairedTest, ...] = ("t", "sign-flip")
"""Those that take weights of examples."""
Test = Literal["auto", "point", "welch", PairedTest, "psi", "ks", "chi2"]
DRIFT_TESTS = ("auto", "psi", "ks", "chi2")
METRIC_TESTS = ("auto", *(test for test in get_args(Test) if test not in DRIFT_TESTS))


@dataclass(frozen=True, kw_only=True)
class Baseline:
    """The baseline of a comparing rule."""

    ref: str = key(kinds.TEXT, "merge-base")
    """merge-base, target (the tip of the branch), previous (the run before it, of any commit), production (the last
    stage), best, mean, tag:NAME or commit:ID."""
    branch: str | None = key(kinds.TEXT)
    """The branch of merge-base, target, previous, best and mean; default: the pull request's target, else the default
    branch."""
    max_age_days: float | None = key(kinds.POSITIVE)
    """The age limit of the baseline's run in days: an older run decides nothing."""
    last: int | None = key(kinds.integer_from(1))
    """For best and mean: the number of last recorded runs on the branch to use (default 10)."""
    source: Source = key(SOURCE, "any")
    """ci: runs that a pipeline recorded only; a run of a person's machine is never a baseline."""

    def mistakes(self) -> Iterator[Mistake]:
        about = (("ref",),)
        if self.last is not None and self.ref not in ("best", "mean"):
            words = f"'last' counts runs for 'best' and 'mean', not for '{self.ref}': remove it"
            yield Mistake((), words, None, about)
        if self.branch is not None and self.ref not in ("merge-base", "target", "previous", "best", "mean"):
            yield Mistake((), f"'{self.ref}' does not depend on a branch: remove 'branch'", None, about)
        if self.source != "any" and self.ref == "production":
            words = "'production' is the run of a version, recorded by CI or by hand: remove it"
            yield Mistake(("source",), words, None, (("source",), ("ref",)))
        kind, _, name = self.ref.partition(":")
        if kind in ("tag", "commit") and not name.strip():
            yield Mistake((), f"write '{kind}:' with a name after it", None, about)

    @property
    def window(self) -> int:
        return self.last or 10


def _baseline(value: Any) -> Any:
    """Read any word that is not a reference as a branch, and compare with the merge base with it."""
    given = {"ref": value} if isinstance(value, str) and value.strip() else value
    if not isinstance(given, dict) or not isinstance(ref := given.get("ref"), str) or not ref.strip():
        return given
    if ref in REFERENCES or ref.startswith(("tag:", "commit:")):
        return given
    return {"branch": ref, **given, "ref": "merge-base"}


BASELINE = Table(Baseline, "{ref: merge-base, max_age_days: 30}", _baseline, ({"type": "string", "pattern": r"\S"},))


@dataclass(frozen=True, kw_only=True)
class Defaults:
    """The settings of every gate that does not set its own."""

    severity: Severity = key(SEVERITY, "error")
    on_missing: Action = key(ACTION, "fail")
    on_no_baseline: Action = key(ACTION, "warn")
    on_inconclusive: Action = key(ACTION, "warn")
    atol: float = key(kinds.AMOUNT, 0.0)
    """Absolute, in the metric's unit. The default is 0, since even 1e-9 can be a large error for a small metric."""
    alpha: float = key(kinds.ERROR_RATE, 0.05)
    """One-sided: how often a gate may fail a candidate that is exactly at its limit."""
    correction: Literal["holm", "max-t", "none"] = key(one_of("holm", "max-t", "none"), "holm")
    """The correction over all tests of a run that can fail it; max-t: by how slices and metrics go together."""


@dataclass(frozen=True, kw_only=True)
class Slices:
    """The same gate on parts of the samples."""

    by: tuple[str, ...] = kinds.required(kinds.NAMES)
    """Columns of the samples; each value of each is a slice."""
    min_samples: int = key(kinds.integer_from(1), 30)
    """A slice with fewer examples is not judged."""
    min: float | None = key(kinds.NUMBER)
    max: float | None = key(kinds.NUMBER)
    max_regression: Allowance | None = key(ALLOWANCE)

    def mistakes(self) -> Iterator[Mistake]:
        if self.min is None and self.max is None and self.max_regression is None:
            yield Mistake((), "slices need a rule: min, max or max_regression")
        yield from _crossed(self.min, self.max)


def _crossed(least: float | None, most: float | None) -> Iterator[Mistake]:
    if least is not None and most is not None and least > most:
        yield Mistake((), f"min {least:g} is above max {most:g}: nothing could pass", None, (("min",), ("max",)))


@dataclass(frozen=True, kw_only=True)
class History:
    """Judge by how much the metric has varied on the target branch."""

    NEEDLESS: ClassVar[Mapping[str, str]] = {"test": "the test of the history is always Student's t"}

    window: int = key(kinds.integer_from(2), 30)
    """The number of last runs to use."""
    min_samples: int = key(kinds.integer_from(2), 8)
    """With fewer, there is not enough history to judge by."""

    def mistakes(self) -> Iterator[Mistake]:
        if self.min_samples > self.window:
            words = f"{self.min_samples} is more than the window of {self.window} runs: nothing could be judged"
            yield Mistake(("min_samples",), words, None, (("min_samples",), ("window",)))


def _since(value: Any) -> str | int:
    """Read the point that a trend is counted from. Raises ValueError."""
    if isinstance(value, int) and not isinstance(value, bool):
        return int(values.integer_from(2)(value))
    named = isinstance(value, str) and (value == "last-promotion" or re.match(r"tag:.*\S", value))
    if not named:
        raise ValueError(f"'last-promotion', 'tag:NAME' or a number of runs is expected, not {values.shown(value)}")
    return str(value)


SINCE = kinds.Scalar(
    _since,
    {
        "anyOf": [
            {"const": "last-promotion"},
            {"type": "string", "pattern": r"^tag:.*\S"},
            {"type": "integer", "minimum": 2},
        ]
    },
)


@dataclass(frozen=True, kw_only=True)
class Trend:
    """The loss over many commits together, each of which may be within its own allowance."""

    since: str | int = kinds.required(SINCE)
    """last-promotion (of the version in the last stage), tag:NAME, or a number of runs of the branch."""
    max_total: Allowance = kinds.required(ALLOWANCE)
    """The loss that is allowed from there to the run."""


@dataclass(frozen=True, kw_only=True)
class LeastEffect:
    """The smallest drift that counts: with a million rows, everything differs from everything."""

    psi: float = key(kinds.AMOUNT, 0.02)
    """Of the population stability index. A shift of normal numbers by δ standard deviations has about δ²."""
    ks: float = key(kinds.AMOUNT, 0.05)
    """Of the distance of Kolmogorov and Smirnov: about 0.4·δ."""
    chi2: float = key(kinds.AMOUNT, 0.05)
    """Of Cramér's V."""
    share: float = key(kinds.AMOUNT, 0.01)
    """Of the difference of shares: of missing values, of values of another kind, of new categories."""


def _least_effect(value: Any) -> Any:
    """Read one number as the smallest effect by every test."""
    if isinstance(value, dict):
        return value
    amount = values.amount(value)
    return LeastEffect(psi=amount, ks=amount, chi2=amount, share=amount)


LEAST_EFFECT = Table(LeastEffect, "{psi: 0.02, share: 0.01}", _least_effect, ({"type": "number", "minimum": 0},))


@dataclass(frozen=True, kw_only=True)
class Gate:
    """One gate. Its rules are min, max and max_regression; it has at least one."""

    kind: Literal["metric", "drift"] = key(one_of("metric", "drift"), "metric")
    metric: str | None = key(kinds.TEXT)
    """Defaults to the gate's id."""
    higher_is_better: bool | None = key(kinds.FLAG)
    """Required for a rule that compares: the direction is never guessed from the name."""
    min: float | None = key(kinds.NUMBER)
    max: float | None = key(kinds.NUMBER)
    max_regression: Allowance | None = key(ALLOWANCE)
    trade_off: TradeOff | None = key(TRADE_OFF)
    """A larger loss in exchange for the gain of another metric."""
    baseline: Baseline | None = key(BASELINE)
    test: Test = key(one_of(*get_args(Test)), "auto")
    """The test for the uncertainty; auto: the best one that the data allow."""
    n: str | None = key(kinds.TEXT)
    """The metric that counts the examples of which this one is a proportion."""
    history: History | None = key(Table(History, "{window: 30, min_samples: 8}"))
    trend: Trend | None = key(Table(Trend, "{since: last-promotion, max_total: 0.02}"))
    slices: Slices | None = key(Table(Slices, "{by: country, min: 0.8}"))
    reference: str | None = key(kinds.TEXT)
    """kind drift: the file that the current one is compared with."""
    current: str | None = key(kinds.TEXT)
    """kind drift: the current file; default: the samples."""
    columns: tuple[str, ...] | None = key(kinds.NAMES)
    """kind drift: the columns to compare; default: all that the reference has."""
    min_effect: LeastEffect | None = key(LEAST_EFFECT)
    """kind drift: the smallest drift that counts, however certain it is."""
    severity: Severity | None = key(SEVERITY)
    on_missing: Action | None = key(ACTION)
    on_no_baseline: Action | None = key(ACTION)
    on_inconclusive: Action | None = key(ACTION)
    atol: float | None = key(kinds.AMOUNT)
    alpha: float | None = key(kinds.ERROR_RATE)

    @property
    def least_effect(self) -> LeastEffect:
        return self.min_effect or LeastEffect()

    @property
    def has_rule(self) -> bool:
        """Whether it has a rule for the metric as a whole."""
        return (self.min, self.max, self.max_regression, self.trend) != (None, None, None, None)

    @property
    def compares(self) -> bool:
        """Whether one of its rules needs a baseline."""
        return self.max_regression is not None or (self.slices is not None and self.slices.max_regression is not None)

    @property
    def names_paired_test(self) -> bool:
        """Whether its test is given by name, and compares example by example."""
        return self.test in PAIRED_TESTS and not self.n

    def mistakes(self) -> Iterator[Mistake]:
        yield from self._of_drift() if self.kind == "drift" else self._of_metric()

    def _of_metric(self) -> Iterator[Mistake]:
        kind = ("kind",)
        for name in ("reference", "current", "columns", "min_effect"):
            if getattr(self, name) is not None:
                words = "it is for a gate of kind drift: add 'kind: drift', or remove it"
                yield Mistake((name,), words, None, (kind, (name,)))
        if self.test not in METRIC_TESTS:
            words = f"the test '{self.test}' is for a gate of kind drift"
            yield Mistake(("test",), words, None, (kind, ("test",)))
        if not self.has_rule:
            yield Mistake((), "a gate needs a rule: min, max, max_regression or trend")
        yield from _crossed(self.min, self.max)
        if self.trend is not None and self.higher_is_better is None:
            yield Mistake((), "a trend compares, so the direction is needed: higher_is_better: true or false")
        if self.compares and self.higher_is_better is None:
            yield Mistake((), "max_regression compares, so the direction is needed: higher_is_better: true or false")
        # A bound has the interval that the data give, or none with test: point.
        named = ["test"] if self.test in METRIC_TESTS and self.test not in ("auto", "point") else []
        named += [name for name in ("baseline",) if getattr(self, name) is not None]
        for name in named if not self.compares else ():
            yield Mistake((name,), "it is for a rule that compares: add max_regression, or remove it")
        if self.trade_off is not None:
            yield from self._traded(self.trade_off)
        yield from self._unused()

    def _traded(self, trade_off: TradeOff) -> Iterator[Mistake]:
        rules = (("max_regression",), ("trade_off",))
        if self.max_regression is None:
            words = "it allows more than max_regression does: add max_regression, the loss that is allowed without it"
            yield Mistake(("trade_off",), words, None, rules)
        elif trade_off.max_regression is not None and trade_off.exceeds(self.max_regression) is False:
            words = "it allows no more than the gate's own max_regression, so the trade-off has no effect"
            yield Mistake(("trade_off", "max_regression"), words, None, rules)

    def _unused(self) -> Iterator[Mistake]:
        """Find keys that the test of the gate does not use."""
        test = ("test",)
        if self.history is not None and self.test not in ("auto", *DRIFT_TESTS):
            words = f"the test '{self.test}' does not use it: remove one of the two"
            yield Mistake(("history",), words, None, (test,))
        if self.n is not None and self.test not in ("auto", "newcombe", *DRIFT_TESTS):
            words = f"the test '{self.test}' does not use it: remove one of the two"
            yield Mistake(("n",), words, None, (test, ("n",)))
        for at, rules in ((("max_regression",), self), (("slices", "max_regression"), self.slices)):
            allowed = rules.max_regression if rules is not None else None
            if self.test == "mcnemar" and allowed is not None and (allowed.abs or allowed.rel):
                words = f"McNemar's test takes no allowance, and {'.'.join(at)} is one: use 'tango', or allow 0"
                yield Mistake(test, words, None, (test, at))
            if self.test == "tango" and allowed is not None and allowed.rel is not None:
                words = "Tango's interval takes no percentage as allowance: use 'newcombe'"
                yield Mistake(test, words, None, (test, at))

    def _of_drift(self) -> Iterator[Mistake]:
        kind = ("kind",)
        if self.reference is None:
            yield Mistake((), "a gate of kind drift needs a reference: the file to compare with")
        used = {"kind", "reference", "current", "columns", "test", "min_effect", "alpha", "severity"}
        used |= {"on_missing", "on_inconclusive"}
        for one in fields(self):
            if one.name not in used and getattr(self, one.name) != one.default:
                words = "a gate of kind drift does not use it: remove it"
                yield Mistake((one.name,), words, None, (kind, (one.name,)))
        if self.test not in DRIFT_TESTS:
            words = f"the test '{self.test}' is not for a gate of kind drift: psi, ks, chi2 or auto"
            yield Mistake(("test",), words, None, (kind, ("test",)))


@dataclass(frozen=True, kw_only=True)
class ResolvedGate(Gate):
    """A gate with the defaults and the baseline of its policy filled in: `Policy.resolved` makes it."""

    metric: str
    baseline: Baseline
    severity: Severity
    on_missing: Action
    on_no_baseline: Action
    on_inconclusive: Action
    atol: float
    alpha: float
