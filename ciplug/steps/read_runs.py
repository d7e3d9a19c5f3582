"""Read recorded runs, their steps, and the registry, for programs: nothing is sent, and nothing is written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from ciplug.errors import NotFound, UsageError
from ciplug.records.keys import parse_runs
from ciplug.records.run import Run
from ciplug.registry import ledger
from ciplug.registry.ladder import Ladder
from ciplug.registry.model import Model, Version
from ciplug.steps.fetch import fetch
from ciplug.steps.named_run import find_key
from ciplug.steps.registered_model import read_model, version_of
from ciplug.steps.session import Session
from ciplug.steps.signers import judged_runs
from ciplug.tracking.hidden import hidden_states, only_trainings
from ciplug.tracking.query import BRANCH, MODEL, PARENT, Comparison, Condition
from ciplug.tracking.query_language import parse, parse_order

if TYPE_CHECKING:
    from ciplug.records.series import Series
    from ciplug.tracking.entries import Entry
    from ciplug.tracking.runs import Runs


class StoreReader:
    """Answers questions about the runs of a store, in the state of the first question."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._series: dict[str, Mapping[str, Series]] = {}

    @cached_property
    def _runs(self) -> Runs:
        return judged_runs(self._session)

    def search(
        self,
        where: str | None,
        order_by: Sequence[str],
        limit: int | None,
        *,
        model: str | None = None,
        branch: str | None = None,
        parent: str | None = None,
        deleted: bool = False,
    ) -> list[Entry]:
        """Return the runs that satisfy every condition, the latest first where no order is given. Raises UsageError."""
        conditions: list[Condition] = [] if where is None else list(parse(where))
        filters = {MODEL: model, BRANCH: branch, PARENT: parent}
        conditions += [Comparison(key, "=", value) for key, value in filters.items() if value is not None]
        if limit is not None and limit < 0:
            raise UsageError("limit takes a number from 0 up, or None for all")
        hide = () if deleted else hidden_states(conditions)
        conditions += only_trainings(conditions)
        return self._runs.catalog.search(conditions, [parse_order(one) for one in order_by], limit, hide=hide).entries

    def named(self, name: str, model: str | None) -> Entry:
        """Return the run with this name, see `steps.named_run`. Raises NotFound, UsageError."""
        found = find_key(self._session, self._runs, name, model, any_run=True)
        row = self._runs.catalog.row_of(found.key.key)
        entries = self._runs.catalog.entries([row]) if row is not None else []
        if not entries:
            raise NotFound(f"run {found.key.id[:12]} cannot be read", hint="see: ciplug fsck")
        return entries[0]

    def record(self, entry: Entry) -> Run:
        """Return the whole record of a run, as amended. Raises RecordError."""
        (key,) = parse_runs([entry.key])
        return self._runs.of_key(key)

    def series(self, entry: Entry) -> Mapping[str, Series]:
        """Return metric → steps."""
        if entry.key not in self._series:
            self._series[entry.key] = self._runs.series(self.record(entry))
        return self._series[entry.key]

    def fetch(self, entry: Entry, folder: Path, paths: Sequence[str], *, force: bool) -> tuple[Path, ...]:
        """Write artifacts of a run below a folder, each verified. Raises as `steps.fetch` does."""
        return fetch(self._session, self.record(entry), folder, paths, force=force).files

    # The registry

    def models(self) -> list[str]:
        """Return the names of the registered models."""
        return [name for name in ledger.models(self._session.log) if self.model(name).exists]

    def model(self, name: str) -> Model:
        """Return the state of a registered model. Raises BrokenLog for a log whose chain is broken."""
        return read_model(self._session, name)

    def version(self, model: Model, selector: str) -> Version:
        """Return the version in a stage, with an alias or with a number. Raises NotFound."""
        return version_of(self._session, model, selector, Ladder(self._session.config.ladder_of(model.name)))
