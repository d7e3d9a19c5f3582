"""The history of a metric over the commits of a branch: its numbers, and the commits that moved it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

from ciplug.comparison.facts import with_facts
from ciplug.comparison.renames import renamed
from ciplug.comparison.repeats import independent
from ciplug.comparison.run_that_counts import baseline_rules, objection_to, select
from ciplug.config import DEFAULT_MODEL
from ciplug.errors import NotFound, UsageError, closest, nearest
from ciplug.git import history
from ciplug.git.commits import commit_named, is_ancestor, ref_names
from ciplug.registry.ladder import NO_STAGE
from ciplug.stats.level_changes import LevelChange, level_changes
from ciplug.steps.branches import commits_around
from ciplug.steps.policy_in_force import PolicyInForce, read_policies
from ciplug.steps.registered_model import read_if_whole
from ciplug.steps.select import facts_on
from ciplug.steps.session import Session

if TYPE_CHECKING:
    from ciplug.records.notice import Notice
    from ciplug.records.run import Run
    from ciplug.tracking.runs import Runs

ALPHA = 0.05
"""The share of histories without a change in which a change is found at most."""
_NAMED_MOST = 12


@dataclass(frozen=True, kw_only=True)
class Point:
    """A commit of the history with a number."""

    at: int
    """Its position among the commits."""
    commit: str
    run: str
    """The run that counts for the commit."""
    value: float
    """That of the run; NaN and infinite ones are no evidence on a change."""
    values: Sequence[float]
    """The finite numbers of all runs that may count, without copies: what the noise is seen in."""
    runs: int
    """How many runs may count for the commit."""
    subject: str
    author: str
    date: str
    """The day of the commit, YYYY-MM-DD, by its author's clock."""
    promotions: Sequence[str] = ()
    """Like `v3 Production`: the versions of the run, with the stages they are in now."""


@dataclass(frozen=True, kw_only=True)
class MetricHistory:
    """The numbers of a metric along the first parents of a branch."""

    metric: str
    model: str
    branch: str | None
    """None: the history of HEAD."""
    higher_is_better: bool | None
    """None: nothing says."""
    lowest: float | None
    """What gates allow at least, and at most; None: no gate has such a bound."""
    highest: float | None
    commits: Sequence[str]
    """The first parents, the oldest first: from the first one with a number on, up to the last commit."""
    points: Sequence[Point]
    """At least one, the oldest first."""
    earlier: int
    """Commits with a run before them, that --limit leaves out."""
    notices: Sequence[Notice]
    """Why commits may be missing."""

    @cached_property
    def values(self) -> dict[int, Sequence[float]]:
        """Position → numbers, as `ciplug.stats.change_point` takes them."""
        return {point.at: point.values for point in self.points if point.values}

    @cached_property
    def changes(self) -> list[LevelChange]:
        return level_changes(self.values, ALPHA)

    def is_worse(self, change: LevelChange) -> bool | None:
        """Whether the metric got worse there; None where nothing says which way is better."""
        if self.higher_is_better is None:
            return None
        return (change.after < change.before) == self.higher_is_better


def metric_history(
    session: Session, runs: Runs, metric: str, *, model: str | None, branch: str | None, limit: int
) -> MetricHistory:
    """The history of a metric over the last commits with a run.

    Args:
        branch: whose history; None: that of HEAD.
        limit: how many commits with a run are read; 0: all of the last 1,000 commits.

    Raises NotFound for an unknown branch, a model without runs there, or a metric that none of them has.
    """
    commits, notices = _commits(session, branch)
    recorded = runs.recorded_on(commits)
    with_runs = [commit for commit in commits if commit in recorded]
    chosen = with_runs[:limit] if limit else with_runs
    by_commit = runs.of_commits(chosen)
    name = _model(session, by_commit, model)
    in_force, names = read_policies(session).find(name), names_of(session, name)
    metric = names.get(metric, metric)
    numbers = numbers_of(session, runs, chosen, name, metric, names)
    if not numbers:
        raise _no_numbers(by_commit, name, metric, names)
    line = list(reversed(commits[: max(commits.index(commit) for commit in numbers) + 1]))
    lowest, highest = _bounds(in_force, metric, names)
    return MetricHistory(
        metric=metric,
        model=name,
        branch=branch,
        higher_is_better=direction_of(session, name, metric, names),
        lowest=lowest,
        highest=highest,
        commits=line,
        points=_points(session, line, numbers, name),
        earlier=len(with_runs) - len(chosen),
        notices=notices,
    )


def _commits(session: Session, branch: str | None) -> tuple[Sequence[str], Sequence[Notice]]:
    """The first parents, the last commit first."""
    if branch is not None:
        return _of_branch(session, branch)
    head = session.need_head()
    past = commits_around(session, head, None)
    parents = history.first_parents(session.need_workspace(), head, session.env)
    return parents, [past.unseen] if past.unseen else []


def metrics_on(session: Session, runs: Runs, model: str, branch: str | None, limit: int) -> list[str]:
    """The metrics of the runs of a model on a branch, those of the last runs first; see `metric_history`."""
    commits, _ = _commits(session, branch)
    recorded = runs.recorded_on(commits)
    with_runs = [commit for commit in commits if commit in recorded]
    by_commit = runs.of_commits(with_runs[:limit] if limit else with_runs)
    names = names_of(session, model)
    of_model = [run for commit in with_runs for run in by_commit.get(commit, ()) if run.model == model]
    trainings = [run for run in of_model if run.parent is None] or of_model
    return list(dict.fromkeys(name for run in trainings for name in renamed(run, names).metrics))


def _of_branch(session: Session, branch: str) -> tuple[Sequence[str], Sequence[Notice]]:
    """The first parents of a branch: of this clone's own, where it has commits that the remote's has not."""
    name, workspace = branch.removeprefix("refs/heads/"), session.need_workspace()
    past = commits_around(session, session.need_head(), name)
    local = commit_named(workspace.top, f"refs/heads/{name}")
    tip = past.target_commits[0] if past.target_commits and not past.no_target else None
    is_known = tip is not None and commit_named(workspace.top, tip) is not None
    if local and (tip is None or (is_known and not is_ancestor(workspace.top, local, tip))):
        return history.first_parents(workspace, local, session.env), []
    if tip is None:
        raise _no_branch(session, branch)
    return past.target_commits, past.notices


def check_branch(session: Session, branch: str) -> None:
    """Raise NotFound where there is no such branch, with the one that was probably meant."""
    _of_branch(session, branch)


def _no_branch(session: Session, branch: str) -> NotFound:
    meant = closest(branch, ref_names(session.need_workspace().top))
    hint = f"did you mean '{meant}'?" if meant else "fetch it first: git fetch"
    return NotFound(f"no branch named '{branch}'", hint=hint)


def _model(session: Session, by_commit: Mapping[str, Sequence[Run]], model: str | None) -> str:
    recorded = sorted({run.model for runs in by_commit.values() for run in runs})
    name = model or session.config.model
    if not recorded:
        raise NotFound("no run is recorded on these commits", hint="record one: ciplug run -- COMMAND")
    if name is None and len(recorded) > 1:
        raise UsageError(
            f"these commits have runs of {len(recorded)} models",
            hint=f"choose one with --model: {', '.join(recorded[:_NAMED_MOST])}",
        )
    if name is not None and name not in recorded:
        raise NotFound(f"no run of '{name}' is recorded on these commits", hint=nearest(name, recorded))
    return name or recorded[0]


def model_of(session: Session, model: str | None) -> str:
    """The model that a user means where no run tells: the one that is named, else that of ciplug.yaml."""
    return model or session.config.model or DEFAULT_MODEL


def names_of(session: Session, model: str) -> Mapping[str, str]:
    """Old name → present name, of the metrics of a model."""
    return read_policies(session).metrics(model).rename


def direction_of(session: Session, model: str, metric: str, names: Mapping[str, str]) -> bool | None:
    """Whether more of a metric is better, as the gates have it; None where none says."""
    in_force = read_policies(session).find(model)
    return in_force.policy.renamed(names).directions().get(metric) if in_force else None


class Numbers(NamedTuple):
    """What the runs of one commit say of a metric."""

    run: str
    """The run that counts."""
    value: float
    values: Sequence[float]
    """The finite numbers of all runs that may count, without copies; see `ciplug.comparison.repeats.independent`."""
    repeated: Sequence[float]
    """With copies."""
    runs: int
    """How many runs may count."""


def numbers_of(
    session: Session, runs: Runs, commits: Sequence[str], model: str, metric: str, names: Mapping[str, str]
) -> dict[str, Numbers]:
    """Commit → its numbers; commits without a run that may count, and has the metric, are absent."""
    wanted = frozenset([metric])
    policies = read_policies(session)
    only, in_force = policies.only_pipelines(model), policies.find(model)
    key = in_force.policy.seeds.key if in_force and in_force.policy.seeds else "seed"
    rules = baseline_rules(gated=frozenset(), compared=wanted, aside=frozenset(), pipelines_only=only)
    numbers = {}
    for commit, recorded in runs.of_commits(commits).items():
        facts = facts_on(session, runs, recorded, wanted, names)
        own = {
            run.id: with_facts(renamed(runs.evidence(run).run, names), wanted) for run in recorded if run.model == model
        }
        chosen = select([facts[run] for run in own], rules).chosen
        if chosen is not None:
            fit = [one for run, one in own.items() if objection_to(facts[run], rules) is None]
            finite = [value for one in fit if math.isfinite(value := one.metrics[metric])]
            values = independent(fit, metric, key)
            numbers[commit] = Numbers(chosen, own[chosen].metrics[metric], values, finite, len(fit))
    return numbers


def _no_numbers(by_commit: Mapping[str, Sequence[Run]], model: str, metric: str, names: Mapping[str, str]) -> NotFound:
    of_model = [renamed(run, names) for runs in by_commit.values() for run in runs if run.model == model]
    if any(metric in run.metrics for run in of_model):
        return NotFound(
            f"no run of '{model}' on these commits that counts has '{metric}'",
            hint="see which runs are dirty, failed or withdrawn: ciplug runs list",
        )
    recorded = sorted({name for run in of_model for name in run.metrics})
    return NotFound(f"no run of '{model}' on these commits has a metric '{metric}'", hint=nearest(metric, recorded))


def _bounds(in_force: PolicyInForce | None, metric: str, names: Mapping[str, str]) -> tuple[float | None, float | None]:
    """The strictest `min` and `max` of the gates on a metric."""
    if in_force is None:
        return None, None
    policy = in_force.policy.renamed(names)
    gates = [gate for gate in map(policy.resolved, policy.gates) if gate.kind == "metric" and gate.metric == metric]
    lowest = [gate.min for gate in gates if gate.min is not None]
    highest = [gate.max for gate in gates if gate.max is not None]
    return max(lowest, default=None), min(highest, default=None)


def _points(session: Session, line: Sequence[str], numbers: Mapping[str, Numbers], model: str) -> list[Point]:
    described = history.describe(session.need_workspace(), list(numbers), session.env)
    registered = read_if_whole(session, model)
    versions: dict[str, list[str]] = {}
    for version in registered.versions:
        if version.run:
            stage = f" {version.stage}" if version.stage != NO_STAGE else ""
            versions.setdefault(version.run, []).append(f"v{version.number}{stage}")
    points = []
    for at, commit in enumerate(line):
        if commit in numbers:
            known = numbers[commit]
            text = described.get(commit, history.CommitText("", "", ""))
            points.append(
                Point(
                    at=at,
                    commit=commit,
                    run=known.run,
                    value=known.value,
                    values=known.values,
                    runs=known.runs,
                    subject=text.subject,
                    author=text.author,
                    date=text.date,
                    promotions=versions.get(known.run, ()),
                )
            )
    return points
