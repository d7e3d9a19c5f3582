"""What changed about a run after it was recorded: its name, tags, late values and inputs, its end, or its withdrawal.

A record never changes. An amendment is an object of its own beside the run, and any number may be added at once.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, get_args

from ciplug.records import moment
from ciplug.records.canonical import NOT_FINITE
from ciplug.records.change import Change
from ciplug.records.inputs import parse_dataset, parse_model
from ciplug.records.last_point import LastPoint, parse_point
from ciplug.records.provenance import Context
from ciplug.records.run import METRIC_NAME, File, Status

SCHEMA = 1
LAST_SEQ = 10**15 - 1
"""The highest number that the key of an amendment can have."""


@dataclass(frozen=True, kw_only=True)
class Amendment(Change):
    """One change of a run."""

    run: str
    model: str
    """The model of the run."""
    seq: int
    """1 + the highest number that the writer has seen among the amendments of the run: a Lamport clock."""
    created: str
    """UTC, ISO 8601. For display: nothing is ordered by it."""
    commit: str | None = None
    """The commit of the run."""
    by: str | None = None
    """The author's name from the CI host or git."""
    context: Context = field(default_factory=Context)
    """The job that amended; `context.trusted` is False in a fork's pull request."""
    ciplug: str | None = None
    signs: Mapping[str, str] = field(default_factory=dict)
    """Key → sha256 of what its writer signs of a run that was recorded without a signature: the record, what is beside
    it, and the amendments until then. It counts where an allowed signer has signed this amendment."""
    schema: int = SCHEMA

    @property
    def author(self) -> str:
        """The author's name, as a sentence can use it."""
        return self.by or f"an unnamed user ({self.context.host})"

    @property
    def is_newer(self) -> bool:
        """Whether a newer ciplug wrote it: it may do more to the run than this one understands."""
        return self.schema > SCHEMA


_STATUSES = get_args(Status)
_REQUIRED = ("run", "model", "seq", "created")
_KINDS: dict[str, type] = {
    **dict.fromkeys(("run", "model", "created", "commit", "name", "lifecycle", "reason", "by", "ciplug"), str),
    **dict.fromkeys(("status", "ended"), str),
    **dict.fromkeys(("tags", "metrics", "last", "params", "context", "signs"), dict),
    **dict.fromkeys(("untag", "inputs", "model_inputs", "outputs", "artifacts"), list),
    **dict.fromkeys(("seq", "schema"), int),
    "withdrawn": bool,
}
_CONTEXT: dict[str, type] = {
    **{one.name: str for one in dataclasses.fields(Context)},
    **{"trusted": bool, "pull_request": int},
}


def parse(value: object) -> Amendment:
    """Return the amendment in a JSON object; unknown fields are skipped.

    Raises ValueError naming the field. Needs no pydantic, and takes microseconds: catalogs read thousands.
    """
    if not isinstance(value, Mapping):
        raise ValueError("a JSON object is expected")
    fields = _typed(value, _KINDS)
    if missing := [name for name in _REQUIRED if name not in fields]:
        raise ValueError(f"{missing[0]}: it is missing")
    if "tags" in fields:
        _check_texts("tags", fields["tags"].values())
    if "signs" in fields:
        _check_texts("signs", fields["signs"].values())
    if "untag" in fields:
        _check_texts("untag", fields["untag"])
        fields["untag"] = tuple(fields["untag"])
    if "metrics" in fields:
        fields["metrics"] = {name: _number(name, one) for name, one in fields["metrics"].items()}
    if "last" in fields:
        fields["last"] = {name: _point(name, one) for name, one in fields["last"].items()}
    if "params" in fields:
        _check_params(fields["params"])
    if "model_inputs" in fields:
        _check_texts("model_inputs", fields["model_inputs"])
        fields["model_inputs"] = tuple(fields["model_inputs"])
    for name, read in (("inputs", parse_dataset), ("outputs", parse_model), ("artifacts", _file)):
        if name in fields:
            fields[name] = _parsed_each(name, fields[name], read)
    if "context" in fields:
        fields["context"] = Context(**_typed(fields["context"], _CONTEXT))
    made = Amendment(**fields)
    if made.lifecycle not in (None, "active", "deleted"):
        raise ValueError(f"lifecycle: 'active' or 'deleted' is expected, not {made.lifecycle!r:.40}")
    if made.status is not None and made.status not in _STATUSES:
        raise ValueError(f"status: one of {', '.join(_STATUSES)} is expected, not {made.status!r:.40}")
    if made.ended is not None:
        _check_moment("ended", made.ended)
    if made.untag and (both := sorted(set(made.untag) & made.tags.keys())):
        raise ValueError(f"untag: {both[0]!r:.60} is also set")
    return made


def _typed(value: Mapping[str, Any], kinds: Mapping[str, type]) -> dict[str, Any]:
    """Return the known fields that are not null. Raises ValueError for a wrong type; true and false are not numbers."""
    fields = {}
    for name, one in value.items():
        kind = kinds.get(name)
        if kind is None or one is None:
            continue
        if type(one) is not kind:
            raise ValueError(f"{name}: {kind.__name__} is expected, not {one!r:.60}")
        fields[name] = one
    return fields


def _check_texts(name: str, values: Iterable[object]) -> None:
    for one in values:
        if type(one) is not str:
            raise ValueError(f"{name}: text is expected, not {one!r:.60}")


def _check_params(params: Mapping[str, object]) -> None:
    for name, value in params.items():
        if not isinstance(value, (str, int, float, bool)):
            raise ValueError(f"params.{name}: text, a number or a boolean is expected, not {value!r:.60}")


def _parsed_each(name: str, values: Iterable[object], read: Callable[[object], Any]) -> tuple[Any, ...]:
    try:
        return tuple(read(value) for value in values)
    except ValueError as problem:
        raise ValueError(f"{name}: {problem}") from None


def _file(value: object) -> File:
    if not isinstance(value, Mapping):
        raise ValueError("a JSON object is expected")
    fields = _typed(value, {"path": str, "digest": str, "size": int, "kind": str, "store": str})
    if missing := [name for name in ("path", "digest", "size") if name not in fields]:
        raise ValueError(f"{missing[0]}: it is missing")
    if fields.get("kind") not in (None, "folder"):
        raise ValueError(f"kind: 'folder' is expected, not {fields['kind']!r:.40}")
    return File(**fields)


def _check_moment(name: str, value: str) -> None:
    try:
        moment.parse(value)
    except ValueError:
        raise ValueError(f"{name}: a time in ISO 8601 is expected, not {value!r:.40}") from None


def _number(name: str, value: object) -> float:
    number = NOT_FINITE.get(value) if isinstance(value, str) else value
    if not METRIC_NAME.fullmatch(name):
        raise ValueError(f"metrics: {name[:60]!r} cannot be the name of a metric")
    if not isinstance(number, (int, float)) or isinstance(number, bool):
        raise ValueError(f"metrics.{name}: a number is expected, not {value!r:.60}")
    try:
        return float(number)
    except OverflowError:
        raise ValueError(f"metrics.{name}: the number is too large") from None


def _point(name: str, value: object) -> LastPoint:
    try:
        return parse_point(value)
    except ValueError as problem:
        raise ValueError(f"last.{name}: {problem}") from None
