"""One training run, as it is kept for ever."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from ciplug.records.inputs import DatasetInput, ModelOutput
from ciplug.records.last_point import LastPoint
from ciplug.records.left_out import LeftOut
from ciplug.records.monitored import Kind, Monitored
from ciplug.records.provenance import Provenance

SCHEMA = 1

_UNSEEN = (
    # Controls; marks without width, and those that turn the direction of a line; separators of lines and paragraphs.
    "\x00-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    # Halves of surrogate pairs, and what is not a character.
    "\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff\U000e0000-\U000e007f"
)
METRIC_NAME = re.compile(rf"(?=.*\S)[^{_UNSEEN}]{{1,250}}")
"""The names that a metric may have, wherever they come from: what MLflow takes, and what names of classes need. A name
means something else in Markdown, HTML, CSV or the log of a CI host: it is escaped where it is shown. Names that break a
line are refused, and marks that the eye does not see. The ranges are the same in every version of Unicode."""
METRIC_NAME_HINT = "up to 250 characters, none of them a control character, a line break or a mark of direction"


def metric_name(text: str) -> str:
    """Return a name as it is kept: in Unicode's form C, so that the same word is the same metric everywhere."""
    if text.isascii():
        return text
    import unicodedata

    return unicodedata.normalize("NFC", text)


def is_model_name(name: str) -> bool:
    """Whether the text is a valid model name, by MLflow's rules."""
    return bool(name.strip()) and len(name) <= 120 and name.isprintable() and not any(c in name for c in "/:\\")


Scalar = str | int | float | bool
Status = Literal["finished", "failed", "killed", "unknown"]
"""unknown: the program ended by itself, and nobody knows with which exit code."""


@dataclass(frozen=True, kw_only=True)
class File:
    """A file identified by its content: an artifact, or a dataset that was read."""

    path: str
    """Relative to the repository's top, with `/`, or the address as it was given."""
    digest: str
    """sha256:<hex>; of a folder, the digest of its sorted `digest path` lines."""
    size: int
    """Bytes; of a folder, the sum."""
    kind: Literal["folder"] | None = None
    """None is a file. The lines that make a folder's digest are kept as a file of that digest."""
    store: str | None = None
    """Where the bytes are: a URI without credentials, or `git:`, the git store of this record. None: nowhere that
    is known, or at the address that `path` is."""


NO_TIME = ""
"""In the place of a time that nobody knows: a run was imported from a source that tells none. It comes before all
times."""
NO_TIME_TEXT = "no time known"


@dataclass(frozen=True, kw_only=True)
class Run:
    """Facts of one run; `metrics` holds the last value of each metric, the steps stand apart (series)."""

    id: str
    model: str
    status: Status
    started: str
    """UTC, ISO 8601: 2026-11-23T19:24:00Z; NO_TIME. For display: nothing is ordered by it across machines."""
    ended: str
    commit: str | None = None
    name: str | None = None
    parent: str | None = None
    """The id of the run that this one is a child of: a trial of a sweep, a fold, a worker. Of the runs of a commit a
    child never counts before one that is nobody's child."""
    params: Mapping[str, Scalar] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    last: Mapping[str, LastPoint] = field(default_factory=dict)
    """Metric → its latest point, of those that were logged or have steps. The value that counts is in `metrics`: of a
    file it may be another one, such as the best."""
    left_out: tuple[LeftOut, ...] = ()
    """Names in the files of metrics, or in log calls, that gave no metric or file."""
    datasets: tuple[File, ...] = ()
    artifacts: tuple[File, ...] = ()
    inputs: tuple[DatasetInput, ...] = ()
    """Datasets that the training named, beside the files in `datasets`."""
    model_inputs: tuple[str, ...] = ()
    """Ids of logged models that the training read."""
    outputs: tuple[ModelOutput, ...] = ()
    """Logged models that the training made."""
    tags: Mapping[str, str] = field(default_factory=dict)
    provenance: Provenance = field(default_factory=Provenance)
    monitor: Monitored | None = None
    """Of a look at a version in production: what it looked at. Such a run is of no commit, so it counts for none."""
    schema: int = SCHEMA

    @property
    def kind(self) -> Kind:
        """Whether it is a training, or a look at a version in production."""
        return "training" if self.monitor is None else "monitor"
