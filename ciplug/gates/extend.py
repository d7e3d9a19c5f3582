"""A policy that extends another may only tighten it. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ciplug.gates.policy import Allowance, Baseline, Gate, Narrowing, Policy, Slices, Stage

Loosening = tuple[tuple[str, ...], str]
"""Path of the key, and why it loosens."""

_ACTIONS = ("on_missing", "on_no_baseline", "on_inconclusive")
_ADDED = ("higher_is_better", "n", "history", "current")
_FIXED = ("kind", "metric", "test", "reference", "columns", "alpha", *_ADDED)
"""Of these nobody can say which value is the stricter one; those of `_ADDED` may be said where they were not."""


def loosenings(base: Policy, child: Policy) -> Iterator[Loosening]:
    """Every key by which `child`, which has all that `base` has and more, lets pass what `base` does not."""
    for name in base.gates:
        yield from _gate(base.resolved(name), child.resolved(name), name, child)
    if base.defaults.correction != child.defaults.correction:
        yield ("defaults", "correction"), _changed(base.defaults.correction, child.defaults.correction)
    for key in ("evaluation", "samples", "seeds"):
        before, after = getattr(base, key), getattr(child, key)
        if before is not None and before != after:
            if key == "seeds" and before.model_copy(update={"min_runs": after.min_runs}) == after:
                if after.min_runs < before.min_runs:
                    yield ("seeds", "min_runs"), f"{after.min_runs} is fewer than {before.min_runs}"
                continue
            yield (key,), "it may not be changed"
    for pattern, branch in base.branches.items():
        yield from _narrowing(branch, child.branches[pattern], ("branches", pattern))
    for pattern, added in child.branches.items():
        if pattern not in base.branches:
            yield from _narrowing(_NOTHING, added, ("branches", pattern), base)
    for name, stage in base.stages.items():
        yield from _stage(stage, child.stages[name], ("stages", name))
    for name, extra in child.stages.items():
        if name not in base.stages:
            yield from _narrowing(_NOTHING, extra, ("stages", name), base)
    inherited = [w for w in child.waivers if w not in base.waivers and w.gate in base.gates]
    for waiver in inherited:
        yield ("waivers",), f"a waiver for the gate '{waiver.gate}' loosens it: it stands in the file that has the gate"


class _Nothing:
    """A narrowing that narrows nothing."""

    gates: tuple[str, ...] | None = None
    on_missing = on_no_baseline = on_inconclusive = None


_NOTHING = _Nothing()


def _gate(before: Gate, after: Gate, name: str, child: Policy) -> Iterator[Loosening]:
    def at(key: str) -> tuple[str, ...]:
        """Where the value comes from: the gate, or the defaults."""
        own = getattr(child.gates[name], key, None) is not None
        if key == "baseline":
            return ("gates", name, "baseline") if own else ("baseline",)
        return ("gates", name, key) if own or key not in type(child.defaults).model_fields else ("defaults", key)

    for key in _FIXED:
        was, now = getattr(before, key), getattr(after, key)
        if was != now and not (key in _ADDED and was is None):
            yield at(key), _changed(was, now)
    if before.baseline and after.baseline:
        yield from ((at("baseline"), words) for words in _baseline(before.baseline, after.baseline))
    yield from ((at("min"), words) for words in _bound(before.min, after.min, least=True))
    yield from ((at("max"), words) for words in _bound(before.max, after.max, least=False))
    yield from ((at("max_regression"), words) for words in _allowance(before.max_regression, after.max_regression))
    if before.severity == "error" and after.severity == "warning":
        yield at("severity"), "a gate of severity error may not become a warning"
    for key in _ACTIONS:
        if getattr(before, key) == "fail" and getattr(after, key) == "warn":
            yield at(key), "'fail' may not become 'warn'"
    if (after.atol or 0) > (before.atol or 0):
        yield at("atol"), f"{after.atol:g} is more than {before.atol:g}"
    if before.slices is not None:
        yield from _slices(before.slices, after.slices, at("slices"))


def _baseline(before: Baseline, after: Baseline) -> Iterator[str]:
    for key in ("ref", "branch", "window"):
        was, now = getattr(before, key), getattr(after, key)
        if was is not None and was != now:
            yield _changed(was, now)
    if before.max_age_days is not None and (after.max_age_days is None or after.max_age_days > before.max_age_days):
        yield f"max_age_days {before.max_age_days:g} may not become more"


def _slices(before: Slices, after: Slices | None, at: tuple[str, ...]) -> Iterator[Loosening]:
    if after is None:
        yield at, "the slices may not be taken away"
        return
    if lost := [column for column in before.by if column not in after.by]:
        yield (*at, "by"), f"'{lost[0]}' may not be taken away"
    if after.min_samples > before.min_samples:
        yield (*at, "min_samples"), f"{after.min_samples} is more than {before.min_samples}: fewer slices are judged"
    yield from (((*at, "min"), words) for words in _bound(before.min, after.min, least=True))
    yield from (((*at, "max"), words) for words in _bound(before.max, after.max, least=False))
    yield from (((*at, "max_regression"), w) for w in _allowance(before.max_regression, after.max_regression))


def _bound(before: float | None, after: float | None, *, least: bool) -> Iterator[str]:
    if before is None:
        return
    if after is None:
        yield "the bound may not be taken away"
    elif after < before if least else after > before:
        yield f"{after:g} is {'below' if least else 'above'} {before:g}"


def _allowance(before: Allowance | None, after: Allowance | None) -> Iterator[str]:
    if before is None:
        return
    if after is None:
        yield "the rule may not be taken away"
        return
    for key in ("abs", "rel"):
        was, now = getattr(before, key), getattr(after, key)
        if now is not None and (was is None or now > was):
            yield f"'{key}' {now:g} allows more than {'nothing' if was is None else format(was, 'g')}"


def _narrowing(
    before: Narrowing | _Nothing, after: Narrowing, at: tuple[str, ...], base: Policy | None = None
) -> Iterator[Loosening]:
    """`base` is there for a part that is new: what it does to the gates that were there."""
    due = set(base.gates) if base else set(before.gates or ())
    if before.gates is None and after.gates is not None and base is None:
        yield (*at, "gates"), "'all' may not become fewer"
    elif after.gates is not None and (lost := sorted(due - set(after.gates))):
        yield (*at, "gates"), f"'{lost[0]}' may not be left out"
    for key in _ACTIONS:
        was, now = getattr(before, key), getattr(after, key)
        if now == "warn" and (was == "fail" or (base and any(getattr(base.resolved(g), key) == "fail" for g in due))):
            yield (*at, key), "'fail' may not become 'warn'"
        elif was == "fail" and now is None:
            yield (*at, key), "'fail' may not be taken away"


def _stage(before: Stage, after: Stage, at: tuple[str, ...]) -> Iterator[Loosening]:
    yield from _narrowing(before, after, at)
    if before.approvals.not_author and not after.approvals.not_author:
        yield (*at, "approvals", "not_author"), "it may not be taken away"
    if before.approvals.environment not in (None, after.approvals.environment):
        yield (*at, "approvals", "environment"), "it may not be changed"
    if lost := [need for need in before.require if need not in after.require]:
        yield (*at, "require"), f"'{lost[0]}' may not be taken away"


def _changed(before: Any, after: Any) -> str:
    return f"it may not be changed from {before} to {after}"
