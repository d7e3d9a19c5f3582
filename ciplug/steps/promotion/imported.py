"""Write what another registry has: models, versions, and the stages and aliases that no gate here judges.

What a policy judges is reached by a promotion alone, whatever another registry says: it is recorded with the version,
and not done.
"""

from __future__ import annotations

from collections.abc import Mapping

from ciplug.errors import PromotionRefused, UsageError
from ciplug.records.registry_event import Register
from ciplug.records.registry_labels import Create, DeleteVersion, SetAlias
from ciplug.records.registry_moves import MoveFreely
from ciplug.registry.model import Model
from ciplug.steps.promotion.judging_section import gated_stage
from ciplug.steps.promotion.models import check_name
from ciplug.steps.promotion.writing import Written, write
from ciplug.steps.session import Session


def import_model(
    session: Session, name: str, description: str | None, tags: Mapping[str, str], origin: Mapping[str, str]
) -> Written[Create]:
    """Create a model, unless there is one."""
    check_name(name)

    def make(protected: Session, model: Model) -> Create | None:
        return None if model.exists else Create(description=description, tags=tags, origin=origin)

    return write(session, name, make)


def import_version(session: Session, name: str, version: Register) -> Written[Register]:
    """Register a version under its number, which must be the next one; one that is there stays as it is."""

    def make(protected: Session, model: Model) -> Register | None:
        if version.version in model.by_number:
            return None
        if version.version != model.next_version:
            raise UsageError(
                f"version {version.version} of '{name}' cannot be imported: the next one here is {model.next_version}",
                hint="another version was registered meanwhile: import under another store, or register it by hand",
            )
        return version

    return write(session, name, make)


def import_gap(session: Session, name: str, number: int, origin: Mapping[str, str]) -> None:
    """Use up a number whose version was deleted in the other registry, so that the later ones keep theirs."""
    import_version(session, name, Register(version=number, origin=origin))

    def make(protected: Session, model: Model) -> DeleteVersion | None:
        version = model.by_number[number]
        return None if version.hidden else DeleteVersion(version=number, reason="deleted where it was imported from")

    write(session, name, make)


def import_stage(session: Session, name: str, number: int, stage: str, origin: Mapping[str, str]) -> bool:
    """Move a version that was never moved here. False where a promotion alone leads to that stage."""
    is_gated = False

    def make(protected: Session, model: Model) -> MoveFreely | None:
        nonlocal is_gated
        version = model.version(number)
        is_gated = _is_gated(protected, model, stage, number)
        if version.moved is not None or is_gated:
            return None
        return MoveFreely(version=number, stage=stage, from_stage=version.stage, origin=origin)

    write(session, name, make)
    return not is_gated


def import_alias(session: Session, name: str, alias: str, number: int, origin: Mapping[str, str]) -> bool:
    """Have an alias name a version, if there is none of that name. False for one that is called as a gated stage."""
    is_gated = False

    def make(protected: Session, model: Model) -> SetAlias | None:
        nonlocal is_gated
        is_gated = _is_gated(protected, model, alias, number)
        if is_gated or alias in model.aliases:
            return None
        return SetAlias(alias=alias, version=number, origin=origin)

    write(session, name, make)
    return not is_gated


def _is_gated(session: Session, model: Model, name: str, number: int) -> bool:
    try:
        return gated_stage(session, model, name, model.version(number)) is not None
    except PromotionRefused:
        # Its run is not recorded, so nobody knows whose gates judge it.
        return True
