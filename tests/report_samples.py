"""Reports for the tests of the renderings: an ordinary one, a first run, a hostile one, a large one."""

from __future__ import annotations

import math
from dataclasses import replace

from ciplug.records.comparison import Comparison, DatasetDelta, MetricDelta, ParamDelta, Role, Side, Trend
from ciplug.records.notice import Kind, Notice
from ciplug.records.provenance import Context, Hardware, Provenance
from ciplug.records.run import File, Run
from ciplug.records.selection import Reason
from ciplug.records.series import Series
from ciplug.records.verdict import GateResult, Verdict, Waived, worst
from ciplug.reports.report import ModelSection, Report
from ciplug.reports.unverified import Unverified, UnverifiedRun

MARKER = "<!-- ciplug:report -->"
LIMIT = 65_000
HEAD, BASE, PRODUCTION = "4be21f09c3d7" + "a" * 28, "9f8e7d6c5b4a" + "b" * 28, "07c1d2e3f4a5" + "c" * 28


def metric(
    name: str,
    candidate: float | None,
    baseline: float | None = None,
    *,
    better: bool | None = None,
    production: float | None = None,
    history: tuple[float, ...] = (),
) -> MetricDelta:
    """A delta with change and trend worked out by the plain rules."""
    given: dict[Role, float | None] = {
        "candidate": candidate,
        "baseline": baseline,
        "target": baseline,
        "production": production,
    }
    values = {role: value for role, value in given.items() if value is not None}
    change = None
    trend: Trend
    if candidate is None:
        trend = "missing"
    elif baseline is None:
        trend = "new"
    elif not (math.isfinite(candidate) and math.isfinite(baseline)):
        trend = "undefined"
    else:
        change = candidate - baseline
        if change == 0:
            trend = "unchanged"
        elif better is None:
            trend = "changed"
        else:
            trend = "better" if (change > 0) == better else "worse"
    relative = change / abs(baseline) if change is not None and baseline else None
    return MetricDelta(
        metric=name,
        values=values,
        higher_is_better=better,
        change=change,
        relative=relative,
        trend=trend,
        history=history,
    )


def side(role: Role, label: str, how: str, run: str | None, commit: str | None, day: int = 23) -> Side:
    """A side that was recorded on that day of November; the candidate was on the 23rd."""
    recorded = f"2026-11-{day:02d}T10:00:00Z" if run else None
    return Side(role=role, label=label, how=how, run=run, commit=commit if run else None, recorded=recorded)


def comparison(model: str = "wine-quality", **changes: object) -> Comparison:
    whole = Comparison(
        model=model,
        candidate=side("candidate", "this commit", "the run under review", "c" * 32, HEAD),
        baseline=replace(
            side("baseline", "merge base", "merge base with main", "b" * 32, BASE, 20), at_merge_base=True
        ),
        target=side("target", "main", "tip of main", "b" * 32, BASE, 20),
        production=replace(side("production", "production (v12)", "version 12", "9" * 32, PRODUCTION, 2), version=12),
        metrics=(
            metric(
                "accuracy",
                0.9142,
                0.91,
                better=True,
                production=0.9034,
                history=(0.893, 0.8975, 0.901, 0.9034, 0.907, 0.91),
            ),
            metric(
                "f1_macro",
                0.8873,
                0.9031,
                better=True,
                production=0.881,
                history=(0.87, 0.874, 0.881, 0.8893, 0.899, 0.9031),
            ),
            metric(
                "latency_p95_ms",
                41.8,
                46.3,
                better=False,
                production=44.0,
                history=(52.0, 51.0, 44.0, 47.5, 46.8, 46.3),
            ),
            metric("model_mb", 18.2, 18.2, better=False, production=17.6, history=(17.0, 17.0, 17.6, 18.2, 18.2, 18.2)),
            metric("train_rows", 120_000.0, 118_500.0, production=110_000.0),
            metric("roc_auc", 0.9691, 0.9691, better=True, production=0.9658),
            metric("calibration_ece", 0.031, None, better=False),
        ),
        params=(
            ParamDelta(name="max_depth", before=6, after=8),
            ParamDelta(name="learning_rate", before=0.1, after=0.05),
            ParamDelta(name="early_stopping", before=None, after=True),
        ),
        datasets=(DatasetDelta(path="data/train.parquet", before="sha256:" + "1f" * 32, after="sha256:" + "2e" * 32),),
    )
    return replace(whole, **changes)  # type: ignore[arg-type]


def gate(name: str, outcome: str, rule: str, reason: str, **more: object) -> GateResult:
    return GateResult(**{"gate": name, "metric": name, "rule": rule, "outcome": outcome, "reason": reason, **more})  # type: ignore[arg-type]


GATES = (
    gate("accuracy", "PASS", "at least 0.85", "0.9142 is at least 0.85", candidate=0.9142, limit=0.85),
    gate("accuracy", "PASS", "at most 0.01 worse than the baseline", "0.0042 better than 0.9100"),
    gate(
        "f1",
        "FAIL",
        "at most 0.005 worse than the baseline",
        "0.8873 is 0.0158 worse than 0.9031, allowed 0.005; 90% interval of the change −0.021 to −0.0094: more than is "
        "allowed, and more than noise",
        advice="look at what changed beside it, or ask for a waiver of this commit",
        metric="f1_macro",
        candidate=0.8873,
        baseline=0.9031,
        baseline_run="b" * 32,
        baseline_label="merge base 9f8e7d6c",
        change=-0.0158,
        limit=0.005,
        method="paired bootstrap of examples",
        confidence=0.9,
        low=-0.021,
        high=-0.0094,
        p=0.0004,
        n=2_400,
        notes=("12 slices have fewer than 30 examples, and are not judged",),
    ),
    gate("latency_p95_ms", "PASS", "at most 50", "41.8 is at most 50"),
)


def verdict(gates: tuple[GateResult, ...] = GATES, model: str = "wine-quality", **more: object) -> Verdict:
    return Verdict(
        **{  # type: ignore[arg-type]
            "run": "c" * 32,
            "model": model,
            "outcome": worst([g.outcome for g in gates]),
            "gates": gates,
            "created": "2026-11-23T19:30:00Z",
            "policy_digest": "sha256:" + "7" * 64,
            "policy_file": "ciplug.yaml",
            "policy_branch": "main",
            "policy_commit": "9f8e7d6c" + "0" * 32,
            "ciplug": "0.1.0",
            **more,
        }
    )


def context(number: int = 981, **changes: object) -> Context:
    """The job that recorded a run."""
    url = f"https://github.com/acme/wine/actions/runs/{number}"
    whole = Context(
        host="github_actions",
        commit=HEAD,
        branch="deeper-trees",
        pull_request=42,
        actor="alice",
        repository="acme/wine",
        server_url="https://github.com",
        run_url=url,
        report_url=f"{url}#artifacts",
    )
    return replace(whole, **changes)  # type: ignore[arg-type]


def section(comparison: Comparison, verdict: Verdict | None, run: Run | None = None, **more: object) -> ModelSection:
    """A model with its baseline's job, and two versions in the registry."""
    whole = ModelSection(
        model=comparison.model,
        comparison=comparison,
        verdict=verdict,
        run=run or _run(comparison.model),
        origins={"b" * 32: context(977)},
        versions=12,
        registry_url=f"{WEB}/tree/ciplug/registry/{comparison.model}",
    )
    return replace(whole, **more)  # type: ignore[arg-type]


def run(model: str = "wine-quality", **changes: object) -> Run:
    whole = Run(
        id="c" * 32,
        model=model,
        status="finished",
        started="2026-11-23T19:24:00Z",
        ended="2026-11-23T19:27:12Z",
        commit=HEAD,
        params={"max_depth": 8, "learning_rate": 0.05, "early_stopping": True},
        metrics={"accuracy": 0.9142},
        datasets=(File(path="data/train.parquet", digest="sha256:" + "2e" * 32, size=48_300_112),),
        artifacts=(File(path="model.bin", digest="sha256:" + "3d" * 32, size=19_083_264),),
        provenance=Provenance(
            context=context(),
            command=("python", "train.py", "--depth", "8"),
            exit_code=0,
            wall_seconds=192.4,
            cpu_seconds=366.0,
            peak_memory_bytes=1_610_612_736,
            seed=7,
            python="3.12.3",
            os="Linux 6.8 x86_64",
            packages={"scikit-learn": "1.5.2", "numpy": "2.1.3"},
            lockfiles={"uv.lock": "sha256:" + "4c" * 32},
            hardware=Hardware(cpu="AMD EPYC 7763", cores=4, memory_bytes=16 * 2**30),
            dirty=False,
            ciplug="0.1.0",
        ),
    )
    return replace(whole, **changes)  # type: ignore[arg-type]


def curves() -> dict[str, Series]:
    steps = tuple(range(0, 3000, 10))
    loss = tuple(0.25 + 1.4 * math.exp(-s / 500) + 0.03 * math.sin(s / 37) for s in steps)
    checked = tuple(range(0, 3000, 250))
    held_out = tuple(0.93 - 0.4 * math.exp(-s / 600) if s != 1250 else math.nan for s in checked)
    return {"train/loss": Series(steps, loss), "val/accuracy": Series(checked, held_out)}


WEB = "https://github.com/acme/wine"
LINKS = {
    f"{WEB}/actions/runs/981",
    f"{WEB}/actions/runs/981#artifacts",
    f"{WEB}/actions/runs/977",
    f"{WEB}/commit/{HEAD}",
    f"{WEB}/commit/{BASE}",
}
"""Every address that is in an ordinary report, beside those of the registry."""

_run = run


def failing() -> Report:
    """A pull request with one gate that failed."""
    return Report(
        sections=(section(comparison(), verdict(), series=curves()),),
        context=Context(host="github_actions", repository="acme/wine", pull_request=42, branch="deeper-trees"),
    )


def passing() -> Report:
    """Everything passed: what most comments look like."""
    gates = tuple(g for g in GATES if g.outcome == "PASS")
    return Report(sections=(section(comparison(), verdict(gates)),))


def first_run() -> Report:
    """Nothing to compare with, and nothing in production."""
    nothing_recorded = Notice(kind=Kind.NO_RUN, of="baseline", model="wine-quality", name="the merge base")
    no_holder = Notice(kind=Kind.NO_HOLDER, of="production", model="wine-quality", name="production")
    nothing = comparison(
        baseline=Side.absent("baseline", "merge base", nothing_recorded),
        target=Side.absent("target", "main", replace(nothing_recorded, kind=Kind.NO_RUN_ON_BRANCH, name="main")),
        production=Side.absent("production", "production", no_holder),
        metrics=(metric("accuracy", 0.9142, better=True), metric("latency_p95_ms", 41.8, better=False)),
        params=(),
        datasets=(),
        notices=(Notice(kind=Kind.SHALLOW, of="baseline"),),
    )
    gates = (
        gate("accuracy", "PASS", "at least 0.85", "0.9142 is at least 0.85"),
        gate(
            "accuracy",
            "WARN",
            "at most 0.01 worse than the baseline",
            f"no baseline: {nothing_recorded.clause}",
        ),
    )
    return Report(sections=(section(nothing, verdict(gates), origins={}, versions=0, registry_url=None),))


def several() -> Report:
    """Three models: failed, inconclusive with many checks, and not judged."""
    many = (
        gate(
            "recall",
            "INCONCLUSIVE",
            "at most 0.01 worse than the baseline",
            "the interval −0.021 to +0.004 holds −0.01; 4 more seeds would settle it",
        ),
        gate("drift", "ERROR", "p at least 0.01", "the reference file has no column age"),
        *(gate(f"slice_{i}", "PASS", "at least 0.8", f"0.{85 + i} is at least 0.8") for i in range(8)),
    )
    churn = comparison(
        "churn", metrics=(metric("recall", 0.71, 0.718, better=True), metric("auc", math.nan, 0.82, better=True))
    )
    fraud = comparison("fraud", metrics=(metric("precision", None, 0.61, better=True),), params=(), datasets=())
    return Report(
        sections=(
            failing().sections[0],
            section(churn, verdict(many, "churn")),
            section(fraud, None, run("fraud", metrics={}), versions=1, registry_url=None),
        ),
        notes=("disk.bin: it could not be read",),
        policy_note="ciplug.yaml changes in this pull request: by its own rules f1 would have passed.",
    )


def sixteen() -> Report:
    """The legs of a matrix: two fail, one is not sure, one warns, twelve pass."""
    countries = ["at", "be", "ch", "cz", "de", "dk", "es", "fi", "fr", "it", "nl", "no", "pl", "pt", "se", "uk"]

    def leg(number: int, country: str) -> ModelSection:
        name, value = f"churn-{country}", 0.9 + number / 400
        before = value + {4: 0.021, 8: 0.013, 9: 0.006}.get(number, -0.002 if number % 3 else 0.0)
        rows = (
            metric("auc", value, before, better=True, history=(before - 0.01, before - 0.004, before)),
            metric("latency_p95_ms", 31.0 + number, 31.0 + number, better=False),
        )
        rule = "at most 0.01 worse than the baseline"
        outcome = {4: "FAIL", 8: "FAIL", 9: "INCONCLUSIVE", 11: "WARN"}.get(number, "PASS")
        reason = f"{value:.4f} is {abs(value - before):.4f} {'worse' if before > value else 'better'} than {before:.4f}"
        gates = (gate("auc", outcome, rule, reason), gate("latency_p95_ms", "PASS", "at most 60", "it is"))
        return section(comparison(name, metrics=rows, params=(), datasets=()), verdict(gates, name))

    return Report(sections=tuple(leg(i, c) for i, c in enumerate(countries)))


def inconclusive() -> Report:
    """Too few examples to say."""
    gates = (
        gate(
            "accuracy",
            "INCONCLUSIVE",
            "at most 0.01 worse than the baseline",
            "0.9060 is 0.0040 worse than 0.9100, allowed 0.01; 90% interval of the change −0.0131 to +0.0051 holds "
            "the limit",
            advice="about 2,100 more examples would settle it",
            method="exact McNemar test",
            confidence=0.9,
            p=0.14,
            n=2_400,
        ),
        GATES[0],
    )
    rows = (metric("accuracy", 0.906, 0.91, better=True, history=(0.893, 0.901, 0.907, 0.91)),)
    return Report(sections=(section(comparison(metrics=rows, params=(), datasets=()), verdict(gates)),))


def waived() -> Report:
    """A failure that somebody has agreed to, and a waiver that is over."""
    agreed = Waived(limit=0.02, expires="2026-12-31", approved_by="alice", reason="label fix", issue="ML-42")
    gates = (
        gate(
            "f1",
            "WARN",
            "at most 0.005 worse than the baseline",
            "0.8873 is 0.0158 worse than 0.9031, allowed 0.005; waived up to 0.02 until 2026-12-31 by alice's "
            "waiver (label fix, ML-42)",
            metric="f1_macro",
            waived=agreed,
        ),
        *(g for g in GATES if g.outcome == "PASS"),
    )
    judged = verdict(gates, notes=("The waiver of 'roc' by bob has expired on 2026-10-31: take it out, or renew it.",))
    return Report(sections=(section(comparison(), judged),))


def untrusted() -> Report:
    """A fork's run: what its record says of addresses is not believed."""
    strange = context(981, trusted=False, report_url="https://evil.example/report.html")
    fork = run(provenance=replace(run().provenance, context=strange))
    noted = comparison(notices=(Notice(kind=Kind.FORK),))
    return Report(sections=(section(noted, verdict(), fork),), unverified=unverified(("wine-quality", "other"), 12))


def unverified(words: tuple[str, ...], count: int) -> Unverified:
    """Runs beside the report's, with these words wherever a stranger chooses them."""
    rows = tuple(
        UnverifiedRun(
            run=f"{number:x}" * 32,
            model=word,
            host="github_actions",
            actor=word,
            reason=Reason.UNSIGNED if number % 2 else Reason.FORK,
            status="finished",
            metrics={"accuracy": 0.99, word: math.nan},
        )
        for number, word in enumerate(words)
    )
    return Unverified(runs=rows, count=count, commit=HEAD)


def without_gates() -> Report:
    """Nobody has said what is good enough."""
    return Report(sections=(section(comparison(), None),))


def mistaken() -> Report:
    """A policy that cannot be asked is no pass."""
    words = "ciplug.yaml: no gate matches a metric: gates look at acuracy, the run has accuracy"
    problem = Notice(kind=Kind.NOT_JUDGED, detail=words, advice="name the metric in the gate: 'metric: NAME'")
    return Report(sections=(section(comparison(), None, problem=problem),))


HOSTILE = (
    "<script>window.hacked=1</script>",
    "<img src=x onerror=window.hacked=1>",
    "a | b | c\n| d | e |",
    "`code` \\` *bold* _it_ ~~gone~~ # head",
    "@octocat and @acme/team, #123 acme/wine#7 GH-12 !9 ~bug %3 &4 $5 JIRA-6 deadbeef acme/wine@deadbeef :tada: [^1]",
    "https://evil.example www.evil.example mail@evil.example [x](javascript:window.hacked=1) ![i](https://evil.example/i.png)",
    "\x1b[31mred\x1b]8;;https://evil.example\x07 \u202egnp.exe\u2066 ::error::boom ##[error]x ##vso[task.x]",
    "</details></table></code>--><style>*{display:none}</style>",
    "{{ 7*7 }} {% raw %} ${jndi} &lt;b&gt; &#64;octocat",
    "x" * 4000,
    "\ud800 \ufffe \x00",
    "",
)


def hostile(texts: tuple[str, ...] = HOSTILE) -> Report:
    """Every field that a stranger can fill holds what a stranger would like to put there."""

    def t(i: int) -> str:
        return texts[i % len(texts)]

    n = range(len(texts))
    bad = Comparison(
        model=t(0),
        candidate=side("candidate", t(1), t(2), "c" * 32, t(3)),
        baseline=side("baseline", t(4), t(5), "b" * 32, t(6), 2),
        target=side("target", t(7), t(8), "d" * 32, t(9)),
        production=side("production", t(10), t(2), None, None),
        metrics=tuple(
            metric(t(i), 0.5 + i, 0.5 if i % 3 else 0.5 + i, better=True, history=(0.1, math.nan)) for i in n
        ),
        params=tuple(ParamDelta(name=t(i), before=t(i + 1), after=t(i + 2)) for i in n),
        datasets=tuple(DatasetDelta(path=t(i), before=t(i + 1), after=None) for i in n),
        notices=(
            *(Notice(kind=Kind.UNREADABLE, path=words, detail=words) for words in texts),
            *(Notice(kind=Kind.WITHDRAWN, run=words, by=words, reason=words) for words in texts),
        ),
    )
    gates = tuple(
        gate(
            t(i),
            "FAIL" if i % 2 else "PASS",
            t(i + 1),
            t(i + 2),
            metric=t(i + 3),
            advice=t(i + 4),
            baseline_label=t(i + 5),
            baseline_run=t(i + 6),
            method=t(i + 7),
            confidence=0.9,
            notes=(t(i + 8),),
        )
        for i in n
    )
    origin = Provenance(
        context=context(server_url=t(9), repository=t(10), run_url=t(11), report_url=t(7)),
        command=tuple(texts),
        packages={t(i): t(i + 1) for i in n},
        lockfiles={t(i): t(i) for i in n},
    )
    dirty = run(
        t(0),
        name=t(4),
        params={t(i): t(i + 3) for i in n},
        artifacts=tuple(File(path=t(i), digest=t(i + 1), size=1) for i in n),
        provenance=replace(origin, ciplug=t(5)),
    )
    judged = verdict(gates, policy_file=t(0), policy_digest=t(1), ciplug=t(3), notes=tuple(texts))
    series = {t(i): Series((0, 1, 2), (1.0, math.nan, 3.0)) for i in n}
    common = ModelSection(
        model=t(0),
        comparison=bad,
        verdict=judged,
        run=dirty,
        series=series,
        origins={"b" * 32: context(run_url=t(6), repository=t(7)), "d" * 32: context(server_url=t(5), run_url=t(3))},
        versions=1,
        registry_url=t(8),
    )
    passed = replace(judged, outcome="PASS")
    return Report(
        sections=(
            common,
            replace(common, model=t(4), verdict=passed, registry_url=None),
            replace(
                common,
                model=t(5),
                verdict=None,
                problem=Notice(kind=Kind.NOT_JUDGED, detail=t(6), advice=t(7)),
                registry_url=f"https://ci.example/)<b>|`\n[{t(1)}",
            ),
        ),
        context=Context(repository=t(0), branch=t(1)),
        notes=tuple(texts),
        policy_note=t(2),
        unverified=unverified(texts, 300),
    )


def large(models: int = 3, metrics: int = 500) -> Report:
    """Three models of 500 metrics each, far beyond the size of a comment."""

    def one(number: int) -> ModelSection:
        rows = tuple(
            metric(
                f"slice/{i:03d}/recall",
                0.5 + i / 1001,
                0.5 + (i + i % 2) / 1001,
                better=True,
                history=(0.5, 0.6, 0.55, 0.7),
            )
            for i in range(metrics)
        )
        gates = tuple(
            gate(f"slice-{i}", "FAIL" if i % 50 == 3 else "PASS", "at least 0.5", f"{i} is enough")
            for i in range(metrics)
        )
        name = f"model-{number}"
        return replace(section(comparison(name, metrics=rows), verdict(gates, name)), show=("*",))

    return Report(sections=tuple(one(i) for i in range(models)))


OUTPUT = (
    "```",
    "/close",
    "  /approve",
    "</pre></details><script>window.hacked=1</script>",
    "<!-- ciplug:report -->",
    "::error::boom ##[error]x",
    "@octocat #1 \u202egnp.exe \x1b[31m",
    "x" * 4000,
)


def crashed() -> Report:
    """A training of a stranger that failed, whose output tries to command whoever shows it."""
    report = failing()
    (section,) = report.sections
    origin = Provenance(
        exit_code=1, error="E: `</code><img src=x onerror=window.hacked=1>` @octocat", last_lines=OUTPUT
    )
    return replace(report, sections=(replace(section, run=replace(section.run, status="failed", provenance=origin)),))
