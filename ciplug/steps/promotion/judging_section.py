"""Whose gates judge the versions of a registered name: its own section of ciplug.yaml, else that of its runs' model."""

from __future__ import annotations

from typing import Protocol

from ciplug.errors import CiplugError, PromotionRefused, Refusal
from ciplug.records.run import Run
from ciplug.registry.ladder import Ladder
from ciplug.registry.model import Model, Version
from ciplug.reports.untrusted import clean_name
from ciplug.steps.policy_in_force import read_policies
from ciplug.steps.session import Session


class Settings(Protocol):
    """The settings of models, of one file or of those in force."""

    def names(self, model: str) -> bool: ...

    def gated_stages(self, model: str) -> tuple[str, ...]: ...


def judging_section(session: Session, settings: Settings, model: Model, run_model: str | None = None) -> str:
    """The name of the section that judges: the registered name, else the model of its runs.

    A name without gates of its own stays with the model of its first promotion: another model's gates may be laxer.

    Args:
        model: the registered model as it is.
        run_model: the model of the run that is asked about; None: it is about the name as a whole.
    """
    if settings.names(model.name) and settings.gated_stages(model.name):
        return model.name
    promoted = (version for version in model.by_number.values() if version.passed)
    # The first whose record is still there.
    first = next(filter(None, (_model_of_run(session, version) for version in promoted)), None)
    if first and settings.gated_stages(first):
        return first
    return run_model or model.name


def check_section(section: str, model: Model, run: Run) -> None:
    """Raise PromotionRefused where neither the registered name nor the run's model has the section that judges."""
    if section not in (model.name, run.model):
        name, own, other = (clean_name(one) for one in (model.name, section, run.model))
        raise PromotionRefused(
            Refusal.OTHER_POLICY,
            f"the versions of '{name}' are promoted by the gates of '{own}', and run {run.id[:12]} is of '{other}'",
            hint=f"to take runs of several models, give '{name}' gates of its own in ciplug.yaml",
        )


def ladder_of(session: Session, model: Model, run_model: str | None = None) -> Ladder:
    """The stages of a registered model by the policy in force, in the order in which versions climb them."""
    policies = read_policies(session)
    return Ladder(policies.ladder(judging_section(session, policies, model, run_model)))


def gated_stage(session: Session, model: Model, name: str, version: Version | None = None) -> str | None:
    """The stage of this name, in upper or lower case, that is reached by a promotion alone; None: there is none.

    Args:
        version: the one that is to enter or leave it: the model of its run may be judged where the name is not.
    """
    policies = read_policies(session)
    wanted = name.strip().casefold()
    if wanted not in {stage.casefold() for stage in policies.every_gated_stage}:
        return None
    section = judging_section(session, policies, model)
    if version is not None and not policies.gated_stages(section):
        section = _recorded_model(session, model, version) or section
    return next((stage for stage in policies.gated_stages(section) if stage.casefold() == wanted), None)


def _recorded_model(session: Session, model: Model, version: Version) -> str | None:
    """The model of a version's run; None without a run. Raises PromotionRefused for one that is not recorded."""
    if version.run is None:
        return None
    run_model = _model_of_run(session, version)
    if run_model is None:
        raise PromotionRefused(
            Refusal.GATED_STAGE,
            f"run {version.run[:12]} of version {version.number} of '{clean_name(model.name)}' is not recorded, so "
            "it is not known which gates apply",
            hint="end the run, and ask again once it is sent",
        )
    return run_model


def _model_of_run(session: Session, version: Version) -> str | None:
    if version.run is None:
        return None
    try:
        return session.runs().at(version.commit, version.run).model
    except CiplugError:
        return None
