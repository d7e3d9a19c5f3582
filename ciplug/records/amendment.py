"""What changed about a run after it was recorded: its name, tags, late values and inputs, its end, or its withdrawal.

A record never changes. An amendment is an object of its own beside the run, and any number may be added at once. All
readers fold the amendments of a run in one order, which needs no clock: by number, of equal numbers by digest
(`AmendmentKey.order`).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, NamedTuple, TypeVar, get_args

from ciplug.records import moment
from ciplug.records.canonical import NOT_FINITE
from ciplug.records.inputs import (
    DatasetInput,
    ModelOutput,
    merged_datasets,
    merged_ids,
    merged_models,
    parse_dataset,
    parse_model,
)
from ciplug.records.last_point import LastPoint, latest, not_earlier, parse_point
from ciplug.records.provenance import Context
from ciplug.records.run import METRIC_NAME, Run, Scalar, Status

SCHEMA = 1
S = TypeVar("S")
Lifecycle = Literal["active", "deleted"]
State = Literal["active", "withdrawn", "deleted"]
Standing = Literal["active", "withdrawn", "deleted", "unread"]
"""A state, or `unread`: no change of state is known, but an amendment cannot be read."""
LAST_SEQ = 10**15 - 1
"""The highest number that the key of an amendment can have."""


@dataclass(frozen=True, kw_only=True)
class Amendment:
    """One change. What is None or empty stays as it was."""

    run: str
    model: str
    """The model of the run."""
    seq: int
    """1 + the highest number that the writer has seen among the amendments of the run: a Lamport clock."""
    created: str
    """UTC, ISO 8601. For display: nothing is ordered by it."""
    commit: str | None = None
    """The commit of the run."""
    name: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    untag: tuple[str, ...] = ()
    """Names of removed tags; none of them is in `tags`."""
    metrics: Mapping[str, float] = field(default_factory=dict)
    """Last value of each metric that was logged late; the steps stand beside the amendment (series)."""
    last: Mapping[str, LastPoint] = field(default_factory=dict)
    """Metric → its latest point that was logged late. One that is earlier than the recorded one gives no value."""
    params: Mapping[str, Scalar] = field(default_factory=dict)
    """Parameters that were logged late. A parameter never changes: its first value counts."""
    status: Status | None = None
    """How the run ended when it was resumed. For display: no amendment makes evidence of a run that did not finish."""
    ended: str | None = None
    """UTC, ISO 8601: when it ended then."""
    inputs: tuple[DatasetInput, ...] = ()
    """Datasets that were named late; their schemas and profiles stand beside the amendment."""
    model_inputs: tuple[str, ...] = ()
    outputs: tuple[ModelOutput, ...] = ()
    withdrawn: bool | None = None
    """True: its numbers no longer count. False: they count again."""
    lifecycle: Lifecycle | None = None
    """Deleted: not listed, and its numbers no longer count. Active: listed again."""
    reason: str | None = None
    """The reason to withdraw, delete or restore the run."""
    by: str | None = None
    """The author's name from the CI host or git."""
    context: Context = field(default_factory=Context)
    """The job that amended; `context.trusted` is False in a fork's pull request."""
    ciplug: str | None = None
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
    **dict.fromkeys(("tags", "metrics", "last", "params", "context"), dict),
    **dict.fromkeys(("untag", "inputs", "model_inputs", "outputs"), list),
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
    for name, read in (("inputs", parse_dataset), ("outputs", parse_model)):
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


class RefusedParam(NamedTuple):
    """A parameter that an amendment gave another value than it had: its first value counts."""

    name: str
    value: Scalar
    """The refused value."""
    kept: Scalar
    amendment: Amendment
    """The amendment that tried to change it."""


@dataclass(frozen=True)
class Changes:
    """The combined effect of the amendments of one run."""

    amendments: tuple[Amendment, ...] = ()
    """The amendments in the order in which they were folded."""
    name: str | None = None
    tags: Mapping[str, str | None] = field(default_factory=dict)
    """Tag → its value; None if it was removed."""
    metrics: Mapping[str, float] = field(default_factory=dict)
    last: Mapping[str, LastPoint] = field(default_factory=dict)
    """Metric → its latest point among those that were logged late."""
    params: Mapping[str, Scalar] = field(default_factory=dict)
    """Parameters that were logged late, each with its first value; one that the record has keeps that value."""
    status: Status | None = None
    """How the run ended last, when it was resumed."""
    ended: str | None = None
    inputs: tuple[DatasetInput, ...] = ()
    model_inputs: tuple[str, ...] = ()
    outputs: tuple[ModelOutput, ...] = ()
    withdrawal: Amendment | None = None
    """The withdrawal in force."""
    deletion: Amendment | None = None
    """The deletion in force."""
    unread: tuple[str, ...] = ()
    """Keys of amendments that cannot be read: what they say is not known, and may be a withdrawal."""
    unread_seq: int = 0
    """The highest number among those that cannot be read."""
    foreign: tuple[Amendment, ...] = ()
    """Amendments that name another model than the run's: they change nothing."""
    parent: Changes | None = None
    """The changes of the run that started this one, where there is one: a child counts only if its parent does."""

    @property
    def state(self) -> State:
        return "deleted" if self.deletion else "withdrawn" if self.withdrawal else "active"

    @property
    def effective(self) -> State:
        """The state, and for an active run that of its parent: a child is withdrawn or deleted with it."""
        return self.parent.effective if self.parent and self.state == "active" else self.state

    @property
    def standing(self) -> Standing:
        if self.state == "active" and not self.unread and self.parent:
            return self.parent.standing
        return "unread" if self.state == "active" and self.unread else self.state

    @property
    def newer(self) -> tuple[Amendment, ...]:
        """The amendments of the run, and of those that started it, that a newer ciplug wrote.

        What they do to the run is understood in part only: they may have withdrawn it.
        """
        above = self.parent.newer if self.parent else ()
        return (*(one for one in self.amendments if one.is_newer), *above)

    def of_model(self, model: str) -> Changes:
        """Return the changes to a run of `model`: an amendment that names another one is set aside."""
        if all(one.model == model for one in self.amendments):
            return self
        own = [one for one in self.amendments if one.model == model]
        others = [one for one in self.amendments if one.model != model]
        return replace(fold(own, self.unread, self.unread_seq), foreign=(*self.foreign, *others), parent=self.parent)

    def extended(self, amendment: Amendment) -> Changes:
        """Return the changes with one more amendment, which comes last."""
        more = fold([*self.amendments, amendment], self.unread, self.unread_seq)
        return replace(more, foreign=self.foreign, parent=self.parent)

    @property
    def setback(self) -> Amendment | None:
        """The first amendment by which the run did not finish when it was resumed."""
        return next((one for one in self.amendments if one.status not in (None, "finished")), None)

    def status_of(self, recorded: S) -> S | Status:
        """Return the status that counts as evidence: finished only if the run ended so every time."""
        later = self.setback.status if self.setback else None
        return later if later and recorded == "finished" else recorded

    def refused_params(self, recorded: Mapping[str, Scalar]) -> tuple[RefusedParam, ...]:
        """Return the attempts to change a parameter of a run that was recorded with these, in the order of folding."""
        params = dict(recorded)
        refused = []
        for one in self.amendments:
            for name, value in one.params.items():
                kept = params.setdefault(name, value)
                if not same_param(kept, value):
                    refused.append(RefusedParam(name, value, kept, one))
        return tuple(refused)

    @property
    def next_seq(self) -> int:
        """Return the number of the next amendment; at the highest number, that number again."""
        return min(self._last_seq + 1, LAST_SEQ)

    @property
    def _last_seq(self) -> int:
        """The highest number of all amendments, whether they change something or not."""
        return max((*(one.seq for one in (*self.amendments, *self.foreign)), self.unread_seq))

    @property
    def is_full(self) -> bool:
        """Whether no number is left. A withdrawal or a deletion still takes effect (`fold`), no other change may."""
        return self._last_seq >= LAST_SEQ

    @property
    def counts(self) -> bool:
        """Whether the numbers of the run count: it is active, its amendments can be read, and its parent counts."""
        return self.state == "active" and not self.unread and (self.parent is None or self.parent.counts)

    @property
    def objection(self) -> str | None:
        """Return why the numbers of the run do not count, and who decided it, as one clause; None if they count."""
        final = self.deletion or self.withdrawal
        if final is None and self.unread:
            return f"left with an amendment that cannot be read: {self.unread[0]}"
        if final is None:
            above = self.parent.objection if self.parent else None
            return above and f"started by a run that was {above}"
        return f"{self.state} by {final.author}" + (f": {final.reason}" if final.reason else "")

    @property
    def advice(self) -> str:
        """Return what to do about a run whose numbers do not count."""
        final = self.deletion or self.withdrawal
        if self.unread:
            return "record another run; `ciplug fsck` names what cannot be read"
        if final is None and self.parent:
            return self.parent.advice
        return "record another run" + (
            f"; or, if this run is correct after all: ciplug runs restore {final.run[:12]}" if final else ""
        )

    def applied_to(self, record: Run) -> Run:
        """Return the run with all amendments applied, as it is shown."""
        tags = {**record.tags, **self.tags}
        return replace(
            record,
            name=record.name if self.name is None else self.name,
            tags={name: value for name, value in tags.items() if value is not None},
            metrics={**record.metrics, **self.metrics},
            last=latest(record.last, self.last),
            params={**self.params, **record.params},
            status=self.status or record.status,
            ended=self.ended or record.ended,
            inputs=merged_datasets(record.inputs, self.inputs),
            model_inputs=merged_ids(record.model_inputs, self.model_inputs),
            outputs=merged_models(record.outputs, self.outputs),
        )


def same_param(one: Scalar, other: Scalar) -> bool:
    """Whether two values of a parameter are the same text: MLflow's parameters are text, so 6 is '6'."""
    return str(one) == str(other)


def fold(amendments: Iterable[Amendment], unread: Iterable[str] = (), unread_seq: int = 0) -> Changes:
    """Combine the amendments of one run, which must be in the order of `AmendmentKey.order`.

    Of those with the highest number none is later than another: a withdrawal or a deletion there stays in force.
    """
    history = tuple(amendments)
    name: str | None = None
    tags: dict[str, str | None] = {}
    metrics: dict[str, float] = {}
    last: dict[str, LastPoint] = {}
    params: dict[str, Scalar] = {}
    status: Status | None = None
    ended: str | None = None
    inputs: list[tuple[DatasetInput, ...]] = []
    model_inputs: list[tuple[str, ...]] = []
    outputs: list[tuple[ModelOutput, ...]] = []
    withdrawal: Amendment | None = None
    deletion: Amendment | None = None
    for one in history:
        name = name if one.name is None else one.name
        tags.update(dict.fromkeys(one.untag))
        tags.update(one.tags)
        metrics.update(not_earlier(one.metrics, one.last, last))
        last = latest(last, one.last)
        for param, value in one.params.items():
            params.setdefault(param, value)
        status, ended = one.status or status, one.ended or ended
        if one.inputs:
            inputs.append(one.inputs)
        if one.model_inputs:
            model_inputs.append(one.model_inputs)
        if one.outputs:
            outputs.append(one.outputs)
        if one.withdrawn is not None:
            withdrawal = one if one.withdrawn else _if_last(withdrawal)
        if one.lifecycle is not None:
            deletion = one if one.lifecycle == "deleted" else _if_last(deletion)
    return Changes(
        amendments=history,
        name=name,
        tags=tags,
        metrics=metrics,
        last=last,
        params=params,
        status=status,
        ended=ended,
        inputs=merged_datasets(*inputs),
        model_inputs=merged_ids(*model_inputs),
        outputs=merged_models(*outputs),
        withdrawal=withdrawal,
        deletion=deletion,
        unread=tuple(unread),
        unread_seq=unread_seq,
    )


def _if_last(before: Amendment | None) -> Amendment | None:
    """What stays of a withdrawal or deletion that is undone: one with the highest number cannot be."""
    return before if before and before.seq >= LAST_SEQ else None


@dataclass(frozen=True)
class RunEvidence:
    """A run as gates and comparisons use it: the record, with the metrics that were added later, and its present tags.

    Parameters, inputs, outputs and times are the record's. It is finished only if it ended so every time.
    """

    run: Run
    changed: Mapping[str, Amendment] = field(default_factory=dict)
    """Metric → the amendment that gave it another value than it had: such a metric decides nothing."""


def replaced_metrics(recorded: Mapping[str, float], amendments: Iterable[Amendment]) -> dict[str, Amendment]:
    """Return metric → the last of the amendments that gave it another value than it had, in the record or before."""
    metrics = dict(recorded)
    replaced: dict[str, Amendment] = {}
    for amendment in amendments:
        for name, value in amendment.metrics.items():
            before = metrics.setdefault(name, value)
            if before != value and not (math.isnan(before) and math.isnan(value)):
                replaced[name] = amendment
    return replaced


def evidence_of(record: Run, changes: Changes) -> RunEvidence:
    """Return the values of a run that count. A recorded value is never replaced: an amendment that tries to is named.

    Of what a resumed run logged, its metrics alone count. A fork's amendments count for a fork's run alone.
    """
    metrics = dict(record.metrics)
    counted = [one for one in changes.amendments if one.context.trusted or not record.provenance.context.trusted]
    changed = replaced_metrics(metrics, counted)
    for amendment in counted:
        for name, value in amendment.metrics.items():
            metrics.setdefault(name, value)
    shown = changes.applied_to(record)
    status = changes.status_of(record.status)
    return RunEvidence(replace(record, name=shown.name, tags=shown.tags, metrics=metrics, status=status), changed)
