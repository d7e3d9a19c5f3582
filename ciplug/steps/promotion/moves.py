"""Take versions out of stages and out of use: demote, archive, yank; and the free moves of a model without a policy."""

from __future__ import annotations

from ciplug.errors import NotFound, PromotionRefused, Refusal, UsageError
from ciplug.records.registry_moves import Archive, Demote, MoveFreely, Yank
from ciplug.registry.ladder import ARCHIVED, NO_STAGE, Ladder
from ciplug.registry.model import Model, Version
from ciplug.steps.policy_in_force import read_policies
from ciplug.steps.promotion.judging_section import gated_stage, judging_section, ladder_of
from ciplug.steps.promotion.own_policy import check_own_policy
from ciplug.steps.promotion.writing import Written, write
from ciplug.steps.registered_model import need_model
from ciplug.steps.session import Session

_OUTSIDE = {"none": NO_STAGE, "archived": ARCHIVED}


def demote(
    session: Session,
    name: str,
    *,
    version: int | None = None,
    start: str | None = None,
    to: str | None = None,
    reason: str | None = None,
) -> Written[Demote]:
    """Take a version out of its stage.

    Args:
        start: the stage that it holds, in place of its number.
        to: a lower stage that it was promoted to before, `none` or `archived`; None: the stage below.
    """
    if (version is None) == (start is None):
        raise UsageError("name the version to demote", hint="--from STAGE, or --version N")

    def make(protected: Session, model: Model) -> Demote:
        need_model(protected, model)
        ladder = ladder_of(protected, model)
        chosen = model.version(version) if version is not None else _holder(model, ladder, start or "")
        stage = _target(model, chosen, ladder, to)
        return Demote(
            version=chosen.number, stage=stage, from_stage=chosen.stage, ladder=ladder.stages, reason=reason or None
        )

    return write(session, name, make)


def _holder(model: Model, ladder: Ladder, name: str) -> Version:
    stage = Ladder(tuple(dict.fromkeys((*ladder.stages, *model.stages)))).stage(name)
    holder = model.holder(stage)
    if holder is None:
        raise NotFound(f"no version of '{model.name}' is in {stage}", hint=f"see: ciplug registry show '{model.name}'")
    return holder


def _target(model: Model, version: Version, ladder: Ladder, to: str | None) -> str:
    """The stage that a demotion leads to. Raises PromotionRefused where it is not below, not passed, or held."""
    if not version.staged:
        raise PromotionRefused(
            Refusal.SAME_STAGE,
            f"version {version.number} of '{model.name}' is in no stage",
            hint=f"to set it aside: ciplug registry archive '{model.name}' {version.number}",
        )
    outside = f"ciplug demote '{model.name}' --version {version.number} --to none"
    if to is not None and to.strip().casefold() in _OUTSIDE:
        return _OUTSIDE[to.strip().casefold()]
    below = ladder.up_to(version.stage)[:-1]
    stage = ladder.stage(to) if to is not None else (below[-1] if below else NO_STAGE)
    if stage == NO_STAGE:
        return stage
    if stage not in below:
        raise PromotionRefused(
            Refusal.NOT_ADJACENT,
            f"version {version.number} is in {version.stage}, and {stage} is not below it",
            hint=f"promote it: ciplug promote '{model.name}' --to {stage.lower()} --version {version.number}",
        )
    if stage not in version.passed:
        raise PromotionRefused(
            Refusal.NEVER_PASSED,
            f"version {version.number} of '{model.name}' was never promoted to {stage}",
            hint=f"take it out of all stages: {outside}",
        )
    if holder := model.holder(stage):
        raise PromotionRefused(
            Refusal.IN_USE, f"version {holder.number} is in {stage}", hint=f"take it out of all stages: {outside}"
        )
    return stage


def archive(session: Session, name: str, version: int, reason: str | None = None) -> Written[Archive]:
    """Archive a version that nobody uses. Raises PromotionRefused while it is in a stage, or has an alias."""

    def make(protected: Session, model: Model) -> Archive | None:
        need_model(protected, model)
        chosen = model.version(version)
        _check_unused(model, chosen, "archived")
        if chosen.stage == ARCHIVED:
            return None
        return Archive(version=version, from_stage=chosen.stage, reason=reason or None)

    return write(session, name, make)


def yank(session: Session, name: str, version: int, reason: str | None = None, *, undo: bool = False) -> Written[Yank]:
    """Warn of a version, or take the warning back. Raises PromotionRefused while it is in a stage, or has an alias."""

    def make(protected: Session, model: Model) -> Yank | None:
        need_model(protected, model)
        chosen = model.version(version)
        if undo == (chosen.yanked is None):
            return None
        if not undo:
            _check_unused(model, chosen, "yanked")
        return Yank(version=version, reason=reason or None, undo=undo)

    return write(session, name, make)


def move_freely(
    session: Session, name: str, version: int, stage: str, *, archive_others: bool = False
) -> Written[MoveFreely]:
    """Move a version of a model that no policy judges, as MLflow does.

    Raises PromotionRefused where a policy gates the stage that it leaves or enters, and names the command for it.
    """

    def make(protected: Session, model: Model) -> MoveFreely:
        need_model(protected, model)
        chosen = model.version(version)
        target = _OUTSIDE.get(stage.strip().casefold()) or ladder_of(protected, model).stage(stage)
        for one in (target, chosen.stage):
            if gated_stage(protected, model, one, chosen):
                raise PromotionRefused(
                    Refusal.GATED_STAGE,
                    f"the policy judges version {version} of '{name}', so it enters and leaves {one} on evidence alone",
                    hint=f"ciplug promote '{name}' --to {one.lower()} --version {version}; or ciplug demote",
                )
        check_own_policy(protected, model, judging_section(protected, read_policies(protected), model))
        return MoveFreely(version=version, stage=target, from_stage=chosen.stage, archive=archive_others)

    return write(session, name, make)


def _check_unused(model: Model, version: Version, what: str) -> None:
    """Raise PromotionRefused while a version is in a stage, or has an alias."""
    if version.staged:
        stage = version.stage.lower()
        raise PromotionRefused(
            Refusal.IN_USE,
            f"version {version.number} of '{model.name}' is in {version.stage}, so it is not {what}",
            hint=f"ciplug rollback '{model.name}' --to {stage} --reason TEXT; "
            f"or ciplug demote '{model.name}' --from {stage} --to none",
        )
    if aliases := model.aliases_of(version.number):
        raise PromotionRefused(
            Refusal.IN_USE,
            f"version {version.number} of '{model.name}' has the alias {aliases[0]}, so it is not {what}",
            hint=f"ciplug registry alias delete '{model.name}' '{aliases[0]}'",
        )
