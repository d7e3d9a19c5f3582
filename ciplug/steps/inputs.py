"""What the user asked to record besides what the training logs, and the facts about the job that reading it needs."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from ciplug.config import Samples, Section
from ciplug.records.left_out import LeftOut

if TYPE_CHECKING:
    from ciplug.capture.artifacts import Destination
    from ciplug.capture.metric_choice import Reading
    from ciplug.console import Listener


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """The user's request of what to record, besides what the training itself logs."""

    model: str | None = None
    model_is_asked: bool = False
    """Whether the user named the model, so that the training may not change it; not if ciplug.yaml has it."""
    name: str | None = None
    seed: int | None = None
    seed_key: str = "seed"
    """The parameter that holds the seed."""
    tags: Mapping[str, str] = field(default_factory=dict)
    metrics: tuple[Path, ...] = ()
    readings: Mapping[Path, Reading] = field(default_factory=dict)
    """How a file of metrics is read, where the default does not fit."""
    params: tuple[Path, ...] = ()
    artifacts: tuple[Path, ...] = ()
    datasets: tuple[Path, ...] = ()
    samples: Samples | None = None
    """The examples of the evaluation; the file is relative to the folder that the command runs in."""
    addresses: tuple[str, ...] = ()
    """Artifacts that lie elsewhere already."""
    allow_unchanged: tuple[str, ...] = ()
    """Outputs that count as the run's own though its command did not write them."""
    left_out: frozenset[Path] = frozenset()
    """Absolute paths of files in the folders above that are not the run's."""
    refused: tuple[LeftOut, ...] = ()
    """Files of metrics and examples, and artifacts, that are not the run's, with the reason."""
    unchanged: tuple[str, ...] = ()
    """Outputs that were allowed, and were not written, as the record names them."""
    older: tuple[str, ...] = ()
    """Outputs that are older than the commit, as the record names them."""

    @property
    def outputs(self) -> tuple[Path, ...]:
        """The files and folders that the training writes."""
        return (*self.metrics, *self.artifacts, *([Path(self.samples.file)] if self.samples else []))


def readings_of(section: Section, cwd: Path) -> dict[Path, Reading]:
    """How the files of metrics in ciplug.yaml are read, by their path from `cwd`, where the default does not fit.

    A gate and `of` name a metric by its old or its present name, and the file has either of them.
    """
    from ciplug.capture.metric_choice import Reading

    names = section.metrics.rename
    present = section.policy.renamed(names).directions()
    directions = {**present, **{old: present[new] for old, new in names.items() if new in present}}
    return {
        Path(os.path.relpath(section.folder / one.file, cwd)): Reading(
            step=one.step, take=one.take, of=one.of, names=names, directions=directions
        )
        for one in section.metrics.files
        if (one.step, one.take) != (None, None)
    }


class Surroundings(Protocol):
    """The facts about a job that are needed to record its run. A session has them."""

    @property
    def cwd(self) -> Path: ...

    @property
    def top(self) -> Path:
        """The folder that paths in records are relative to."""
        ...

    @property
    def env(self) -> Mapping[str, str]: ...

    @property
    def spooled_for(self) -> str:
        """The address of the store that the run is sealed for."""
        ...

    @property
    def repository(self) -> str:
        """The repository in which its signatures count."""
        ...

    @property
    def listener(self) -> Listener:
        """Who hears of the progress of long steps."""
        ...

    @property
    def destination(self) -> Destination | None:
        """The store of the artifacts' content; None: only their digests are recorded."""
        ...


def size_of(folder: Path, paths: Sequence[Path]) -> int:
    """Bytes of these files and folders, as far as they can be seen."""
    from ciplug.capture.written_files import files_of

    total = 0
    for file in (file for path in paths for file in files_of(folder / path)):
        with suppress(OSError):
            total += file.stat().st_size
    return total
