"""What starting costs: `ciplug --version` by an empty Python program on the same interpreter."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.measuring import Arm, Result, Skipped, call, interleave
from benchmarks.places import ROOT, Tools


def measure(tools: Tools, *, pairs: int, quick: bool) -> Iterator[Result | Skipped]:
    def arm(*argv: str) -> Arm:
        return Arm(lambda: ROOT, lambda place: call(argv, place, tools.env))

    ours, floor = interleave(arm(*tools.ciplug, "--version"), arm(tools.python, "-c", "pass"), pairs * 3)
    yield Result("`ciplug --version`", ours, "`python -c pass`", floor, aim=2.5)
