"""The sample of a smoke test: rows to ask for, and the predictions that were recorded with the run of the version.

Only what the run has recorded counts: a table among its artifacts or datasets, known by its digest. The predictions are
in an artifact itself, or in the examples of the run's evaluation, joined by the id.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from ciplug.capture.content import digest_file, name_of
from ciplug.capture.tables.formats import open_table
from ciplug.capture.tables.source import Source
from ciplug.config.target_base import SmokeTest
from ciplug.errors import CiplugError
from ciplug.records.run import Run
from ciplug.steps.fetch import fetch
from ciplug.steps.placing import own_place
from ciplug.steps.session import Session
from ciplug.steps.signers import judged_runs

_INPUTS = "inputs"
"""The column that holds a mapping of the inputs, as in a log of predictions."""


class NoSample(Exception):
    """There is no recorded sample. The message is a clause that says why."""


@dataclass(frozen=True)
class Sample:
    """Rows to ask for, and what was recorded of each."""

    path: str
    digest: str
    rows: Sequence[Mapping[str, Any]]
    """The inputs of each row."""
    ids: Sequence[str]
    recorded: Sequence[Any]
    """The prediction of each row."""


def read_sample(session: Session, run: Run, folder: Path, settings: SmokeTest) -> Sample:
    """The sample of a version.

    Args:
        run: the run of the version.
        folder: that of ciplug.yaml.

    Raises NoSample.
    """
    path = name_of(folder / settings.sample, session.top)
    try:
        with tempfile.TemporaryDirectory(prefix="ciplug-") as scratch:
            file, digest, is_artifact = _find(session, run, path, Path(scratch))
            rows = [row.values for row in islice(open_table(Source(file)).rows(), settings.rows)]
    except CiplugError as problem:
        raise NoSample(problem.message) from None
    ids = [str(row.get(settings.id, number)) for number, row in enumerate(rows)]
    if is_artifact and any(settings.prediction in row for row in rows):
        recorded: Sequence[Any] = [row.get(settings.prediction) for row in rows]
        has_one = [True] * len(rows)
    else:
        by_id = _recorded_by_id(session, run, path)
        recorded = [by_id.get(one) for one in ids]
        has_one = [one in by_id for one in ids]
    kept = [number for number, there in enumerate(has_one) if there]
    if not kept:
        raise NoSample(f"no prediction was recorded for any of the {len(rows)} rows of {path}")
    return Sample(
        path,
        digest,
        [_inputs(rows[number], settings) for number in kept],
        [ids[number] for number in kept],
        [recorded[number] for number in kept],
    )


def _find(session: Session, run: Run, path: str, scratch: Path) -> tuple[Path, str, bool]:
    """The file, its digest, and whether the run has written it. Raises NoSample unless it is what was recorded."""
    written = next((one for one in run.artifacts if path == one.path or path.startswith(f"{one.path}/")), None)
    if written is not None:
        fetch(session, run, scratch, [path])
        file = scratch / own_place(path)
        return file, digest_file(file), True
    read = next((one for one in run.datasets if one.path == path), None)
    if read is None:
        raise NoSample(f"{path} was not recorded with run {run.id[:12]}, neither as an artifact nor as a dataset")
    file = session.top / path
    if not file.is_file():
        raise NoSample(f"the dataset {path} is not here")
    digest = digest_file(file)
    if digest != read.digest:
        raise NoSample(f"the file {path} here is not the one that was recorded with run {run.id[:12]}")
    return file, digest, False


def _recorded_by_id(session: Session, run: Run, path: str) -> dict[str, Any]:
    """Id → prediction, of the examples of the run's evaluation whose id occurs once."""
    examples = judged_runs(session).examples(run)
    if examples is None or examples.predictions is None:
        raise NoSample(f"{path} has no column of predictions that the run wrote, and the run recorded no examples")
    times = Counter(examples.ids)
    pairs = zip(examples.ids, examples.predictions, strict=True)
    return {name: prediction for name, prediction in pairs if times[name] == 1 and prediction is not None}


def _inputs(row: Mapping[str, Any], settings: SmokeTest) -> dict[str, Any]:
    nested = row.get(_INPUTS)
    values = nested if isinstance(nested, Mapping) else row
    if settings.inputs is not None:
        return {name: values.get(name) for name in settings.inputs}
    left_out = () if values is nested else (settings.id, settings.label, settings.prediction)
    return {name: value for name, value in values.items() if name not in left_out}
