"""Contradictions between the parts of a policy. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from itertools import chain

from ciplug.config.gate import BY_EXAMPLE, Gate
from ciplug.config.kinds import Mistake, Path, Unknown
from ciplug.config.policy import Policy, Waiver, waived_rule


@dataclass(frozen=True)
class Readable:
    """A policy of which some parts could not be read: nothing is concluded from their absence."""

    policy: Policy
    gates: Collection[str]
    """The names of all gates, those that could not be read among them."""
    unread: Collection[str] = ()
    """The keys that could not be read, completely or in part."""

    def lacks(self, key: str) -> bool:
        return key not in self.unread and getattr(self.policy, key) is None


def contradictions(given: Readable) -> Iterator[Mistake]:
    """Every contradiction; paths begin at the policy."""
    yield from _directions(given.policy)
    for name, gate in given.policy.gates.items():
        yield from _gate(("gates", name), gate, given)
    yield from _selections(given)
    for number, waiver in enumerate(given.policy.waivers):
        yield from _waiver(("waivers", number), waiver, given)


def _directions(policy: Policy) -> Iterator[Mistake]:
    first: dict[str, str] = {}
    for name, gate in policy.gates.items():
        if gate.higher_is_better is None:
            continue
        other = first.setdefault(policy.metric_of(name), name)
        if policy.gates[other].higher_is_better != gate.higher_is_better:
            words = f"the gate '{other}' has the other direction for the metric '{policy.metric_of(name)}'"
            yield Mistake(("gates", name), words)


def _gate(path: Path, gate: Gate, given: Readable) -> Iterator[Mistake]:
    if given.lacks("samples"):
        yield from _without_samples(path, gate)
    if gate.test == "welch" and given.lacks("seeds"):
        yield Mistake((*path, "test"), "it compares runs with different seeds: add seeds: {min_runs: 2}")


def _without_samples(path: Path, gate: Gate) -> Iterator[Mistake]:
    if gate.slices:
        yield Mistake((*path, "slices"), "slices are parts of the samples: name their file with 'samples:'")
    if gate.test in BY_EXAMPLE:
        words = f"the test '{gate.test}' compares example by example: name their file with 'samples:'"
        yield Mistake((*path, "test"), words)
    if gate.test == "newcombe" and not gate.n:
        words = "the test 'newcombe' needs the number of examples: add n: METRIC, or 'samples:'"
        yield Mistake((*path, "test"), words)
    if gate.kind == "drift" and not gate.current:
        yield Mistake(path, "the file to compare with the reference is missing: add current: FILE")


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
                yield Mistake(path, f"unknown gate '{gate}'", _nearest(gate, given))


def _nearest(gate: str, given: Readable) -> str | Unknown:
    return Unknown(gate, given.gates) if given.gates else "there is no gate"


def _waiver(path: Path, waiver: Waiver, given: Readable) -> Iterator[Mistake]:
    gate = given.policy.gates.get(waiver.gate)
    if gate is None:
        if waiver.gate not in given.gates:
            yield Mistake((*path, "gate"), f"unknown gate '{waiver.gate}'", _nearest(waiver.gate, given))
        return
    rule = waived_rule(gate, waiver)
    if rule is None:
        yield Mistake(path, f"'{waiver.gate}' has more than one rule: add rule: min or max")
    elif getattr(gate, rule) is None:
        yield Mistake((*path, "rule"), f"the gate '{waiver.gate}' has no rule '{rule}'")
    elif bound := _stricter(gate, rule, waiver.limit):
        words = f"{waiver.limit:g} allows no more than {bound} does, so the waiver has no effect"
        yield Mistake((*path, "limit"), words)


def _stricter(gate: Gate, rule: str, limit: float) -> str | None:
    """The bound that allows as much as the waiver's limit, or more."""
    if rule == "max_regression":
        allowed = gate.max_regression
        if limit < 0 or allowed is None:
            return "0"
        return f"max_regression {allowed.abs:g}" if allowed.rel is None and limit <= (allowed.abs or 0) else None
    own = getattr(gate, rule)
    return f"{rule} {own:g}" if (limit >= own if rule == "min" else limit <= own) else None
