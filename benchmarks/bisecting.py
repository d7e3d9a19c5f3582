"""How many trainings `ciplug bisect` takes, and how often it and `ciplug blame` name a wrong commit.

`python -m benchmarks.bisecting` simulates searches and histories, and writes the table of docs/history.md.
"""

from __future__ import annotations

import argparse
import math
import random
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from ciplug.stats.bisection import limit, search
from ciplug.stats.level_changes import level_changes

ROOT = Path(__file__).resolve().parents[1]
BEGIN, END = "<!-- written by benchmarks/bisecting.py -->", "<!-- end -->"
ALPHA = 0.05
COMMITS = (16, 100, 500)
RECORDED = 5
"""Recorded numbers at each end."""
STEPS = (0, 2, 4, 8, 20)
"""In standard deviations of one training; 0: nothing has changed."""


class Result(NamedTuple):
    outcome: str
    is_right: bool
    trainings: int


def one_search(draw: random.Random, commits: int, step: float, recorded: int) -> Result:
    culprit = draw.randint(1, commits - 1)
    return _search(lambda at: draw.gauss(step if at >= culprit else 0, 1), commits, culprit, recorded)


def _search(train: Callable[[int], float], commits: int, culprit: int, recorded: int) -> Result:
    last = commits - 1
    values = {at: [train(at) for _ in range(recorded)] for at in (0, last)}
    trainings, most = 0, limit(last)
    while (state := search(values, 1, last, barred=(), left=most - trainings, alpha=ALPHA)).outcome is None:
        values.setdefault(state.next, []).append(train(state.next))
        trainings += 1
    return Result(state.outcome, state.likeliest.first == culprit == state.likeliest.last, trainings)


def searches(times: int) -> Iterator[str]:
    yield "| commits | step | found | another named | nothing has changed | trainings, median | in 95% | log₂n + 2 |"
    yield "|---|---|---|---|---|---|---|---|"
    for commits in COMMITS:
        for step in STEPS:
            draw = random.Random(f"{commits} {step}")
            results = [one_search(draw, commits, step, RECORDED) for _ in range(times)]
            found = [one for one in results if one.outcome == "found"]
            right = sum(one.is_right for one in found) if step else 0
            trainings = sorted(one.trainings for one in results)
            shares = [right, len(found) - right, sum(one.outcome == "unchanged" for one in results)]
            cells = [f"{commits}", f"{step} sd" if step else "none", *(f"{share / times:.1%}" for share in shares)]
            cells += [f"{trainings[times // 2]}", f"{trainings[math.ceil(times * 0.95) - 1]}"]
            yield f"| {' | '.join(cells)} | {math.log2(commits) + 2:.1f} |"


def histories(times: int) -> Iterator[str]:
    yield "| commits with a run | step | some change is named | it is among the candidates | it is the one named |"
    yield "|---|---|---|---|---|"
    for n in (10, 30, 100):
        for step in (0, 2, 4):
            draw, named, covered, exact = random.Random(f"{n} {step} history"), 0, 0, 0
            for _ in range(times):
                culprit = draw.randint(3, n - 3)
                values = {at: [draw.gauss(step if at >= culprit else 0, 1)] for at in range(n)}
                changes = level_changes(values, ALPHA)
                named += bool(changes)
                covered += any(culprit in change.candidates for change in changes)
                exact += any(change.at == culprit for change in changes)
            others = [f"{covered / times:.1%}", f"{exact / times:.1%}"] if step else ["", ""]
            cells = [f"{n}", f"{step} sd" if step else "none", f"{named / times:.1%}", *others]
            yield f"| {' | '.join(cells)} |"


def coarse_histories(times: int) -> Iterator[str]:
    """Histories without a change, of a metric with so few examples that most numbers are equal."""
    yield "| commits with a run | one deviation, in smallest steps of the metric | some change is named |"
    yield "|---|---|---|"
    for n in (5, 7, 8, 10, 30):
        for deviation in (0.3, 0.5, 1.0):
            draw, named = random.Random(f"{n} {deviation} coarse"), 0
            for _ in range(times):
                level = draw.choice((0.0, 0.2, 0.5))  # 0.5: both numbers beside it are as likely.
                values = {at: [float(round(draw.gauss(level, deviation)))] for at in range(n)}
                named += bool(level_changes(values, ALPHA))
            yield f"| {n} | {deviation} | {named / times:.1%} |"


def coarse_searches(times: int) -> Iterator[str]:
    """Searches that begin without a number: the training repeats itself, or one example comes out either way."""
    yield "| commits | accuracy | a commit is named | another named | trainings, median | in 95% | log₂n + 2 |"
    yield "|---|---|---|---|---|---|---|"
    one = (151 / 171, 150 / 171)
    for commits in COMMITS:
        for words, levels, is_exact in (
            ("0.9, then 0.7", (0.9, 0.7), True),
            ("151 of 171, then 150", one, True),
            ("151 of 171, or 150 by chance", one, False),
        ):
            draw = random.Random(f"{commits} {words}")
            results = [_coarse_search(draw, commits, levels, is_exact=is_exact) for _ in range(times)]
            found = [one for one in results if one.outcome == "found"]
            trainings = sorted(one.trainings for one in results)
            wrong = sum(not (is_exact and one.is_right) for one in found)
            cells = [f"{commits}", words, f"{len(found) / times:.1%}", f"{wrong / times:.1%}"]
            cells += [f"{trainings[times // 2]}", f"{trainings[math.ceil(times * 0.95) - 1]}"]
            yield f"| {' | '.join(cells)} | {math.log2(commits) + 2:.1f} |"


def _coarse_search(draw: random.Random, commits: int, levels: tuple[float, float], *, is_exact: bool) -> Result:
    culprit = draw.randint(1, commits - 1)
    return _search(lambda at: levels[at >= culprit] if is_exact else draw.choice(levels), commits, culprit, 0)


def tables(times: int) -> str:
    head = f"{times:,} searches or histories a row; {RECORDED} numbers are recorded at each end of a search:"
    return "\n".join(
        [head, "", *searches(times), "", *coarse_searches(times), "", *histories(times), "", *coarse_histories(times)]
    )


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description="Simulate searches, and write the tables of docs/history.md.")
    parser.add_argument("--times", metavar="N", type=int, default=1000)
    parser.add_argument("--output", metavar="FILE", type=Path, default=ROOT / "docs" / "history.md")
    args = parser.parse_args(argv)
    before, begin, rest = args.output.read_text(encoding="utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise SystemExit(f"the markers are missing: {BEGIN} … {END}")
    args.output.write_text(f"{before}{BEGIN}\n{tables(args.times)}\n{END}{after}", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
