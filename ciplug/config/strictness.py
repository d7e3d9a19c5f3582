"""Which of two values of a key is the stricter one: a comparison for each way in which values are ordered. Pure.

A comparison yields what is looser in the value after than in the one before. `tighten` says which key has which.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ciplug.config.gate import ResolvedGate
from ciplug.config.kinds import Path
from ciplug.config.loosening import How, Loosening
from ciplug.config.policy import Policy


@dataclass(frozen=True)
class Scope:
    """What a key is about."""

    base: Policy
    gates: Mapping[str, tuple[ResolvedGate, ResolvedGate]]
    """The gates of the base that the key is about: as they were, and as they are."""
    existed: bool = True
    """Whether the table of the key was in the base."""
    trading: Mapping[str, tuple[ResolvedGate, ResolvedGate]] = field(default_factory=dict)
    """The gates that allow a larger loss for a gain of the metric of these gates."""

    def may_be_open(self, at: Path, *actions: str) -> Iterator[Loosening]:
        """The loosening by a key that may leave gates open, unless they fail then by their actions."""
        for name, (before, after) in self.gates.items():
            if before.severity == "error" and any(getattr(after, action) != "fail" for action in actions):
                yield Loosening(at, How.LEFT_OPEN, actions, name)
                return

    @property
    def comparing(self) -> Scope:
        """The same for the gates that compare with a baseline."""
        return replace(self, gates={name: pair for name, pair in self.gates.items() if pair[0].compares})

    @property
    def tested(self) -> Scope:
        """The same for the gates that the tests of these gates decide: a trade-off asks for a gain of another gate."""
        return replace(self, gates={**self.gates, **self.trading})


Compare = Callable[[Any, Any, Path, Scope], Iterator[Loosening]]
"""From the value of a key before and after, and its path."""


def free(was: Any, now: Any, at: Path, scope: Scope) -> Iterator[Loosening]:
    """Any value: it does not decide what passes."""
    return iter(())


def of_gates(was: Any, now: Any, at: Path, scope: Scope) -> Iterator[Loosening]:
    """Compared in each gate that takes it."""
    return iter(())


def fixed(was: Any, now: Any, at: Path, scope: Scope) -> Iterator[Loosening]:
    """A value without an order of strictness."""
    if was != now:
        yield Loosening(at, How.CHANGED, was, now)


def first(was: Any, now: Any, at: Path, scope: Scope) -> Iterator[Loosening]:
    """A fixed value that may be given where there was none."""
    if was is not None:
        yield from fixed(was, now, at, scope)


def first_evidence(was: Any, now: Any, at: Path, scope: Scope) -> Iterator[Loosening]:
    """The same of a key that asks for more evidence, which a run may not have."""
    yield from first(was, now, at, scope)
    if was is None and now is not None:
        yield from scope.tested.may_be_open(at, "on_inconclusive")


def at_most(how: How) -> Compare:
    """A number that may become smaller, but not larger."""

    def compare(was: Any, now: Any, at: Path, scope: Scope) -> Iterator[Loosening]:
        if now > was:
            yield Loosening(at, how, was, now)

    return compare


def lower_bound(was: Any, now: Any, at: Path, scope: Scope) -> Iterator[Loosening]:
    """The smallest value that passes: it may rise, and be given where there was none."""
    if was is not None and now is None:
        yield Loosening(at, How.BOUND_REMOVED, was)
    elif was is not None and now < was:
        yield Loosening(at, How.BELOW, was, now)


def upper_bound(was: Any, now: Any, at: Path, scope: Scope) -> Iterator[Loosening]:
    """The largest value that passes: it may fall, and be given where there was none."""
    if was is not None and now is None:
        yield Loosening(at, How.BOUND_REMOVED, was)
    elif was is not None and now > was:
        yield Loosening(at, How.ABOVE, was, now)


def severity(was: Any, now: Any, at: Path, scope: Scope) -> Iterator[Loosening]:
    """What a failure does: an error stops the job, a warning does not."""
    if was == "error" and now == "warning":
        yield Loosening(at, How.LOWERED)


def action(was: Any, now: Any, at: Path, scope: Scope) -> Iterator[Loosening]:
    """What an open gate does: it fails, or it only warns."""
    if was == "fail" and now == "warn":
        yield Loosening(at, How.SOFTENED)


def override(key: str, strict: str, lowered: How, removed: How) -> Compare:
    """A setting of a stage or branch in the place of that of its gates."""

    def compare(was: Any, now: Any, at: Path, scope: Scope) -> Iterator[Loosening]:
        strict_before = was == strict or (
            was is None and any(getattr(before, key) == strict for before, _ in scope.gates.values())
        )
        if now not in (None, strict) and strict_before:
            yield Loosening(at, lowered)
        elif was == strict and now is None:
            yield Loosening(at, removed)

    return compare
