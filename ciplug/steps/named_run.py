"""Find the run that a name means. There is one way to name a run, and every command that takes one takes all of it.

A name is, in this order:

- `last`, or `best:METRIC`, with `:max` or `:min` where no gate says which is better;
- a version: MODEL@STAGE, MODEL@ALIAS, MODEL@vN, or a models:/ URI;
- the id of a run, or its beginning;
- a commit, or its beginning; a branch, a tag, or what else git takes for a commit, such as HEAD~2.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple

from ciplug.errors import NotFound, StoreError, UsageError, closest, nearest
from ciplug.git import names
from ciplug.git.commits import commit_named, ref_names
from ciplug.git.objects import is_commit_id
from ciplug.records.keys import RunKey, run_key
from ciplug.records.run import Run
from ciplug.registry.ladder import Ladder
from ciplug.registry.model import Version
from ciplug.registry.resolve import VersionName, parse_version_name
from ciplug.reports.untrusted import clean
from ciplug.steps.registered_model import read_model, version_of
from ciplug.steps.select import NamedBase, NamedCommit, candidates, counting
from ciplug.steps.session import Session, now, stamp
from ciplug.tracking.hidden import NOT_RANKED, only_trainings
from ciplug.tracking.query import COMMIT, MODEL, STARTED, TRUSTED, Comparison

if TYPE_CHECKING:
    from ciplug.tracking.entries import Entry
    from ciplug.tracking.runs import Runs

LAST, BEST = "last", "best:"
HELP = "an id or its beginning, a commit, branch or tag, MODEL@STAGE, MODEL@vN, best:METRIC or last"
"""The ways to name a run, for the help of a command."""
_DIRECTIONS = {"max": True, "min": False}
_HEX = re.compile("[0-9a-f]+")
_ID = re.compile(r"\w+")
_WHOLE_ID = re.compile("[0-9a-f]{32}")
_SHORTEST_COMMIT = 4
_CANDIDATES_MOST = 5


class NamedKey(NamedTuple):
    """The run that a name means, by its key: nothing of it has been read."""

    key: RunKey
    version: Version | None = None
    """The version of the registry, where the name is a version's."""
    notes: tuple[str, ...] = ()
    """Sentences that a person must see, such as events of the registry that were skipped."""


class NamedRun(NamedTuple):
    """The run that a name means, read from the store."""

    run: Run
    version: Version | None = None
    notes: tuple[str, ...] = ()


def find_run(session: Session, runs: Runs, name: str, model: str | None = None, *, any_run: bool = False) -> NamedRun:
    """Return the run that `name` means.

    Args:
        model: which model's run, of a commit that several models ran on; default: that of ciplug.yaml.
        any_run: take the only run of a commit even where it does not count for it.

    Raises NotFound where there is no such run, UsageError where there are several, or it is of another model, and
    StoreError where the artifacts of the run are not those that the version was registered with.
    """
    found = find_key(session, runs, name, model, any_run=any_run)
    run = runs.at(found.key.commit, found.key.id) if found.version else runs.of_key(found.key)
    if found.version:
        _check_files(found.version, run)
    if model and run.model != model:
        raise UsageError(f"run {run.id} is of the model '{clean(run.model, 120)}', not '{model}'")
    return NamedRun(run, found.version, (*found.notes, *_objections(runs, run, found.version)))


def find_key(session: Session, runs: Runs, name: str, model: str | None = None, *, any_run: bool = False) -> NamedKey:
    """Return the key of the run that `name` means; see `find_run`. The run itself may be unreadable."""
    found = meaning_of(session, runs, name, model)
    if isinstance(found, NamedKey):
        return found
    return NamedKey(run_key(_of_commit(session, runs, found, model, any_run=any_run)))


def chosen_runs(session: Session, runs: Runs, *, run: str | None, commit: str | None, model: str | None) -> list[Run]:
    """The run with this name, or the runs to report on of a commit by its name (None: the head).

    A commit's runs are those of `candidates`: one of each model. Raises UsageError.
    """
    if run:
        return [find_run(session, runs, run, model, any_run=True).run]
    if commit is None:
        return candidates(session, runs, session.need_head(), model)
    found = meaning_of(session, runs, commit, model)
    if isinstance(found, NamedCommit):
        return candidates(session, runs, found.commit, model)
    return [find_run(session, runs, commit, model).run]


def named_base(session: Session, runs: Runs, name: str, model: str | None = None) -> NamedCommit | NamedBase:
    """The commit, or the run, that `name` means, to compare with; see `find_run`."""
    found = meaning_of(session, runs, name, model)
    return found if isinstance(found, NamedCommit) else NamedBase(name, runs.of_key(found.key))


def meaning_of(session: Session, runs: Runs, name: str, model: str | None = None) -> NamedCommit | NamedKey:
    """Return the run or the commit that `name` stands for. Raises NotFound with the candidates.

    Args:
        model: of which model `last` and `best:METRIC` are; default: that of ciplug.yaml.
    """
    if name == LAST:
        return NamedKey(_last(session, runs, model))
    if name.startswith(BEST):
        return NamedKey(_best(session, runs, name, model))
    version = parse_version_name(name)
    if version and not (":" not in name and _local(session, name)):
        return _of_version(session, version)
    return _of_id_or_commit(session, runs, name)


# Runs by their rank


def _last(session: Session, runs: Runs, model: str | None) -> RunKey:
    """The run that started last, without those of forks, and without runs that a run started."""
    model = model or session.config.model
    tomorrow = stamp(now() + timedelta(days=1))  # a later start is a wrong clock
    where = [Comparison(TRUSTED, "=", "true"), Comparison(STARTED, "<", tomorrow)]
    where += [Comparison(MODEL, "=", model)] if model else []
    found = runs.catalog.search([*where, *only_trainings(where)], limit=1, hide=NOT_RANKED, fold=True).entries
    if not found:
        of = f" of '{model}'" if model else ""
        known = sorted(map(str, runs.catalog.values(MODEL)))
        hint = nearest(model, known) if model and known and model not in known else "record one: ciplug run -- COMMAND"
        raise NotFound(f"no run{of} is recorded in {session.store_name}", hint=hint)
    return _key_of(found[0])


def _best(session: Session, runs: Runs, name: str, model: str | None) -> RunKey:
    """The first run of the leaderboard by a metric."""
    from ciplug.steps.leaderboard import NoDirection, RankingRequest, rank

    metric, _, direction = name.removeprefix(BEST).rpartition(":")
    if not metric or direction not in _DIRECTIONS:
        metric, direction = name.removeprefix(BEST), ""
    if not metric:
        raise UsageError(f"'{name}' names no metric", hint="like best:accuracy, or best:loss:min")
    if not len(runs.catalog):
        raise NotFound(f"no run is recorded in {session.store_name}", hint="record one: ciplug run -- COMMAND")
    request = RankingRequest(
        model=model, metric=metric, higher_is_better=_DIRECTIONS.get(direction), limit=1, with_versions=False
    )
    try:
        ranked = rank(session, runs.catalog, request).entries
    except NoDirection as unclear:
        hint = f"{BEST}{metric}:max or {BEST}{metric}:min, or higher_is_better in a gate of ciplug.yaml"
        raise UsageError(unclear.message, hint=hint) from None
    if not ranked:
        raise NotFound(f"no run with the metric '{clean(metric, 120)}' counts", hint="see: ciplug leaderboard --all")
    return _key_of(ranked[0])


def _key_of(entry: Entry) -> RunKey:
    return RunKey(entry.attributes.get("commit"), entry.id)


# Versions


def _of_version(session: Session, name: VersionName) -> NamedKey:
    model = read_model(session, name.model)
    version = version_of(session, model, name.selector, Ladder(session.config.ladder_of(name.model)))
    if version.run is None:
        raise NotFound(f"version {version.number} of '{clean(model.name, 80)}' was registered without a run")
    return NamedKey(RunKey(version.commit, version.run), version, model.notes)


def _check_files(version: Version, run: Run) -> None:
    if version.files != {file.path: file.digest for file in run.artifacts}:
        raise StoreError(
            f"run {run.id} does not name the artifacts that version {version.number} of '{clean(run.model, 120)}' was "
            "registered with",
            hint="the registry's log is a verified chain, the run's record is not: find out who changed it",
        )


def _objections(runs: Runs, run: Run, version: Version | None) -> list[str]:
    """A warning where the run was withdrawn or deleted: a version of it keeps its stage, and can be fetched."""
    changes = runs.changes(run)
    if changes.counts:
        return []
    words = f", version {version.number} of '{clean(run.model, 120)}'," if version else ""
    return [f"warning: run {run.id[:12]}{words} was {clean(changes.objection or '', 400)}"]


# Ids and commits


def _of_id_or_commit(session: Session, runs: Runs, name: str) -> NamedCommit | NamedKey:
    if session.head and _WHOLE_ID.fullmatch(name) and not runs.is_offline:
        on_head = runs.recorded_on([session.head]).get(session.head, [])
        if whole := [key for key in on_head if key.id == name]:
            return NamedKey(whole[0])
    local = _local(session, name)
    if is_commit_id(name) or (local and not _HEX.fullmatch(name)):
        return NamedCommit(name, local or name)
    ids = runs.beginning(name) if _ID.fullmatch(name) else []
    if _WHOLE_ID.fullmatch(name) and [key.id for key in ids] == [name]:
        return NamedKey(ids[0])
    commits = [local] if local else _recorded_commits(runs, name)
    if len(ids) + len(commits) > 1:
        raise _ambiguous(runs, name, ids, commits)
    if ids:
        return NamedKey(ids[0])
    if commits:
        return NamedCommit(name, commits[0])
    commit = names.resolve(session.workspace, name, session.env) if session.workspace else None
    if commit is None:
        raise _unknown(session, name)
    return NamedCommit(name, commit)


def _local(session: Session, name: str) -> str | None:
    """The commit of a name in this clone."""
    if session.workspace is None:
        return None
    top = session.workspace.top
    return commit_named(top, name) or commit_named(top, f"refs/remotes/origin/{name}")


def _recorded_commits(runs: Runs, name: str) -> list[str]:
    """The commits of runs that begin so: a clone need not have them."""
    if not _HEX.fullmatch(name) or len(name) < _SHORTEST_COMMIT:
        return []
    return sorted({commit for commit in runs.catalog.column(COMMIT).values if commit.startswith(name)})


def _ambiguous(runs: Runs, name: str, ids: Sequence[RunKey], commits: Sequence[str]) -> NotFound:
    if not commits:
        try:
            runs.key_of(name)
        except NotFound as several:
            return several
    named = [f"run {runs.describe(key)}" for key in ids[:_CANDIDATES_MOST]]
    named += [f"commit {commit[:12]}" for commit in commits[:_CANDIDATES_MOST]]
    return NotFound(
        f"'{name}' may mean {', '.join(named)}", hint="give more of the id, or write a branch as refs/heads/NAME"
    )


def _unknown(session: Session, name: str) -> NotFound:
    """The error for a name of nothing, with the name that was probably meant."""
    known = [LAST, *(ref_names(session.workspace.top) if session.workspace else ())]
    hint = "list runs: ciplug runs list"
    if session.workspace and session.workspace.shallow:
        hint = "this clone is shallow: give the full commit id; or list runs: ciplug runs list"
    close = closest(name, known)
    return NotFound(
        f"no run '{name}' in {session.store_name}, and no commit, branch or tag named '{name}'",
        hint=f"did you mean '{close}'?" if close else hint,
    )


def _of_commit(session: Session, runs: Runs, named: NamedCommit, model: str | None, *, any_run: bool) -> Run:
    try:
        of_commit = counting(session, runs, named.commit, model)
    except NotFound:
        recorded = runs.of_commits([named.commit]).get(named.commit, []) if any_run else []
        of_commit = [run for run in recorded if model in (None, run.model) and run.parent is None]
        if len(of_commit) != 1:
            raise
    if len(of_commit) > 1 and len(session.config.models) < 2:
        own = session.config.of(None).model
        of_commit = [run for run in of_commit if run.model == own] or of_commit
    if len(of_commit) > 1:
        ids = ", ".join(f"{run.id[:12]} ({clean(run.model, 40)})" for run in of_commit)
        raise UsageError(
            f"'{named.name}' has runs of {len(of_commit)} models", hint=f"choose one with --model, or name a run: {ids}"
        )
    return of_commit[0]
