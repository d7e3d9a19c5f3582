"""Find the runs to compare a candidate with: the baselines of the policy, the branch's tip, production."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

from ciplug.comparison import nearest_run, repeats
from ciplug.comparison.facts import with_facts
from ciplug.comparison.renames import present, renamed
from ciplug.comparison.selection import Facts, Rules, Selection, baseline_rules, objection_to, select
from ciplug.config.metrics import Metrics
from ciplug.config.policy import Policy
from ciplug.errors import CiplugError, counted
from ciplug.git import history, names
from ciplug.git.commits import commit_named
from ciplug.records.amendment import Amendment
from ciplug.records.comparison import Side
from ciplug.records.notice import MISNAMED, Kind, Notice, Subject
from ciplug.records.objection import newer_amendment, objection, unfinished_run
from ciplug.records.run import Run
from ciplug.records.selection import PassedOver
from ciplug.registry.model import Model
from ciplug.steps.branches import BranchRuns, commits_around, first_recorded
from ciplug.steps.policy_in_force import PolicyInForce, read_policies
from ciplug.steps.registered import read_if_whole
from ciplug.steps.renames import Renames, renames_for
from ciplug.steps.select import facts_on
from ciplug.steps.session import Session, now

if TYPE_CHECKING:
    from ciplug.config.gate import Baseline, Source
    from ciplug.tracking.runs import Runs


@dataclass(frozen=True, eq=False)
class BaselineFinder:
    """Finds what one candidate is compared with. Each run is read once, when it is needed."""

    session: Session
    runs: Runs
    given: Run
    """The candidate as it is recorded."""
    in_force: PolicyInForce | None
    registered: Model
    """The versions of the candidate's model."""
    named: bool = False
    """Whether somebody named the candidate by its id: then it need not be the run that counts for its commit."""
    beside: Run | None = None
    """The judged run, where the candidate is a re-run of it: both are compared with the same baseline."""
    judged_as: str | None = None
    """The registered name by whose gates the candidate is judged, where that is not its model."""

    @property
    def model(self) -> str:
        """The model whose runs the candidate is compared with."""
        return self.judged_as or self.given.model

    @cached_property
    def policy(self) -> Policy | None:
        """The policy, with its gates on the metrics by their present names."""
        return self.in_force.policy.renamed(self.renames.names) if self.in_force else None

    @property
    def metrics(self) -> Metrics:
        """The settings of the model's metrics."""
        return self.in_force.metrics if self.in_force else read_policies(self.session).metrics(self.model)

    @cached_property
    def renames(self) -> Renames:
        return renames_for(self.session, self.runs, self.given.commit, self.model, self.in_force)

    @property
    def gated(self) -> frozenset[str]:
        """The metrics that gates look at."""
        return self.policy.gated if self.policy else frozenset()

    @cached_property
    def run(self) -> Run:
        """The candidate as it counts, with the facts that gates name among its metrics."""
        return self._counted(self.given)

    def _counted(self, run: Run) -> Run:
        """A run with the numbers that count, by their present names: what was recorded, and what was added since."""
        evidence, names = self.runs.evidence(run), self.renames.names
        if evidence.changed:
            now = {old: name for name, old in present({name: name for name in evidence.run.metrics}, names).items()}
            self.changed[run.id] = {now.get(name, name): one for name, one in evidence.changed.items()}
        return with_facts(renamed(evidence.run, names), self.gated)

    @cached_property
    def changed(self) -> dict[str, Mapping[str, Amendment]]:
        """Run → metric → the amendment that gave it another value, of the runs that were read."""
        return {}

    def objection(self, run: Run, of: Subject = "candidate") -> Notice | None:
        """The notice on a run that was withdrawn or deleted; None where it was not."""
        return objection(run, self.runs.changes(run), of)

    def newer_amendment(self, run: Run, of: Subject = "candidate") -> Notice | None:
        """The notice on a run that a newer ciplug amended, and may have withdrawn; None where none did."""
        return newer_amendment(run, self.runs.changes(run), of)

    def unfinished(self, run: Run, seed: str | None = None) -> Notice | None:
        """The notice on a run that did not finish, or that was started by one which did not; None: all of them did.

        Args:
            run: with the numbers that count.
            seed: names the run where it is one of several.
        """
        if run.status != "finished":
            return unfinished_run(run, self.runs.changes(run), seed)
        for parent in self.runs.started_by(run):
            ended = self.runs.evidence(parent).run
            if ended.status != "finished":
                notice = unfinished_run(ended, self.runs.changes(parent), seed)
                return replace(notice, run=run.id, parent=parent.id)
        return None

    # --- which run counts

    @cached_property
    def rules(self) -> Rules:
        """The rules for the run that counts for the candidate's commit."""
        policy = self.policy
        only = policy.record == "ci" if policy else read_policies(self.session).only_pipelines(self.model)
        return Rules(pipelines_only=only, gated=self.gated)

    def _pick(self, source: Source = "any", aside: Collection[str] | None = None) -> nearest_run.Pick:
        """Return the choice among the runs of one commit to compare with.

        Args:
            aside: runs that are not chosen; default: all of the candidate's commit. A re-run is not a baseline: a
                training that is run again would be compared with its own failure.
        """
        rules = baseline_rules(
            gated=self.gated,
            compared=frozenset((self.beside or self.run).metrics),
            aside=frozenset(self.facts_on_commit if aside is None else aside),
            children=self.run.parent is not None,
            pipelines_only=source == "ci" or self.rules.pipelines_only,
        )
        return lambda runs: select([self._facts[run.id] for run in runs], rules)

    @cached_property
    def selection(self) -> Selection:
        """Which run counts for the candidate's commit; without one, it is nobody else's."""
        if self.given.commit is None:
            return Selection(chosen=self.given.id)
        runs = self.on([self.given.commit]).get(self.given.commit, [])
        return select([self._facts[run.id] for run in runs], self.rules)

    @cached_property
    def barred(self) -> PassedOver | None:
        """The candidate with the reason why it counts for no commit, whichever other runs there are; None: it may."""
        passed = next((one for one in self.selection.passed_over if one.run == self.given.id), None)
        return passed if passed and objection_to(self._facts[passed.run], self.rules) else None

    @property
    def facts_on_commit(self) -> dict[str, Facts]:
        """Run → the facts that decide whether it counts, of all runs of the candidate's model on its commit."""
        runs = self.on([self.given.commit]).get(self.given.commit, []) if self.given.commit else []
        return {run.id: self._facts[run.id] for run in (*runs, self.given)}

    # --- runs

    @cached_property
    def _branches(self) -> dict[str | None, BranchRuns]:
        return {}

    def branch(self, name: str | None) -> BranchRuns:
        """The runs toward a branch; None: the pull request's target, else the default branch."""
        if name not in self._branches:
            past = commits_around(self.session, self.given.commit or self.session.need_head(), name)
            recorded = self.runs.recorded_on([past.head, *past.ancestors, *past.target_commits])
            near = (*first_recorded(past.ancestors, recorded), *first_recorded(past.target_commits, recorded))
            self._branches[name] = BranchRuns(past, self.on([past.head, *near]))
        return self._branches[name]

    def on(self, commits: Iterable[str]) -> dict[str, list[Run]]:
        """Commit → the runs of the model that are recorded on it; of the candidate's commit, also its re-runs."""
        recorded = self.runs.of_commits(dict.fromkeys(commits))
        for runs in recorded.values():
            self._facts.update(facts_on(self.session, self.runs, runs, self.gated, self.renames.names))
        beside = {self.model, self.given.model}
        by_commit = {
            commit: [
                self._counted(run)
                for run in runs
                if run.model == self.model or (commit == self.given.commit and run.model in beside)
            ]
            for commit, runs in recorded.items()
        }
        self._read.update({run.id: run for runs in by_commit.values() for run in runs})
        return by_commit

    @cached_property
    def _facts(self) -> dict[str, Facts]:
        """Run → the facts that decide whether it counts, of all runs on the commits that were read."""
        return facts_on(self.session, self.runs, [self.given], self.gated, self.renames.names)

    @cached_property
    def _read(self) -> dict[str, Run]:
        """Every run that was read, by its id."""
        return {}

    def runs_of(self, side: Side) -> list[Run]:
        """Return the runs that represent a side."""
        ids = side.runs or ((side.run,) if side.run else ())
        if side.commit and not all(run in self._read for run in ids):
            self.on([side.commit])
        return [self._read[run] for run in ids if run in self._read]

    def record(self, side: Side) -> Run | None:
        """Return the one run of a side."""
        return next((run for run in self.runs_of(side) if run.id == side.run), None)

    # --- sides

    @cached_property
    def candidates(self) -> tuple[Run, ...]:
        """The run, and with it those that differ in their seed only."""
        policy = self.policy
        if policy is None or policy.seeds is None or self.run.commit is None:
            return (self.run,)
        return self._with_other_seeds(self.run, self.on([self.run.commit]).get(self.run.commit, []), "any")

    @cached_property
    def failed_seeds(self) -> tuple[Run, ...]:
        """The last run of each seed that none of the candidates has, as it did not finish."""
        policy = self.policy
        if policy is None or policy.seeds is None or self.run.commit is None:
            return ()
        others = self.on([self.run.commit]).get(self.run.commit, [])
        return repeats.failed(
            self.run, self.candidates, others, policy.seeds.key, self._facts, self._rules_of_seeds("any")
        )

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
        found = (nearest_run.nearest(toward.by_commit, [commit], pick).run for commit in toward.past.target_commits)
        return [run for run in found if run is not None]

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

    def _with_other_seeds(self, run: Run, others: Sequence[Run], source: Source) -> tuple[Run, ...]:
        """Return a run with the runs of its commit that differ from it in their seed only."""
        key = self.policy.seeds.key if self.policy and self.policy.seeds else ""
        return repeats.group(run, others, key, self._facts, self._rules_of_seeds(source))

    def _rules_of_seeds(self, source: Source) -> Rules:
        only = source == "ci" or self.rules.pipelines_only
        return replace(self.rules, forks=False, unfinished=False, pipelines_only=only)

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
            ours = {_digest(run, path) for run in self.candidates}
            theirs = {_digest(run, path) for run in self.runs_of(side)}
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


def same_evaluation(ours: Sequence[Run], other: Run, paths: Iterable[str]) -> bool:
    """Whether a run was measured on the same datasets as all of ours, as far as those are named."""
    return all(_digest(run, path) == _digest(other, path) for path in paths for run in ours)


def _digest(run: Run, path: str) -> str | None:
    return next((file.digest for file in run.datasets if file.path == path), None)
