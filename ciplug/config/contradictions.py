"""Contradictions between the parts of a policy. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from itertools import chain

from ciplug.config.gate import ACTIONS, PAIRED_TESTS, WEIGHTED_TESTS, Gate
from ciplug.config.kinds import Mistake, Path, Unknown, keys_of
from ciplug.config.policy import Policy, Waiver, waived_rule


@dataclass(frozen=True)
class Readable:
    """A policy of which some parts could not be read: nothing is concluded from their absence."""

    policy: Policy
    gates: Collection[str]
    """The names of all gates, those that could not be read among them."""
    wrong: Collection[Path] = ()
    """The paths of what could not be read."""

    def lacks(self, key: str) -> bool:
        """Whether the policy has not this key, nor one that may be a misspelling of it."""
        misspelled = any(len(at) == 1 and at[0] not in keys_of(Policy) for at in self.wrong)
        return not misspelled and not any(at[:1] == (key,) for at in self.wrong) and getattr(self.policy, key) is None


def contradictions(given: Readable) -> Iterator[Mistake]:
    """Every contradiction; paths begin at the policy. Those that conclude from something unreadable are left out."""
    return (mistake for mistake in _all(given) if mistake.is_known(given.wrong))


def _all(given: Readable) -> Iterator[Mistake]:
    yield from _directions(given.policy)
    for name, gate in given.policy.gates.items():
        yield from _gate(("gates", name), gate, given)
    if ("gates",) not in given.wrong:
        yield from _selections(given)
        yield from _promotions(given.policy)
        for number, waiver in enumerate(given.policy.waivers):
            if waiver is not None:  # One that could not be read.
                yield from _waiver(("waivers", number), waiver, given)


def _directions(policy: Policy) -> Iterator[Mistake]:
    first: dict[str, str] = {}
    for name, gate in policy.gates.items():
        if gate.higher_is_better is None:
            continue
        other = first.setdefault(policy.metric_of(name), name)
        if policy.gates[other].higher_is_better != gate.higher_is_better:
            words = f"the gate '{other}' has the other direction for the metric '{policy.metric_of(name)}'"
            about = tuple(("gates", one, key) for one in (name, other) for key in ("metric", "higher_is_better"))
            yield Mistake(("gates", name), words, None, about)


def _gate(path: Path, gate: Gate, given: Readable) -> Iterator[Mistake]:
    for action in ACTIONS:
        if gate.severity == "warning" and getattr(gate, action) == "fail":
            words = "a gate of severity warning never fails: remove it, or take severity: error"
            yield Mistake((*path, action), words, None, ((*path, action), (*path, "severity")))
    if given.lacks("samples"):
        yield from _without_samples(path, gate)
    samples = given.policy.samples
    if samples and samples.weight and gate.compares and gate.names_paired_test and gate.test not in WEIGHTED_TESTS:
        about = ((*path, "test"), ("samples",))
        words = f"the test '{gate.test}' takes no weights of examples, and 'samples' has a weight"
        yield Mistake((*path, "test"), words, "use test: t, sign-flip or auto", about)
    if gate.test == "welch" and given.lacks("seeds"):
        words = "it compares runs with different seeds: add seeds: {min_runs: 2}"
        yield Mistake((*path, "test"), words, None, ((*path, "test"),))
    yield from _without_one_baseline(path, gate, given.policy)
    if gate.trade_off is not None and gate.trade_off.gate:
        yield from _traded(path, gate, gate.trade_off.gate, given)


def _traded(path: Path, gate: Gate, name: str, given: Readable) -> Iterator[Mistake]:
    """Find what keeps a trade-off from the gain of another gate's metric."""
    at, about = (*path, "trade_off", "gate"), ((*path, "trade_off"), ("gates", name))
    other = given.policy.gates.get(name)
    if other is None:
        if name not in given.gates:
            yield Mistake(at, f"unknown gate '{name}'", _nearest(name, given), (at,))
    elif given.policy.metric_of(name) == given.policy.metric_of(str(path[-1])):
        yield Mistake(at, "a metric cannot be traded for itself: name the gate of another one", None, about)
    elif other.kind == "drift" or other.max_regression is None:
        words = f"the gate '{name}' does not compare its metric with a baseline: give it max_regression"
        yield Mistake(at, words, None, about)
    elif (other.baseline or given.policy.baseline) != (gate.baseline or given.policy.baseline):
        words = f"the gate '{name}' has another baseline: what is won and what is lost need the same one"
        yield Mistake(at, words, None, (*about, (*path, "baseline"), ("baseline",)))


def _without_samples(path: Path, gate: Gate) -> Iterator[Mistake]:
    test = (*path, "test")
    if gate.slices:
        at = (*path, "slices")
        yield Mistake(at, "slices are parts of the samples: name their file with 'samples:'", None, ())
    if gate.test == "newcombe":
        if not gate.n:
            words = "the test 'newcombe' needs the number of examples: add n: METRIC, or 'samples:'"
            yield Mistake(test, words, None, (test, (*path, "n")))
    elif gate.test in PAIRED_TESTS:
        words = f"the test '{gate.test}' compares example by example: name their file with 'samples:'"
        yield Mistake(test, words, None, (test,))
    if gate.kind == "drift" and not gate.current:
        yield Mistake(path, "the file to compare with the reference is missing: add current: FILE", None, (path,))


def _without_one_baseline(path: Path, gate: Gate, policy: Policy) -> Iterator[Mistake]:
    """Find rules that need the examples or the seeds of one commit, where the baseline is made of several."""
    ref = (gate.baseline or policy.baseline).ref
    if ref not in ("best", "mean") or not gate.compares:
        return
    about = ((*path, "baseline"), ("baseline",))
    if gate.test == "welch" or (gate.names_paired_test and ref == "mean"):
        words = f"the test '{gate.test}' compares with the runs of one commit, and the baseline is the {ref} of several"
        yield Mistake((*path, "test"), words, "use test: auto, or another baseline", (*about, (*path, "test")))
    if ref == "mean" and gate.slices and gate.slices.max_regression:
        at = (*path, "slices", "max_regression")
        words = "a slice is compared with the examples of one run, and the baseline is the mean of several"
        yield Mistake(at, words, "give the gate another baseline", (*about, at))


def _selections(given: Readable) -> Iterator[Mistake]:
    """Gates that are named and do not exist."""
    policy = given.policy
    monitor = policy.monitor.gates if policy.monitor else None
    for path, names in chain(
        ((("branches", name, "gates"), part.gates) for name, part in policy.branches.items()),
        ((("stages", name, "gates"), part.gates) for name, part in policy.stages.items()),
        [(("monitor", "gates"), monitor)],
    ):
        for gate in names or ():
            if gate not in given.gates:
                yield Mistake(path, f"unknown gate '{gate}'", _nearest(gate, given), (path,))
            trade_off = policy.gates[gate].trade_off if gate in policy.gates else None
            if path[0] != "monitor" and trade_off is not None and trade_off.gate not in (names or ()):
                words = f"the trade-off of '{gate}' needs the gate '{trade_off.gate}': add it"
                yield Mistake(path, words, None, (path, ("gates", gate)))


def _promotions(policy: Policy) -> Iterator[Mistake]:
    """Stages whose gates all read files of the machine that trained: a promotion judges elsewhere."""
    for name, stage in policy.stages.items():
        chosen = [gate for gate in stage.gates or () if gate in policy.gates]
        if chosen and len(chosen) == len(stage.gates or ()) and all(policy.gates[g].kind == "drift" for g in chosen):
            path = ("stages", name, "gates")
            words = "a promotion cannot judge gates of kind drift, whose files are with the training: add another gate"
            yield Mistake(path, words, None, (path, *(("gates", gate, "kind") for gate in chosen)))


def _nearest(gate: str, given: Readable) -> str | Unknown:
    return Unknown(gate, given.gates) if given.gates else "there is no gate"


def _waiver(path: Path, waiver: Waiver, given: Readable) -> Iterator[Mistake]:
    gate = given.policy.gates.get(waiver.gate)
    named = (*path, "gate")
    if gate is None:
        if waiver.gate not in given.gates:
            yield Mistake(named, f"unknown gate '{waiver.gate}'", _nearest(waiver.gate, given), (named,))
        return
    rules = (("gates", waiver.gate, rule) for rule in ("kind", "min", "max", "max_regression"))
    about = (named, (*path, "rule"), *rules)
    rule = waived_rule(gate, waiver)
    if gate.kind == "drift":
        yield Mistake(named, f"'{waiver.gate}' is a gate of kind drift, which cannot be waived", None, about)
    elif rule is None:
        words = f"'{waiver.gate}' has more than one rule: add rule: min or max"
        yield Mistake(path, words, None, about)
    elif getattr(gate, rule) is None:
        yield Mistake((*path, "rule"), f"the gate '{waiver.gate}' has no rule '{rule}'", None, about)
    elif bound := _stricter(gate, rule, waiver.limit):
        words = f"{waiver.limit:g} allows no more than {bound} does, so the waiver has no effect"
        yield Mistake((*path, "limit"), words, None, (*about, (*path, "limit")))


def _stricter(gate: Gate, rule: str, limit: float) -> str | None:
    """The bound that allows as much as the waiver's limit, or more."""
    if rule == "max_regression":
        allowed = gate.max_regression
        if limit < 0 or allowed is None:
            return "0"
        return f"max_regression {allowed.abs:g}" if allowed.rel is None and limit <= (allowed.abs or 0) else None
    own = getattr(gate, rule)
    return f"{rule} {own:g}" if (limit >= own if rule == "min" else limit <= own) else None
