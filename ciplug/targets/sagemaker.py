"""An endpoint of Amazon SageMaker as a target: the files in S3, a model that names them, an endpoint configuration.

The configuration of the endpoint is what is served. SageMaker starts the servers of the new one beside those of the
one before, and changes over when they answer; if they do not, it goes back by itself. The number of the deployment is
in the name of its configuration, so a deployment that was killed goes on with its own.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping
from datetime import timedelta
from functools import cached_property
from typing import Any, NamedTuple

from ciplug.config.service_targets import SagemakerTarget
from ciplug.errors import DeploymentRefused, NotDeployed, TargetError
from ciplug.targets.aws import aws_errors, client, error_code, error_message
from ciplug.targets.base import Live, Release, what_stays
from ciplug.targets.s3_folder import S3Folder
from ciplug.targets.served_folder import served_folder

PAUSE = 10.0
"""Seconds between two questions to an endpoint that changes."""
_VARIANT = "ciplug"
_STEADY = ("InService", "Failed", "OutOfService", "UpdateRollbackFailed")
"""The states that an endpoint does not leave by itself."""
_CLOCK = timedelta(seconds=1)
"""S3 tells whole seconds."""
_WORDS_MOST = 300
_MODEL, _VERSION, _DIGEST, _EVENT, _SETTINGS = (
    *("ciplug:model", "ciplug:version", "ciplug:digest", "ciplug:event"),
    "ciplug:settings",
)
"""Tags: the first three of a model, the last of a configuration, model and event of an endpoint."""


class _Served(NamedTuple):
    """What an endpoint says of itself."""

    arn: str
    status: str
    config: str
    reason: str
    tags: Mapping[str, str]

    @property
    def event(self) -> int:
        text = self.tags.get(_EVENT, "")
        return int(text) if text.isdecimal() else 0


class Sagemaker:
    """A target of kind `sagemaker`."""

    def __init__(self, settings: SagemakerTarget, mask: Callable[[str], str]) -> None:
        self._settings = settings
        self._mask = mask

    def live(self, stage: str) -> Live | None:
        served = self._endpoint()
        if served is None:
            return None
        region = self._api.meta.region_name
        endpoint = f"https://runtime.sagemaker.{region}.amazonaws.com/endpoints/{self._settings.endpoint}/invocations"
        config = self._config(served.config)
        # Endpoints of others have several variants, or none with a model.
        names = _models_of(config)
        model = self._model(names[0]) if len(names) == 1 and names[0] else None
        digest = model["tags"].get(_DIGEST) if model else None
        if config is None or model is None or digest is None:
            return Live(served.arn, {}, endpoint)
        source = _source(model)
        kept = self._files.kept(digest)
        is_ours = source.startswith(self._files.address(digest))
        problem = None if served.status == "InService" else f"the endpoint is in the state {served.status}"
        if problem is None and kept.newest and kept.newest > config["CreationTime"] + _CLOCK:
            problem = "the servers of the endpoint were started before their files were repaired"
        outdated = None
        if config["tags"].get(_SETTINGS) != self._settings_digest:
            outdated = f"the settings of the endpoint {self._settings.endpoint} in ciplug.yaml have changed"
        return Live(source, kept.files if is_ours else {}, endpoint, problem, outdated=outdated)

    def place(self, release: Release) -> None:
        self._check_model(release.model, self._endpoint())
        served_folder(release.files, self._settings.folder)
        self._files.put(release)

    def switch(self, release: Release) -> None:
        served = self._settled()
        if served and served.status == "Failed":
            # It has never served, and SageMaker updates no such endpoint.
            self._check_model(release.model, served)
            self._check_order(release.model, release.event, served)
            self._call("delete_endpoint", EndpointName=self._settings.endpoint)
            self._wait_until_gone()
            served = None
        if served and self._serves(served, release):
            self._check_order(release.model, release.event, served)
            self._note(served, release)
            return
        name = self._prepare(release)
        if served is None:
            tags = _tags({_MODEL: release.model, _EVENT: str(release.event)})
            self._call("create_endpoint", EndpointName=self._settings.endpoint, EndpointConfigName=name, Tags=tags)
        else:
            self._check_model(release.model, served)
            self._check_order(release.model, release.event, served)
            self._note(served, release)
            self._call("update_endpoint", EndpointName=self._settings.endpoint, EndpointConfigName=name)
        self._check_result(release, name, self._settled(), what_stays(served is not None))

    def end(self, model: str, stage: str, event: int) -> None:
        served = self._settled()
        if served is not None:
            self._check_model(model, served)
            self._check_order(model, event, served)
            self._call("delete_endpoint", EndpointName=self._settings.endpoint)
            self._wait_until_gone()

    # --- what is wanted

    @property
    def _container(self) -> Mapping[str, Any]:
        return {"Image": self._settings.image, "Environment": dict(self._settings.environment)}

    @property
    def _variant(self) -> Mapping[str, Any]:
        return {
            "VariantName": _VARIANT,
            "InstanceType": self._settings.instance_type,
            "InitialInstanceCount": self._settings.instances,
            "InitialVariantWeight": 1.0,
        }

    @property
    def _settings_digest(self) -> str:
        settings = [self._container, self._variant, self._settings.role, self._settings.folder]
        return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:16]

    def _model_name(self, release: Release) -> str:
        """SageMaker's models never change: the name follows from everything that is in one."""
        facts = [release.model, release.version, release.digest, self._settings_digest, self._settings.storage]
        return f"ciplug-v{release.version}-{hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:20]}"

    def _prepare(self, release: Release) -> str:
        """Have the model and the endpoint configuration of this deployment; returns the configuration's name."""
        model, tags = self._model_name(release), {_MODEL: release.model, _VERSION: str(release.version)}
        if self._model(model) is None:
            folder = served_folder(release.files, self._settings.folder)
            source = {
                "S3Uri": self._files.address(release.digest, folder),
                "S3DataType": "S3Prefix",
                "CompressionType": "None",
            }
            self._create(
                "create_model",
                ModelName=model,
                ExecutionRoleArn=self._settings.role,
                PrimaryContainer={**self._container, "ModelDataSource": {"S3DataSource": source}},
                Tags=_tags({**tags, _DIGEST: release.digest}),
            )
        name = f"{model}-e{release.event}"
        if self._config(name) is None:
            self._create(
                "create_endpoint_config",
                EndpointConfigName=name,
                ProductionVariants=[{**self._variant, "ModelName": model}],
                Tags=_tags({**tags, _SETTINGS: self._settings_digest}),
            )
        return name

    def _serves(self, served: _Served, release: Release) -> bool:
        """Whether the endpoint serves a version with these settings, by servers that are as new as its files."""
        config = self._config(served.config)
        if config is None or served.status != "InService" or config["tags"].get(_SETTINGS) != self._settings_digest:
            return False
        name = self._model_name(release)
        # Servers that run stay when their model is deleted, and new ones do not start.
        if _models_of(config) != [name] or self._model(name) is None:
            return False
        newest = self._files.kept(release.digest).newest
        return newest is None or bool(newest <= config["CreationTime"] + _CLOCK)

    def _check_model(self, model: str, served: _Served | None) -> None:
        if served and served.tags.get(_MODEL) != model:
            raise DeploymentRefused(
                NotDeployed.OTHER_MODEL,
                f"the endpoint {self._settings.endpoint} is not of the model '{model}'",
                hint="give each model an endpoint of its own, in targets: of ciplug.yaml",
            )

    def _check_order(self, model: str, event: int, served: _Served) -> None:
        """Raise DeploymentRefused where a later deployment has changed the endpoint: this job was held up for long."""
        if served.event > event:
            raise DeploymentRefused(
                NotDeployed.SUPERSEDED,
                f"the endpoint {self._settings.endpoint} is of a later deployment (event {served.event}) than this one "
                f"(event {event})",
                hint=f"see what is served: ciplug deployments status '{model}'",
            )

    def _check_result(self, release: Release, name: str, served: _Served | None, stays: str) -> None:
        """Raise DeploymentRefused where SageMaker went back to what was served before, or another job was faster."""
        if served and served.config == name and served.status == "InService":
            return
        if served:
            self._check_order(release.model, release.event, served)
        reason = self._mask(served.reason) if served else "it is gone"
        said = "".join(c for c in reason if c.isprintable())[:_WORDS_MOST]
        raise DeploymentRefused(
            NotDeployed.UNHEALTHY,
            f"the endpoint {self._settings.endpoint} does not serve version {release.version}"
            f"{f': {said}' if said else ''}; {stays}",
            hint=f"read the log of the container in CloudWatch: /aws/sagemaker/Endpoints/{self._settings.endpoint}",
        )

    # --- what SageMaker has

    @cached_property
    def _api(self) -> Any:
        return client("sagemaker", self._mask, self._settings.region)

    @cached_property
    def _files(self) -> S3Folder:
        return S3Folder(client("s3", self._mask, self._settings.region), self._settings.storage, self._mask)

    def _endpoint(self) -> _Served | None:
        found = self._describe("describe_endpoint", EndpointName=self._settings.endpoint)
        if found is None:
            return None
        arn = found["EndpointArn"]
        reason = str(found.get("FailureReason", ""))
        return _Served(arn, found["EndpointStatus"], found.get("EndpointConfigName", ""), reason, self._tags_of(arn))

    def _config(self, name: str) -> dict[str, Any] | None:
        found = self._describe("describe_endpoint_config", EndpointConfigName=name)
        return found and {**found, "tags": self._tags_of(found["EndpointConfigArn"])}

    def _model(self, name: str) -> dict[str, Any] | None:
        found = self._describe("describe_model", ModelName=name)
        return found and {**found, "tags": self._tags_of(found["ModelArn"])}

    def _tags_of(self, arn: str) -> dict[str, str]:
        with aws_errors("SageMaker", self._mask):
            pages = self._api.get_paginator("list_tags").paginate(ResourceArn=arn)
            return {one["Key"]: one["Value"] for page in pages for one in page["Tags"]}

    def _settled(self) -> _Served | None:
        """The endpoint, once it does not change any more. Raises TargetError where that takes too long."""
        until = time.monotonic() + self._settings.patience
        while (served := self._endpoint()) and served.status not in _STEADY:
            self._wait(until, f"is still in the state {served.status}")
        return served

    def _wait_until_gone(self) -> None:
        until = time.monotonic() + self._settings.patience
        while self._endpoint():
            self._wait(until, "is still being deleted")

    def _wait(self, until: float, state: str) -> None:
        if time.monotonic() >= until:
            raise TargetError(
                f"the endpoint {self._settings.endpoint} {state} after {self._settings.patience:g} s",
                hint="SageMaker goes on: see the endpoint there",
            )
        time.sleep(PAUSE)

    def _note(self, served: _Served, release: Release) -> None:
        if served.event != release.event:
            self._call("add_tags", ResourceArn=served.arn, Tags=_tags({_EVENT: str(release.event)}))

    def _call(self, name: str, **words: Any) -> Any:
        with aws_errors("SageMaker", self._mask):
            return getattr(self._api, name)(**words)

    def _create(self, name: str, **words: Any) -> None:
        """Create what another job may be creating, too: its name follows from its content."""
        with aws_errors("SageMaker", self._mask):
            try:
                getattr(self._api, name)(**words)
            except Exception as problem:
                if "already existing" not in error_message(problem):
                    raise

    def _describe(self, name: str, **words: str) -> dict[str, Any] | None:
        with aws_errors("SageMaker", self._mask):
            try:
                found: dict[str, Any] = getattr(self._api, name)(**words)
                return found
            except Exception as problem:
                if error_code(problem) == "ValidationException" and "Could not find" in error_message(problem):
                    return None
                raise


def _models_of(config: Mapping[str, Any] | None) -> list[str | None]:
    """The model of each variant of an endpoint configuration."""
    return [one.get("ModelName") for one in config.get("ProductionVariants", ())] if config else []


def _source(model: Mapping[str, Any]) -> str:
    """The address of the files of a model."""
    container = model.get("PrimaryContainer", {})
    return str(container.get("ModelDataSource", {}).get("S3DataSource", {}).get("S3Uri", ""))


def _tags(values: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in values.items()]
