"""The policy that promotions go by: the committed one of the default branch, whatever lies in this checkout."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from ciplug import config as configuration
from ciplug.config import Config
from ciplug.errors import ConfigError, GitError, GitKind
from ciplug.git.branch_files import Tree, has_branches, tree_of_branch, tree_of_default_branch
from ciplug.git.history import default_branch
from ciplug.records.verdict import PolicySource
from ciplug.steps.committed_settings import inside, settings_in
from ciplug.steps.policy_in_force import Policies
from ciplug.steps.session import Session
from ciplug.stores import DEFAULT_BRANCH

_KEPT = "protected policies"
_GO_BY = "promotions and deployments go by the policy of the default branch"


def by_protected_policy(session: Session) -> Session:
    """The same session, judging by the policy of the default branch, as the remote names it; of its own without one.

    Whoever promotes must not choose the requirements: neither by a file that is not committed, nor by a branch, nor by
    a variable. Raises GitError where the remote does not answer, ConfigError where there is no such file.
    """
    if session.reads_once:
        policies = session.remember(_KEPT, lambda: _policies(session))
        fresh = session.with_same_store()
        fresh.remember(_KEPT, lambda: policies)
    else:
        policies = _policies(session)
        fresh = replace(session)
    fresh.remember("policies", lambda: policies)
    return fresh


def _policies(session: Session) -> Policies:
    workspace = session.workspace
    if workspace is None:
        raise ConfigError(
            f"{_GO_BY}, and this folder is in no repository",
            hint="run inside a checkout",
        )
    branch, tree = _default_branch(session)
    where = f"{branch} ({tree.commit[:8]})"
    file = inside(session.config.path or session.cwd / configuration.FILE, session.top) or Path(configuration.FILE)
    settings = settings_in(tree, file, where)
    if settings is None:
        return Policies(Config(), PolicySource(file=file.as_posix(), branch=branch, commit=tree.commit), branch)
    config, name = settings
    return Policies(config, PolicySource(file=name, branch=branch, commit=tree.commit), branch)


def _default_branch(session: Session) -> tuple[str, Tree]:
    workspace = session.need_workspace()
    if workspace.remotes:
        try:
            return tree_of_default_branch(workspace, session.env)
        except GitError as problem:
            if problem.kind is GitKind.NO_REF and not has_branches(workspace, session.env, DEFAULT_BRANCH):
                # Nothing was ever pushed, so there is no branch yet that anybody protects.
                return _local_branch(session)
            raise GitError(
                f"{_GO_BY}, which cannot be read: {problem.message}",
                hint=problem.hint,
                kind=problem.kind,
            ) from None
    return _local_branch(session)


def _local_branch(session: Session) -> tuple[str, Tree]:
    workspace = session.need_workspace()
    branch = default_branch(workspace, session.env)
    if branch is None:
        raise GitError(f"{_GO_BY}, and this repository has no branch")
    return branch, tree_of_branch(workspace, branch, session.env)
