"""Find the commit that moved a metric: by the recorded runs first, then by training the commits between them."""

from __future__ import annotations

import math
import os
import signal
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ciplug.comparison.facts import with_facts
from ciplug.comparison.renames import renamed
from ciplug.errors import CiplugError, NotFound, UsageError, closest
from ciplug.git import history
from ciplug.git.checkout import check_link, checkout
from ciplug.stats import bisection
from ciplug.stats.bisection import Search
from ciplug.stats.level_changes import LevelChange
from ciplug.steps.deliver import Delivered, deliver
from ciplug.steps.inputs import Inputs
from ciplug.steps.metric_history import (
    ALPHA,
    MetricHistory,
    direction_of,
    metric_history,
    model_of,
    names_of,
    numbers_of,
)
from ciplug.steps.named_run import meaning_of
from ciplug.steps.select import NamedCommit
from ciplug.steps.session import Session, open_session
from ciplug.steps.train import train

if TYPE_CHECKING:
    from ciplug.tracking.runs import Runs

TAG = "bisect"
"""The tag of the runs that a search records: the metric."""


_INTERRUPTIONS = (128 + signal.SIGINT, 128 + signal.SIGTERM)
"""Exit codes of a training that a person, or the CI host, has stopped."""


class Interrupted(CiplugError):
    """Somebody stopped a training: that says nothing about its commit, and no other one is trained."""

    def __init__(self, code: int) -> None:
        super().__init__("interrupted", hint="the runs are recorded: the same command goes on from here")
        self.exit_code = code


@dataclass(frozen=True, kw_only=True)
class BisectRequest:
    metric: str
    model: str | None = None
    good: str | None = None
    """The last commit that is known to be good; None: as the history shows it."""
    bad: str | None = None
    """The first commit that is known to be bad; None: as the history shows it, HEAD where `good` is given."""
    links: Sequence[Path] = ()
    """What each checkout needs of the user's work tree that git does not track."""


@dataclass(frozen=True, kw_only=True)
class Bisection:
    """A search, with all that is measured so far."""

    metric: str
    model: str
    names: Mapping[str, str]
    """Old name of a metric → present name."""
    commits: Sequence[str]
    """First parents, the oldest first, from before the good commit to after the bad one."""
    first: int
    """The position of the commit after the good one."""
    last: int
    """That of the bad commit."""
    links: Sequence[Path] = ()
    values: dict[int, list[float]] = field(default_factory=dict)
    """Position → numbers, of the commits from the good one to the bad one."""
    others: Sequence[Sequence[float]] = ()
    """The numbers of each other commit. These may have levels of their own, and tell the noise alone."""
    higher_is_better: bool | None = None
    """None: nothing says."""
    barred: dict[int, str] = field(default_factory=dict)
    """Position of a commit that cannot be trained → why."""

    @property
    def places(self) -> int:
        """How many commits may have moved the metric."""
        return self.last - self.first + 1

    @property
    def most(self) -> int:
        """How many trainings it may take by default."""
        return bisection.limit(self.places)

    @property
    def alpha(self) -> float:
        """The probability to name a wrong commit."""
        return ALPHA

    def state(self, left: int) -> Search:
        """What is known now; `left`: how many trainings may follow."""
        return bisection.search(
            self.values,
            self.first,
            self.last,
            barred=self.barred,
            left=left,
            alpha=ALPHA,
            others=self.others,
            higher_is_better=self.higher_is_better,
        )


@dataclass(frozen=True, kw_only=True)
class Measured:
    """One training of a search."""

    at: int
    value: float | None
    problem: str | None = None
    """Why there is no number."""
    delivered: Delivered | None = None
    """None: no run was recorded."""


def prepare(session: Session, runs: Runs, request: BisectRequest) -> Bisection:
    """Begin a search with the recorded runs.

    Raises NotFound for an unknown commit, UsageError where the good commit is no first parent of the bad one, or where
    none is named and the history shows no change.
    """
    for link in request.links:
        check_link(session.need_workspace(), link, session.cwd)
    model = model_of(session, request.model)
    good, bad = request.good, request.bad
    if good is None:
        known = metric_history(session, runs, request.metric, model=request.model, branch=None, limit=0)
        model = known.model
        change = last_change(known)
        if change is None:
            raise UsageError(
                f"no recorded run shows a change of '{request.metric}'",
                hint="name a commit where it was good: --good COMMIT",
            )
        start, end = _levels_beside(known, change)
        good, bad = known.commits[start], bad or known.commits[end]
    good, bad = _commit_of(session, runs, good, model), _commit_of(session, runs, bad, model)
    line = list(reversed(history.first_parents(session.need_workspace(), session.need_head(), session.env)))
    if bad not in line:
        line = list(reversed(history.first_parents(session.need_workspace(), bad, session.env)))
    if good == bad:
        raise UsageError(
            f"the good and the bad commit are the same, {good[:12]}", hint="name a good commit before the bad one"
        )
    if good not in line or line.index(good) >= line.index(bad):
        raise UsageError(
            f"commit {good[:12]} is not one of the first parents of {bad[:12]}",
            hint="name a good commit before the bad one, on the same branch; a shallow clone: git fetch --unshallow",
        )
    names = names_of(session, model)
    metric = names.get(request.metric, request.metric)
    numbers = numbers_of(session, runs, line, model, metric, names)
    if not numbers:
        _check_spelling(runs, line, model, metric)
    values = {at: list(numbers[commit].repeated) for at, commit in enumerate(line) if commit in numbers}
    start, end = line.index(good), line.index(bad)
    return Bisection(
        metric=metric,
        model=model,
        names=names,
        commits=line,
        first=start + 1,
        last=end,
        links=request.links,
        values={at: of for at, of in values.items() if start <= at <= end and of},
        others=[of for at, of in values.items() if not start <= at <= end],
        higher_is_better=direction_of(session, model, metric, names),
    )


def _check_spelling(runs: Runs, commits: Sequence[str], model: str, metric: str) -> None:
    """Raise NotFound where no run has the metric, and some have one with nearly this name: a training may take long."""
    recorded = [run for of_commit in runs.of_commits(commits).values() for run in of_commit if run.model == model]
    known = sorted({name for run in recorded for name in run.metrics})
    if metric not in known and (meant := closest(metric, known)):
        raise NotFound(f"no run of '{model}' has a metric '{metric}'", hint=f"did you mean '{meant}'?")


def _commit_of(session: Session, runs: Runs, name: str | None, model: str) -> str:
    """The commit that a user names, by itself or by one of its runs; None is HEAD."""
    if name is None:
        return session.need_head()
    named = meaning_of(session, runs, name, model)
    commit = named.commit if isinstance(named, NamedCommit) else named.key.commit
    if commit is None:
        raise UsageError(f"run {name} is of no commit")
    return commit


def last_change(known: MetricHistory) -> LevelChange | None:
    """The last change that made the metric worse; where nothing says which way is better, the last one."""
    changes = [change for change in known.changes if known.is_worse(change) is not False]
    return changes[-1] if changes else None


def _levels_beside(known: MetricHistory, change: LevelChange) -> tuple[int, int]:
    """The first measured commit of the level before a change, and the last one of the level after it."""
    measured, changes = sorted(known.values), known.changes
    place = changes.index(change)
    start = changes[place - 1].candidates[-1] if place else 0
    end = changes[place + 1].candidates[0] if place + 1 < len(changes) else math.inf
    before = [at for at in measured if at < change.candidates[0]]
    after = [at for at in measured if at >= change.candidates[-1]]

    def is_later(at: int) -> bool:
        mean = statistics.fmean(known.values[at])
        return abs(mean - change.after) < abs(mean - change.before)

    good = min((at for at in before if at >= start and not is_later(at)), default=before[-1])
    bad = max((at for at in after if at < end and is_later(at)), default=after[0])
    return good, bad


@contextmanager
def _working_in(folder: Path) -> Iterator[Path]:
    """Be in a folder, as a user who runs the command there: files are named from it."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield folder
    finally:
        os.chdir(before)


def train_at(
    session: Session,
    search: Bisection,
    at: int,
    command: Sequence[str],
    inputs_of: Callable[[Session], Inputs],
) -> Measured:
    """Train a commit in a checkout of its own, and record the run. Its number, or why there is none, joins the search.

    Args:
        inputs_of: what to record, by the ciplug.yaml of that commit.

    Raises NotFound where one of the two ends of the search cannot be measured, Interrupted where the training was.
    """
    workspace = session.need_workspace()
    inside = session.cwd.resolve().relative_to(workspace.top)
    commit = search.commits[at]
    delivered: Delivered | None = None
    value, problem = None, None
    links = [session.cwd / link for link in search.links]
    try:
        with checkout(workspace, commit, links) as place, _working_in(place / inside) as folder:
            own_session = open_session(
                store=session.store.uri,
                config_file=session.options.config_file,
                cwd=folder,
                env=session.env,
                listener=session.listener,
                for_recording=True,
            )
            inputs = inputs_of(own_session)
            inputs = replace(
                inputs,
                model=search.model,
                model_is_asked=True,
                tags={**inputs.tags, TAG: search.metric},
            )
            trained = train(own_session, inputs, command)
            delivered = deliver(own_session, trained.recorded)
    except FileNotFoundError:
        problem = f"it has no folder {inside}"
    except CiplugError as error:
        problem = error.message
    else:
        if trained.exit_code in _INTERRUPTIONS:
            raise Interrupted(trained.exit_code)
        run = with_facts(renamed(trained.recorded.run, search.names), [search.metric])
        value = run.metrics.get(search.metric)
        if trained.exit_code:
            value, problem = None, f"the command ended with {trained.exit_code}"
        elif value is None:
            problem = f"the run has no metric '{search.metric}'"
        elif not math.isfinite(value):
            value, problem = None, f"'{search.metric}' is not a finite number"
    if value is not None:
        search.values.setdefault(at, []).append(value)
    elif at in (search.first - 1, search.last):
        end = "good" if at < search.first else "bad"
        raise NotFound(
            f"the {end} commit {commit[:12]} cannot be measured: {problem}",
            hint="name another one: --good, --bad; or repair the command",
        )
    elif at not in search.values:
        search.barred[at] = problem or ""
    return Measured(at=at, value=value, problem=problem, delivered=delivered)
