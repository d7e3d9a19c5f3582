"""Files with a row for each example of an evaluation, in the formats of the field.

Tables (JSON lines, CSV, Parquet), whose columns a `Columns` names, and the result files of promptfoo, DeepEval,
lm-evaluation-harness and MLflow's evaluate, which bring their own scores.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ciplug.records.examples import Examples


@dataclass(frozen=True, kw_only=True)
class Columns:
    """Which column of a table is what."""

    id: str = "id"
    label: str | None = "label"
    prediction: str | None = "prediction"
    cluster: str | None = None
    slices: tuple[str, ...] = ()
    """Columns to slice by; those not there are an InputError."""


def read_examples(path: Path, columns: Columns | None = None, *, format: str | None = None) -> Examples:
    """The examples of a file; every other numeric or boolean column is a score.

    Args:
        format: a key of FORMATS; by default what the extension and the content say.

    Raises InputError naming file, line and column: a missing, empty, too large or malformed file, no such column,
    no id, a score that is no number.
    """
    raise NotImplementedError
