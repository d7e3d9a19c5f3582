"""Gate many metrics on many slices of per-example scores, beside scipy's bootstrap on the same data in the same run.

python benchmarks/gating.py [--quick] [--output FILE]

Ours: from two evaluations of 100,000 examples in memory to an interval and a verdict for each of 100 metrics on each
of 50 slices. scipy: `scipy.stats.bootstrap` of the mean paired difference, percentile, 10,000 resamples, for one
metric and slice after the other. That would take an hour or so: a stated number of pairs is timed, spread over the
metrics and slices, and the time is multiplied; the slices are of one size, and so is what scipy does for each.
Each side runs in a process of its own. Time is that of the processor, all threads together, so that a busy machine does
not tilt the ratio; the reading of files is in neither.
"""

from __future__ import annotations

import argparse
import json
import math
import resource
import sys
import time
from array import array
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
if __name__ == "__main__":
    sys.path[0] = str(ROOT)

from benchmarks.measuring import call  # noqa: E402
from ciplug.records.examples import Examples  # noqa: E402
from ciplug.stats.intervals import Interval, Rule, decide  # noqa: E402
from ciplug.stats.joined_examples import Paired, join, slices  # noqa: E402

BEGIN, END = "<!-- gating: written by benchmarks/gating.py -->", "<!-- end of gating -->"
KINDS = ("binary", "continuous")
SEED, RESAMPLES = 11, 10_000
RULE = Rule(higher_is_better=True, allowed=0.005)


def data(kind: str, n: int, metrics: int, groups: int) -> Paired:
    """Two evaluations that agree for the most part; no metric has changed."""
    import numpy as np

    generator = np.random.default_rng(SEED)
    sides: list[dict[str, array[float]]] = [{}, {}]
    for metric in range(metrics):
        if kind == "binary":
            old = (generator.random(n) < 0.85).astype(float)
            new = np.where(generator.random(n) < 0.1, (generator.random(n) < 0.85).astype(float), old)
        else:
            old = generator.gamma(2, 0.5, n)
            new = old + generator.normal(0, 0.3, n)
        for side, values in zip(sides, (new, old), strict=True):
            side[f"m{metric}"] = array("d", values.tobytes())
    ids = [f"e{i:07}" for i in range(n)]
    groups_of = {"group": [f"g{i % groups}" for i in range(n)]}
    new_side, old_side = (
        Examples(source=name, ids=ids, scores=scores, slices=groups_of)
        for name, scores in zip(("candidate", "baseline"), sides, strict=True)
    )
    joined = join(new_side, old_side)
    assert isinstance(joined, Paired)
    return joined


def ours(pair: Paired, test: str) -> dict[str, float]:
    from ciplug.stats.paired_questions import Question
    from ciplug.stats.paired_tests import answer

    start = time.process_time()
    parts = slices(pair.candidate, ["group"])
    questions = [
        Question(metric=metric, rule=RULE, rows=rows, test=test)  # type: ignore[arg-type]
        for metric in pair.candidate.scores
        for rows in parts.values()
    ]
    answers = answer(pair, questions)
    verdicts = [decide(a.result) for a in answers if isinstance(a.result, Interval)]
    seconds = time.process_time() - start
    assert len(verdicts) == len(questions)
    widths = [a.result.high - a.result.low for a in answers if isinstance(a.result, Interval)]
    return {"seconds": seconds, "intervals": len(verdicts), "width": math.fsum(widths) / len(widths)}


def scipys(pair: Paired, sample: int) -> dict[str, float]:
    """Timed for `sample` of the pairs of metric and slice."""
    import numpy as np
    from scipy import stats

    start = time.process_time()
    parts = list(slices(pair.candidate, ["group"]).values())
    asked = [(metric, rows) for metric in pair.candidate.scores for rows in parts]
    chosen = asked[:: max(1, len(asked) // sample)][:sample]
    widths = []
    for metric, rows in chosen:
        differences = np.asarray(pair.candidate.scores[metric])[rows] - np.asarray(pair.baseline.scores[metric])[rows]
        result = stats.bootstrap(
            (differences,),
            np.mean,
            n_resamples=RESAMPLES,
            confidence_level=1 - 2 * RULE.alpha,
            method="percentile",
            batch=1000,  # its default takes n · 10,000 numbers at once
            rng=SEED,
        )
        low, high = result.confidence_interval
        widths.append(float(high - low))
    seconds = (time.process_time() - start) * len(asked) / len(chosen)
    return {"seconds": seconds, "intervals": len(chosen), "width": math.fsum(widths) / len(widths)}


def child(arguments: dict[str, int | str]) -> None:
    """One measurement, printed as JSON."""
    sizes = [int(arguments[name]) for name in ("n", "metrics", "groups")]
    pair = data(str(arguments["kind"]), *sizes)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    who = str(arguments["who"])
    result = scipys(pair, int(arguments["sample"])) if who == "scipy" else ours(pair, who)
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps({**result, "peak_mb": after / 1024, "data_mb": before / 1024}))


def measure(n: int, metrics: int, groups: int, sample: int) -> list[str]:
    lines = [
        "| scores | ciplug | CPU | peak memory (data) | scipy, bootstrap | CPU | peak memory | faster | mean width |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for kind in KINDS:
        arguments = {"kind": kind, "n": n, "metrics": metrics, "groups": groups, "sample": sample}

        def run(who: str, arguments: dict[str, int | str] = arguments) -> dict[str, float]:  # type: ignore[assignment]
            argv = [sys.executable, str(Path(__file__)), "--child", json.dumps({**arguments, "who": who})]
            result: dict[str, float] = json.loads(call(argv, ROOT))
            return result

        theirs = run("scipy")
        for test in ("t", "sign-flip") if kind == "continuous" else ("tango", "bootstrap"):
            mine = run(test)
            cells = [
                kind,
                test,
                f"{mine['seconds']:,.1f} s",
                f"{mine['peak_mb']:,.0f} MB ({mine['data_mb']:,.0f} MB)",
                f"{theirs['intervals']:.0f} of {mine['intervals']:,.0f} intervals timed",
                f"{theirs['seconds']:,.0f} s",
                f"{theirs['peak_mb']:,.0f} MB",
                f"**{theirs['seconds'] / mine['seconds']:,.0f}×**",
                f"{mine['width'] / theirs['width']:.3f} of scipy's",
            ]
            lines.append(f"| {' | '.join(cells)} |")
            print(lines[-1], file=sys.stderr, flush=True)
    return lines


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description="Gate 100 metrics on 50 slices, and let scipy do the same.")
    parser.add_argument("--quick", action="store_true", help="tiny sizes: to see that all of it works, not to measure")
    parser.add_argument("--output", metavar="FILE", type=Path, default=ROOT / "docs" / "statistics.md")
    parser.add_argument("--child", metavar="JSON", help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    if args.child:
        child(json.loads(args.child))
        return 0
    text = args.output.read_text(encoding="utf-8")
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise SystemExit(f"the markers are missing: {BEGIN} … {END}")
    n, metrics, groups, sample = (2_000, 3, 4, 2) if args.quick else (100_000, 100, 50, 50)
    head = f"{metrics} metrics × {groups} slices × {n:,} examples, {RESAMPLES:,} resamples."
    table = "\n".join([head, "", *measure(n, metrics, groups, sample)])
    args.output.write_text(f"{before}{BEGIN}\n{table}\n{END}{after}", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
