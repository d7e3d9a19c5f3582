"""Rules and numbers of a policy as a person says them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ciplug.config.gate import Allowance, Baseline


def exact(value: float) -> str:
    """A number of the policy, as it was written."""
    return f"{value:.15g}"


def shown(value: float, *beside: float) -> str:
    """Six digits, or as many as show a whole number whole and tell the value from the numbers beside it."""
    for digits in range(6, 17):
        text = f"{value:.{digits}g}"
        told_apart = all(text != f"{other:.{digits}g}" for other in beside if other != value)
        if told_apart and ("e+" not in text or abs(value) >= 1e16):
            return text
    return repr(value)


def allowance(allowed: Allowance) -> str:
    """ "0.01 or 10%"."""
    parts = []
    if allowed.abs is not None:
        parts.append(exact(allowed.abs))
    if allowed.rel is not None:
        parts.append(f"{exact(allowed.rel * 100)}%")
    return " or ".join(parts)


def baseline(of: Baseline) -> str:
    """What a rule compares with, before it is known which run that is: "the merge base with main"."""
    kind, _, name = of.ref.partition(":")
    branch = of.branch or "the target branch"
    return {
        "merge-base": f"the merge base with {branch}",
        "target": f"the tip of {branch}",
        "production": "what is in production",
        "best": f"the best of the last {of.window} runs on {branch}",
        "mean": f"the mean of the last {of.window} runs on {branch}",
        "tag": f"the tag {name}",
        "commit": f"the commit {name}",
    }[kind]
