"""A policy that extends another may only tighten it. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import fields, replace
from typing import Any

from ciplug.config.gate import Allowance, Baseline, Defaults, Gate, Slices
from ciplug.config.kinds import Mistake, Path
from ciplug.config.model import Section
from ciplug.config.policy import Policy
from ciplug.config.stages import Narrowing, Stage

Loosening = tuple[tuple[str, ...], str]
"""Path of the key, and why it loosens."""

_ACTIONS = ("on_missing", "on_no_baseline", "on_inconclusive")
_ADDED = ("higher_is_better", "n", "history", "current")
_FIXED = ("kind", "metric", "test", "reference", "columns", "alpha", *_ADDED)
"""Keys whose values have no order of strictness; those of `_ADDED` may be added if they were not set."""
_DEFAULTS = frozenset(one.name for one in fields(Defaults))
_NOTHING = Narrowing()
_NO_RULES = Stage()


def loosenings(base: Policy, child: Policy, wrong: Collection[Path] = ()) -> Iterator[Mistake]:
    """Every key by which `child`, which has all that `base` has and more, lets pass what `base` does not.

    Args:
        wrong: paths of what could not be read in `child`: nothing is concluded from them.
    """
    unread = {str(at[0]) for at in wrong if at}
    found = (Mistake(at, words, None, (at,)) for at, words in _all(base, child, unread))
    return (mistake for mistake in found if mistake.is_known(wrong))


def renames(base: Section, child: Section) -> Iterator[Mistake]:
    """Every rename by which a gate of `base` looks at another metric in `child`."""
    gated, ours, theirs = base.policy.renamed(base.metrics.rename).gated, child.metrics.rename, base.metrics.rename
    for old in dict.fromkeys((*ours, *theirs)):
        if {old, ours.get(old), theirs.get(old)} & gated and ours.get(old) != theirs.get(old):
            words = f"the rename of '{old}' changes what a gate looks at: put it into the file of the gate"
            yield Mistake(("metrics", "rename"), words, None, (("metrics",),))


def _all(base: Policy, child: Policy, unread: Collection[str]) -> Iterator[Loosening]:
    """`unread`: top-level keys that could not be read, completely or in part."""
    if not {"defaults", "baseline"} & set(unread):
        for name in (name for name in base.gates if name in child.gates):
            yield from _gate(base.resolved(name), child.resolved(name), name, child)
        if base.defaults.correction != child.defaults.correction:
            yield ("defaults", "correction"), _changed(base.defaults.correction, child.defaults.correction)
    for key in ("evaluation", "samples"):
        if key not in unread and getattr(base, key) not in (None, getattr(child, key)):
            yield (key,), "it may not be changed"
    if "record" not in unread and base.record == "ci" and child.record != "ci":
        yield ("record",), "'record: ci' may not be changed"
    if "seeds" not in unread:
        yield from _seeds(base, child)
    yield from _branches(base, child)
    yield from _stages(base, child, unread)
    for waiver in filter(None, child.waivers):
        if waiver not in base.waivers and waiver.gate in base.gates:
            yield ("waivers",), f"a waiver for the gate '{waiver.gate}' loosens it: put it into the file of the gate"


def _seeds(base: Policy, child: Policy) -> Iterator[Loosening]:
    before, after = base.seeds, child.seeds
    if before is None or before == after:
        return
    if after is None or replace(before, min_runs=after.min_runs) != after:
        yield ("seeds",), "it may not be changed"
    elif after.min_runs < before.min_runs:
        yield ("seeds", "min_runs"), f"{after.min_runs} is fewer than {before.min_runs}"


def _branches(base: Policy, child: Policy) -> Iterator[Loosening]:
    for pattern, after in child.branches.items():
        if pattern in base.branches:
            yield from _narrowing(base.branches[pattern], after, ("branches", pattern))
        else:
            yield from _narrowing(_NOTHING, after, ("branches", pattern), base)


def _stages(base: Policy, child: Policy, unread: Collection[str]) -> Iterator[Loosening]:
    if base.stages and base.ladder != child.ladder and "stages" not in unread:
        yield ("stages",), f"the order of stages may not be changed from {_steps(base)} to {_steps(child)}"
    for name, after in child.stages.items():
        if name in base.stages:
            yield from _stage(base.stages[name], after, ("stages", name))
        else:
            yield from _narrowing(_NOTHING, after, ("stages", name), base)
            yield from _requirements(_NO_RULES, after, ("stages", name))


def _steps(policy: Policy) -> str:
    return ", ".join(policy.ladder)


def _gate(before: Gate, after: Gate, name: str, child: Policy) -> Iterator[Loosening]:
    def at(key: str) -> tuple[str, ...]:
        """Return the path where the value is set: in the gate, or in the defaults."""
        own = getattr(child.gates[name], key, None) is not None
        if key == "baseline":
            return ("gates", name, "baseline") if own else ("baseline",)
        return ("gates", name, key) if own or key not in _DEFAULTS else ("defaults", key)

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
        yield at("severity"), "a gate of severity error may not be lowered to warning"
    for key in _ACTIONS:
        if getattr(before, key) == "fail" and getattr(after, key) == "warn":
            yield at(key), "'fail' may not be changed to 'warn'"
    if (after.atol or 0) > (before.atol or 0):
        yield at("atol"), f"{after.atol:g} is more than {before.atol:g}"
    if before.slices is not None:
        yield from _slices(before.slices, after.slices, at("slices"))


def _baseline(before: Baseline, after: Baseline) -> Iterator[str]:
    for key in ("ref", "branch", "window"):
        was, now = getattr(before, key), getattr(after, key)
        if was is not None and was != now:
            yield _changed(was, now)
            return
    if before.source == "ci" and after.source != "ci":
        yield "'source: ci' may not be removed"
    if before.max_age_days is not None and (after.max_age_days is None or after.max_age_days > before.max_age_days):
        yield f"max_age_days {before.max_age_days:g} may not be raised"


def _slices(before: Slices, after: Slices | None, at: tuple[str, ...]) -> Iterator[Loosening]:
    if after is None:
        yield at, "the slices may not be removed"
        return
    if lost := [column for column in before.by if column not in after.by]:
        yield (*at, "by"), f"'{lost[0]}' may not be removed"
    if after.min_samples > before.min_samples:
        yield (*at, "min_samples"), f"{after.min_samples} is more than {before.min_samples}: fewer slices are judged"
    yield from (((*at, "min"), words) for words in _bound(before.min, after.min, least=True))
    yield from (((*at, "max"), words) for words in _bound(before.max, after.max, least=False))
    yield from (((*at, "max_regression"), w) for w in _allowance(before.max_regression, after.max_regression))


def _bound(before: float | None, after: float | None, *, least: bool) -> Iterator[str]:
    if before is None:
        return
    if after is None:
        yield "the bound may not be removed"
    elif after < before if least else after > before:
        yield f"{after:g} is {'below' if least else 'above'} {before:g}"


def _allowance(before: Allowance | None, after: Allowance | None) -> Iterator[str]:
    if before is None:
        return
    if after is None:
        yield "the rule may not be removed"
        return
    for key in ("abs", "rel"):
        was, now = getattr(before, key), getattr(after, key)
        if now is not None and (was is None or now > was):
            yield f"'{key}' {now:g} allows more than {'nothing' if was is None else format(was, 'g')}"


def _narrowing(
    before: Narrowing, after: Narrowing, at: tuple[str, ...], base: Policy | None = None
) -> Iterator[Loosening]:
    """Compare two narrowings. For a new part, `base` is the policy whose gates it narrows."""
    due = set(base.gates) if base else set(before.gates or ())
    if before.gates is None and after.gates is not None and base is None:
        yield (*at, "gates"), "'all' may not be narrowed"
    elif after.gates is not None and (lost := sorted(due - set(after.gates))):
        yield (*at, "gates"), f"'{lost[0]}' may not be left out"
    for key in _ACTIONS:
        was, now = getattr(before, key), getattr(after, key)
        if now == "warn" and (was == "fail" or (base and any(getattr(base.resolved(g), key) == "fail" for g in due))):
            yield (*at, key), "'fail' may not be changed to 'warn'"
        elif was == "fail" and now is None:
            yield (*at, key), "'fail' may not be removed"


def _stage(before: Stage, after: Stage, at: tuple[str, ...]) -> Iterator[Loosening]:
    yield from _narrowing(before, after, at)
    if before.approvals.not_author and not after.approvals.not_author:
        yield (*at, "approvals", "not_author"), "it may not be removed"
    if before.approvals.environment not in (None, after.approvals.environment):
        yield (*at, "approvals", "environment"), "it may not be changed"
    yield from _requirements(before, after, at)


def _requirements(before: Stage, after: Stage, at: tuple[str, ...]) -> Iterator[Loosening]:
    for lost in (need for need in before.requirements if need not in after.requirements):
        if lost == "clean_tree":
            yield (*at, "clean_tree"), "it may not be turned off"
        else:
            yield (*at, "require"), f"'{lost}' may not be removed"


def _changed(before: Any, after: Any) -> str:
    return f"it may not be changed from {before} to {'nothing' if after is None else after}"
