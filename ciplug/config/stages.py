"""The stages of ciplug.yaml: what a promotion to each takes, and the ladder that they make."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

from ciplug.config import kinds, values
from ciplug.config.gate import ACTION, SEVERITY, Action, Severity
from ciplug.config.kinds import Mistake, Named, Table, key

Requirement = Literal["clean_tree", "signature"]
MLFLOW = ("staging", "production")
"""The ladder of a team that has not named its own."""


def ladder(stages: Collection[str]) -> tuple[str, ...]:
    """The names that versions climb in the registry, lowest first, given the keys of `stages:` in their order.

    Keys that are MLflow's stages only say what those take: the ladder is then MLflow's.
    """
    own = tuple(stages)
    return tuple(map(registry_name, MLFLOW if set(own) <= set(MLFLOW) else own))


def registry_name(stage: str) -> str:
    """Return a stage's name in the registry: `Staging` and `Production` as in MLflow, other names unchanged."""
    return stage.capitalize() if stage in MLFLOW else stage


@dataclass(frozen=True, kw_only=True)
class Narrowing:
    """The gates that count, and settings for their outcomes, which override those of the gates."""

    gates: tuple[str, ...] | None = key(kinds.SELECTION)
    """None: all."""
    severity: Severity | None = key(SEVERITY)
    """error: gates that only warn elsewhere fail here."""
    on_missing: Action | None = key(ACTION)
    on_no_baseline: Action | None = key(ACTION)
    on_inconclusive: Action | None = key(ACTION)


@dataclass(frozen=True, kw_only=True)
class Approvals:
    """The approvals that a promotion needs."""

    environment: str | None = key(kinds.TEXT)
    """The protected environment that the job runs in."""
    pull_request: str | None = key(kinds.TEXT)
    """The file of the default branch, from the top of the repository, in which an approved and merged pull request has
    proposed the promotion."""
    min_approvals: int = key(kinds.integer_from(1), 1)
    """The people who have approved that pull request."""
    not_author: bool = key(kinds.FLAG, False)
    """Whoever approves or promotes is neither the author of the commit nor who trained the run."""

    def mistakes(self) -> Iterator[Mistake]:
        if self.min_approvals > 1 and not self.pull_request:
            words = "it counts the approvals of a pull request, and 'pull_request' is not set"
            yield Mistake(("min_approvals",), words, "pull_request: promotions.yaml", (("pull_request",),))


@dataclass(frozen=True, kw_only=True)
class Stage(Narrowing):
    """The requirements for a promotion to this stage."""

    NEEDLESS: ClassVar[Mapping[str, str]] = {"from": "a stage takes versions from the one before it in 'stages:'"}

    approvals: Approvals = key(Table(Approvals, "{not_author: true}"), Approvals())
    clean_tree: bool = key(kinds.FLAG, True)
    """The run was made from the commit as it is. `false` turns this off, and the event of each promotion records it."""
    require: tuple[Requirement, ...] = key(kinds.list_of("clean_tree", "signature"), ())
    """signature: `git verify-commit` accepts the commit. clean_tree: as by default."""

    def mistakes(self) -> Iterator[Mistake]:
        if not self.clean_tree and "clean_tree" in self.require:
            about = (("clean_tree",), ("require",))
            yield Mistake(("clean_tree",), "'require' asks for clean_tree: remove one of the two", None, about)

    @property
    def requirements(self) -> tuple[Requirement, ...]:
        """The requirements besides gates and approvals, those that hold by default first."""
        default: tuple[Requirement, ...] = ("clean_tree",) if self.clean_tree else ()
        return tuple(dict.fromkeys((*default, *self.require)))

    @property
    def exemptions(self) -> tuple[Requirement, ...]:
        """The default requirements that are turned off."""
        return () if self.clean_tree else ("clean_tree",)


BRANCHES = Named(Table(Narrowing, "{on_no_baseline: fail}"))
STAGES = Named(
    Table(Stage, "{require: [signature]}"), name=values.stage_name, name_form=values.STAGE_NAME_FORM, may_be_empty=True
)
