"""Words and names in the registry: describe, tag, alias. An alias that is called as a stage is that promotion."""

from __future__ import annotations

import re

from ciplug.errors import PromotionRefused, Refusal, UsageError
from ciplug.records.registry_labels import DeleteAlias, Describe, SetAlias, Tag, Untag
from ciplug.registry.lookalikes import lookalike
from ciplug.registry.model import Model, Version
from ciplug.reports.untrusted import clean_name
from ciplug.steps.policy_in_force import read_policies
from ciplug.steps.promotion.judging_section import gated_stage, judging_section
from ciplug.steps.promotion.own_policy import check_own_policy
from ciplug.steps.promotion.promote import Promotion, PromotionRequest, promote
from ciplug.steps.promotion.protected_policy import by_protected_policy
from ciplug.steps.promotion.writing import Written, write, yanked
from ciplug.steps.registered_model import need_model, read_model
from ciplug.steps.session import Session

_ALIAS = re.compile(r"[A-Za-z0-9_][\w.-]{0,254}")
_WORDS = ("latest", "none", "archived")
_RESERVED = re.compile(r"(?i:latest|none|archived|v?\d+)")


def describe(session: Session, name: str, version: int | None, description: str | None) -> Written[Describe]:
    """Set the description of a version, or of the model."""

    def make(protected: Session, model: Model) -> Describe | None:
        same = _of(protected, model, version).description == description
        return None if same else Describe(version=version, description=description)

    return write(session, name, make)


def set_tag(session: Session, name: str, version: int | None, key: str, value: str) -> Written[Tag]:
    """Set a tag of a version, or of the model."""
    if not key.strip():
        raise UsageError("a tag needs a name", hint="like team=vision")

    def make(protected: Session, model: Model) -> Tag | None:
        same = _of(protected, model, version).tags.get(key) == value
        return None if same else Tag(version=version, key=key, value=value)

    return write(session, name, make)


def delete_tag(session: Session, name: str, version: int | None, key: str) -> Written[Untag]:
    """Remove a tag of a version, or of the model; it may be gone already."""

    def make(protected: Session, model: Model) -> Untag | None:
        return Untag(version=version, key=key) if key in _of(protected, model, version).tags else None

    return write(session, name, make)


def _of(protected: Session, model: Model, version: int | None) -> Model | Version:
    need_model(protected, model)
    return model if version is None else model.version(version)


def _check_alike(session: Session, model: Model, alias: str) -> None:
    """Raise UsageError for an alias that people would take for a stage, or for another alias."""
    stages = session.config.ladder_of(model.name)
    known = {*stages, *(stage.lower() for stage in stages), *model.aliases, *_WORDS}
    if other := lookalike(alias, known):
        raise UsageError(
            f"'{clean_name(alias)}' looks like '{clean_name(other)}', and is written with other letters",
            hint="choose an alias that people can tell from it",
        )


def set_alias(
    session: Session, name: str, alias: str, version: int, reason: str | None = None
) -> Written[SetAlias] | Promotion:
    """Have an alias name a version. An alias that is called as a stage which the policy judges is that promotion."""
    protected = by_protected_policy(session)
    registered = read_model(protected, name)
    if gated_stage(protected, registered, alias, registered.by_number.get(version)):
        return promote(session, PromotionRequest(name, alias, version=version, reason=reason))
    if not _ALIAS.fullmatch(alias) or _RESERVED.fullmatch(alias):
        raise UsageError(
            f"'{clean_name(alias)}' cannot be an alias",
            hint="letters, digits, _ . and -; not a number, and none of latest, none, archived",
        )

    def make(protected: Session, model: Model) -> SetAlias | None:
        need_model(protected, model)
        chosen = model.version(version)
        if chosen.yanked is not None:
            raise yanked(name, chosen)
        _check_alike(protected, model, alias)
        # The policy may have changed between two attempts.
        _check_not_stage(protected, model, alias, chosen)
        if alias.casefold() in {stage.casefold() for one in model.versions for stage in one.passed}:
            check_own_policy(protected, model, judging_section(protected, read_policies(protected), model))
        before = model.aliases.get(alias)
        return None if before == version else SetAlias(alias=alias, version=version, replaces=before)

    return write(session, name, make)


def delete_alias(session: Session, name: str, alias: str) -> Written[DeleteAlias]:
    """Remove an alias; it may be gone already. Raises PromotionRefused for the name of a stage."""

    def make(protected: Session, model: Model) -> DeleteAlias | None:
        need_model(protected, model)
        before = model.aliases.get(alias)
        if before is None:
            _check_not_stage(protected, model, alias)
        return DeleteAlias(alias=alias, replaces=before) if before is not None else None

    return write(session, name, make)


def _check_not_stage(session: Session, model: Model, alias: str, version: Version | None = None) -> None:
    name = model.name
    if stage := gated_stage(session, model, alias, version):
        raise PromotionRefused(
            Refusal.GATED_STAGE,
            f"'{alias}' is a stage of '{name}', not an alias of your own",
            hint=f"ciplug promote '{name}' --to {stage.lower()} --version N; or ciplug demote '{name}' "
            f"--from {stage.lower()}",
        )
