"""Test with real pushes whether a git host accepts the writes of a store, and remove them again."""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from ciplug.errors import Cause, GitKind
from ciplug.git.failures import Failure
from ciplug.git.push import PushResult
from ciplug.git.run import run_git
from ciplug.stores.base import Trial
from ciplug.stores.git.cached_remote import CachedRemote
from ciplug.stores.git.causes import cause_of
from ciplug.stores.git.content import root_tree
from ciplug.stores.git.objects import LooseObjects
from ciplug.stores.git.refs import Refs
from ciplug.stores.git.remote import in_the_way
from ciplug.stores.git.view import View

_IN_THE_WAY = {GitKind.ROLLED_BACK, GitKind.LOCKED, GitKind.NAME_CLASH}
"""Reasons to refuse a ref that cannot exist, and the refs pushed with it: no rule of the host forbids them."""
_WORDS_MOST = 300


def try_writes(remote: CachedRemote, refs: Refs, view: View) -> list[Trial]:
    """Push an empty commit to a ref of its own, delete it, and try to move the branch in a push that must fail."""
    if blocking := remote.in_the_way(refs.inbox("0")[0]):
        return [_blocked("write", blocking)]
    with remote.side() as (side, written):
        commit = written.commit(written.tree({}), (), "ciplug: a trial\n\n[skip ci]", 0)
        trials = _create_and_delete(remote, refs, side, commit)
    if trials[0].cause is None:
        blocking = remote.in_the_way(*refs.written)
        trials.append(_blocked("branch", blocking) if blocking else _try_branch(remote, refs, view))
    return trials


def _blocked(what: Literal["write", "branch"], blocking: Sequence[str]) -> Trial:
    problem = in_the_way(blocking)
    return Trial(what, problem.cause, f"{problem.message}; {problem.hint}")


def _create_and_delete(remote: CachedRemote, refs: Refs, side: Path, commit: str) -> list[Trial]:
    first: Failure | None = None
    for ref in refs.trial(secrets.token_hex(8)):
        try:
            result = remote.create(side, commit, ref)
        except BaseException:
            remote.push(side, [f":{ref}"])
            raise
        if result.ok:
            made = Trial("write", None, f"{ref}; {_words(first)}" if first else ref, spare=first is not None)
            return [made, _deleted(remote, side, ref)]
        if not result.rejected:
            # A connection that broke may have left the ref behind.
            if result.network:
                remote.push(side, [f":{ref}"])
            break
        first = first or result.reason
    return [Trial("write", cause_of(result.reason), _words(result.reason))]


def _deleted(remote: CachedRemote, side: Path, ref: str) -> Trial:
    result = remote.push(side, [f":{ref}"])
    if result.ok or GitKind.NO_REF in result.reason.kinds:
        return Trial("delete", None, ref)
    return Trial("delete", cause_of(result.reason), f"{_words(result.reason)}; {ref} is left behind")


def _try_branch(remote: CachedRemote, refs: Refs, view: View) -> Trial:
    """Try to move the branch in an atomic push with a ref that cannot exist: `ciplug/x` where `ciplug` is a branch.

    So the host checks the move against all its rules, and then accepts nothing. A host that accepts but ignores
    `--atomic` would add an empty commit to the branch, which changes no record.
    """
    commit = _same_content(remote, view)
    blocked = f"{refs.tip}/{secrets.token_hex(8)}"

    def push(*names: str) -> PushResult:
        before = {refs.tip: view.tip or "", blocked: ""}
        leases = [f"--force-with-lease={ref}:{before[ref]}" for ref in names]
        options = ["--atomic", *leases] if len(names) > 1 else leases
        return remote.push(remote.repository, [f"{commit}:{ref}" for ref in names], options)

    result = push(refs.tip, blocked)
    if result.ok:
        remote.push(remote.repository, [f":{blocked}"])
        words = f"accepted, but an empty commit is left on {refs.tip}: this host does not support atomic pushes"
        return Trial("branch", None, words)
    if result.failure and GitKind.NO_ATOMIC in result.failure.kinds:
        words = "cannot be tested without leaving a commit: this host does not support atomic pushes"
        return Trial("branch", Cause.UNKNOWN, words)
    if result.rejected and all(result.refuses(ref, *_IN_THE_WAY) for ref in result.rejected):
        return Trial("branch", None, refs.tip)
    cause = Cause.UNKNOWN if result.lost_race else cause_of(result.reason)
    # A rule may be about the other ref; that alone cannot be made either, and then no rule is the reason.
    if cause == Cause.RULE and not (view.tip and push(blocked).refuses(blocked, *_IN_THE_WAY)):
        cause = Cause.UNKNOWN
    return Trial("branch", cause, _words(result.reason))


def _same_content(remote: CachedRemote, view: View) -> str:
    """Create a commit on top of the tip that changes nothing."""
    written = LooseObjects(remote.repository, remote.format)
    if view.tip:
        shown = run_git("rev-parse", f"{view.tip}^{{tree}}", cwd=remote.repository, env=remote.env)
        tree = shown.stdout.decode().strip()
    else:
        tree = root_tree(written, view.content, b"")
    parents = (view.tip,) if view.tip else ()
    return written.commit(tree, parents, "ciplug: a trial\n\n[skip ci]", int(time.time()))


def _words(reason: Failure) -> str:
    return " ".join(reason.words.split())[:_WORDS_MOST]
