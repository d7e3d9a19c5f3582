"""What the targets of ciplug.yaml have in common, and the kinds of their keys."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ciplug.config import kinds, values
from ciplug.config.kinds import Table, key, required

REPOSITORY = r"(?P<host>[A-Za-z0-9.-]+(?::[0-9]{1,5})?)/(?P<name>[a-z0-9]+(?:[._/-]+[a-z0-9]+)*)"
S3_FOLDER = r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[A-Za-z0-9._=-]+)*"
URL_PATH = r"/[\x21-\x7e]*"
_FILES_FOLDER = r"(?!/)[^\\]*"
_VARIABLE = r"[A-Za-z_][A-Za-z0-9_]*"


def matching(pattern: str, words: str) -> kinds.Scalar:
    def convert(value: Any) -> str:
        text = values.text(value)
        if not re.fullmatch(pattern, text):
            raise ValueError(f"{words}, not {values.shown(value)}")
        return text

    return kinds.Scalar(convert, {"type": "string", "pattern": f"^({unnamed(pattern)})$"})


def unnamed(pattern: str) -> str:
    """A pattern whose groups have no names, as JSON schemas have them."""
    return re.sub("P<[a-z]+>", ":", pattern)


def _variables(value: Any) -> dict[str, str]:
    if not isinstance(value, dict):
        raise ValueError(f"variables are expected, like {{LOG_LEVEL: info}}, not {values.shown(value)}")
    for name, text in value.items():
        if not re.fullmatch(_VARIABLE, str(name)):
            raise ValueError(f"{values.shown(name)} cannot be the name of a variable")
        if not isinstance(text, str):
            raise ValueError(f"the value of {name} must be a text: write it in quotes")
    return dict(value)


VARIABLES = kinds.Scalar(
    _variables,
    {"type": "object", "propertyNames": {"pattern": f"^{_VARIABLE}$"}, "additionalProperties": {"type": "string"}},
)
FILES_FOLDER = matching(_FILES_FOLDER, "a folder among the files of the version is expected, like model")
"""A folder among the files of a version."""


def _mapping(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"a mapping is expected, like {{minReplicas: 1}}, not {values.shown(value)}")
    if (odd := _not_of_json(value)) is not None:
        raise ValueError(f"{values.shown(odd)} is no value of JSON: write it in quotes")
    return value


def _not_of_json(value: Any) -> Any:
    """A key or a value in it that JSON does not have, such as a date; None: there is none."""
    if isinstance(value, dict):
        odd = next((key for key in value if not isinstance(key, str)), None)
        return odd if odd is not None else _not_of_json(list(value.values()))
    if isinstance(value, list):
        return next((odd for one in value if (odd := _not_of_json(one)) is not None), None)
    is_plain = value is None or isinstance(value, str | int) or (isinstance(value, float) and math.isfinite(value))
    return None if is_plain else value


MAPPING = kinds.Scalar(_mapping, {"type": "object"})
"""Keys of another program, which ciplug does not know."""


def _tolerance(value: Any) -> float:
    number = values.amount(value)
    if number >= 1:
        raise ValueError(f"{values.shown(value)} lets nearly every answer pass: a share below 1 is expected")
    return number


_TOLERANCE = kinds.Scalar(_tolerance, {"type": "number", "minimum": 0, "exclusiveMaximum": 1})
_ADDRESS = r"https?://[^\s/?#@]+(/[^\s?#]*)?"


@dataclass(frozen=True, kw_only=True)
class SmokeTest:
    """What a served version is asked, and what it must answer."""

    sample: str = required(kinds.TEXT)
    """A table that was recorded with the run of the version, relative to ciplug.yaml: an artifact, or a dataset."""
    rows: int = key(kinds.integer_from(1), 100)
    """This many rows are asked for, the first ones."""
    tolerance: float = key(_TOLERANCE, 1e-6)
    """How far numbers may be apart, as a share of the larger one and at least of 1. Labels are equal, or are not."""
    inputs: tuple[str, ...] | None = key(kinds.NAMES)
    """The columns to send. Default: those in the column `inputs`, else all but id, label and prediction."""
    id: str = key(kinds.TEXT, "id")
    label: str = key(kinds.TEXT, "label")
    prediction: str = key(kinds.TEXT, "prediction")
    format: str = key(kinds.one_of("dataframe_split", "dataframe_records", "instances", "inputs"), "dataframe_split")
    """The form of the request, as MLflow and TensorFlow Serving name them."""
    url: str | None = key(matching(_ADDRESS, "an address is expected, like https://wine.example.com"))
    """Where the model is served. Default: the endpoint of the target."""
    path: str = key(matching(URL_PATH, "a path is expected, like /invocations"), "/invocations")
    """The path that answers with predictions."""
    patience: float = key(kinds.POSITIVE, 60.0)
    """Seconds in which the server must answer."""


@dataclass(frozen=True, kw_only=True)
class Target:
    """Where versions are deployed to."""

    kind: str = ""
    stage: str | None = key(kinds.Scalar(values.stage_name, {"type": "string", **values.STAGE_NAME_FORM}))
    """The stage whose versions are deployed here. Default: the highest one."""
    smoke_test: SmokeTest | None = key(Table(SmokeTest, "{sample: sample.jsonl}"))
    """What a version that is served here is asked, to compare its answers with the recorded predictions."""

    def in_folder(self, folder: Path) -> Target:
        """The same target, whose relative paths are those of this folder."""
        return self

    @property
    def written_file(self) -> str | None:
        """The file that is all that a deployment changes: something else applies it. None: the target itself serves."""
        return None
