"""MLflow's model registry on the append-only log of a ciplug store.

What a policy judges is moved by a promotion alone: a stage, and the alias that is called as the stage.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

from mlflow.entities.model_registry import (
    ModelVersion,
    ModelVersionTag,
    RegisteredModel,
    RegisteredModelAlias,
    RegisteredModelTag,
)
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import (
    INVALID_PARAMETER_VALUE,
    RESOURCE_ALREADY_EXISTS,
    RESOURCE_DOES_NOT_EXIST,
)
from mlflow.store.entities.paged_list import PagedList

from ciplug.errors import PromotionRefused, Refusal
from ciplug.mlflow import mlflow_names, state
from ciplug.mlflow.errors import translated
from ciplug.mlflow.place import place_of
from ciplug.mlflow.registry_view import RegistryView, version_location
from ciplug.mlflow.unsupported import UnsupportedRegistry
from ciplug.records.registry_event import Register
from ciplug.registry.ladder import ARCHIVED, NO_STAGE
from ciplug.registry.model import Model, Version
from ciplug.steps.policy_in_force import read_policies
from ciplug.steps.promotion import labels, models, moves
from ciplug.steps.promotion.judging_section import gated_stage
from ciplug.steps.promotion.promote import PromotionRequest, promote
from ciplug.steps.promotion.protected_policy import by_protected_policy
from ciplug.steps.registered_model import read_model
from ciplug.steps.session import Session

T = TypeVar("T")
_MODELS_MOST = 1_000
_VERSIONS_MOST = 200_000
_VERSIONS = 10_000
_MODELS = 100
_MODEL_ORDERS = ("name", "last_updated_timestamp", "timestamp")


class RegistryStore(UnsupportedRegistry, mlflow_names.AbstractRegistryStore):  # type: ignore[misc, unused-ignore]
    """The registry of a checkout's store."""

    @translated
    def __init__(self, store_uri: str, tracking_uri: str | None = None) -> None:
        super().__init__(store_uri, tracking_uri)
        self.place = place_of(store_uri)
        self._view = RegistryView(self.place)

    # Reading

    def _model(self, name: str, *, fresh: bool = False) -> Model:
        mlflow_names.validate_model_name(name)
        model = self._view.model(name, fresh=fresh)
        if not model.exists:
            raise MlflowException(f"Registered Model with name={name} not found", RESOURCE_DOES_NOT_EXIST)
        return model

    def _version(self, name: str, version: str | int, *, fresh: bool = False) -> tuple[Model, Version]:
        # It returns the number since 3.14.
        mlflow_names.validate_model_version(version)
        mlflow_names.validate_model_name(name)
        model = self._view.model(name, fresh=fresh)
        found = model.by_number.get(int(version)) if model.exists else None
        if found is None or found.hidden:
            raise MlflowException(f"Model Version (name={name}, version={version}) not found", RESOURCE_DOES_NOT_EXIST)
        return model, found

    def _number(self, name: str, version: str | int) -> int:
        return self._version(name, version)[1].number

    def _gated(self, name: str) -> tuple[str, ...]:
        return self._view.gated_stages(name)

    def _version_entity(self, model: Model, version: Version) -> ModelVersion:
        aliases = list(model.aliases_of(version.number))
        for stage in self._gated(model.name):
            holder = model.holder(stage)
            if holder is not None and holder.number == version.number and stage.lower() not in aliases:
                aliases.append(stage.lower())
        return ModelVersion(
            name=model.name,
            version=version.number,
            creation_timestamp=state.milliseconds(version.origin.get("created") or version.created),
            last_updated_timestamp=_updated(version),
            description=version.description,
            user_id=version.origin.get("user") or version.actor,
            current_stage=version.stage,
            source=version.source or version_location(version),
            run_id=version.run,
            status="READY",
            tags=[ModelVersionTag(key, value) for key, value in version.tags.items()],
            run_link=version.run_link,
            aliases=aliases,
        )

    def _model_entity(self, model: Model) -> RegisteredModel:
        aliases = dict(model.aliases)
        for stage in self._gated(model.name):
            if holder := model.holder(stage):
                aliases.setdefault(stage.lower(), holder.number)
        latest: dict[str, Version] = {}
        for version in model.versions:
            latest[version.stage] = version
        return RegisteredModel(
            name=model.name,
            creation_timestamp=state.milliseconds(model.origin.get("created") or model.created),
            last_updated_timestamp=_updated(model),
            description=model.description,
            latest_versions=[self._version_entity(model, version) for version in latest.values()],
            tags=[RegisteredModelTag(key, value) for key, value in model.tags.items()],
            aliases=[RegisteredModelAlias(alias, number) for alias, number in aliases.items()],
        )

    # Models

    @translated
    def create_registered_model(
        self, name: str, tags: Any = None, description: str | None = None, deployment_job_id: str | None = None
    ) -> RegisteredModel:
        mlflow_names.validate_model_name(name)
        for tag in tags or ():
            mlflow_names.validate_registered_model_tag(tag.key, tag.value)
        given = {tag.key: str(tag.value) for tag in tags or ()}
        try:
            model = self._write(lambda session: models.create_model(session, name, description, given)).model
        except PromotionRefused as refused:
            if refused.reason is Refusal.NAME_TAKEN:
                words = f"Registered Model (name={name}) already exists."
                raise MlflowException(words, RESOURCE_ALREADY_EXISTS) from None
            raise
        return self._model_entity(model)

    @translated
    def update_registered_model(
        self, name: str, description: str | None, deployment_job_id: str | None = None
    ) -> RegisteredModel:
        done = self._write(lambda session: labels.describe(session, self._model(name).name, None, description))
        return self._model_entity(done.model)

    @translated
    def rename_registered_model(self, name: str, new_name: str) -> RegisteredModel:
        mlflow_names.validate_model_renaming(new_name)

        def rename(session: Session) -> None:
            self._model(name)
            if self._view.model(new_name).exists:
                words = f"Registered Model (name={new_name}) already exists."
                raise MlflowException(words, RESOURCE_ALREADY_EXISTS)
            models.rename_model(session, name, new_name)

        self._write(rename)
        return self._model_entity(self._model(new_name))

    @translated
    def delete_registered_model(self, name: str) -> None:
        self._write(lambda session: models.delete_model(session, self._model(name).name))

    @translated
    def get_registered_model(self, name: str) -> RegisteredModel:
        return self._model_entity(self._model(name))

    @translated
    def search_registered_models(
        self,
        filter_string: str | None = None,
        max_results: int | None = _MODELS,
        order_by: Sequence[str] | None = None,
        page_token: str | None = None,
    ) -> Any:
        _check_page(max_results, _MODELS_MOST)
        utils = mlflow_names.SearchModelUtils
        for clause in order_by or ():
            key, _ = mlflow_names.SearchUtils.parse_order_by_for_search_registered_models(clause)
            if key not in _MODEL_ORDERS:
                words = f"Invalid order by key '{key}' specified. Valid keys are {', '.join(_MODEL_ORDERS)}"
                raise MlflowException(words, INVALID_PARAMETER_VALUE)
        found = [self._model_entity(model) for model in self._view.models() if model.exists]
        found = utils.filter(found, mlflow_names.without_prompts(filter_string))
        orders = [re.sub(r"^\s*timestamp\b", "last_updated_timestamp", clause) for clause in order_by or ()]
        return _page(utils.sort(found, orders), page_token, max_results)

    @translated
    def get_latest_versions(self, name: str, stages: Sequence[str] | None = None) -> list[ModelVersion]:
        model = self._model(name, fresh=True)
        wanted = {mlflow_names.canonical_stage(stage) for stage in stages or mlflow_names.ALL_STAGES}
        latest = {version.stage: version for version in model.versions}
        own = set(self._gated(name)) if not stages else set()
        return [self._version_entity(model, one) for stage, one in latest.items() if stage in wanted | own]

    @translated
    def set_registered_model_tag(self, name: str, tag: Any) -> None:
        mlflow_names.validate_registered_model_tag(tag.key, tag.value)
        self._write(lambda session: labels.set_tag(session, self._model(name).name, None, tag.key, str(tag.value)))

    @translated
    def delete_registered_model_tag(self, name: str, key: str) -> None:
        mlflow_names.validate_tag_name(key)
        self._write(lambda session: labels.delete_tag(session, self._model(name).name, None, key))

    # Versions

    def copy_model_version(self, src_mv: ModelVersion, dst_name: str) -> ModelVersion:
        """Copy a version as MLflow does; a refusal is told as it is, and not as a fault of the store."""
        try:
            return super().copy_model_version(src_mv, dst_name)
        except MlflowException as problem:
            if isinstance(problem.__cause__, MlflowException):
                raise problem.__cause__ from None
            raise

    @translated
    def create_model_version(
        self,
        name: str,
        source: str,
        run_id: str | None = None,
        tags: Any = None,
        run_link: str | None = None,
        description: str | None = None,
        local_model_path: str | None = None,
        model_id: str | None = None,
    ) -> ModelVersion:
        mlflow_names.validate_model_name(name)
        for tag in tags or ():
            mlflow_names.validate_model_version_tag(tag.key, tag.value)
        location, run_id, model_id = self._origin(source, run_id, model_id)
        self._model(name)
        made = self._view.registration(location, run_id)
        payload = Register(
            version=0,
            run=run_id or None,
            commit=made.commit,
            files=made.files,
            digest=made.digest,
            record=made.record,
            metrics=made.metrics,
            source=source,
            location=location if location != source else None,
            model_id=model_id,
            run_link=run_link,
            description=description,
            tags={tag.key: str(tag.value) for tag in tags or ()},
        )
        copied = source.startswith("models:/") and not source.startswith("models:/m-")

        def register(session: Session) -> Any:
            lowest = _lowest_gated_stage(session, name) if copied else None
            if lowest is None:
                return models.register_version(session, name, payload).model.last_number
            if not run_id:
                raise PromotionRefused(
                    Refusal.NO_RUN,
                    f"the policy judges '{name}', and the version to copy was registered without a run",
                    hint="record a run that makes it: ciplug run -- COMMAND; and promote that run",
                )
            return promote(session, PromotionRequest(name, lowest, run=run_id, registration=payload)).version

        return self._version_entity(*self._version(name, self._write(register)))

    def _origin(self, source: str, run_id: str | None, model_id: str | None) -> tuple[str, str | None, str | None]:
        """Return where the files of a new version are, its run, and its logged model."""
        location = source
        if source.startswith("models:"):
            try:
                parsed = mlflow_names.parse_model_uri(source)
                if parsed.model_id is not None:
                    location, run_of_model = self._logged_model(parsed.model_id)
                    return location, run_id or run_of_model, model_id or parsed.model_id
                location = self.get_model_version_download_uri(parsed.name, parsed.version)
            except Exception as problem:
                raise MlflowException(
                    f"Unable to fetch model from model URI source artifact location '{source}'.Error: {problem}"
                ) from problem
        if not run_id and model_id:
            run_id = self._logged_model(model_id)[1]
        return location, run_id, model_id

    def _logged_model(self, model_id: str) -> tuple[str, str | None]:
        found = self.place.logged_model(model_id)
        if found is not None and found.deleted:
            raise MlflowException(f"Logged model with ID '{model_id}' not found.", RESOURCE_DOES_NOT_EXIST)
        if found is not None:
            return found.location or "", found.source_run
        from mlflow.tracking import MlflowClient

        model = MlflowClient().get_logged_model(model_id)
        return model.artifact_location, model.source_run_id

    @translated
    def update_model_version(self, name: str, version: str | int, description: str | None = None) -> ModelVersion:
        done = self._write(lambda session: labels.describe(session, name, self._number(name, version), description))
        return self._version_entity(done.model, done.model.version(int(version)))

    @translated
    def transition_model_version_stage(
        self, name: str, version: str | int, stage: str, archive_existing_versions: bool
    ) -> ModelVersion:
        def move(session: Session) -> int:
            _, found = self._version(name, version)
            number = found.number
            gated = {one.casefold(): one for one in self._gated(name)}
            target = gated.get(stage.strip().casefold()) or mlflow_names.canonical_stage(stage)
            if archive_existing_versions and target in (NO_STAGE, ARCHIVED):
                raise MlflowException(
                    f"Model version transition cannot archive existing model versions because '{stage}' is not an "
                    f"Active stage. Valid stages are {mlflow_names.ACTIVE_STAGES}"
                )
            protected = by_protected_policy(session)
            model = read_model(protected, name)
            if gated_stage(protected, model, target, found):
                promote(session, PromotionRequest(name, target, version=number))
            elif gated_stage(protected, model, found.stage, found):
                moves.demote(session, name, version=number, to=target.lower())
            else:
                moves.move_freely(session, name, number, target, archive_others=bool(archive_existing_versions))
            return number

        return self._version_entity(*self._version(name, self._write(move)))

    @translated
    def delete_model_version(self, name: str, version: str | int) -> None:
        self._write(lambda session: models.delete_version(session, name, self._number(name, version)))

    @translated
    def get_model_version(self, name: str, version: str | int) -> ModelVersion:
        return self._version_entity(*self._version(name, version))

    @translated
    def get_model_version_download_uri(self, name: str, version: str | int) -> str:
        _, found = self._version(name, version)
        return found.location or found.source or version_location(found)

    @translated
    def search_model_versions(
        self,
        filter_string: str | None = None,
        max_results: int | None = _VERSIONS,
        order_by: Sequence[str] | None = None,
        page_token: str | None = None,
    ) -> Any:
        _check_page(max_results, _VERSIONS_MOST)
        utils = mlflow_names.SearchModelVersionUtils
        prompts = mlflow_names.without_prompts(filter_string)
        found = [
            self._version_entity(model, version)
            for model in self._view.models()
            if model.exists
            for version in model.versions
        ]
        found = utils.filter(found, prompts)
        order = order_by or ["last_updated_timestamp DESC", "name ASC", "version_number DESC"]
        return _page(utils.sort(found, order), page_token, max_results)

    @translated
    def set_model_version_tag(self, name: str, version: str | int, tag: Any) -> None:
        mlflow_names.validate_model_version_tag(tag.key, tag.value)
        self._write(lambda session: labels.set_tag(session, name, self._number(name, version), tag.key, str(tag.value)))

    @translated
    def delete_model_version_tag(self, name: str, version: str | int, key: str) -> None:
        mlflow_names.validate_tag_name(key)
        self._write(lambda session: labels.delete_tag(session, name, self._number(name, version), key))

    @translated
    def set_registered_model_alias(self, name: str, alias: str, version: str | int) -> None:
        mlflow_names.validate_model_alias_name(alias)
        mlflow_names.validate_model_alias_name_reserved(alias)
        self._write(lambda session: labels.set_alias(session, name, alias, self._number(name, version)))

    @translated
    def delete_registered_model_alias(self, name: str, alias: str) -> None:
        mlflow_names.validate_model_alias_name(alias)
        self._write(lambda session: labels.delete_alias(session, self._model(name).name, alias))

    @translated
    def get_model_version_by_alias(self, name: str, alias: str) -> ModelVersion:
        model = self._model(name, fresh=True)
        number = model.aliases.get(alias)
        if number is None:
            stage = next((one for one in model.stages if one.casefold() == alias.casefold()), None)
            holder = model.holder(stage) if stage else None
            number = holder.number if holder else None
        if number is None:
            raise MlflowException(f"Registered model alias {alias} not found.", INVALID_PARAMETER_VALUE)
        return self._version_entity(*self._version(name, number))

    def _await_model_version_creation(self, mv: ModelVersion, await_creation_for: int) -> None:
        """A version is ready as soon as it is there."""

    # Writing

    def _write(self, action: Callable[[Session], T]) -> T:
        """Change the registry, by the policy as it is now; what is read next is what was written."""
        return self._view.write(action)


def _updated(one: Model | Version) -> int:
    """Unix milliseconds of the last change; of one that was imported and not changed since, what was said there."""
    there = one.origin.get("updated") if one.updated in ("", one.created) else None
    return state.milliseconds(there or one.updated or one.created)


def _lowest_gated_stage(session: Session, name: str) -> str | None:
    """The first stage of a name that the policy in force judges: where a copy enters; None for other names."""
    policies = read_policies(by_protected_policy(session))
    return next(iter(policies.gated_stages(name)), None) if policies.names(name) else None


def _check_page(max_results: Any, most: int) -> None:
    # MLflow's own registry looks at the size of a page of models first, and at its type for versions only.
    is_number = isinstance(max_results, int) or (most == _MODELS_MOST and isinstance(max_results, float))
    if not is_number or max_results < 1:
        raise MlflowException(
            f"Invalid value for max_results. It must be a positive integer, but got {max_results}",
            INVALID_PARAMETER_VALUE,
        )
    if max_results > most:
        raise MlflowException(
            f"Invalid value for request parameter max_results. It must be at most {most}, but got value {max_results}",
            INVALID_PARAMETER_VALUE,
        )


def _page(found: Iterable[Any], page_token: str | None, max_results: int | None) -> Any:
    every = list(found)
    start = mlflow_names.SearchUtils.parse_start_offset_from_page_token(page_token)
    end = start + int(max_results or math.inf)
    token = mlflow_names.SearchUtils.create_page_token(end) if end < len(every) else None
    return PagedList(every[start:end], token)
