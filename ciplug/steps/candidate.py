"""The run that is judged: its numbers as they count, the policy that judges it, and the other runs of its model."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

from ciplug.comparison import repeats
from ciplug.comparison.facts import with_facts
from ciplug.comparison.renames import present, renamed
from ciplug.comparison.run_that_counts import Facts, Rules, Selection, objection_to, select
from ciplug.config.metrics import Metrics
from ciplug.config.policy import Policy
from ciplug.records.amendment import Amendment
from ciplug.records.comparison import Side
from ciplug.records.notice import Notice, Subject
from ciplug.records.objection import newer_amendment, objection, unfinished_run
from ciplug.records.run import Run
from ciplug.records.selection import PassedOver
from ciplug.registry.model import Model
from ciplug.steps.branches import commits_around
from ciplug.steps.policy_in_force import PolicyInForce, read_policies
from ciplug.steps.renames import Renames, renames_for
from ciplug.steps.select import facts_on
from ciplug.steps.session import Session

if TYPE_CHECKING:
    from ciplug.config.gate import Source
    from ciplug.tracking.runs import Runs


@dataclass(frozen=True, eq=False)
class Candidate:
    """The run that is judged, with the runs that are read to compare it. Each run is read once, when it is needed."""

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
    shared: dict[tuple[object, ...], dict[str, Facts]] = field(default_factory=dict)
    """The facts of the runs of a commit, which the re-runs of it that are judged beside the candidate have, too."""

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
    def judged_commit(self) -> str | None:
        """The commit that is judged; for a re-run, that of the run beside it."""
        return (self.beside or self.given).commit

    @cached_property
    def same_files(self) -> tuple[str, ...]:
        """The judged commit, and the recorded ones before it with the same files: an empty commit is no other code."""
        if self.judged_commit is None:
            return ()
        branch = self.policy.baseline.branch if self.policy else None
        before = commits_around(self.session, self.judged_commit, branch).same_files
        return self.judged_commit, *self.runs.recorded_on(before)

    @property
    def on_same_files(self) -> dict[str, Run]:
        """Id → each run of the candidate's model on the same files, with the candidate itself."""
        by_id = {run.id: run for runs in self.on(self.same_files).values() for run in runs}
        return by_id if self.run.id in by_id else {**by_id, self.run.id: self.run}

    @property
    def facts_of_files(self) -> dict[str, Facts]:
        """Run → the facts that decide whether it counts, of these runs."""
        return self.facts_of(self.on_same_files)

    def facts_of(self, runs: Iterable[str]) -> dict[str, Facts]:
        """Run → the facts that decide whether it counts, of runs that were read."""
        return {run: self._facts[run] for run in runs}

    @property
    def facts_on_commit(self) -> dict[str, Facts]:
        """Run → the facts that decide whether it counts, of all runs of the candidate's model on its commit."""
        runs = self.on([self.given.commit]).get(self.given.commit, []) if self.given.commit else []
        return {run.id: self._facts[run.id] for run in (*runs, self.given)}

    # --- runs

    def on(self, commits: Iterable[str]) -> dict[str, list[Run]]:
        """Commit → the runs of the model that are recorded on it; of the candidate's commit, also its re-runs."""
        recorded = self.runs.of_commits(dict.fromkeys(commits))
        for commit, runs in recorded.items():
            key = (commit, self.gated, tuple(sorted(self.renames.names.items())))
            if key not in self.shared:
                self.shared[key] = facts_on(self.session, self.runs, runs, self.gated, self.renames.names)
            self._facts.update(self.shared[key])
        beside = {self.model, self.given.model}
        own = {self.given.commit, *(self.same_files if len(beside) > 1 else ())}  # Else it does not matter.
        by_commit = {
            commit: [
                self._counted(run) for run in runs if run.model == self.model or (commit in own and run.model in beside)
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

    # --- the runs that count together

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

    def _with_other_seeds(self, run: Run, others: Sequence[Run], source: Source) -> tuple[Run, ...]:
        """Return a run with the runs of its commit that differ from it in their seed only."""
        key = self.policy.seeds.key if self.policy and self.policy.seeds else ""
        return repeats.group(run, others, key, self._facts, self._rules_of_seeds(source))

    def _rules_of_seeds(self, source: Source) -> Rules:
        only = source == "ci" or self.rules.pipelines_only
        return replace(self.rules, forks=False, unfinished=False, pipelines_only=only)


def same_evaluation(ours: Sequence[Run], other: Run, paths: Iterable[str]) -> bool:
    """Whether a run was measured on the same datasets as all of ours, as far as those are named."""
    return all(dataset_digest(run, path) == dataset_digest(other, path) for path in paths for run in ours)


def dataset_digest(run: Run, path: str) -> str | None:
    """The digest of a dataset that a run names by this path; None where it names none."""
    return next((file.digest for file in run.datasets if file.path == path), None)
