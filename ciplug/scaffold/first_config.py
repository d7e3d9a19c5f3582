"""The first ciplug.yaml of a project: its keys from the files, and gates proposed from the numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ciplug import config
from ciplug.config import DEFAULT_ARTIFACT_LIMIT
from ciplug.gates.propose import propose
from ciplug.scaffold import configuration
from ciplug.scaffold.project import Numbers, Project, parameter_files
from ciplug.scaffold.training import Training
from ciplug.stores import is_git


@dataclass(frozen=True)
class FirstConfig:
    text: str
    gates: Sequence[str]
    """The metrics that are gated."""
    unused: Sequence[str]
    """Files that are left out, and why."""


def first_config(
    project: Project, training: Training, model: str, store: str | None, numbers: Numbers, numbers_of: str
) -> FirstConfig:
    """Raises ConfigError where the text could not be read by later commands.

    Args:
        store: None for the default, this repository.
        numbers_of: where the numbers come from, in words.
    """
    params, unread = parameter_files(project, training.params)
    large = _too_large(project, numbers.models) if not store or is_git(store) else {}
    proposal = propose(numbers.values, numbers.constants)
    named = numbers.files or (training.metrics if not numbers.values and not numbers.problems else ())
    text = configuration.render(
        configuration.Settings(
            model=model,
            store=store,
            metrics=named,
            params=params,
            models=[path for path in numbers.models if path not in large],
            model_files=training.models,
            unread={"metrics": numbers.problems, "params": unread, "artifacts": list(large.values())},
            numbers_of=numbers_of,
            proposal=proposal,
        )
    )
    # Read the text as every later command will, before it is written.
    config.parse(text, Path(config.FILE))
    unused = (*numbers.problems, *unread, *large.values())
    return FirstConfig(text, [gate.metric for gate in proposal.gates], unused)


def _too_large(project: Project, models: Sequence[str]) -> dict[str, str]:
    """Model files that git should not hold → why."""
    return {
        path: f"{path}: too large for git: set an artifact_store (docs/artifacts.md)"
        for path in models
        if (project.top / path).stat().st_size > DEFAULT_ARTIFACT_LIMIT
    }
