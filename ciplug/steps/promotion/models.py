"""Create, delete and rename models, and register versions without a promotion: what MLflow's registry does as well."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from ciplug.errors import PromotionRefused, Refusal, UsageError
from ciplug.records.registry_event import Register
from ciplug.records.registry_labels import Create, DeleteModel, DeleteVersion, MovedFrom, MovedTo
from ciplug.registry.model import Model
from ciplug.reports.untrusted import clean_name
from ciplug.steps.promotion.judging_section import gated_stage
from ciplug.steps.promotion.writing import Written, write
from ciplug.steps.registered_model import need_model, read_registry
from ciplug.steps.session import Session
from ciplug.stores.base import Head

_NAME_MOST = 256


def create_model(
    session: Session, name: str, description: str | None = None, tags: Mapping[str, str] | None = None
) -> Written[Create]:
    """Create a model without a version. Raises PromotionRefused where it exists."""
    check_name(name)

    def make(protected: Session, model: Model) -> Create:
        if model.exists:
            raise PromotionRefused(
                Refusal.NAME_TAKEN,
                f"the registry has a model '{clean_name(name)}'",
                hint=f"see: ciplug registry show '{clean_name(name)}'",
            )
        return Create(description=description, tags=dict(tags or {}))

    return write(session, name, make)


def register_version(session: Session, name: str, version: Register) -> Written[Register]:
    """Register a version, with or without a run; its number is filled in. It enters no stage."""
    check_name(name)
    return write(session, name, lambda protected, model: replace(version, version=model.next_version))


def delete_version(session: Session, name: str, version: int, reason: str | None = None) -> Written[DeleteVersion]:
    """Hide a version. Raises PromotionRefused while it is in a stage that the policy judges."""

    def make(protected: Session, model: Model) -> DeleteVersion:
        need_model(protected, model)
        stage = model.version(version).stage
        if gated_stage(protected, model, stage):
            raise _in_use(name, f"version {version} of '{name}'", stage, "deleted")
        return DeleteVersion(version=version, reason=reason or None)

    return write(session, name, make)


def delete_model(session: Session, name: str, reason: str | None = None) -> Written[DeleteModel]:
    """Hide a model. Raises PromotionRefused while a version of it is in a stage that the policy judges."""

    def make(protected: Session, model: Model) -> DeleteModel:
        need_model(protected, model)
        _check_unstaged(protected, model, "deleted")
        return DeleteModel(reason=reason or None)

    return write(session, name, make)


def rename_model(session: Session, old: str, new: str) -> Written[MovedTo]:
    """Give a model another name, with all its versions: an event in each of the two logs.

    The first is true only once the second follows the very event that it names. So a renaming that is cut off, or that
    loses a race, has changed nothing, and the same call does it.
    """
    check_name(new)
    while True:
        taken = write(session, new, lambda protected, model: _take_over(protected, model, old), finishing=old).payload
        first = Head(taken.until, taken.digest) if taken else None

        def give(protected: Session, model: Model, first: Head | None = first) -> MovedTo | None:
            # Where the log of the old name has moved on, the first half never counts.
            return MovedTo(other=new) if read_registry(protected, old).ledger.head == first else None

        written = write(session, old, give)
        if written.payload is not None:
            return written


def _take_over(session: Session, model: Model, old: str) -> MovedFrom:
    before = read_registry(session, old)
    need_model(session, before.model)
    _check_unstaged(session, before.model, "renamed")
    _check_names(session, before.model, model)
    if model.exists or model.by_number:
        raise PromotionRefused(
            Refusal.NAME_TAKEN,
            f"'{clean_name(model.name)}' is, or was, a model of its own",
            hint="choose a name that no model ever had",
        )
    head = before.ledger.head or Head(0, "")
    return MovedFrom(other=old, until=head.seq, digest=head.digest)


def _check_unstaged(session: Session, model: Model, done: str) -> None:
    for stage in model.stages:
        if gated_stage(session, model, stage):
            raise _in_use(model.name, f"a version of '{model.name}'", stage, done)


def _check_names(session: Session, model: Model, new: Model) -> None:
    """Raise PromotionRefused where the policy judges a stage under the new name that the model has without evidence."""
    for stage in model.stages:
        if gated_stage(session, new, stage):
            raise _in_use(
                model.name, f"a version of '{model.name}'", stage, f"renamed to '{new.name}', which is judged there"
            )
    for alias in model.aliases:
        if gated_stage(session, new, alias):
            raise PromotionRefused(
                Refusal.GATED_STAGE,
                f"the alias '{alias}' of '{model.name}' is called as a stage of '{new.name}'",
                hint=f"ciplug registry alias delete '{model.name}' '{alias}'",
            )


def _in_use(name: str, what: str, stage: str, done: str) -> PromotionRefused:
    return PromotionRefused(
        Refusal.IN_USE,
        f"{what} is in {stage}, so it is not {done}",
        hint=f"ciplug demote '{name}' --from {stage.lower()} --to none",
    )


def check_name(name: str) -> None:
    """Raise UsageError for a text that cannot be the name of a model."""
    if not name.strip() or len(name) > _NAME_MOST or any(ord(letter) < 32 for letter in name):
        raise UsageError(f"{clean_name(name)!r} cannot be the name of a model", hint="a line of at most 256 characters")
