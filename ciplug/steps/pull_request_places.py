"""A pull request takes the stores of its target branch: its own file must not choose them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ciplug import config
from ciplug.console import warning
from ciplug.errors import GitError
from ciplug.git.credentials import redact
from ciplug.git.workspace import Workspace

if TYPE_CHECKING:
    from ciplug.console import Listener


def with_places_of(
    branch: str,
    workspace: Workspace,
    env: Mapping[str, str],
    path: Path,
    own: config.Config,
    explicit: tuple[str | None, str | None],
    listener: Listener | None,
) -> config.Config:
    """The settings of a pull request, with the stores of its target branch: a change of them counts once it is merged.

    Whoever opens a pull request must not choose where the runs of the project are read from, and its tokens sent to,
    nor for which repository a job with a key signs.

    Args:
        explicit: the stores that this command names itself.
    """
    names = [name for name, given in zip(("store", "artifact_store"), explicit, strict=True) if not given]
    if env.get("CIPLUG_SIGNING_KEY"):
        names.append("repository")
    if not any(getattr(own, name) for name in names):
        return own
    from ciplug.git.branch_files import tree_of_branch
    from ciplug.steps.committed_settings import inside, settings_in

    file = inside(path, workspace.top)
    if file is None:
        return own
    try:
        tree = tree_of_branch(workspace, branch, env)
        target_settings = settings_in(tree, file, f"{branch} ({tree.commit[:8]})")
    except config.PolicyError as wrong:
        target_settings = (wrong.recording, file.as_posix())
    except GitError as problem:
        raise GitError(
            f"the store of a pull request is that of its target branch '{branch}', whose {file} cannot be read: "
            f"{problem.message}",
            hint="let the job read that branch, or name the store in the job itself: CIPLUG_STORE, --artifact-store",
            kind=problem.kind,
        ) from None
    if target_settings is None:
        return own
    changed = {
        name: getattr(target_settings[0], name)
        for name in names
        if getattr(target_settings[0], name) != getattr(own, name)
    }
    if not changed:
        return own
    if listener:
        words = ", ".join(f"{name}: {redact(value or 'the default')}" for name, value in changed.items())
        why = f"of {target_settings[1]} in the target branch '{branch}', not the pull request's"
        listener.tell([warning(f"this job uses {words}, {why}", "merge a change of a store before runs go there")])
    return replace(own, **changed)
