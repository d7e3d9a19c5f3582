"""The objects beside the records of runs and amendments: series, examples, schemas and profiles."""

from __future__ import annotations

from ciplug.errors import RecordError
from ciplug.records import examples, inputs, series
from ciplug.records.keys import parse_examples, parse_inputs, parse_late_inputs, parse_late_series, parse_series
from ciplug.records.run import METRIC_NAME


def owner(key: str) -> str | None:
    """Return the key of the record that an object is beside; None for any other object."""
    run = parse_series(key) or parse_examples(key) or parse_inputs(key)
    of = run or parse_late_series(key) or parse_late_inputs(key)
    return of.key if of else None


def check(key: str, data: bytes, where: str) -> None:
    """Read an object that is beside a record. Raises RecordError, naming `where`, if it cannot be read."""
    if parse_series(key) or parse_late_series(key):
        if odd := [metric for metric in series.check(data, where) if not METRIC_NAME.fullmatch(metric)]:
            raise RecordError(f"{where}: {odd[0][:60]!r} cannot be the name of a metric")
    elif parse_examples(key):
        examples.decode(data, where)
    else:
        inputs.decode_texts(data, where)
