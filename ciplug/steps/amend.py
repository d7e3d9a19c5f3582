"""Amend recorded runs: a name, tags, late values and inputs, a later end, a withdrawal, a deletion, or a restoration.

Each amendment is an object beside its run. It is kept in the spool until the store has it, so nothing is lost where
the store cannot be reached.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING

from ciplug._version import __version__
from ciplug.capture.masking import Masks
from ciplug.errors import RecordError, StoreError, UsageError
from ciplug.records.amendment import LAST_SEQ, Amendment
from ciplug.records.change import Change, same_param
from ciplug.records.changes import Changes
from ciplug.records.inputs import encode_texts
from ciplug.records.keys import RunKey, amendment_object
from ciplug.records.run import METRIC_NAME, Scalar
from ciplug.steps.record import masked_notes
from ciplug.steps.send import store_objects
from ciplug.steps.session import Session, now, stamp
from ciplug.steps.trust import need_trusted

if TYPE_CHECKING:
    from ciplug.records.last_point import LastPoint
    from ciplug.records.series import Series
    from ciplug.tracking.catalog import Catalog
    from ciplug.tracking.runs import Runs


@dataclass(frozen=True, kw_only=True)
class RequestedChange(Change):
    """A change as it is asked for, with what is kept beside the amendment."""

    series: Mapping[str, Series] = field(default_factory=dict)
    """Metric → its steps."""
    texts: tuple[str, ...] = ()
    """The schemas and profiles that `inputs` name by digest."""

    def of_a_run(
        self, before: Changes, tags: Mapping[str, str], name: str | None, params: Mapping[str, Scalar]
    ) -> RequestedChange:
        """Return the part of this change that is new for a run with these changes, tags, name and parameters.

        Of a run that was withdrawn and then deleted, a restoration undoes the deletion only.
        """
        stays_withdrawn = self.lifecycle == "active" and before.deletion is not None
        was_withdrawn = before.withdrawal is not None
        return replace(
            self,
            name=None if self.name == name else self.name,
            tags={key: value for key, value in self.tags.items() if tags.get(key) != value},
            untag=tuple(key for key in self.untag if key in tags),
            params={key: value for key, value in self.params.items() if key not in params},
            withdrawn=None if stays_withdrawn or self.withdrawn == was_withdrawn else self.withdrawn,
            lifecycle=None if (self.lifecycle == "deleted") == (before.deletion is not None) else self.lifecycle,
        )

    @property
    def is_empty(self) -> bool:
        values = (self.name, self.withdrawn, self.lifecycle, self.status, self.ended)
        added = (self.metrics, self.series, self.params, self.inputs, self.model_inputs, self.outputs, self.artifacts)
        return not any((self.tags, self.untag, *added)) and values == (None,) * len(values)


WITHDRAW = RequestedChange(withdrawn=True)
DELETE = RequestedChange(lifecycle="deleted")
RESTORE = RequestedChange(withdrawn=False, lifecycle="active")


@dataclass(frozen=True)
class Target:
    """A recorded run that is to be amended, as this machine sees it."""

    key: RunKey
    model: str
    name: str | None
    tags: Mapping[str, str]
    params: Mapping[str, Scalar]
    changes: Changes
    """The earlier amendments of the run, combined."""
    last: Mapping[str, LastPoint] = field(default_factory=dict)
    """The latest points of its metrics, where its record was read."""


@dataclass(frozen=True)
class Amended:
    """A run after it was amended."""

    target: Target
    """The run before the change."""
    change: RequestedChange
    """The part of the change that was new; empty if there was nothing new."""
    changes: Changes
    """The amendments of the run including this one, combined."""


def amend(session: Session, targets: Sequence[Target], change: RequestedChange) -> list[Amended]:
    """Amend runs in one write; a run that already has the requested values gets no amendment.

    Raises ForkJob in a fork's job, UsageError for a change that cannot be, RecordError for a run whose earlier
    amendments do not allow it, StoreError when the store did not take it:
    then it waits in the spool, and the hint says how it is sent.
    """
    need_trusted(
        session, message="a fork's job must not amend runs", hint="amend them in the pipeline of a trusted branch"
    )
    _check(change)
    change = _masked(session, change)
    done: list[Amended] = []
    objects: dict[str, bytes] = {}
    for target in targets:
        _check_restorable(target, change)
        check_params(target.key.id, target.params, change.params)
        new = change.of_a_run(target.changes, target.tags, target.name, target.params)
        if new.is_empty:
            done.append(Amended(target, new, target.changes))
            continue
        check_number(target, new)
        amendment = amendment_of(session, target, new)
        objects.update(objects_of(amendment, new.series, new.texts))
        done.append(Amended(target, new, target.changes.extended(amendment)))
    if objects:
        store_objects(session, objects)
    return done


def _masked(session: Session, change: RequestedChange) -> RequestedChange:
    """The change without secrets, which are named."""
    masks = Masks.of(session.env, session.config.redact)
    masked = replace(
        change,
        name=change.name and masks.text(change.name, "the name"),
        reason=change.reason and masks.text(change.reason, "the reason"),
        tags=masks.mapping(change.tags, "tag"),
        params=masks.mapping(change.params, "parameter"),
        metrics=masks.names(change.metrics, "metric"),
        inputs=masks.inputs(change.inputs),
    )
    session.tell(*masked_notes(masks))
    return masked


def _check(change: RequestedChange) -> None:
    if both := sorted(set(change.untag) & change.tags.keys()):
        raise UsageError(f"the tag '{both[0]}' is both set and removed", hint="give only one of the two")
    if odd := [name for name in {**change.metrics, **change.series} if not METRIC_NAME.fullmatch(name)]:
        raise UsageError(f"{odd[0][:60]!r} cannot be the name of a metric")
    if "" in {*change.tags, *change.untag} or change.name == "":
        raise UsageError("an empty name")


def _check_restorable(target: Target, change: RequestedChange) -> None:
    if change.lifecycle == "active" and target.changes.unread:
        raise RecordError(
            f"run {target.key.id[:12]} cannot be restored: {target.changes.unread[0]} cannot be read, and may be a "
            "withdrawal",
            hint=target.changes.advice,
        )


def check_params(run_id: str, recorded: Mapping[str, Scalar], new: Mapping[str, Scalar]) -> None:
    """Raise RecordError for a parameter with another value than the run has: a parameter never changes."""
    for name, value in new.items():
        if name in recorded and not same_param(recorded[name], value):
            raise RecordError(
                f"the parameter '{name}' of run {run_id[:12]} is {recorded[name]!r}, and cannot become {value!r}",
                hint="give it another name, or start a run of its own",
            )


def check_number(target: Target, new: Change) -> None:
    """Raise RecordError where other amendments of the highest number could come after this one."""
    ends = new.withdrawn or new.lifecycle == "deleted"
    if target.changes.is_full and not ends:
        raise RecordError(
            f"run {target.key.id[:12]} can only be withdrawn or deleted: it has an amendment with the highest number, "
            f"{LAST_SEQ}",
            hint="record another run",
        )


def amendment_of(session: Session, target: Target, change: RequestedChange) -> Amendment:
    """Return the amendment of this job that makes a change."""
    context = session.context
    return Amendment(
        **{part.name: getattr(change, part.name) for part in fields(Change)},
        run=target.key.id,
        model=target.model,
        commit=target.key.commit,
        seq=target.changes.next_seq,
        created=stamp(now()),
        by=context.actor,
        context=context,
        ciplug=__version__,
    )


def objects_of(
    amendment: Amendment, series: Mapping[str, Series] | None = None, texts: Sequence[str] = ()
) -> dict[str, bytes]:
    """Return key → content of the objects of an amendment; `texts` are the schemas and profiles of its inputs."""
    key, data = amendment_object(amendment)
    objects = {key.key: data}
    if series:
        from ciplug.records.series import encode

        objects[key.series] = encode(series)
    if texts:
        objects[key.inputs] = encode_texts(texts)
    return objects


# Which runs are meant


@dataclass(frozen=True)
class View:
    """All runs as far as this machine knows them."""

    runs: Runs
    offline: StoreError | None = None
    """The reason why the store could not be read; the last known state is used instead."""

    @property
    def catalog(self) -> Catalog:
        return self.runs.catalog


def view_of(session: Session) -> View:
    """Return all runs of the store; if it cannot be reached, those of its last known state.

    Raises StoreError where it was never asked on this machine.
    """
    from ciplug.steps.signers import judged_runs  # a training that resumes nothing reads no policy

    runs = judged_runs(session)
    try:
        _ = runs.catalog
    except StoreError as unreachable:
        offline = judged_runs(session, offline=True)
        try:
            _ = offline.catalog
        except UsageError:
            raise unreachable from None
        return View(offline, unreachable)
    return View(runs)


def targets_of(view: View, keys: Iterable[RunKey]) -> list[Target]:
    """The runs of these keys, each once. Raises RecordError for one that cannot be read."""
    return [_target(view.catalog, key) for key in dict.fromkeys(keys)]


def _target(catalog: Catalog, run: RunKey) -> Target:
    row = catalog.row_of(run.key)
    entries = catalog.entries([row]) if row is not None else []
    if not entries:
        raise RecordError(f"{run.key} cannot be read", hint="see: ciplug fsck")
    entry = entries[0]
    named = entry.attributes.get("name")
    return Target(run, entry.attributes["model"], named, entry.tags, entry.params, catalog.changes(run.key))
