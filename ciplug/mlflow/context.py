"""Tags that say where a run of MLflow comes from: the commit, and the job of the CI host. Imports no MLflow.

MLflow asks for them when a run starts, whatever store it logs to.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from ciplug.errors import CiplugError
from ciplug.records.provenance import Context

_COMMIT, _BRANCH, _REPOSITORY = "mlflow.source.git.commit", "mlflow.source.git.branch", "mlflow.source.git.repoURL"
_LOCAL = "local"


class RunContext:
    """What the entry point `mlflow.run_context_provider` names."""

    def in_context(self) -> bool:
        """Under `ciplug run` there is nothing to add: the record that the run joins has all this."""
        return "CIPLUG_RUN_DIR" not in os.environ

    def tags(self) -> dict[str, str]:
        from ciplug.steps.job_identity import job_in

        try:
            return tags_of(job_in(Path.cwd(), os.environ))
        except (CiplugError, OSError):
            # A training must not fail, nor print anything, because git refuses a folder.
            return {}


def tags_of(job: Context) -> dict[str, str]:
    """Return the tags of a job, by the names of MLflow where it has one; what is not known has no tag."""
    facts: Mapping[str, str | int | None] = {
        _COMMIT: job.commit,
        _BRANCH: job.branch,
        _REPOSITORY: f"{job.server_url}/{job.repository}" if job.server_url and job.repository else None,
    }
    if job.host != _LOCAL:
        about_job = {
            "host": job.host,
            "event": job.event,
            "pull_request": job.pull_request,
            "target_branch": job.target_branch,
            "job": job.job,
            "leg": job.leg,
            "run_url": job.run_url,
            "actor": job.actor,
        }
        facts = {**facts, **{f"ci.{name}": value for name, value in about_job.items()}}
    return {name: str(value) for name, value in facts.items() if value not in (None, "")}
