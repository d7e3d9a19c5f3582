"""What the amendments of one run add up to.

All readers fold them in one order, which needs no clock: by number, of equal numbers by digest (`AmendmentKey.order`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, NamedTuple, TypeVar

from ciplug.records.amendment import LAST_SEQ, Amendment
from ciplug.records.change import Change, combined, same_param
from ciplug.records.inputs import merged_datasets, merged_ids, merged_models
from ciplug.records.last_point import latest
from ciplug.records.run import Run, Scalar, Status

S = TypeVar("S")
State = Literal["active", "withdrawn", "deleted"]
Standing = Literal["active", "withdrawn", "deleted", "unread"]
"""A state, or `unread`: no change of state is known, but an amendment cannot be read."""


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
    late: Change = field(default_factory=Change)
    """The changes of values, combined. Of a parameter that the record has, the record's value stays."""
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
        late = self.late
        kept = {name: value for name, value in record.tags.items() if name not in late.untag}
        return replace(
            record,
            name=record.name if late.name is None else late.name,
            tags={**kept, **late.tags},
            metrics={**record.metrics, **late.metrics},
            last=latest(record.last, late.last),
            params={**late.params, **record.params},
            status=late.status or record.status,
            ended=late.ended or record.ended,
            inputs=merged_datasets(record.inputs, late.inputs),
            model_inputs=merged_ids(record.model_inputs, late.model_inputs),
            outputs=merged_models(record.outputs, late.outputs),
        )


def fold(amendments: Iterable[Amendment], unread: Iterable[str] = (), unread_seq: int = 0) -> Changes:
    """Combine the amendments of one run, which must be in the order of `AmendmentKey.order`.

    Of those with the highest number none is later than another: a withdrawal or a deletion there stays in force.
    """
    history = tuple(amendments)
    withdrawal: Amendment | None = None
    deletion: Amendment | None = None
    for amendment in history:
        if amendment.withdrawn is not None:
            withdrawal = amendment if amendment.withdrawn else _if_last(withdrawal)
        if amendment.lifecycle is not None:
            deletion = amendment if amendment.lifecycle == "deleted" else _if_last(deletion)
    return Changes(history, combined(history), withdrawal, deletion, tuple(unread), unread_seq)


def _if_last(before: Amendment | None) -> Amendment | None:
    """What stays of a withdrawal or deletion that is undone: one with the highest number cannot be."""
    return before if before and before.seq >= LAST_SEQ else None
