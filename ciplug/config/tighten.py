"""A policy that extends another may only tighten it. Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import fields, replace

from ciplug.config.gate import ACTIONS, Allowance, Baseline, Defaults, Gate, Slices
from ciplug.config.kinds import Mistake, Path
from ciplug.config.loosening import How, Loosening
from ciplug.config.model import Section
from ciplug.config.policy import Policy
from ciplug.config.stages import Narrowing, Stage

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
    found = (Mistake(one.at, one.words, None, (one.at,)) for one in _all(base, child, unread))
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
            was, now = base.defaults.correction, child.defaults.correction
            yield Loosening(("defaults", "correction"), How.CHANGED, was, now)
    for key in ("evaluation", "samples"):
        if key not in unread and getattr(base, key) not in (None, getattr(child, key)):
            yield Loosening((key,), How.REPLACED)
    if "record" not in unread and base.record == "ci" and child.record != "ci":
        yield Loosening(("record",), How.NOT_CI_ONLY, "record")
    if "seeds" not in unread:
        yield from _seeds(base, child)
    yield from _branches(base, child)
    yield from _stages(base, child, unread)
    for waiver in filter(None, child.waivers):
        if waiver not in base.waivers and waiver.gate in base.gates:
            yield Loosening(("waivers",), How.WAIVED, waiver.gate)


def _seeds(base: Policy, child: Policy) -> Iterator[Loosening]:
    before, after = base.seeds, child.seeds
    if before is None or before == after:
        return
    if after is None or replace(before, min_runs=after.min_runs) != after:
        yield Loosening(("seeds",), How.REPLACED)
    elif after.min_runs < before.min_runs:
        yield Loosening(("seeds", "min_runs"), How.FEWER, before.min_runs, after.min_runs)


def _branches(base: Policy, child: Policy) -> Iterator[Loosening]:
    for pattern, after in child.branches.items():
        if pattern in base.branches:
            yield from _narrowing(base.branches[pattern], after, ("branches", pattern))
        else:
            yield from _narrowing(_NOTHING, after, ("branches", pattern), base)


def _stages(base: Policy, child: Policy, unread: Collection[str]) -> Iterator[Loosening]:
    if base.stages and base.ladder != child.ladder and "stages" not in unread:
        yield Loosening(("stages",), How.REORDERED, base.ladder, child.ladder)
    for name, after in child.stages.items():
        if name in base.stages:
            yield from _stage(base.stages[name], after, ("stages", name))
        else:
            yield from _narrowing(_NOTHING, after, ("stages", name), base)
            yield from _requirements(_NO_RULES, after, ("stages", name))


def _gate(before: Gate, after: Gate, name: str, child: Policy) -> Iterator[Loosening]:
    def at(key: str) -> Path:
        """Return the path where the value is set: in the gate, or in the defaults."""
        own = getattr(child.gates[name], key, None) is not None
        if key == "baseline":
            return ("gates", name, "baseline") if own else ("baseline",)
        return ("gates", name, key) if own or key not in _DEFAULTS else ("defaults", key)

    for key in _FIXED:
        was, now = getattr(before, key), getattr(after, key)
        if was != now and not (key in _ADDED and was is None):
            yield Loosening(at(key), How.CHANGED, was, now)
    if before.baseline and after.baseline:
        yield from _baseline(before.baseline, after.baseline, at("baseline"))
    yield from _bounds(before, after, at)
    if before.severity == "error" and after.severity == "warning":
        yield Loosening(at("severity"), How.LOWERED)
    for key in ACTIONS:
        if getattr(before, key) == "fail" and getattr(after, key) == "warn":
            yield Loosening(at(key), How.SOFTENED)
    if (after.atol or 0) > (before.atol or 0):
        yield Loosening(at("atol"), How.MORE, before.atol or 0, after.atol)
    if before.slices is not None:
        yield from _slices(before.slices, after.slices, at("slices"))


def _baseline(before: Baseline, after: Baseline, at: Path) -> Iterator[Loosening]:
    for key in ("ref", "branch", "window"):
        was, now = getattr(before, key), getattr(after, key)
        if was is not None and was != now:
            yield Loosening(at, How.CHANGED, was, now)
            return
    if before.source == "ci" and after.source != "ci":
        yield Loosening(at, How.NOT_CI_ONLY, "source")
    if before.max_age_days is not None and (after.max_age_days is None or after.max_age_days > before.max_age_days):
        yield Loosening(at, How.OLDER, before.max_age_days, after.max_age_days)


def _slices(before: Slices, after: Slices | None, at: Path) -> Iterator[Loosening]:
    if after is None:
        yield Loosening(at, How.SLICES_REMOVED)
        return
    if lost := [column for column in before.by if column not in after.by]:
        yield Loosening((*at, "by"), How.ITEM_REMOVED, lost[0])
    if after.min_samples > before.min_samples:
        yield Loosening((*at, "min_samples"), How.FEWER_SLICES, before.min_samples, after.min_samples)
    yield from _bounds(before, after, lambda key: (*at, key))


def _bounds(before: Gate | Slices, after: Gate | Slices, at: Callable[[str], Path]) -> Iterator[Loosening]:
    """Compare the bounds and the allowance of a gate, or of its slices."""
    for key, how in (("min", How.BELOW), ("max", How.ABOVE)):
        was, now = getattr(before, key), getattr(after, key)
        if was is not None and now is None:
            yield Loosening(at(key), How.BOUND_REMOVED, was)
        elif was is not None and (now < was if key == "min" else now > was):
            yield Loosening(at(key), how, was, now)
    yield from _allowance(before.max_regression, after.max_regression, at("max_regression"))


def _allowance(before: Allowance | None, after: Allowance | None, at: Path) -> Iterator[Loosening]:
    if before is None:
        return
    if after is None:
        yield Loosening(at, How.RULE_REMOVED)
        return
    for key, how in (("abs", How.ABSOLUTE), ("rel", How.RELATIVE)):
        was, now = getattr(before, key), getattr(after, key)
        if now is not None and (was is None or now > was):
            yield Loosening(at, how, was, now)


def _narrowing(before: Narrowing, after: Narrowing, at: Path, base: Policy | None = None) -> Iterator[Loosening]:
    """Compare two narrowings. For a new part, `base` is the policy whose gates it narrows."""
    due = set(base.gates) if base else set(before.gates or ())
    if before.gates is None and after.gates is not None and base is None:
        yield Loosening((*at, "gates"), How.NARROWED)
    elif after.gates is not None and (lost := sorted(due - set(after.gates))):
        yield Loosening((*at, "gates"), How.GATE_LEFT_OUT, lost[0])
    if after.severity == "warning" and (base or before.severity != "warning"):
        if base is None or any(base.resolved(name).severity == "error" for name in due):
            yield Loosening((*at, "severity"), How.LOWERED)
    elif before.severity == "error" and after.severity is None:
        yield Loosening((*at, "severity"), How.SEVERITY_REMOVED)
    for key in ACTIONS:
        was, now = getattr(before, key), getattr(after, key)
        if now == "warn" and (was == "fail" or (base and any(getattr(base.resolved(g), key) == "fail" for g in due))):
            yield Loosening((*at, key), How.SOFTENED)
        elif was == "fail" and now is None:
            yield Loosening((*at, key), How.SOFTENED_BY_DEFAULT)


def _stage(before: Stage, after: Stage, at: Path) -> Iterator[Loosening]:
    yield from _narrowing(before, after, at)
    if before.approvals.not_author and not after.approvals.not_author:
        yield Loosening((*at, "approvals", "not_author"), How.REMOVED)
    if before.approvals.environment not in (None, after.approvals.environment):
        yield Loosening((*at, "approvals", "environment"), How.REPLACED)
    yield from _requirements(before, after, at)


def _requirements(before: Stage, after: Stage, at: Path) -> Iterator[Loosening]:
    for lost in (need for need in before.requirements if need not in after.requirements):
        if lost == "clean_tree":
            yield Loosening((*at, "clean_tree"), How.TURNED_OFF)
        else:
            yield Loosening((*at, "require"), How.ITEM_REMOVED, lost)
