"""The stages that a version climbs, in order. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from ciplug.errors import PromotionRefused, Refusal, UsageError, nearest

NO_STAGE = "None"
"""The stage of a newly registered version, in MLflow's words."""
ARCHIVED = "Archived"
"""The stage of a version after another one has taken its stage."""


@dataclass(frozen=True)
class Ladder:
    """The stages of a team, lowest first. Each is held by one version at a time."""

    stages: tuple[str, ...]

    def stage(self, name: str) -> str:
        """The stage of this name, in upper or lower case. Raises UsageError."""
        for stage in self.stages:
            if stage.casefold() == name.strip().casefold():
                return stage
        names = [stage.lower() for stage in self.stages]
        raise UsageError(f"unknown stage '{name}'", hint=nearest(name.strip().lower(), names))

    def below(self, stage: str) -> str:
        """The stage that versions come from when they are promoted to `stage`."""
        at = self.stages.index(stage)
        return self.stages[at - 1] if at else NO_STAGE

    def check_promotion(self, model: str, version: int, current: str, target: str, *, run: str | None = None) -> None:
        """Raise PromotionRefused unless `target` is the stage right above `current`.

        A version in a stage that is not on the ladder (any more) starts at the bottom.

        Args:
            run: the run to register, where there is no such version yet.
        """
        named = f"--run {run}" if run else f"--version {version}"
        if current == target:
            raise PromotionRefused(
                Refusal.SAME_STAGE,
                f"version {version} is already in {target}",
                hint=f"see who moved it: ciplug registry history '{model}'",
            )
        below = self.below(target)
        if current not in (*self.stages, ARCHIVED) or (current == ARCHIVED and below == NO_STAGE):
            current = NO_STAGE
        if current != below:
            what = f"run {run}" if run else f"version {version}"
            where = "not a version yet" if run else "in no stage" if current == NO_STAGE else f"in {current}"
            takes = "new and archived versions" if below == NO_STAGE else f"versions from {below}"
            raise PromotionRefused(
                Refusal.NOT_ADJACENT,
                f"{what} is {where}, and {target} takes only {takes}",
                hint=self._way(model, named, current, target),
            )

    def _way(self, model: str, named: str, current: str, target: str) -> str:
        """The hint for a promotion that skips a stage or goes back."""
        if target in self.up_to(current):
            return f"take it down: ciplug demote '{model}' {named} --to {target.lower()}"
        climbs = self.stages[self.stages.index(current) + 1] if current in self.stages else self.stages[0]
        first = f"first: ciplug promote '{model}' --to {climbs.lower()} {named}"
        if current == ARCHIVED:
            back = f"ciplug rollback '{model}' --to {target.lower()} {named} --reason TEXT"
            return f"{first}; if it was in {target} before: {back}"
        return first

    def up_to(self, stage: str) -> tuple[str, ...]:
        """The stages from the lowest one to this; none where it is not on the ladder."""
        return self.stages[: self.stages.index(stage) + 1] if stage in self.stages else ()

    def above(self, stage: str) -> tuple[str, ...]:
        """The stages above this one."""
        return self.stages[self.stages.index(stage) + 1 :]
