"""The facts of a promotion, or of a move back, that other systems are told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from ciplug.steps.promotion.promote import Promotion

Kind = Literal["promoted", "rolled_back", "demoted"]
"""By which kind of event."""


@dataclass(frozen=True, kw_only=True)
class StageChange:
    """A version has come into a stage."""

    kind: Kind = "promoted"
    model: str
    version: int
    stage: str
    event: int
    """Its number in the log of the model."""
    run: str | None = None
    commit: str | None = None
    replaced: int | None = None
    """The version that held the stage."""
    from_stage: str | None = None
    """The stage that the version was in before."""
    run_url: str | None = None
    """The address of the pipeline that moved it."""

    @classmethod
    def of(cls, promotion: Promotion) -> StageChange:
        return cls(
            model=promotion.model,
            version=promotion.version,
            stage=promotion.stage,
            event=promotion.event,
            run=promotion.run.id,
            commit=promotion.run.commit,
            replaced=promotion.replaced,
            from_stage=promotion.from_stage,
        )

    @property
    def outputs(self) -> dict[str, str]:
        """The outputs of the job, for its later steps."""
        values = {
            "model": self.model,
            "version": self.version,
            "stage": self.stage,
            "event": self.event,
            "run": self.run,
            "commit": self.commit,
            "replaced": self.replaced,
        }
        return {f"promoted-{name}": "" if value is None else str(value) for name, value in values.items()}
