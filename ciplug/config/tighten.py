"""A policy that extends another may only tighten it. Pure.

Whatever lets a failure pass is looser, and so is whatever leaves undecided what would fail: an undecided gate stops no
job. `STRICTER` has a comparison for every key; the keys that may leave a gate undecided are allowed where the gate
fails when it is undecided.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from ciplug.config import strictness
from ciplug.config.allowance import Allowance, TradeOff
from ciplug.config.gate import (
    ACTIONS,
    Baseline,
    Defaults,
    Gate,
    History,
    LeastEffect,
    ResolvedGate,
    Slices,
    Trend,
)
from ciplug.config.kinds import Mistake, Path, keys_of
from ciplug.config.loosening import How, Loosening
from ciplug.config.monitor import Monitor
from ciplug.config.policy import Policy, Samples, Seeds, Waiver
from ciplug.config.settings import Section
from ciplug.config.stages import Approvals, Narrowing, Stage
from ciplug.config.strictness import Compare, Scope

_DEFAULTS = frozenset(keys_of(Defaults))
_NOTHING = Narrowing()
_NO_RULES = Stage()
_WINDOW = Baseline().window


def loosenings(base: Policy, child: Policy, wrong: Collection[Path] = ()) -> Iterator[Mistake]:
    """Every key by which `child`, which has all that `base` has and more, lets pass what `base` does not.

    Args:
        wrong: paths of what could not be read in `child`: nothing is concluded from them.
    """
    unread = {str(at[0]) for at in wrong if at}
    mistakes = (Mistake(one.at, one.words, None, (one.at,)) for one in _all(base, child, unread))
    return (mistake for mistake in mistakes if mistake.is_known(wrong))


def section_loosenings(base: Section, child: Section) -> Iterator[Mistake]:
    """The same of what stands beside the policy: the metrics that gates look at, and what counts as a clean tree."""
    gated, ours, theirs = base.policy.renamed(base.metrics.rename).gated, child.metrics.rename, base.metrics.rename
    for old in dict.fromkeys((*ours, *theirs)):
        if {old, ours.get(old), theirs.get(old)} & gated and ours.get(old) != theirs.get(old):
            words = f"the rename of '{old}' changes what a gate looks at: put it into the file of the gate"
            yield Mistake(("metrics", "rename"), words, None, (("metrics",),))
    if base.clean.ignore and (more := [one for one in child.clean.ignore if one not in base.clean.ignore]):
        words = f"'{more[0]}' sets aside more than the file that this one extends does"
        yield Mistake(("clean", "ignore"), words, None, (("clean",),))


def _all(base: Policy, child: Policy, unread: Collection[str]) -> Iterator[Loosening]:
    """`unread`: top-level keys that could not be read, completely or in part."""
    if {"defaults", "baseline"} & set(unread):
        return
    both = {name: (base.resolved(name), child.resolved(name)) for name in base.gates if name in child.gates}
    for name, (before, after) in both.items():
        scope = Scope(base, {name: (before, after)}, trading=_trading(name, both))
        yield from _walk(Gate, before, after, _places(name, child), scope)
    for key in keys_of(Policy):
        if key not in unread or key in ("branches", "waivers"):
            yield from STRICTER[Policy][key](getattr(base, key), getattr(child, key), (key,), Scope(base, both))


def _trading(
    name: str, both: Mapping[str, tuple[ResolvedGate, ResolvedGate]]
) -> dict[str, tuple[ResolvedGate, ResolvedGate]]:
    """The gates that have a trade-off for the gain of this gate."""
    return {other: pair for other, pair in both.items() if pair[1].trade_off and pair[1].trade_off.gate == name}


def _walk(table: type, before: Any, after: Any, at: Callable[[str], Path], scope: Scope) -> Iterator[Loosening]:
    """Compare two tables key by key."""
    for key, compare in STRICTER[table].items():
        yield from compare(getattr(before, key), getattr(after, key), at(key), scope)


def _places(name: str, child: Policy) -> Callable[[str], Path]:
    def at(key: str) -> Path:
        """Return the path where the value is set: in the gate, or in the defaults."""
        own = getattr(child.gates[name], key, None) is not None
        if key == "baseline":
            return ("gates", name, "baseline") if own else ("baseline",)
        return ("gates", name, key) if own or key not in _DEFAULTS else ("defaults", key)

    return at


# --- Tables of a gate ----------------------------------------------------------------------------------------------


def _allowance(before: Allowance | None, after: Allowance | None, at: Path, scope: Scope) -> Iterator[Loosening]:
    if before is None:
        return
    if after is None:
        yield Loosening(at, How.RULE_REMOVED)
        return
    yield from _walk(Allowance, before, after, lambda key: at, scope)


def _absolute(was: Any, now: Any, at: Path, scope: Scope) -> Iterator[Loosening]:
    if now is not None and (was is None or now > was):
        yield Loosening(at, How.ABSOLUTE, was, now)
    elif was is not None and now is None:
        # A percentage alone decides nothing beside a baseline of 0.
        yield from scope.may_be_open(at, "on_inconclusive")


def _relative(was: Any, now: Any, at: Path, scope: Scope) -> Iterator[Loosening]:
    if now is not None and (was is None or now > was):
        yield Loosening(at, How.RELATIVE, was, now)


def _baseline(before: Baseline, after: Baseline, at: Path, scope: Scope) -> Iterator[Loosening]:
    # A branch of one's own may have a baseline that anything beats: what is compared with is fixed.
    if scope.comparing.gates:
        yield from list(_walk(Baseline, before, after, lambda key: at, scope))[:1]


def _last(was: Any, now: Any, at: Path, scope: Scope) -> Iterator[Loosening]:
    yield from strictness.fixed(was or _WINDOW, now or _WINDOW, at, scope)


def _age(was: Any, now: Any, at: Path, scope: Scope) -> Iterator[Loosening]:
    if was is not None and (now is None or now > was):
        yield Loosening(at, How.OLDER, was, now)
    elif now is not None and now != was:
        yield from scope.may_be_open(at, "on_inconclusive")


def _source(was: Any, now: Any, at: Path, scope: Scope) -> Iterator[Loosening]:
    if was == "ci" and now != "ci":
        yield Loosening(at, How.NOT_CI_ONLY, "source")
    elif was != now:
        yield from scope.may_be_open(at, "on_no_baseline")


def _least_effect(before: LeastEffect | None, after: LeastEffect | None, at: Path, scope: Scope) -> Iterator[Loosening]:
    yield from _walk(LeastEffect, before or LeastEffect(), after or LeastEffect(), lambda key: (*at, key), scope)


def _trend(before: Trend | None, after: Trend | None, at: Path, scope: Scope) -> Iterator[Loosening]:
    if before is not None and after is None:
        yield Loosening(at, How.RULE_REMOVED)
    elif before is not None:
        yield from _walk(Trend, before, after, lambda key: (*at, key), scope)


def _trade_off(before: TradeOff | None, after: TradeOff | None, at: Path, scope: Scope) -> Iterator[Loosening]:
    if before is not None and after is not None:
        yield from _walk(TradeOff, before, after, lambda key: (*at, key), scope)
    elif after is not None and any(gate.max_regression is not None for gate, _ in scope.gates.values()):
        yield Loosening(at, How.TRADE_OFF_ADDED)


def _improvement(before: Allowance, after: Allowance, at: Path, scope: Scope) -> Iterator[Loosening]:
    was, now = (one.abs if one.rel is None else one.rel for one in (before, after))
    if (before.rel is None) != (after.rel is None):
        yield Loosening(at, How.REPLACED)
    elif was is not None and now is not None and now < was:
        yield Loosening(at, How.BELOW, was, now)


def _slices(before: Slices | None, after: Slices | None, at: Path, scope: Scope) -> Iterator[Loosening]:
    if before is None:
        return
    if after is None:
        yield Loosening(at, How.SLICES_REMOVED)
        return
    yield from _walk(Slices, before, after, lambda key: (*at, key), scope)


def _columns(was: Sequence[str], now: Sequence[str], at: Path, scope: Scope) -> Iterator[Loosening]:
    if lost := [column for column in was if column not in now]:
        yield Loosening(at, How.ITEM_REMOVED, lost[0])
    elif len(now) > len(was):
        # Samples without a column of `by` have no slices at all; with it, more tests share the error rate.
        yield from scope.may_be_open(at, "on_missing", "on_inconclusive")


def _current(was: Any, now: Any, at: Path, scope: Scope) -> Iterator[Loosening]:
    """The samples are the current file where none is named: another one may be the reference itself."""
    if was is not None or scope.base.samples is not None:
        yield from strictness.fixed(was, now, at, scope)


# --- Keys of the policy --------------------------------------------------------------------------------------------


def _evaluation(was: Any, now: Any, at: Path, scope: Scope) -> Iterator[Loosening]:
    if was is not None and was != now:
        yield Loosening(at, How.REPLACED)
    elif was is None and now is not None:
        yield from scope.comparing.may_be_open(at, "on_inconclusive")


def _samples(was: Any, now: Any, at: Path, scope: Scope) -> Iterator[Loosening]:
    if was is not None and was != now:
        yield Loosening(at, How.REPLACED)
    elif was is None and now is not None:
        yield from scope.may_be_open(at, "on_inconclusive")


def _optional(was: bool, now: bool, at: Path, scope: Scope) -> Iterator[Loosening]:
    if now and not was:
        yield Loosening(at, How.OPTIONAL)


def _record(was: Any, now: Any, at: Path, scope: Scope) -> Iterator[Loosening]:
    if was == "ci" and now != "ci":
        yield Loosening(at, How.NOT_CI_ONLY, "record")
    elif was != now:
        yield from scope.may_be_open(at, "on_inconclusive")
        yield from scope.comparing.may_be_open(at, "on_no_baseline")


def _seeds(before: Seeds | None, after: Seeds | None, at: Path, scope: Scope) -> Iterator[Loosening]:
    if before is None and after is None:
        return
    if before is None:
        yield from scope.may_be_open(at, "on_inconclusive")
    elif after is None:
        yield Loosening(at, How.REPLACED)
    else:
        yield from _walk(Seeds, before, after, lambda key: (*at, key), scope)


def _min_runs(was: int, now: int, at: Path, scope: Scope) -> Iterator[Loosening]:
    if now < was:
        yield Loosening(at, How.FEWER, was, now)
    elif now > was:
        yield from scope.may_be_open(at, "on_inconclusive")


def _seed_key(was: str, now: str, at: Path, scope: Scope) -> Iterator[Loosening]:
    if was != now:
        yield Loosening(at[:-1], How.REPLACED)


def _defaults(before: Defaults, after: Defaults, at: Path, scope: Scope) -> Iterator[Loosening]:
    yield from _walk(Defaults, before, after, lambda key: (*at, key), scope)


def _waivers(before: Sequence[Waiver], after: Sequence[Waiver], at: Path, scope: Scope) -> Iterator[Loosening]:
    for waiver in filter(None, after):
        if waiver not in before and waiver.gate in scope.base.gates:
            yield Loosening(at, How.WAIVED, waiver.gate)


def _branches(
    before: Mapping[str, Narrowing], after: Mapping[str, Narrowing], at: Path, scope: Scope
) -> Iterator[Loosening]:
    for pattern, narrowing in after.items():
        yield from _narrowing(Narrowing, before.get(pattern), narrowing, (*at, pattern), scope)


def _stages(before: Mapping[str, Stage], after: Mapping[str, Stage], at: Path, scope: Scope) -> Iterator[Loosening]:
    ladder, now = scope.base.ladder, Policy(stages=after).ladder
    if before and ladder != now:
        yield Loosening(at, How.REORDERED, ladder, now)
    for name, stage in after.items():
        yield from _narrowing(Stage, before.get(name), stage, (*at, name), scope)


def _narrowing(
    table: type[Narrowing], before: Narrowing | None, after: Narrowing, at: Path, scope: Scope
) -> Iterator[Loosening]:
    """Compare two narrowings, or a new one with no narrowing at all."""
    was = before or (_NO_RULES if table is Stage else _NOTHING)
    due = {name: pair for name, pair in scope.gates.items() if was.gates is None or name in was.gates}
    inner = replace(scope, gates=due, existed=before is not None)
    yield from _walk(table, was, after, lambda key: (*at, key), inner)


def _selection(was: Any, now: Any, at: Path, scope: Scope) -> Iterator[Loosening]:
    if now is None:
        return
    if was is None and scope.existed:
        yield Loosening(at, How.NARROWED)
    elif lost := sorted(set(scope.base.gates if was is None else was) - set(now)):
        yield Loosening(at, How.GATE_LEFT_OUT, lost[0])


def _approvals(before: Approvals, after: Approvals, at: Path, scope: Scope) -> Iterator[Loosening]:
    yield from _walk(Approvals, before, after, lambda key: (*at, key), scope)


def _same(was: Any, now: Any, at: Path, scope: Scope) -> Iterator[Loosening]:
    if was not in (None, now):
        yield Loosening(at, How.REPLACED)


def _min_approvals(was: int, now: int, at: Path, scope: Scope) -> Iterator[Loosening]:
    if now < was:
        yield Loosening(at, How.FEWER, was, now)


def _not_author(was: bool, now: bool, at: Path, scope: Scope) -> Iterator[Loosening]:
    if was and not now:
        yield Loosening(at, How.REMOVED)


def _clean_tree(was: bool, now: bool, at: Path, scope: Scope) -> Iterator[Loosening]:
    if was and not now:
        yield Loosening(at, How.TURNED_OFF)


def _require(was: Sequence[str], now: Sequence[str], at: Path, scope: Scope) -> Iterator[Loosening]:
    # A clean tree is required by default, whether or not it is listed.
    for lost in (need for need in was if need not in (*now, "clean_tree")):
        yield Loosening(at, How.ITEM_REMOVED, lost)


_OF_BRANCH: dict[str, Compare] = {
    "gates": _selection,
    "severity": strictness.override("severity", "error", How.LOWERED, How.SEVERITY_REMOVED),
    **{key: strictness.override(key, "fail", How.SOFTENED, How.SOFTENED_BY_DEFAULT) for key in ACTIONS},
}
STRICTER: Mapping[type, Mapping[str, Compare]] = {
    Policy: {
        "evaluation": _evaluation,
        "optional": _optional,
        "record": _record,
        "samples": _samples,
        "seeds": _seeds,
        "baseline": strictness.of_gates,
        "defaults": _defaults,
        "gates": strictness.of_gates,
        "branches": _branches,
        "waivers": _waivers,
        "stages": _stages,
        "monitor": strictness.free,
        "policy_tests": strictness.free,
    },
    Defaults: {**dict.fromkeys(keys_of(Defaults), strictness.of_gates), "correction": strictness.fixed},
    Gate: {
        "kind": strictness.fixed,
        "metric": strictness.fixed,
        "higher_is_better": strictness.first,
        "min": strictness.lower_bound,
        "max": strictness.upper_bound,
        "max_regression": _allowance,
        "trade_off": _trade_off,
        "baseline": _baseline,
        "test": strictness.fixed,
        "n": strictness.first_evidence,
        "history": strictness.first_evidence,
        "trend": _trend,
        "slices": _slices,
        "reference": strictness.fixed,
        "current": _current,
        "columns": strictness.fixed,
        "min_effect": _least_effect,
        "severity": strictness.severity,
        "on_missing": strictness.action,
        "on_no_baseline": strictness.action,
        "on_inconclusive": strictness.action,
        "atol": strictness.at_most(How.MORE),
        "alpha": strictness.fixed,
    },
    TradeOff: {"max_regression": _allowance, "gate": strictness.fixed, "min_improvement": _improvement},
    Trend: {"since": strictness.fixed, "max_total": _allowance},
    LeastEffect: dict.fromkeys(keys_of(LeastEffect), strictness.at_most(How.MORE)),
    Allowance: {"abs": _absolute, "rel": _relative},
    Baseline: {
        "ref": strictness.fixed,
        "branch": strictness.fixed,
        "last": _last,
        "source": _source,
        "max_age_days": _age,
    },
    History: dict.fromkeys(keys_of(History), strictness.of_gates),
    Slices: {
        "by": _columns,
        "min_samples": strictness.at_most(How.FEWER_SLICES),
        "min": strictness.lower_bound,
        "max": strictness.upper_bound,
        "max_regression": _allowance,
    },
    Seeds: {"key": _seed_key, "min_runs": _min_runs},
    Samples: dict.fromkeys(keys_of(Samples), strictness.of_gates),
    Waiver: dict.fromkeys(keys_of(Waiver), strictness.of_gates),
    Monitor: dict.fromkeys(keys_of(Monitor), strictness.free),
    Narrowing: _OF_BRANCH,
    Stage: {**_OF_BRANCH, "approvals": _approvals, "clean_tree": _clean_tree, "require": _require},
    Approvals: {
        "environment": _same,
        "min_approvals": _min_approvals,
        "not_author": _not_author,
        "pull_request": _same,
    },
}
"""Table → key → how it is compared. A table that is compared as a whole has `strictness.of_gates` for its keys."""
