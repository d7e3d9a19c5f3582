"""Decide what `ciplug init` writes: the model's name, the pipeline, and which existing files are in its way."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from ciplug.errors import UsageError
from ciplug.git.credentials import redact
from ciplug.git.workspace import Workspace, discover
from ciplug.scaffold import pipelines
from ciplug.scaffold.detect_host import forge_of
from ciplug.scaffold.project import (
    Project,
    default_branch,
    model_name,
    model_name_in,
    models_elsewhere,
    requirements,
    server_of,
)
from ciplug.scaffold.training import Training
from ciplug.steps.record import check_model_name
from ciplug.stores import is_archived, open_store


class Existing(NamedTuple):
    """Files of the plan that exist."""

    same: set[str]
    """They have the planned text already."""
    different: list[str]

    @property
    def paths(self) -> set[str]:
        return {*self.same, *self.different}


def open_workspace(folder: Path, store: str | None) -> Workspace:
    """The repository of a folder. Raises UsageError where there is none, or for a store that cannot be configured."""
    workspace = discover(folder)
    if workspace is None:
        raise UsageError(
            f"{folder} is not in a git repository", hint="runs are tied to commits: run git init, then ciplug init"
        )
    if store:
        if redact(store) != store:
            raise UsageError(
                "--store contains credentials, and ciplug.yaml is committed", hint="remove them from the address"
            )
        if not is_archived(store):
            open_store(store, workspace)
    return workspace


def remote_of(workspace: Workspace) -> str | None:
    """The URL of `origin`, or of another remote."""
    return workspace.remotes.get("origin") or next(iter(workspace.remotes.values()), None)


def choose_model(name: str | None, whole: Project, folder: str, remote: str | None) -> str:
    """The model's name: as given, else by the repository or folder. Raises UsageError for one that is taken."""
    if name is None:
        return model_name(whole, remote) if folder == "." else model_name_in(folder, whole)
    model = check_model_name(name)
    if other := models_elsewhere("" if folder == "." else folder, whole).get(model):
        raise UsageError(
            f"{other} already has the model '{model}'",
            hint="the runs of two trainings would be compared: choose another name",
        )
    return model


def plan_pipeline(
    workspace: Workspace,
    project: Project,
    whole: Project,
    training: Training,
    host: str,
    model: str,
    source: str | None,
    site: bool = False,
    monitor: bool = False,
    deploy: bool = False,
) -> pipelines.Pipeline:
    """The pipeline files of a host, `none` for no file.

    Args:
        source: the address that the pipeline installs ciplug from; None for the default.
        site: publish the site of `ciplug site`, too.
        monitor: watch the version in production, too.
        deploy: promote and deploy, too.

    Raises UsageError for a host without such a job.
    """
    if host == "none" and not (site or monitor or deploy):
        return pipelines.Pipeline({})
    if host == "none":
        option = "--site" if site else "--monitor" if monitor else "--deploy"
        hosts = "--ci github or --ci gitlab" if site else "--ci github, --ci gitlab or --ci jenkins"
        raise UsageError(f"{option}: no pipeline is written", hint=f"name the host: {hosts}")
    remote = remote_of(workspace)
    install = requirements(project, whole) or ("-r requirements.txt" if training.imports else None)
    settings = pipelines.Settings(
        command=training.command,
        model=model,
        branch=default_branch(workspace),
        install=install,
        source=source,
        server=server_of(remote),
        forge=forge_of(remote, os.environ),
        folder=None if project is whole else project.top.relative_to(whole.top).as_posix(),
        site=site,
        monitor=monitor,
        deploy=deploy,
        alone=".." not in (install or "").removeprefix("-r ").split("/"),
    )
    # The existing pipeline may already be the one to write.
    alone = pipelines.pipeline(host, settings, ())
    if all(whole.read(path) == text for path, text in alone.files.items()):
        return alone
    return pipelines.pipeline(host, settings, whole.files)


def existing_files(project: Project, paths: Sequence[str], texts: Mapping[str, str]) -> Existing:
    """Which of the paths exist, and which of those have the planned text."""
    existing = [path for path in paths if os.path.lexists(project.top / path)]
    same = {path for path in existing if path in texts and project.read(path) == texts[path]}
    return Existing(same, [path for path in existing if path not in same])
