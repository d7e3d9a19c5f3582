"""The job that began an open run, as the run's entry in the spool has it: enough to record the run from any process."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from ciplug.capture.writer import RunWriter
from ciplug.console import Nobody

if TYPE_CHECKING:
    from ciplug.capture.artifacts import Destination
    from ciplug.console import Listener


REPOSITORY = "repository"
"""The fact that names the repository in which a run's signature counts."""


@dataclass(frozen=True)
class Job:
    """The facts about an open run's first job: enough to record the run from any process."""

    cwd: Path
    top: Path
    env: Mapping[str, str]
    spooled_for: str
    destination: Destination | None
    repository: str = ""
    listener: Listener = field(default_factory=Nobody)


def job_of(entry: RunWriter) -> Job:
    """The facts about the job that began an open run. Raises KeyError or TypeError for those of another version."""
    from ciplug.capture.artifacts import Destination

    facts = entry.facts
    to = facts.get("destination")
    return Job(
        # Not the present one: the program may have gone elsewhere, or that folder may have been deleted.
        cwd=Path(facts["cwd"]),
        top=Path(facts["top"]),
        env=os.environ,
        spooled_for=facts["store"],
        destination=Destination(**to) if to else None,
        repository=str(facts.get(REPOSITORY) or ""),
    )
