"""Find the runs to compare a candidate with: the baselines of the policy, the branch's tip, production."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

from ciplug.comparison import nearest_run, repeats
from ciplug.comparison.run_that_counts import baseline_rules, select
from ciplug.config.policy import Policy
from ciplug.errors import CiplugError, counted
from ciplug.git import history, names
from ciplug.git.commits import commit_named
from ciplug.records.comparison import Side
from ciplug.records.notice import MISNAMED, Kind, Notice
from ciplug.records.run import Run
from ciplug.steps.branches import BranchRuns, commits_around, first_recorded
from ciplug.steps.candidate import Candidate, dataset_digest
from ciplug.steps.policy_in_force import PolicyInForce
from ciplug.steps.registered_model import read_if_whole
from ciplug.steps.session import Session, now

if TYPE_CHECKING:
    from ciplug.config.gate import Baseline, Source
    from ciplug.tracking.runs import Runs


@dataclass(frozen=True, eq=False)
class BaselineFinder(Candidate):
    """Finds what one candidate is compared with. Each run is read once, when it is needed."""

    @cached_property
    def _branches(self) -> dict[str | None, BranchRuns]:
        return {}

    def branch(self, name: str | None) -> BranchRuns:
        """The runs toward a branch; None: the pull request's target, else the default branch."""
        if name not in self._branches:
            past = commits_around(self.session, self.judged_commit or self.session.need_head(), name)
            recorded = self.runs.recorded_on([past.head, *past.ancestors, *past.target_commits])
            near = (
                *self.same_files,
                *first_recorded(past.ancestors, recorded),
                *first_recorded(past.target_commits, recorded),
            )
            self._branches[name] = BranchRuns(past, self.on([past.head, *near]))
        return self._branches[name]

    def _pick(self, source: Source = "any", aside: Collection[str] | None = None) -> nearest_run.Pick:
        """Return the choice among the runs of one commit to compare with.

        Args:
            aside: runs that are not chosen; default: all of the candidate's commit, and of those with the same files. A
                re-run is not a baseline: a training that is run again would be compared with its own failure.
        """
        rules = baseline_rules(
            gated=self.gated,
            compared=frozenset((self.beside or self.run).metrics),
            aside=frozenset(self.facts_of_files if aside is None else aside),
            children=self.run.parent is not None,
            pipelines_only=source == "ci" or self.rules.pipelines_only,
        )
        return lambda runs: select([self._facts[run.id] for run in runs], rules)

    # --- sides

    def candidate(self) -> Side:
        side = nearest_run.side("candidate", "this commit", "the run under review", self.run, now())
        together = {run.id for run in self.candidates}
        passed = self.selection.passed_over
        side = replace(
            side,
            passed_over=tuple(one for one in passed if one.run not in together),
            reason=next((one.reason for one in passed if one.run == self.given.id), None),
        )
        return repeats.together(side, self.candidates) if len(self.candidates) > 1 else side

    def merge_base(self, branch: str | None, source: Source = "any") -> Side:
        """The run of the merge base with a branch, else of the nearest recorded ancestor."""
        toward = self.branch(branch)
        if branch and toward.past.no_target:
            # A mistyped name must not end in a comparison with some ancestor.
            return Side.absent("baseline", "merge base", toward.past.no_target)
        side = nearest_run.merge_base_side(
            toward.by_commit,
            merge_base=toward.past.merge_base,
            ancestors=toward.past.ancestors,
            target=toward.past.target,
            candidate=self.run,
            now=now(),
            pick=self._pick(source),
        )
        unseen = toward.past.unseen
        if unseen and not side.has_numbers:
            side = replace(Side.absent(side.role, side.label, unseen), passed_over=side.passed_over)
        elif unseen and not toward.past.target_commits:
            # The run is of an earlier commit of this branch: what it has lost against the target would go unseen.
            side = replace(side, problem=unseen)
        return self._with_seeds(side, toward.by_commit, source)

    def tip(self, branch: str | None, source: Source = "any", aside: Collection[str] | None = None) -> Side:
        """The last run on a branch, of another commit than the candidate's.

        Args:
            aside: the runs that are not taken; None: all of the candidate's commit.
        """
        toward = self.branch(branch)
        past = toward.past
        if branch and past.no_target:
            return Side.absent("target", branch, past.no_target)
        pick = self._pick(source, aside)
        side = nearest_run.target_side(toward.by_commit, past.target_commits, past.target, self.run, now(), pick)
        return self._with_seeds(side, toward.by_commit, source, aside or ())

    def _previous(self, requested: Baseline) -> Side:
        """The run before the candidate on a branch, also where it is of the same commit."""
        own = self._facts[self.given.id]
        later = {one.id for one in self.facts_on_commit.values() if (one.started, one.id) >= (own.started, own.id)}
        # No run is on both sides: of a seed that was trained again, the earlier run is the one before.
        aside = {*later, *(run.id for run in self.candidates)}
        side = self.tip(requested.branch, requested.source, aside)
        return replace(side, how=f"previous run on {side.label}") if side.run else side

    def trail(self, branch: str | None, source: Source = "any") -> list[Run]:
        """The last runs on a branch without the candidate, the newest first, one a commit."""
        toward, pick = self.branch(branch), self._pick(source)
        nearest = (nearest_run.nearest(toward.by_commit, [commit], pick).run for commit in toward.past.target_commits)
        return [run for run in nearest if run is not None]

    def asked_for(self, label: str, commit: str) -> Side:
        """The run of a commit that a person named to see the difference: it may be another run of the same commit."""
        return self._of_commit(label, commit, "any", self._pick(aside=[run.id for run in self.candidates]))

    def asked_for_run(self, label: str, run: Run) -> Side:
        """The run that a person named to see the difference, whether or not it counts for its commit."""
        counted = self._counted(run)
        self._read[run.id] = counted
        side = nearest_run.side("baseline", label, "as asked for", counted, now())
        return replace(side, problem=self.objection(run, "baseline"))

    def _of_commit(self, label: str, commit: str, source: Source, pick: nearest_run.Pick) -> Side:
        """The run of a commit that is named, else the nearest recorded ancestor's."""
        parents = history.first_parents(self.session.need_workspace(), commit, self.session.env)
        by_commit = self.on(first_recorded(parents, self.runs.recorded_on(parents)))
        side = nearest_run.requested_side(by_commit, parents, label, candidate=self.run, now=now(), pick=pick)
        return self._with_seeds(side, by_commit, source)

    def production(self) -> Side:
        """The run of the version that is in production: in the last stage of the ladder."""
        stage = (self.policy or Policy()).ladder[-1]
        called, holder = stage.lower(), self.registered.holder(stage)
        if self.registered.problem:
            return Side.absent("production", called, self.registered.notices[0])
        if holder is None:
            problem = Notice(kind=Kind.NO_HOLDER, of="production", model=self.model, name=called)
            return Side.absent("production", called, problem)
        label = f"{called} (v{holder.number})"
        if holder.run is None:
            detail = "it was registered without a run"
            problem = Notice(kind=Kind.UNREADABLE, of="production", run="-", detail=detail)
            return Side.absent("production", label, problem, holder.number)
        try:
            recorded = self.runs.at(holder.commit, holder.run)
        except CiplugError as error:
            problem = Notice(kind=Kind.UNREADABLE, of="production", run=holder.run, detail=error.message)
            return Side.absent("production", label, problem, holder.number)
        if withdrawn := self.objection(recorded, "production"):
            return Side.absent("production", label, withdrawn, holder.number)
        run = self._counted(recorded)
        side = nearest_run.side("production", label, f"version {holder.number}", run, now(), version=holder.number)
        return self._with_seeds(side, self.on([run.commit]) if run.commit else {}, "any")

    def _with_seeds(
        self, side: Side, by_commit: Mapping[str, Sequence[Run]], source: Source, aside: Collection[str] = ()
    ) -> Side:
        policy = self.policy
        runs = by_commit.get(side.commit or "", ())
        run = next((r for r in runs if r.id == side.run), None)
        if policy is None or policy.seeds is None or run is None:
            return side
        group = self._with_other_seeds(run, [one for one in runs if one.id not in aside], source)
        return repeats.together(side, group) if len(group) > 1 else side

    # --- the baselines of the policy

    @cached_property
    def _baselines(self) -> dict[tuple[object, ...], Side]:
        return {}

    def baseline(self, requested: Baseline, metric: str = "", higher: bool | None = None) -> Side:
        """Return the baseline of a rule; `best` and `mean` depend on the metric and its direction."""
        key = (requested, metric, higher) if requested.ref in ("best", "mean") else (requested,)
        if key not in self._baselines:
            self._baselines[key] = self._checked(requested, self._baseline(requested, metric, higher))
        return self._baselines[key]

    def _baseline(self, requested: Baseline, metric: str, higher: bool | None) -> Side:
        kind, _, name = requested.ref.partition(":")
        if kind == "target":
            return self.tip(requested.branch, requested.source)
        if kind == "previous":
            return self._previous(requested)
        if kind == "production":
            return self.production()
        if kind == "tag":
            return self._tagged(name, requested.source)
        if kind == "commit":
            return self._of_id(name, requested.source)
        if kind in ("best", "mean"):
            return self._of_branch(kind, requested, metric, higher)
        return self.merge_base(requested.branch, requested.source)

    def _checked(self, requested: Baseline, side: Side) -> Side:
        """The side in its role as baseline, with the reason where it cannot decide anything."""
        side = replace(side, role="baseline")
        if side.has_numbers:
            return replace(side, problem=side.problem or self._problem(side, requested.max_age_days))
        if requested.ref == "production" or (side.problem and side.problem.kind in MISNAMED):
            return side
        unseen = self.branch(requested.branch).past.unseen
        if unseen:
            side = replace(Side.absent("baseline", side.label, unseen), passed_over=side.passed_over)
        return side

    def _tagged(self, tag: str, source: Source) -> Side:
        commit = names.tagged(self.session.need_workspace(), tag, self.session.env)
        label = f"tag {tag}"
        if commit is None:
            return Side.absent("baseline", label, Notice(kind=Kind.NO_TAG, of="baseline", name=tag))
        return self._of_commit(label, commit, source, self._pick(source))

    def _of_id(self, name: str, source: Source) -> Side:
        """Return the side for a commit's id, or the beginning of one."""
        workspace = self.session.need_workspace()
        commit = names.resolve(workspace, name, self.session.env)
        if commit is None:
            recorded = (k.commit for k in self.runs.recorded() if k.commit)
            commit = next((recorded_on for recorded_on in recorded if recorded_on.startswith(name)), None)
        elif commit_named(workspace.top, commit) is None and not self.runs.recorded_on([commit]).get(commit):
            commit = None  # A whole id is taken for one, wherever it comes from.
        label = f"commit {name[:8]}"
        if commit is None:
            return Side.absent("baseline", label, Notice(kind=Kind.NO_COMMIT, of="baseline", name=name))
        return self._of_commit(label, commit, source, self._pick(source))

    def _of_branch(self, kind: str, requested: Baseline, metric: str, higher: bool | None) -> Side:
        """The best, or the mean, of the last runs on a branch."""
        past = self.branch(requested.branch).past
        target = past.target or "the target branch"
        label = f"{kind} of {target}"
        measured = [
            r for r in self.trail(requested.branch, requested.source) if math.isfinite(r.metrics.get(metric, math.nan))
        ]
        last = measured[: requested.window]
        if not last:
            if requested.branch and past.no_target:
                return Side.absent("baseline", label, past.no_target)
            problem = Notice(
                kind=Kind.NO_RUN_ON_BRANCH,
                of="baseline",
                model=self.run.model,
                run=self.run.id if self.run.commit in past.target_commits else None,
                metrics=(metric,),
                name=target,
            )
            return Side.absent("baseline", label, problem)
        how = f"{kind} '{metric}' of the last {counted(len(last), 'run')} on {target}"
        if kind == "best":
            best = (max if higher else min)(last, key=lambda run: run.metrics[metric])
            return replace(nearest_run.side("baseline", label, how, best, now()), among=len(last))
        newest = nearest_run.side("baseline", label, how, last[0], now())
        value = repeats.mean([run.metrics[metric] for run in last])
        return replace(newest, run=None, commit=None, metrics={metric: value}, runs=tuple(run.id for run in last))

    def _problem(self, side: Side, max_age_days: float | None) -> Notice | None:
        """Return why a baseline decides nothing: it may be withdrawn, is too old, or was measured on other data."""
        if newer := next(filter(None, (self.newer_amendment(run, "baseline") for run in self.runs_of(side))), None):
            return newer
        if max_age_days is not None and (side.age_days is None or side.age_days > max_age_days):
            # Its day, not its age: two jobs within the hour must write the same.
            day = side.recorded[:10] if side.recorded and side.age_days is not None else None
            return Notice(kind=Kind.STALE, of="baseline", run=side.run, day=day, max_age_days=max_age_days)
        for path in self.in_force.evaluation if self.in_force else ():
            ours = {dataset_digest(run, path) for run in self.candidates}
            theirs = {dataset_digest(run, path) for run in self.runs_of(side)}
            if None in ours or len(ours) > 1:
                return Notice(kind=Kind.NO_EVALUATION, run=self.run.id, path=path)
            if ours != theirs:
                kind = Kind.NO_EVALUATION if None in theirs else Kind.OTHER_EVALUATION
                return Notice(kind=kind, of="baseline", run=side.run, path=path)
        return None


def baselines_of(
    session: Session,
    runs: Runs,
    run: Run,
    in_force: PolicyInForce | None,
    *,
    named: bool = False,
    judged_as: str | None = None,
) -> BaselineFinder:
    """Return the finder for the baselines of a run; `named`: somebody named the run by its id.

    Args:
        judged_as: the registered name by whose gates it is judged, as if it were a run of that model.
    """
    registered = read_if_whole(session, judged_as or run.model)
    return BaselineFinder(session, runs, run, in_force, registered, named, judged_as=judged_as)
