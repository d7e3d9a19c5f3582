"""Fold the pending writes of the store, and drop the runs that `keep:` in ciplug.yaml does not keep."""

from __future__ import annotations

import argparse

from ciplug import console
from ciplug.commands import options
from ciplug.config import Keep
from ciplug.errors import CiplugError, UsageError
from ciplug.git import history
from ciplug.records import columns
from ciplug.records.keys import RunKey, is_run, parse_amendment
from ciplug.registry import ledger
from ciplug.registry.events import payload_of
from ciplug.steps.policy_in_force import read_policies
from ciplug.steps.session import Session, now
from ciplug.stores import Store
from ciplug.tracking import retention
from ciplug.tracking.retention import RetainedRun

_SHOWN = 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--dry-run", action="store_true", help="fold nothing and delete nothing: only print what would be deleted"
    )


def run(args: argparse.Namespace) -> int:
    session = options.session_of(args)
    if not session.context.trusted:
        raise UsageError("a fork's job must not write the store", hint="compact in the pipeline of a trusted branch")
    store = session.store
    if not args.dry_run:
        folded = store.compact() + (session.files.compact() if session.files else 0)
        console.say(f"folded {folded} pending writes" if folded else "nothing to fold")
    if session.config.keep:
        _retain(session, session.config.keep, dry_run=args.dry_run)
    for note in store.notes:
        console.complain(f"warning: {note}")
    return 0


def _retain(session: Session, keep: Keep, *, dry_run: bool) -> None:
    store = session.store
    runs = _all_runs(store)
    old = retention.too_old(runs, last=keep.last, days=keep.days, now=now())
    protected = _protected(session, runs, {run.id for run in old})
    dropped = [run for run in old if run.id not in protected]
    saved = len(old) - len(dropped)
    if saved:
        console.say(f"{saved} older runs are kept: they are in the registry, or baselines")
    if not dropped:
        console.say(f"nothing to drop ({keep})")
        return
    for run in dropped[:_SHOWN]:
        console.say(f"{'would drop' if dry_run else 'drops'} {run.id[:12]} ({run.model}) of {run.started[:10]}")
    if len(dropped) > _SHOWN:
        console.say(f"and {len(dropped) - _SHOWN} more")
    if dry_run:
        return
    count = store.drop(_keys(store, dropped), f"{len(dropped)} runs; the rule is keep: {keep}")
    console.say(f"dropped {len(dropped)} runs ({count} objects); the rule is keep: {keep}")


def _all_runs(store: Store) -> list[RetainedRun]:
    segments = store.segments()
    held = store.columns(segments)
    loose = [key for key in store.loose() if is_run(key) or parse_amendment(key)]
    return retention.runs_in(
        [*(held[name] for name in segments if name in held), columns.of(store.read(loose).items())]
    )


def _protected(session: Session, runs: list[RetainedRun], old: set[str]) -> set[str]:
    """Ids of the runs that are versions of a model, or baselines of a version or of a run that stays."""
    from ciplug.records import read

    store = session.store
    protected: set[str] = set()
    for model in ledger.models(session.log):
        for event in ledger.read(session.log, model).events:
            payload = payload_of(event)
            if payload is None:
                raise UsageError(
                    f"event {event.seq} of '{model}' has type {event.type[:60]!r}, which this ciplug does not know: "
                    "it may need runs that would be dropped",
                    hint="upgrade ciplug, and compact again",
                )
            needed = (getattr(payload, name, None) for name in ("run", "baseline_run"))
            protected |= {run for run in needed if run}
    protected |= retention.newest_on(_target_branches(session), runs)
    staying = [run for run in runs if run.id not in old or run.id in protected]
    keys = store.keys(*(RunKey(run.commit, run.id).verdicts for run in staying))
    for key, data in store.read(keys).items():
        try:
            protected |= read.verdict(data, key).needs
        except CiplugError as problem:
            raise UsageError(
                f"{key} cannot be read, so the runs that it needs are unknown: {problem.message}",
                hint="run: ciplug fsck",
            ) from None
    return protected


def _target_branches(session: Session) -> set[str]:
    """Branches whose last runs are baselines."""
    branches = {*read_policies(session).baseline_branches, session.context.default_branch, "main", "master"}
    if session.workspace:
        branches.add(
            history.target_branch(session.workspace, session.env, asked=None, context_target=None, context_default=None)
        )
    return {name for name in branches if name}


def _keys(store: Store, runs: list[RetainedRun]) -> list[str]:
    """Keys of all objects of these runs: records, series, examples, amendments and verdicts."""
    return store.keys(*(prefix for run in runs for prefix in RunKey(run.commit, run.id).everything))
