"""What every command starts from: repository, configuration, CI context, store and spool of this folder."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from ciplug import ci, config, git
from ciplug.errors import UsageError
from ciplug.records.provenance import Context
from ciplug.stores import DEFAULT_URI, Store, cache_folder, open_store
from ciplug.tracking.spool import Spool

if TYPE_CHECKING:
    from ciplug.tracking.runs import Runs

DEFAULT_MODEL = "default"


def now() -> datetime:
    return datetime.now(timezone.utc)


def stamp(moment: datetime) -> str:
    """UTC, ISO 8601, to the millisecond: 2026-11-23T19:24:00.123Z."""
    return moment.astimezone(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")


@dataclass(frozen=True, eq=False)
class Session:
    """The surroundings of one command."""

    cwd: Path
    env: Mapping[str, str]
    workspace: git.Workspace | None
    config: config.Config
    context: Context
    store_uri: str

    @cached_property
    def store(self) -> Store:
        return open_store(self.store_uri, self.workspace, self.env, may_fold=self.context.trusted)

    @property
    def spool(self) -> Spool:
        named = self.env.get("CIPLUG_SPOOL")
        return Spool(Path(named) if named else cache_folder(self.workspace, self.env) / "spool")

    @property
    def spooled_for(self) -> str:
        """What this job's spool entries are for. A fork's stay apart, lest a trusted job send them later."""
        return self.store.address if self.context.trusted else f"fork:{self.store.address}"

    @property
    def top(self) -> Path:
        """The folder that paths in records are relative to."""
        return self.workspace.top if self.workspace else self.cwd

    @property
    def head(self) -> str | None:
        """The commit that runs of this folder belong to: the pull request's own head, not its merge."""
        return self.context.commit

    def need_workspace(self) -> git.Workspace:
        if self.workspace is None:
            raise UsageError(f"{self.cwd} is in no git repository", hint="run inside a checkout")
        return self.workspace

    def need_head(self) -> str:
        self.need_workspace()
        if self.head is None:
            raise UsageError("this repository has no commit yet", hint="commit first: runs are tied to commits")
        return self.head

    def runs(self, *, offline: bool = False) -> Runs:
        """All runs that the store holds, and those of this spool that wait for it."""
        from ciplug.tracking.runs import Runs

        unsent: dict[str, bytes] = {}
        for sealed in self.spool.sealed(self.spooled_for):
            unsent.update(sealed.objects)
        return Runs(self.store, unsent, cache_folder(self.workspace, self.env) / "catalog", offline=offline)


def open_session(
    *,
    store: str | None = None,
    config_file: str | None = None,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
) -> Session:
    """Look around. Raises ConfigError for a wrong ciplug.yaml, GitError for a repository that git refuses."""
    cwd = Path.cwd() if cwd is None else cwd
    env = os.environ if env is None else env
    workspace = git.discover(cwd)
    path = Path(config_file) if config_file else config.find(cwd, workspace.top if workspace else None)
    settings = config.load(cwd / path) if path else config.Config()
    return Session(
        cwd=cwd,
        env=env,
        workspace=workspace,
        config=settings,
        context=_context(env, workspace),
        store_uri=store or env.get("CIPLUG_STORE") or settings.store or DEFAULT_URI,
    )


def _merge_parents(workspace: git.Workspace) -> list[str]:
    """Parents of HEAD if Jenkins made it by merging, else nothing: a merge that a person made is a commit like any."""
    shown = git.git("show", "-s", "--format=%ce%n%P", "HEAD", cwd=workspace.top, check=False).stdout.decode()
    committer, _, parents = shown.partition("\n")
    return parents.split() if committer == "nobody@nowhere" else []


def _context(env: Mapping[str, str], workspace: git.Workspace | None) -> Context:
    """What the CI host says, completed by what the checkout knows."""
    context = ci.detect(env, parents=lambda: _merge_parents(workspace) if workspace else [])
    if workspace is None:
        return context
    known = replace(
        context,
        # Where the host checked out a merge of its own, HEAD is not the commit under review.
        commit=context.commit or (None if context.merge_commit else workspace.head),
        branch=context.branch or workspace.branch,
        actor=context.actor or workspace.setting("user.email") or workspace.setting("user.name"),
    )
    if context.host == "local" and workspace.head:
        known = replace(known, commit=workspace.head)
    return known
