"""Whether a git host takes what a store writes: tried for real, and nothing of it stays."""

from __future__ import annotations

import re
import secrets
import time
from pathlib import Path

from ciplug.errors import Cause
from ciplug.git.push import PushResult
from ciplug.git.run import run_git
from ciplug.stores.base import Trial
from ciplug.stores.git.objects import Objects
from ciplug.stores.git.remote import GitRemote, is_passing, lost_race
from ciplug.stores.git.view import Refs, View, root_tree

_CAUSES: tuple[tuple[Cause, str], ...] = (
    (Cause.PROTECTED, r"protected|GH006"),
    (Cause.NO_CREDENTIAL, r"could not read (Username|Password)|terminal prompts disabled"),
    (
        Cause.BAD_CREDENTIAL,
        r"Authentication failed|returned error: 401|Invalid username|HTTP Basic: Access denied|"
        r"Permission denied \([\w,-]*publickey|Host key verification failed",
    ),
    (
        Cause.FORBIDDEN,
        r"returned error: 403|permission to .* denied|write access|not allowed to push|read[- ]only|Contribute",
    ),
    (Cause.NOT_FOUND, r"not found|returned error: 404|does not exist|not appear to be a git repository|no such"),
    (Cause.RULE, r"declined|denied|deny|hidden ref|refused|rule violations"),
)
_NOT_THERE = "remote ref does not exist"
_IN_THE_WAY = ("atomic transaction failed", "failed to update ref", "cannot lock ref", "refname conflict")
"""What a ref is refused with that cannot be made, and what was to move with it: no rule was against them."""


def cause_of(words: str) -> Cause:
    """What a refusal of a git host is about, from git's and the host's words for it."""
    found = next((cause for cause, known in _CAUSES if re.search(known, words, re.IGNORECASE)), None)
    if found in (None, Cause.RULE, Cause.NOT_FOUND) and is_passing(words):
        return Cause.NETWORK
    return found or Cause.UNKNOWN


def try_writes(remote: GitRemote, refs: Refs, view: View) -> list[Trial]:
    """One push of an empty commit to a ref of its own, its deletion, and a move of the branch that cannot succeed."""
    with remote.side() as (side, written):
        commit = written.commit(written.tree({}), (), "ciplug: a trial\n\n[skip ci]", 0)
        trials = _create_and_delete(remote, refs, side, commit)
    if trials[0].cause is None:
        trials.append(_try_branch(remote, refs, view))
    return trials


def _create_and_delete(remote: GitRemote, refs: Refs, side: Path, commit: str) -> list[Trial]:
    refused = ""
    for ref in refs.trial(secrets.token_hex(8)):
        try:
            result = remote.create(side, commit, ref)
        except BaseException:
            remote.push(side, [f":{ref}"])
            raise
        if result.ok:
            made = Trial("write", None, f"{ref}; {refused}" if refused else ref, spare=bool(refused))
            return [made, _deleted(remote, side, ref)]
        if not result.rejected:
            # A connection that broke may have left the ref behind.
            if is_passing(result.failure):
                remote.push(side, [f":{ref}"])
            break
        refused = refused or _words(result)
    words = _words(result)
    return [Trial("write", cause_of(words), words)]


def _deleted(remote: GitRemote, side: Path, ref: str) -> Trial:
    result = remote.push(side, [f":{ref}"])
    words = _words(result)
    if result.ok or _NOT_THERE in words:
        return Trial("delete", None, ref)
    return Trial("delete", cause_of(words), f"{words}; {ref} is left behind")


def _try_branch(remote: GitRemote, refs: Refs, view: View) -> Trial:
    """Move the branch, all or none with a ref that cannot be beside it: `ciplug/x` where `ciplug` is a branch.

    So the host puts the move to all its rules, and then takes nothing. A host that does not keep its word on
    `--atomic` would add an empty commit to the branch, which changes no fact.
    """
    written = Objects(remote.repository, remote.format)
    if view.tip:
        shown = run_git("rev-parse", f"{view.tip}^{{tree}}", cwd=remote.repository, env=remote.env)
        tree = shown.stdout.decode().strip()
    else:
        tree = root_tree(written, view.content, b"")
    parents = (view.tip,) if view.tip else ()
    commit = written.commit(tree, parents, "ciplug: a trial\n\n[skip ci]", int(time.time()))
    blocked = f"{refs.tip}/{secrets.token_hex(8)}"

    def push(*wanted: str) -> PushResult:
        before = {refs.tip: view.tip or "", blocked: ""}
        leases = [f"--force-with-lease={ref}:{before[ref]}" for ref in wanted]
        options = ["--atomic", *leases] if len(wanted) > 1 else leases
        return remote.push(remote.repository, [f"{commit}:{ref}" for ref in wanted], options)

    result = push(refs.tip, blocked)
    if result.ok:
        remote.push(remote.repository, [f":{blocked}"])
        return Trial("branch", None, f"{refs.tip}, which has got an empty commit: this host moves refs one by one")
    words = _words(result)
    if "does not support --atomic" in words:
        return Trial("branch", Cause.UNKNOWN, "this host moves refs one by one, so it cannot be tried without a trace")
    if result.rejected and all(any(known in why for known in _IN_THE_WAY) for why in result.rejected.values()):
        return Trial("branch", None, refs.tip)
    cause = Cause.UNKNOWN if lost_race(result) else cause_of(words)
    # A rule may be about the other one; that alone cannot be made either, and then for no rule.
    if cause == Cause.RULE and not (view.tip and _stands_in_the_way(push(blocked), blocked)):
        cause = Cause.UNKNOWN
    return Trial("branch", cause, words)


def _stands_in_the_way(result: PushResult, ref: str) -> bool:
    """Whether a ref was refused for nothing but another one that is there."""
    return any(known in result.rejected.get(ref, "") for known in _IN_THE_WAY)


def _words(result: PushResult) -> str:
    """The host's words on a push."""
    said = [*sorted(set(result.rejected.values())), result.said] if result.rejected else [result.failure or ""]
    return ": ".join(" ".join(part.split()) for part in said if part)[:300]
