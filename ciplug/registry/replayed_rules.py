"""The rules that every event followed when it was made, replayed over the events of a log. Pure.

Whoever may write the log can append an event by hand; its chain is whole then, and these rules are broken.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

from ciplug.errors import PromotionRefused
from ciplug.records import registry_labels as labels
from ciplug.records import registry_moves as moves
from ciplug.records.canonical import digest, dumps
from ciplug.records.registry_deployment import BEGUN, ENDED, ENDING, Deploy, SmokeTested
from ciplug.records.registry_event import Promote, Register, RegistryEvent
from ciplug.registry.events import payload_of
from ciplug.registry.ladder import ARCHIVED, NO_STAGE, Ladder
from ciplug.registry.model import Model, Version
from ciplug.registry.replay import IsSigned, Origin, after, counting


class BrokenRule(NamedTuple):
    """An event that no ciplug would have appended."""

    seq: int
    words: str
    """A clause whose subject is the event."""


def broken_rules(
    name: str,
    events: Sequence[RegistryEvent],
    ladder: Sequence[str],
    is_signed: IsSigned | None = None,
    *,
    gated: Collection[str] = (),
    origin: Origin | None = None,
) -> Iterator[BrokenRule]:
    """Yield what is wrong with the events of a model, each judged by the state before it.

    Raises RecordError for an event that does not have the fields of its type.

    Args:
        ladder: the stages in force today, for events that do not name theirs.
        is_signed: without a signature an event does not count, and is not judged; None: all count.
        gated: the stages that are reached by a promotion alone, by the policy of today.
        origin: finds the versions that a renaming brings.
    """
    model = Model(name)
    counts = counting(events, is_signed)
    for event in events:
        payload = payload_of(event)
        if event.seq in counts and payload is not None:
            rule = _RULES.get(type(payload))
            today = _Today(tuple(ladder), frozenset(gated))
            yield from (BrokenRule(event.seq, words) for words in (rule(model, payload, today) if rule else ()))
        model = after(model, event, counts=event.seq in counts, origin=origin)
        if isinstance(payload, labels.MovedFrom) and event.seq in counts:
            yield from (BrokenRule(event.seq, words) for words in _of_taken_over(model, payload, gated))


def _of_taken_over(model: Model, payload: labels.MovedFrom, gated: Collection[str]) -> Iterable[str]:
    names = {stage.casefold() for stage in gated}
    for stage in model.stages:
        if stage.casefold() in names:
            yield f"takes over a version of '{payload.other}' in {stage} without evidence"
    for alias in model.aliases:
        if alias.casefold() in names:
            yield f"takes over the name of the stage {alias} as an alias"


def other_ladders(name: str, events: Iterable[RegistryEvent], ladder: Sequence[str]) -> list[str]:
    """Sentences on moves by other stages than today's: a team may have changed them, and so may a forger."""
    ladders: dict[tuple[str, ...], int] = {}
    for event in events:
        payload = payload_of(event)
        made_by = getattr(payload, "ladder", None)
        if made_by and made_by != tuple(ladder):
            ladders.setdefault(made_by, event.seq)
    return [
        f"event {seq} of '{name}' was made when the stages were {', '.join(one)}; today they are {', '.join(ladder)}"
        for one, seq in ladders.items()
    ]


class _Today(NamedTuple):
    """What the policy of today says."""

    ladder: tuple[str, ...]
    gated: frozenset[str]


def _of_register(model: Model, payload: Register, today: _Today) -> Iterable[str]:
    if payload.version != model.next_version:
        yield f"registers version {payload.version}, and the next one is {model.next_version}"
    if payload.run and payload.source is None and (before := model.of_run(payload.run)):
        yield f"registers the run of version {before.number} again"
    if payload.digest is not None and payload.digest != model_digest(payload.files):
        yield f"registers version {payload.version} with a digest that is not that of its files"


def model_digest(files: Any) -> str:
    """The digest of a model: of its files, each with its digest."""
    return digest(dumps(dict(files)))


def _of_promote(model: Model, payload: Promote, today: _Today) -> Iterable[str]:
    ladder = Ladder(payload.ladder or today.ladder)
    version = _registered(model, payload.version)
    if version is None:
        yield f"promotes version {payload.version}, which is not registered"
        return
    if (payload.run, payload.commit) != (version.run, version.commit):
        yield f"promotes another run than version {version.number} was registered with"
    if version.yanked is not None:
        yield f"promotes version {version.number}, which is yanked"
    yield from _of_move(model, version, payload.from_stage)
    yield from _of_holder(model, payload.stage, payload.replaces)
    if payload.verdict is None or payload.verdict_digest is None:
        yield "promotes without a verdict"
    if payload.stage in (NO_STAGE, ARCHIVED) or payload.stage not in ladder.stages:
        yield f"promotes to {payload.stage}, which is not one of the stages {', '.join(ladder.stages)}"
        return
    try:
        ladder.check_promotion("", version.number, version.stage, payload.stage)
    except PromotionRefused as refused:
        yield f"breaks the order of the stages: {refused.message}"


def _of_demote(model: Model, payload: moves.Demote, today: _Today) -> Iterable[str]:
    ladder = Ladder(payload.ladder or today.ladder)
    version = _registered(model, payload.version)
    if version is None:
        yield f"demotes version {payload.version}, which is not registered"
        return
    yield from _of_move(model, version, payload.from_stage)
    if not version.staged:
        yield f"demotes version {version.number}, which is in no stage"
    if payload.stage in (NO_STAGE, ARCHIVED):
        return
    if payload.stage not in ladder.up_to(version.stage)[:-1]:
        yield f"demotes version {version.number} to {payload.stage}, which is not below {version.stage}"
    if payload.stage not in version.passed:
        yield f"demotes version {version.number} to {payload.stage}, where it was never promoted to"
    if holder := model.holder(payload.stage):
        yield f"demotes version {version.number} to {payload.stage}, which version {holder.number} holds"


def _of_rollback(model: Model, payload: moves.Rollback, today: _Today) -> Iterable[str]:
    version = _registered(model, payload.version)
    if version is None:
        yield f"brings back version {payload.version}, which is not registered"
        return
    if (payload.run, payload.commit) != (version.run, version.commit):
        yield f"brings back another run than version {version.number} was registered with"
    if version.yanked is not None:
        yield f"brings back version {version.number}, which is yanked"
    if version.stage == payload.stage:
        yield f"brings back version {version.number}, which is in {payload.stage}"
    if payload.stage not in version.passed:
        yield f"brings back version {version.number} to {payload.stage}, where it was never promoted to"
    elif payload.passed != version.passed[payload.stage]:
        promotion = version.passed[payload.stage]
        yield f"names {payload.passed} as its evidence, but {promotion} promoted version {version.number}"
    if not payload.reason.strip():
        yield "brings a version back without a reason"
    yield from _of_move(model, version, payload.from_stage)
    yield from _of_holder(model, payload.stage, payload.replaces)


def _of_archive(model: Model, payload: moves.Archive, today: _Today) -> Iterable[str]:
    version = _registered(model, payload.version)
    if version is None:
        yield f"archives version {payload.version}, which is not registered"
        return
    yield from _of_move(model, version, payload.from_stage)
    yield from _unused(model, version, "archives")


def _of_yank(model: Model, payload: moves.Yank, today: _Today) -> Iterable[str]:
    version = _registered(model, payload.version)
    if version is None:
        yield f"yanks version {payload.version}, which is not registered"
    elif not payload.undo:
        yield from _unused(model, version, "yanks")


def _of_free_move(model: Model, payload: moves.MoveFreely, today: _Today) -> Iterable[str]:
    version = _registered(model, payload.version)
    if version is None:
        yield f"moves version {payload.version}, which is not registered"
        return
    for stage in (payload.stage, version.stage):
        if stage in today.gated:
            yield f"moves version {version.number} from {version.stage} to {payload.stage} without evidence"
            break
    yield from _of_move(model, version, payload.from_stage)


def _of_deploy(model: Model, payload: Deploy, today: _Today) -> Iterable[str]:
    # What is served is ended though its version was deleted.
    find = model.by_number.get if payload.state in (ENDING, ENDED) else partial(_registered, model)
    version = find(payload.version)
    if version is None:
        yield f"deploys version {payload.version}, which is not registered"
        return
    if payload.digest != (version.digest or model_digest(version.files)):
        yield f"deploys other files than version {version.number} was registered with"
    if payload.state != BEGUN:
        return
    if version.yanked is not None:
        yield f"deploys version {version.number}, which is yanked"
    if not version.staged or version.stage != payload.stage:
        yield f"deploys version {version.number} from {payload.stage}, and it is in {version.stage}"


def _of_smoke_test(model: Model, payload: SmokeTested, today: _Today) -> Iterable[str]:
    logged = model.deployed.get(payload.target)
    serves = logged.serves if logged else None
    if serves is None or (serves.event, serves.version) != (payload.deployed, payload.version):
        yield f"tests version {payload.version}, which '{payload.target}' does not serve"


def _of_alias(model: Model, payload: labels.SetAlias, today: _Today) -> Iterable[str]:
    version = _registered(model, payload.version)
    if version is None:
        yield f"gives an alias to version {payload.version}, which is not registered"
    elif version.yanked is not None:
        yield f"gives an alias to version {version.number}, which is yanked"
    if payload.alias.casefold() in {stage.casefold() for stage in today.gated}:
        yield f"gives the name of the stage {payload.alias} as an alias"
    yield from _of_alias_before(model, payload)


def _of_alias_before(model: Model, payload: labels.SetAlias | labels.DeleteAlias) -> Iterable[str]:
    named = model.aliases.get(payload.alias)
    if payload.replaces != named:
        yield f"takes the alias {payload.alias} from version {payload.replaces or '-'}, and it names {named or 'none'}"


def _of_delete_version(model: Model, payload: labels.DeleteVersion, today: _Today) -> Iterable[str]:
    version = _registered(model, payload.version)
    if version is None:
        yield f"deletes version {payload.version}, which is not registered"
    elif version.stage in today.gated:
        yield f"deletes version {version.number}, which is in {version.stage}"


def _of_gone(model: Model, payload: labels.DeleteModel | labels.MovedTo, today: _Today) -> Iterable[str]:
    does = "renames" if isinstance(payload, labels.MovedTo) else "deletes"
    yield from (f"{does} a model with a version in {stage}" for stage in model.stages if stage in today.gated)


def _of_moved_from(model: Model, payload: labels.MovedFrom, today: _Today) -> Iterable[str]:
    if model.by_number:
        yield f"takes over the versions of '{payload.other}', and has versions of its own"


def _registered(model: Model, number: int) -> Version | None:
    version = model.by_number.get(number)
    return None if version is None or version.hidden else version


def _of_move(model: Model, version: Version, from_stage: str | None) -> Iterable[str]:
    if from_stage != version.stage:
        yield f"moves version {version.number} from {from_stage}, and it is in {version.stage}"


def _of_holder(model: Model, stage: str, replaces: int | None) -> Iterable[str]:
    holder = model.holder(stage)
    if replaces != (holder.number if holder else None):
        held = f"version {holder.number} holds it" if holder else "no version holds it"
        yield f"replaces version {replaces or '-'} in {stage}, and {held}"


def _unused(model: Model, version: Version, does: str) -> Iterable[str]:
    if version.staged:
        yield f"{does} version {version.number}, which is in {version.stage}"
    if aliases := model.aliases_of(version.number):
        yield f"{does} version {version.number}, which is named {', '.join(aliases)}"


_RULES: dict[type[Any], Callable[[Model, Any, _Today], Iterable[str]]] = {
    Register: _of_register,
    Promote: _of_promote,
    moves.Demote: _of_demote,
    moves.Rollback: _of_rollback,
    moves.Archive: _of_archive,
    moves.Yank: _of_yank,
    moves.MoveFreely: _of_free_move,
    Deploy: _of_deploy,
    SmokeTested: _of_smoke_test,
    labels.SetAlias: _of_alias,
    labels.DeleteAlias: lambda model, payload, today: _of_alias_before(model, payload),
    labels.DeleteVersion: _of_delete_version,
    labels.DeleteModel: _of_gone,
    labels.MovedTo: _of_gone,
    labels.MovedFrom: _of_moved_from,
}
"""Payload → what is wrong with such an event after the events before it, as clauses."""
