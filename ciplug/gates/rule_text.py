"""The rules of a policy in words, for verdicts and for its explanation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ciplug.gates.number_text import exact

if TYPE_CHECKING:
    from ciplug.config.allowance import Allowance, TradeOff
    from ciplug.config.gate import Baseline, Gate, Slices, Trend


def bound(limit: float, *, least: bool) -> str:
    """ "at least 0.85"."""
    return f"{'at least' if least else 'at most'} {exact(limit)}"


def regression(allowed: Allowance) -> str:
    """ "at most 0.01 or 10% worse than the baseline"."""
    return f"at most {allowance(allowed)} worse than the baseline"


def allowance(allowed: Allowance) -> str:
    """ "0.01 or 10%"."""
    parts = []
    if allowed.abs is not None:
        parts.append(exact(allowed.abs))
    if allowed.rel is not None:
        parts.append(f"{exact(allowed.rel * 100)}%")
    return " or ".join(parts)


def all_rules(gate: Gate) -> str:
    """Return all rules of a gate for the whole metric: "at least 0.85, at most 0.01 worse than the baseline"."""
    rules = [bound(gate.min, least=True)] if gate.min is not None else []
    rules += [bound(gate.max, least=False)] if gate.max is not None else []
    rules += [regression(gate.max_regression)] if gate.max_regression is not None else []
    if gate.trade_off is not None:
        rules[-1] += f", or {trade_off(gate.trade_off)}"
    rules += [trend(gate.trend)] if gate.trend is not None else []
    return ", ".join(rules)


def trade_off(of: TradeOff) -> str:
    """ "at most 0.005 worse if 'latency_ms' improves by 20%"."""
    least = allowance(of.min_improvement)
    return f"at most {allowance(of.max_regression)} worse if '{of.gate}' improves by {least}"


def trend(of: Trend) -> str:
    """ "at most 0.02 worse in total since the last promotion"."""
    return f"at most {allowance(of.max_total)} worse in total since {since(of)}"


def since(of: Trend) -> str:
    if isinstance(of.since, int):
        return f"{of.since} runs ago"
    kind, _, name = of.since.partition(":")
    return f"the tag {name}" if kind == "tag" else "the last promotion"


def in_each(rule: str, columns: Sequence[str]) -> str:
    """ "at least 0.85 in each country and device"."""
    return f"{rule} in each {' and '.join(columns)}"


def slices(rules: Slices) -> str:
    """ "in each country with 200 examples"."""
    return f"in each {' and '.join(rules.by)} with {rules.min_samples:,} examples"


def baseline(of: Baseline) -> str:
    """Describe the baseline of a rule before the run is known: "the merge base with main"."""
    kind, _, name = of.ref.partition(":")
    branch = of.branch or "the target branch"
    return {
        "merge-base": f"the merge base with {branch}",
        "target": f"the tip of {branch}",
        "previous": f"the previous run on {branch}",
        "production": "what is in production",
        "best": f"the best of the last {of.window} runs on {branch}",
        "mean": f"the mean of the last {of.window} runs on {branch}",
        "tag": f"the tag {name}",
        "commit": f"the commit {name}",
    }[kind]
