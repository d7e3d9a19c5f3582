"""ciplug.yaml as a whole: the settings of a repository, and of each of its models."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from ciplug.config import kinds, values
from ciplug.config.clean_patterns import Clean
from ciplug.config.kinds import Kind, Later, Mistake, Named, Table, inline, key
from ciplug.config.metrics import METRICS, Metrics
from ciplug.config.policy import Policy, Samples
from ciplug.errors import ConfigError

if TYPE_CHECKING:
    from ciplug.config.target_base import Target

FILE = "ciplug.yaml"


@dataclass(frozen=True, kw_only=True)
class Keep:
    """The rules for `ciplug compact`: it keeps a run that either rule keeps, or that is protected."""

    last: int | None = key(kinds.integer_from(1))
    """This many runs of each model, by the order in which the store accepted them."""
    days: float | None = key(kinds.AMOUNT)
    """Runs that ended in the last days."""
    artifact_store: bool = key(kinds.FLAG, default=False)
    """Whether the files of dropped runs are dropped from the `artifact_store`, too, which no other store uses."""

    def mistakes(self) -> Iterator[Mistake]:
        if (self.last, self.days) == (None, None):
            yield Mistake((), "a rule is needed: last, days or both")

    def __str__(self) -> str:
        rules = [f"last {self.last}"] if self.last is not None else []
        return ", ".join(rules + ([f"{self.days:g} days"] if self.days is not None else []))


@dataclass(frozen=True)
class Places:
    """The places of a model's keys."""

    file: str = FILE
    lines: Mapping[kinds.Path, tuple[str, int]] = field(default_factory=dict)
    """Path from the top of the file → file and line."""
    section: kinds.Path = ()
    """Path of the model's part."""

    def where(self, *keys: str | int) -> str:
        """Return `ciplug.yaml:7`, the place of the nearest key that is in the file."""
        path = (*self.section, *keys)
        while path and path not in self.lines:
            path = path[:-1]
        file, line = self.lines.get(path, (self.file, 1))
        return f"{file}:{line}"


def _targets() -> Kind:
    from ciplug.config.targets import TARGETS

    return TARGETS


@dataclass(frozen=True, kw_only=True)
class Section:
    """The settings of one model. Every key has a default. Paths are relative to the folder of the file."""

    extends: str | None = key(kinds.TEXT)
    """A file of the same repository whose settings this one takes over, and may only tighten."""
    metrics: Metrics = key(METRICS, Metrics())
    """Files of metrics, which of their metrics a person sees, and names that changed."""
    params: tuple[str, ...] = key(kinds.PATHS, ())
    """Files of parameters."""
    artifacts: tuple[str, ...] = key(kinds.PATHS, ())
    """Files and folders that the training writes, or addresses where it puts them."""
    datasets: tuple[str, ...] = key(kinds.PATHS, ())
    """Files and folders that the training reads."""
    clean: Clean = key(Table(Clean, "{ignore: [generated/]}"), Clean())
    """What counts as a clean tree."""
    targets: Mapping[str, Target] = key(Later(_targets), {})
    """Where versions of the model are deployed to, by name."""
    policy: Policy = inline(Policy)
    model: str | None = None
    path: Path | None = None
    """The path of the file; None if there is none."""
    places: Places = field(default_factory=Places, compare=False, repr=False)

    @property
    def folder(self) -> Path:
        return self.path.parent if self.path else Path.cwd()

    @property
    def samples(self) -> Samples | None:
        """The examples to record, with the columns that gates slice by."""
        slices = [gate.slices for gate in self.policy.gates.values() if gate.slices]
        columns = dict.fromkeys(column for part in slices for column in part.by)
        return self.policy.samples and replace(self.policy.samples, slices=tuple(columns))

    @property
    def outputs(self) -> tuple[str, ...]:
        """The files and folders that the training writes."""
        files = [path for path in self.artifacts if "://" not in path]
        samples = [self.policy.samples.file] if self.policy.samples else []
        return (*(one.file for one in self.metrics.files), *files, *samples)

    @property
    def recorded_datasets(self) -> tuple[str, ...]:
        """The datasets to record: what metrics are measured on is among them, since it is known by its digest."""
        return tuple(dict.fromkeys((*self.datasets, *(self.policy.evaluation or ()))))


DEFAULT_MODEL = "default"
"""The model of runs where neither the file nor a command names one."""
DEFAULT_ARTIFACT_LIMIT = 10_000_000
"""Bytes: the `artifact_limit` of a file that sets none."""


@dataclass(frozen=True, kw_only=True)
class Config(Section):
    """The whole ciplug.yaml: one model, or several under `models`."""

    version: int = key(kinds.VERSION, 1, nullable=False)
    """The format of this file."""
    store: str | None = key(kinds.TEXT)
    """The store of the runs."""
    artifact_store: str | None = key(kinds.TEXT)
    """The store of the artifacts' content; `none`: keep only digests. Default: the store of the runs."""
    artifact_limit: int | None = key(kinds.SIZE)
    """The largest artifact that goes to git, like `25 MB`. Default: 10 MB."""
    redact: tuple[str, ...] = key(kinds.NAMES, ())
    """Names of parameters, tags and options whose values are masked in records; `*` stands for any characters."""
    signers: Mapping[str, str] = key(kinds.Scalar(values.signers, values.SIGNERS_FORM), {}, nullable=False)
    """Name → public ssh key of those whose signature makes runs, verdicts and events of the registry count."""
    repository: str | None = key(kinds.Scalar(values.repository, values.REPOSITORY_FORM))
    """The name of this repository in signatures, which no other repository with the same signers has: what is signed
    for one counts in no other. Default: host and path of the store."""
    mirror_tags: bool = key(kinds.FLAG, False)
    """Tags in the repository of the code mirror the registry, as GTO reads them. Only with the store `git:`."""
    export: Literal["gitlab"] | None = key(kinds.one_of("gitlab"))
    """Where the runs of green jobs go, too: gitlab is Model experiments of the project on GitLab."""
    keep: Keep | None = key(Table(Keep, "{last: 1000, days: 365}"))
    model: str | None = key(kinds.TEXT)
    """The model of the runs. Default: `default`, and the gates are for every model."""
    models: Mapping[str, Section] = key(
        Named(Table(Section, "{metrics: metrics.json}"), empty="name a model, or remove the key"),
        {},
        nullable=False,
    )
    """Several models: the name of each, and its settings."""

    def sections(self) -> list[Section]:
        """The settings of each model."""
        return list(self.models.values()) or [self]

    def section_of(self, model: str) -> Section | None:
        """The settings that hold for runs of a model; None where the file is for other models."""
        if self.models:
            return self.models.get(model)
        return self if self.model in (None, model) else None

    @property
    def names_models(self) -> bool:
        """Whether the file says which models it is for. Else its settings hold for every model, whatever its name."""
        return bool(self.models) or self.model is not None

    @property
    def named_sections(self) -> Mapping[str, Section]:
        """Model → its settings, of those that the file names."""
        return self.models or ({self.model: self} if self.model is not None else {})

    def names(self, model: str) -> bool:
        """Whether the file has settings for this very model, not only for every model."""
        return model in self.named_sections

    def clean_of(self, model: str | None) -> Clean:
        """What counts as a clean tree for runs of a model."""
        only = next(iter(self.models.values()), None) if len(self.models) == 1 and model is None else None
        section = self.models.get(model or "", only)
        return section.clean if section else self.clean

    def ladder_of(self, model: str) -> tuple[str, ...]:
        """The stages that versions of a model climb, lowest first, as the registry names them."""
        section = self.section_of(model)
        return (section.policy if section else Policy()).ladder

    def gated_stages(self, model: str) -> tuple[str, ...]:
        """The stages that versions of a model reach by a promotion alone; none where no policy judges the model."""
        section = self.section_of(model)
        judged = section is not None and (section.policy.gates or section.policy.stages)
        return self.ladder_of(model) if judged else ()

    @property
    def has_several(self) -> bool:
        """Whether it is not clear which model is meant where none is named."""
        return len(self.models) > 1

    def of(self, model: str | None) -> Section:
        """The settings of a model. Raises ConfigError where it is not clear which of several is meant."""
        if not self.models:
            return self
        if model is None and len(self.models) == 1:
            return next(iter(self.models.values()))
        names = ", ".join(self.models)
        if model is None:
            raise ConfigError(f"{self.path or FILE} has several models", hint=f"name one with --model: {names}")
        if model not in self.models:
            raise ConfigError(f"{self.path or FILE} has no model '{model}'", hint=f"it has: {names}")
        return self.models[model]


WHOLE_FILE = (
    "version",
    "store",
    "artifact_store",
    "artifact_limit",
    "redact",
    "signers",
    "repository",
    "mirror_tags",
    "export",
    "keep",
    "models",
)
"""The keys that may stand beside `models`."""
