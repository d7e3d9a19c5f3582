"""Read recorded runs and the registry from Python: `ciplug.runs(where="metrics.accuracy > 0.9")`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ciplug.api.pulling import PulledModel, pull
from ciplug.errors import NotFound, nearest
from ciplug.records.last_point import as_series
from ciplug.records.run import File, Run
from ciplug.records.series import Series
from ciplug.steps.wide_table import TableRow, wide_columns

if TYPE_CHECKING:
    import pandas

    from ciplug.registry.model import Model, Version
    from ciplug.steps.read_runs import StoreReader
    from ciplug.tracking.entries import Entry


class RecordedRun:
    """A recorded run, as amended. What a table of runs shows is there; the rest is read once it is asked for."""

    def __init__(self, reader: StoreReader, entry: Entry) -> None:
        self._reader = reader
        self._entry = entry

    def __repr__(self) -> str:
        return f"<ciplug run {self.id[:12]} of {self.model}, {self.status}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RecordedRun) and other._entry.key == self._entry.key

    def __hash__(self) -> int:
        return hash(self._entry.key)

    @property
    def id(self) -> str:
        return self._entry.id

    @property
    def model(self) -> str:
        return self._entry.attributes["model"]

    @property
    def name(self) -> str | None:
        return self._entry.attributes.get("name")

    @property
    def status(self) -> str:
        """`finished`, `failed`, `killed` or `unknown`."""
        return self._entry.attributes.get("status", "unknown")

    @property
    def commit(self) -> str | None:
        return self._entry.attributes.get("commit")

    @property
    def branch(self) -> str | None:
        return self._entry.attributes.get("branch")

    @property
    def started(self) -> str:
        """UTC, ISO 8601; empty where no time is known."""
        return self._entry.attributes.get("started", "")

    @property
    def ended(self) -> str:
        """UTC, ISO 8601; empty where no time is known."""
        return self._entry.attributes.get("ended", "")

    @property
    def parent(self) -> str | None:
        """The id of the run that started this one."""
        return self._entry.attributes.get("parent")

    @property
    def lifecycle(self) -> str:
        """`active`, `withdrawn` or `deleted`."""
        return self._entry.state

    @property
    def dirty(self) -> bool | None:
        """Whether tracked files differed from the commit; None where that is not known."""
        return {"true": True, "false": False}.get(self._entry.attributes.get("dirty", ""))

    @property
    def trusted(self) -> bool:
        """False for a run of a fork."""
        return self._entry.attributes.get("trusted") != "false"

    @property
    def metrics(self) -> Mapping[str, float]:
        return self._entry.metrics

    @property
    def params(self) -> Mapping[str, Any]:
        return self._entry.params

    @property
    def tags(self) -> Mapping[str, str]:
        return self._entry.tags

    @cached_property
    def record(self) -> Run:
        """The whole record, with its provenance."""
        return self._reader.record(self._entry)

    @property
    def artifacts(self) -> tuple[File, ...]:
        """The files and folders that it made, with path, digest and size in bytes; `fetch` brings them."""
        return self.record.artifacts

    @property
    def datasets(self) -> tuple[File, ...]:
        """The files and folders that it read, with path, digest and size in bytes."""
        return self.record.datasets

    @property
    def children(self) -> RunList:
        """The runs that this one started, the latest first."""
        found = self._reader.search(None, (), None, parent=self.id)
        return RunList(RecordedRun(self._reader, entry) for entry in found)

    def series(self, metric: str) -> Series:
        """The steps of a metric: `steps`, `values`, and `times` in Unix seconds or None. Raises NotFound.

        A value that the program logged without a step is of step 0.
        """
        every = self._reader.series(self._entry)
        if metric not in every:
            point = self._reader.record(self._entry).last.get(metric)
            if point is not None:
                return as_series(point)
            hint = nearest(metric, sorted(every)) if every else "it logged no metric with steps"
            raise NotFound(f"run {self.id[:12]} has no steps of '{metric}'", hint=hint)
        return every[metric]

    @property
    def all_series(self) -> Mapping[str, Series]:
        """Metric → its steps, of all metrics that have more than one point, or one beyond step 0."""
        return self._reader.series(self._entry)

    def fetch(self, *paths: str, to: str | PathLike[str] = ".", force: bool = False) -> tuple[Path, ...]:
        """Write artifacts below a folder, each verified by its digest, and return the files.

        Args:
            paths: artifacts, or files in them; none: all.
            force: overwrite files that differ.
        """
        return self._reader.fetch(self._entry, Path(to), paths, force=force)


_FACTS = (
    *("model", "name", "status", "lifecycle", "commit", "branch", "started", "ended", "parent", "dirty", "trusted"),
)
"""Columns of a table of runs, beside the id and the names of metrics, parameters and tags."""


class RunList(list[RecordedRun]):
    """A list of runs, which can become a table."""

    def to_pandas(self) -> pandas.DataFrame:
        """A DataFrame with a row for each run: `run_id`, `model`, …, `metrics.NAME`, `params.NAME`, `tags.NAME`."""
        import pandas

        rows = [
            TableRow(
                {"run_id": run.id, **{fact: getattr(run, fact) for fact in _FACTS}}, run.metrics, run.params, run.tags
            )
            for run in self
        ]
        table = pandas.DataFrame(wide_columns(rows, ("run_id", *_FACTS)))
        for name in ("started", "ended"):
            table[name] = pandas.to_datetime(table[name], utc=True, format="ISO8601", errors="coerce")
        return table


class RegisteredVersion:
    """A version of a model in the registry."""

    def __init__(self, reader: StoreReader, model: str, version: Version) -> None:
        self._reader = reader
        self.model = model
        self.facts = version
        """All that the registry knows of it."""

    def __repr__(self) -> str:
        return f"<ciplug version {self.number} of {self.model}, {self.stage}>"

    @property
    def number(self) -> int:
        return self.facts.number

    @property
    def stage(self) -> str:
        return self.facts.stage

    @property
    def files(self) -> Mapping[str, str]:
        """Path → sha256:<hex> of its artifacts."""
        return self.facts.files

    @property
    def run(self) -> RecordedRun | None:
        """The run that made it; None for a version that was registered without one."""
        return RecordedRun(self._reader, self._reader.named(self.facts.run, None)) if self.facts.run else None

    def pull(self, to: str | PathLike[str] = ".", **options: Any) -> PulledModel:
        """Fetch and verify it, as `ciplug.pull` does."""
        return pull(f"{self.model}@v{self.number}", to, **options)


class RegisteredModel:
    """A model in the registry: `ciplug.model("wine").production`."""

    def __init__(self, reader: StoreReader, model: Model) -> None:
        self._reader = reader
        self._model = model

    def __repr__(self) -> str:
        return f"<ciplug model {self.name}, {len(self.versions)} versions>"

    @property
    def name(self) -> str:
        return self._model.name

    @property
    def versions(self) -> tuple[RegisteredVersion, ...]:
        """The versions by number, the lowest first."""
        return tuple(RegisteredVersion(self._reader, self.name, version) for version in self._model.versions)

    @property
    def production(self) -> RegisteredVersion | None:
        """The version in production; None where there is none."""
        return self._holder("production")

    @property
    def staging(self) -> RegisteredVersion | None:
        """The version in staging; None where there is none."""
        return self._holder("staging")

    @property
    def aliases(self) -> Mapping[str, int]:
        """Alias → the number of its version."""
        return self._model.aliases

    def version(self, selector: int | str) -> RegisteredVersion:
        """The version with a number, in a stage, with an alias, or `latest`. Raises NotFound."""
        return RegisteredVersion(self._reader, self.name, self._reader.version(self._model, str(selector)))

    def _holder(self, stage: str) -> RegisteredVersion | None:
        named = next((one for one in self._model.stages if one.casefold() == stage), None)
        holder = self._model.holder(named) if named else None
        return RegisteredVersion(self._reader, self.name, holder) if holder else None


def runs(
    where: str | None = None,
    *,
    order_by: str | Sequence[str] = (),
    limit: int | None = None,
    model: str | None = None,
    branch: str | None = None,
    deleted: bool = False,
    store: str | None = None,
) -> RunList:
    """Return the recorded runs that satisfy a condition, the latest first; child runs are among them.

    Args:
        where: in the language of `ciplug runs list --where`: `"metrics.accuracy > 0.9 AND params.depth = 6"`.
        order_by: keys such as `"metrics.accuracy DESC"`.
        limit: at most so many; None or 0: all, as on the command line.
        deleted: deleted runs, too.
        store: the store, in place of the configured one.

    Raises UsageError for an expression that is not understood, and for a metric, parameter or tag that no run has.
    """
    reader = _reader(store)
    order = [order_by] if isinstance(order_by, str) else list(order_by)
    found = reader.search(where, order, limit or None, model=model, branch=branch, deleted=deleted)
    return RunList(RecordedRun(reader, entry) for entry in found)


def run(name: str, *, model: str | None = None, store: str | None = None) -> RecordedRun:
    """Return one run by its name: an id, a commit, branch or tag, `wine@production`, `best:accuracy`, `last`.

    Raises NotFound where there is none, or several.
    """
    reader = _reader(store)
    return RecordedRun(reader, reader.named(name, model))


def models(*, store: str | None = None) -> list[RegisteredModel]:
    """Return the models in the registry, by name."""
    reader = _reader(store)
    return [RegisteredModel(reader, reader.model(name)) for name in reader.models()]


def model(name: str, *, store: str | None = None) -> RegisteredModel:
    """Return a model in the registry, its log verified. Raises NotFound where there is none of this name."""
    reader = _reader(store)
    found = reader.model(name)
    if not found.exists:
        known = reader.models()
        hint = nearest(name, known) if known else "the registry has no model at all"
        raise NotFound(f"the registry has no model '{name}'", hint=hint)
    return RegisteredModel(reader, found)


def _reader(store: str | None) -> StoreReader:
    from ciplug.steps.read_runs import StoreReader
    from ciplug.steps.session import open_session

    return StoreReader(open_session(store=store))
