"""What the gates of one candidate look at, gathered from the store and from disk."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from ciplug.comparison import baseline as choose
from ciplug.comparison import repeats
from ciplug.comparison.facts import with_facts
from ciplug.errors import CiplugError, InputError
from ciplug.git import history, names
from ciplug.records.comparison import Side
from ciplug.records.run import Run
from ciplug.steps.policy_in_force import Ruling
from ciplug.steps.session import Session, now

if TYPE_CHECKING:
    from ciplug.gates.evidence import Evidence
    from ciplug.gates.policy import Baseline, Gate, Policy
    from ciplug.records.examples import Examples
    from ciplug.stats.drift import Drift
    from ciplug.stats.intervals import Undecided
    from ciplug.tracking.runs import Runs

RECORDED_MOST = 50
"""Recorded commits of a branch that are read."""


def first(commits: Iterable[str], recorded: Mapping[str, object]) -> list[str]:
    """The first of these commits that have a run."""
    return [commit for commit in commits if commit in recorded][:RECORDED_MOST]


@dataclass(frozen=True)
class Line:
    """The history of a candidate toward one branch, and the runs on it."""

    past: history.History
    by_commit: Mapping[str, Sequence[Run]]
    """Runs of the candidate's model, with the facts that gates name among their metrics."""


@dataclass(frozen=True, eq=False)
class Around:
    """The runs around one candidate, found as they are asked for."""

    session: Session
    runs: Runs
    given: Run
    ruling: Ruling | None
    past: Callable[[str | None], history.History]
    """The history toward a branch; None: the pull request's target, else the default branch."""
    in_production: Callable[[], tuple[Side, Run | None]]

    @property
    def policy(self) -> Policy | None:
        return self.ruling.policy if self.ruling else None

    @cached_property
    def gated(self) -> frozenset[str]:
        """The metrics that gates look at."""
        policy = self.policy
        if policy is None:
            return frozenset()
        named = {policy.metric_of(name) for name, gate in policy.gates.items() if gate.kind == "metric"}
        return frozenset(named | {gate.n for gate in policy.gates.values() if gate.n})

    @cached_property
    def run(self) -> Run:
        return with_facts(self.given, self.gated)

    @cached_property
    def _lines(self) -> dict[str | None, Line]:
        return {}

    def line(self, branch: str | None) -> Line:
        if branch not in self._lines:
            past = self.past(branch)
            recorded = self.runs.recorded_on([past.head, *past.ancestors, *past.target_commits])
            wanted = [past.head, *first(past.ancestors, recorded), *first(past.target_commits, recorded)]
            self._lines[branch] = Line(past, self.on(wanted))
        return self._lines[branch]

    def on(self, commits: Iterable[str]) -> dict[str, list[Run]]:
        """Commit → the runs of the model on it."""
        found = self.runs.of_commits(dict.fromkeys(commits), self.run.model)
        # What a fork's job says of itself is compared with what is known, and nothing is compared with it.
        known = {
            commit: [
                with_facts(run, self.gated) for run in runs if run.provenance.context.trusted or run.id == self.given.id
            ]
            for commit, runs in found.items()
        }
        self._seen.update({run.id: run for runs in known.values() for run in runs})
        return known

    @cached_property
    def _seen(self) -> dict[str, Run]:
        """Every run that was read, by its id."""
        return {}

    @cached_property
    def _baselines(self) -> dict[tuple[object, ...], Side]:
        return {}

    @cached_property
    def candidates(self) -> tuple[Run, ...]:
        """The run, and with it those that differ in their seed only."""
        policy = self.policy
        if policy is None or policy.seeds is None or self.run.commit is None:
            return (self.run,)
        return repeats.group(self.run, self.on([self.run.commit]).get(self.run.commit, []), policy.seeds.key)

    def candidate(self) -> Side:
        side = choose.side("candidate", "this commit", "the run under review", self.run, now())
        return repeats.together(side, self.candidates) if len(self.candidates) > 1 else side

    def merge_base(self, branch: str | None) -> Side:
        line = self.line(branch)
        if branch and line.past.no_target:
            # A mistyped name must not end in a comparison with some ancestor.
            return Side(role="baseline", label="merge base", how=f"there is no branch '{branch}'", misnamed=True)
        side = choose.merge_base_side(
            line.by_commit,
            merge_base=line.past.merge_base,
            ancestors=line.past.ancestors,
            target=line.past.target,
            candidate=self.run,
            now=now(),
            gated=self.gated,
        )
        unseen = line.past.unseen.words if line.past.unseen else None
        if unseen and not side.found:
            side = replace(side, how=unseen, unfit=unseen)
        elif unseen and not line.past.target_commits:
            # What was found is an earlier commit of the branch itself, by which nothing is ever worse.
            side = replace(side, unfit=unseen)
        return self._with_seeds(side, line.by_commit)

    def tip(self, branch: str | None) -> Side:
        line = self.line(branch)
        past = line.past
        if branch and past.no_target:
            return Side(role="target", label=branch, how=f"there is no branch '{branch}'", misnamed=True)
        side = choose.target_side(self._others(line), past.target_commits, past.target, self.run, now(), self.gated)
        return self._with_seeds(side, line.by_commit)

    def trail(self, branch: str | None) -> list[Run]:
        """The last runs on a branch without the candidate, the newest first, one a commit."""
        line = self.line(branch)
        others = self._others(line)
        return [
            latest
            for commit in line.past.target_commits
            if (latest := choose.latest(others.get(commit, ()), self.run, self.gated))
        ]

    def _others(self, line: Line) -> dict[str, list[Run]]:
        """The runs without the candidate's own."""
        own = {run.id for run in self.candidates}
        return {commit: [run for run in runs if run.id not in own] for commit, runs in line.by_commit.items()}

    def of_commit(self, label: str, commit: str | None, why_not: str) -> Side:
        """The run of a commit that is named, else the nearest recorded ancestor's."""
        if commit is None:
            return Side(role="baseline", label=label, how=why_not)
        line = history.first_parents(self.session.need_workspace(), commit, self.session.env)
        recorded = self.runs.recorded_on(line)
        by_commit = self.on(first(line, recorded))
        side = choose.asked_side(by_commit, line, label, candidate=self.run, now=now(), gated=self.gated)
        return self._with_seeds(side, by_commit)

    def production(self) -> Side:
        side, run = self.in_production()
        if run is None:
            return side
        known = replace(side, metrics=with_facts(run, self.gated).metrics)
        return self._with_seeds(known, self.on([run.commit]) if run.commit else {})

    def _with_seeds(self, side: Side, by_commit: Mapping[str, Sequence[Run]]) -> Side:
        policy = self.policy
        runs = by_commit.get(side.commit or "", ())
        run = next((r for r in runs if r.id == side.run), None)
        if policy is None or policy.seeds is None or run is None:
            return side
        group = repeats.group(run, [r for r in runs if r.status == "finished"], policy.seeds.key)
        return repeats.together(side, group) if len(group) > 1 else side

    # --- the baselines of the policy

    def baseline(self, asked: Baseline, metric: str = "", higher: bool | None = None) -> Side:
        """What a rule compares with; best and mean depend on the metric."""
        key = (asked, metric, higher) if asked.ref in ("best", "mean") else (asked,)
        if key not in self._baselines:
            self._baselines[key] = self._baseline(asked, metric, higher)
        return self._baselines[key]

    def _baseline(self, asked: Baseline, metric: str, higher: bool | None) -> Side:
        kind, _, name = asked.ref.partition(":")
        if kind == "target":
            side = self.tip(asked.branch)
        elif kind == "production":
            side = self.production()
        elif kind == "tag":
            workspace = self.session.need_workspace()
            commit = names.tagged(workspace, name, self.session.env)
            side = self.of_commit(f"tag {name}", commit, f"there is no tag '{name}'")
            side = replace(side, misnamed=commit is None)
        elif kind == "commit":
            commit = self._commit(name)
            side = self.of_commit(f"commit {name[:8]}", commit, f"there is no commit '{name}' here")
            # Beginnings of ids cannot be asked of a remote, so it may be there.
            side = replace(side, unfit=side.how if commit is None else None)
        elif kind in ("best", "mean"):
            side = self._of_branch(kind, asked, metric, higher)
        else:
            side = self.merge_base(asked.branch)
        side = replace(side, role="baseline")
        if side.found:
            return replace(side, unfit=side.unfit or self._unfit(side, asked.max_age_days))
        unseen = None if side.misnamed or kind == "production" else self.line(asked.branch).past.unseen
        return replace(side, how=unseen.words, unfit=unseen.words) if unseen else side

    def _commit(self, name: str) -> str | None:
        found = names.resolve(self.session.need_workspace(), name, self.session.env)
        return found or next((k.commit for k in self.runs.recorded() if k.commit and k.commit.startswith(name)), None)

    def _of_branch(self, kind: str, asked: Baseline, metric: str, higher: bool | None) -> Side:
        target = self.line(asked.branch).past.target or "the target branch"
        known = [r for r in self.trail(asked.branch) if math.isfinite(r.metrics.get(metric, math.nan))]
        last = known[: asked.window]
        label = f"{kind} of {target}"
        if not last:
            if asked.branch and self.line(asked.branch).past.no_target:
                return Side(role="baseline", label=label, how=f"there is no branch '{asked.branch}'", misnamed=True)
            how = f"no run of '{self.run.model}' with '{metric}' on {target}"
            return Side(role="baseline", label=label, how=how, remedy="it comes with the first run there")
        runs = "run" if len(last) == 1 else f"{len(last)} runs"
        how = f"{kind} '{metric}' of the last {runs} on {target}"
        newest = choose.side("baseline", label, how, last[0], now())
        if kind == "best":
            best = (max if higher else min)(last, key=lambda run: run.metrics[metric])
            return choose.side("baseline", label, how, best, now())
        value = repeats.mean([run.metrics[metric] for run in last])
        return replace(newest, run=None, commit=None, metrics={metric: value}, runs=tuple(run.id for run in last))

    def _unfit(self, side: Side, max_age_days: float | None) -> str | None:
        if max_age_days is not None and (side.age_days is None or side.age_days > max_age_days):
            # Its day, not its age: what two jobs say of it within the hour must not differ.
            day = side.recorded[:10] if side.recorded and side.age_days is not None else "unknown age"
            return f"the baseline is of {day}, and at most {max_age_days:g} days are allowed"
        if self.ruling is None:
            return None
        for path in self.ruling.evaluation:
            ours = {_digest(run, path) for run in self.candidates}
            theirs = {_digest(run, path) for run in self._runs_of(side)}
            if None in ours or len(ours) > 1:
                return f"of the evaluation set '{path}' the run has no digest: is it among its datasets?"
            if ours != theirs:
                other = "has no digest of" if None in theirs else "was measured on another"
                return f"the baseline {other} '{path}': the numbers cannot be compared"
        return None

    def record(self, side: Side) -> Run | None:
        """The run of a side."""
        return next((run for run in self._runs_of(side) if run.id == side.run), None)

    def _runs_of(self, side: Side) -> list[Run]:
        wanted = side.runs or ((side.run,) if side.run else ())
        if side.commit and not all(run in self._seen for run in wanted):
            self.on([side.commit])
        return [self._seen[run] for run in wanted if run in self._seen]

    # --- all together

    def evidence(self) -> Evidence:
        """All that the policy's gates look at.

        Raises ValueError where there is no policy.
        """
        from ciplug.gates.evidence import Evidence

        policy = self.policy
        if policy is None:
            raise ValueError(f"no gate judges '{self.run.model}'")
        sides: dict[str, Side] = {}
        for name in policy.gates:
            gate = policy.resolved(name)
            if gate.kind == "metric":
                asked = gate.baseline or policy.baseline
                sides[name] = self.baseline(asked, policy.metric_of(name), gate.higher_is_better)
        history_of = {policy.metric_of(name) for name, gate in policy.gates.items() if gate.history}
        trail = self.trail(policy.baseline.branch)[::-1] if history_of else []
        return Evidence(
            candidate=self.candidate(),
            baselines=sides,
            history={metric: [r.metrics[metric] for r in trail if metric in r.metrics] for metric in history_of},
            examples=self._examples(policy, sides.values()),
            drift={name: self._drift(gate) for name, gate in policy.gates.items() if gate.kind == "drift"},
            unfinished=[self._ended(run) for run in self.candidates if run.status != "finished"],
            today=now().date(),
        )

    def _ended(self, run: Run) -> str:
        key = self.policy.seeds.key if self.policy and self.policy.seeds else ""
        which = f"the run of {key} {repeats.seed(run, key)}" if len(self.candidates) > 1 else "the run"
        return f"{which} {run.status}"

    def _examples(self, policy: Policy, sides: Iterable[Side]) -> dict[str, Examples]:
        if policy.samples is None:
            return {}
        wanted = {run.id: run for side in sides for run in self._runs_of(side) if run.id == side.run}
        found = {run.id: self.runs.examples(run) for run in (self.run, *wanted.values())}
        return {run: examples for run, examples in found.items() if examples is not None}

    def _drift(self, gate: Gate) -> Mapping[str, Drift | Undecided] | Undecided:
        from ciplug.capture.drift_files import compare
        from ciplug.stats.intervals import Undecided

        policy, ruling = self.policy, self.ruling
        current = gate.current or (policy.samples.file if policy and policy.samples else None)
        if ruling is None or gate.reference is None or current is None:
            return Undecided("there is no file to compare")
        folder = self.session.top / ruling.folder
        try:
            return compare(folder / Path(gate.reference), folder / Path(current), gate.columns, gate.test)
        except (InputError, CiplugError) as problem:
            return Undecided(problem.message)


def _digest(run: Run, path: str) -> str | None:
    return next((file.digest for file in run.datasets if file.path == path), None)
