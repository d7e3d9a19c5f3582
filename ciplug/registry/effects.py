"""What each type of event does to a model. Pure: a model, an event and its payload give the model after it."""

from __future__ import annotations

from dataclasses import replace

from ciplug.records import registry_labels as labels
from ciplug.records import registry_moves as moves
from ciplug.records.keys import EntryKey, log_of
from ciplug.records.registry_deployment import DEPLOYED, ENDED, Deploy, SmokeTested
from ciplug.records.registry_event import Payload, Promote, Register, RegistryEvent
from ciplug.registry.ladder import ARCHIVED, NO_STAGE
from ciplug.registry.model import Deployed, DeployEvent, Model, SmokeTest, Version


def key_of(event: RegistryEvent) -> str:
    """The key of an event in the store."""
    return EntryKey(log_of(event.model), event.seq).key


def nothing(model: Model, event: RegistryEvent, payload: Payload) -> Model:
    """The model as it is."""
    return model


def register(model: Model, event: RegistryEvent, payload: Register) -> Model:
    # A model that was deleted, or renamed, begins anew: its number goes on.
    begun = model if model.exists else create(model, event, labels.Create())
    return begun.with_version(
        Version(
            payload.version,
            payload.run,
            payload.commit,
            NO_STAGE,
            event.created,
            dict(payload.files),
            record=payload.record,
            digest=payload.digest,
            datasets=dict(payload.datasets),
            metrics=dict(payload.metrics),
            source=payload.source,
            location=payload.location,
            model_id=payload.model_id,
            run_link=payload.run_link,
            actor=event.actor,
            registered=key_of(event),
            updated=event.created,
            description=payload.description,
            tags=dict(payload.tags),
            origin=dict(payload.origin),
        )
    )


def promote(model: Model, event: RegistryEvent, payload: Promote) -> Model:
    version = model.by_number.get(payload.version)
    if version is None or version.hidden:
        return model
    passed = {**version.passed, payload.stage: key_of(event)}
    moved = model.with_stage(payload.version, payload.stage, payload.exemptions, event=key_of(event))
    return moved.changed(payload.version, passed=passed).with_holder(payload.stage, payload.version)


def demote(model: Model, event: RegistryEvent, payload: moves.Demote) -> Model:
    version = model.by_number.get(payload.version)
    if version is None or version.hidden:
        return model
    moved = model.with_stage(payload.version, payload.stage, version.exemptions, event=key_of(event))
    return moved.without_holder(version.stage, payload.version) if version.staged else moved


def roll_back(model: Model, event: RegistryEvent, payload: moves.Rollback) -> Model:
    version = model.by_number.get(payload.version)
    if version is None or version.hidden:
        return model
    holder = model.holder(payload.stage)
    moved = model.with_stage(payload.version, payload.stage, version.exemptions, event=key_of(event))
    return moved.with_holder(payload.stage, payload.version, without=holder.number if holder else None)


def archive(model: Model, event: RegistryEvent, payload: moves.Archive) -> Model:
    return model.with_stage(payload.version, ARCHIVED, event=key_of(event))


def yank(model: Model, event: RegistryEvent, payload: moves.Yank) -> Model:
    return model.changed(payload.version, yanked=None if payload.undo else payload.reason or "")


def move_freely(model: Model, event: RegistryEvent, payload: moves.MoveFreely) -> Model:
    return model.with_stage(payload.version, payload.stage, alone=payload.archive, event=key_of(event))


def deploy(model: Model, event: RegistryEvent, payload: Deploy) -> Model:
    if payload.version not in model.by_number:
        return model
    last = DeployEvent(
        event.seq,
        payload.version,
        payload.state,
        payload.kind,
        payload.stage,
        payload.digest,
        payload.reference,
        payload.endpoint,
        event.created,
        event.actor,
        payload.reason,
    )
    before = model.deployed.get(payload.target)
    serves = {DEPLOYED: last, ENDED: None}.get(payload.state, before and before.serves)
    deployed = Deployed(last, serves, before.tested if before else None)
    return replace(model, deployed={**model.deployed, payload.target: deployed})


def smoke_test(model: Model, event: RegistryEvent, payload: SmokeTested) -> Model:
    logged = model.deployed.get(payload.target)
    if logged is None or logged.serves is None or logged.serves.event != payload.deployed:
        return model
    tested = SmokeTest(
        event.seq,
        payload.version,
        payload.outcome,
        payload.rows,
        payload.equal,
        event.created,
        event.actor,
        payload.reason,
    )
    return replace(model, deployed={**model.deployed, payload.target: logged._replace(tested=tested)})


def create(model: Model, event: RegistryEvent, payload: labels.Create) -> Model:
    if model.exists:
        return model
    return replace(
        model,
        created=event.created,
        hidden=False,
        moved_to=None,
        description=payload.description,
        tags=dict(payload.tags),
        origin=dict(payload.origin),
        aliases={},
    )


def describe(model: Model, event: RegistryEvent, payload: labels.Describe) -> Model:
    return model.changed(payload.version, description=payload.description)


def tag(model: Model, event: RegistryEvent, payload: labels.Tag) -> Model:
    of = model.by_number.get(payload.version) if payload.version is not None else model
    return model.changed(payload.version, tags={**of.tags, payload.key: payload.value}) if of else model


def untag(model: Model, event: RegistryEvent, payload: labels.Untag) -> Model:
    of = model.by_number.get(payload.version) if payload.version is not None else model
    left = {key: value for key, value in of.tags.items() if key != payload.key} if of else {}
    return model.changed(payload.version, tags=left)


def set_alias(model: Model, event: RegistryEvent, payload: labels.SetAlias) -> Model:
    version = model.by_number.get(payload.version)
    if version is None or version.hidden:
        return model
    return replace(model, aliases={**model.aliases, payload.alias: payload.version})


def delete_alias(model: Model, event: RegistryEvent, payload: labels.DeleteAlias) -> Model:
    return replace(model, aliases={name: of for name, of in model.aliases.items() if name != payload.alias})


def delete_version(model: Model, event: RegistryEvent, payload: labels.DeleteVersion) -> Model:
    gone = model.with_stage(payload.version, NO_STAGE, event=key_of(event)).changed(payload.version, hidden=True)
    kept = {name: of for name, of in model.aliases.items() if of != payload.version}
    return replace(gone, aliases=kept)


def delete_model(model: Model, event: RegistryEvent, payload: labels.DeleteModel) -> Model:
    hidden = {number: replace(one, hidden=True, stage=NO_STAGE) for number, one in model.by_number.items()}
    return replace(model, by_number=hidden, in_stage={}, held={}, aliases={}, hidden=True)


def move_to(model: Model, event: RegistryEvent, payload: labels.MovedTo) -> Model:
    return Model(
        model.name,
        skipped=model.skipped,
        unsigned=model.unsigned,
        last_number=model.last_number,
        created=model.created,
        moved_to=payload.other,
    )


def take_over(model: Model, origin: Model) -> Model:
    """The model with the versions, the names and the words of another one, which is now called as this one."""
    return replace(
        origin,
        name=model.name,
        skipped=(*model.skipped, *origin.skipped),
        unsigned=model.unsigned,
        last_number=max(model.last_number, origin.last_number),
        moved_to=None,
        awaits=None,
    )
