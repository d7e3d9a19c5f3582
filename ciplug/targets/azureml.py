"""A managed online endpoint of Azure Machine Learning as a target, by its Python SDK.

A version is a model asset, whose properties never change. A deployment of its own serves it, which gets the traffic of
the endpoint when it answers; then the deployment before is deleted. The traffic is what is served.
"""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ciplug.config.service_targets import AzuremlTarget
from ciplug.errors import Cause, CiplugError, DeploymentRefused, NotDeployed, TargetError
from ciplug.targets.base import Live, Release, what_stays
from ciplug.targets.served_folder import served_folder

_MODEL, _VERSION, _DIGEST, _EVENT, _SETTINGS = (
    f"ciplug.{name}" for name in ("model", "version", "digest", "event", "settings")
)
"""Properties of a model asset, tags of a deployment and of an endpoint."""
PAUSE = 10.0
"""Seconds between two questions to a deployment that changes."""
_CHANGING = ("Creating", "Updating", "Scaling", "Deleting")
_CAUSES = {401: Cause.BAD_CREDENTIAL, 403: Cause.FORBIDDEN, 404: Cause.NOT_FOUND}
_WORDS_MOST = 300


class Azureml:
    """A target of kind `azureml`."""

    def __init__(self, settings: AzuremlTarget, mask: Callable[[str], str]) -> None:
        self._settings = settings
        self._mask = mask

    def live(self, stage: str) -> Live | None:
        endpoint = self._endpoint()
        serving = _serving(endpoint) if endpoint is not None else []
        if endpoint is None or not serving:
            return None
        deployment = self._deployment(serving[0])
        if deployment is None or len(serving) != 1:
            return Live(str(endpoint.id), {}, endpoint.scoring_uri)
        model = self._model(*_name_and_version(deployment.model))
        digest = (model.properties or {}).get(_DIGEST) if model else None
        if model is None or digest is None or not self._serves_asset(deployment):
            return Live(str(deployment.model), {}, endpoint.scoring_uri)
        state = deployment.provisioning_state
        problem = None if state == "Succeeded" else f"the deployment {deployment.name} is in the state {state}"
        outdated = None
        if (deployment.tags or {}).get(_SETTINGS) != self._settings_digest:
            outdated = f"the settings of the endpoint {self._settings.endpoint} in ciplug.yaml have changed"
        return Live(str(model.id), None, endpoint.scoring_uri, problem, digest, outdated)

    def place(self, release: Release) -> None:
        self._check_model(release.model, self._endpoint())
        folder = served_folder(release.files, self._settings.folder)
        name, version = self._asset(release)
        kept = self._model(name, version)
        if kept is None:
            from azure.ai.ml.entities import Model

            is_mlflow = (release.folder / folder / "MLmodel").is_file()
            facts = {_MODEL: release.model, _VERSION: str(release.version), _DIGEST: release.digest}
            made = Model(
                name=name,
                version=version,
                path=str(release.folder / folder),
                type="mlflow_model" if is_mlflow else "custom_model",
                properties=facts,
            )
            with self._errors():
                self._client.models.create_or_update(made)
        elif (kept.properties or {}).get(_DIGEST) != release.digest:
            raise _other_content(f"the model asset {name}:{version} has other bytes than version {release.version}")
        self._verify(release, folder)

    def switch(self, release: Release) -> None:
        endpoint = self._endpoint() or self._create_endpoint(release)
        self._check(release.model, release.event, endpoint)
        serving = self._that_serves(endpoint, release)
        started = None if serving else self._start(release, what_stays(bool(_serving(endpoint))))
        try:
            self._lead_to(serving or started, release.model, release.event)
        except DeploymentRefused:
            # A later job was faster, and does not know this deployment.
            if started:
                with suppress(TargetError):
                    self._delete(started)
            raise
        self._delete_others(serving or started, release.model, release.event)

    def end(self, model: str, stage: str, event: int) -> None:
        endpoint = self._endpoint()
        if endpoint is None:
            return
        self._check(model, event, endpoint)
        self._lead_to(None, model, event)
        self._delete_others(None, model, event)

    # --- the model

    def _asset(self, release: Release) -> tuple[str, str]:
        """Name and version of the model asset: they follow from the digest."""
        folder = served_folder(release.files, self._settings.folder)
        name = re.sub(r"[^A-Za-z0-9_-]", "-", release.model)[:100].lstrip("-_") or "model"
        facts = hashlib.sha256(f"{release.model}\0{release.digest}\0{folder}".encode()).hexdigest()
        return name, f"{release.version}-{facts[:16]}"

    def _verify(self, release: Release, folder: str) -> None:
        """Raise DeploymentRefused unless the workspace has the very bytes: they are downloaded and compared."""
        start = f"{folder}/" if folder else ""
        expected = {path.removeprefix(start): one for path, one in release.files.items() if path.startswith(start)}
        name, version = self._asset(release)
        with TemporaryDirectory(prefix="ciplug-") as place:
            with self._errors():
                self._client.models.download(name=name, version=version, download_path=place)
            found = {path.relative_to(place): _digest_of(path) for path in Path(place).rglob("*") if path.is_file()}
        # The SDK puts the folder of the asset into folders of its own.
        depth = min((len(path.parts) for path in found), default=0) - min(len(Path(one).parts) for one in expected)
        if {"/".join(path.parts[depth:]): digest for path, digest in found.items()} != expected:
            raise _other_content(f"the model asset {name}:{version} has other bytes than version {release.version}")

    # --- deployments

    @property
    def _settings_digest(self) -> str:
        one = self._settings
        facts = [one.instance_type, one.instances, one.environment, dict(one.variables), one.folder]
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]

    def _create_endpoint(self, release: Release) -> Any:
        from azure.ai.ml.entities import ManagedOnlineEndpoint

        tags = {_MODEL: release.model, _EVENT: str(release.event)}
        made = ManagedOnlineEndpoint(name=self._settings.endpoint, auth_mode=self._settings.auth, tags=tags)
        with self._errors():
            return self._client.online_endpoints.begin_create_or_update(made).result()

    def _that_serves(self, endpoint: Any, release: Release) -> str | None:
        """The deployment that has all traffic, if it serves this version with these settings."""
        serving = _serving(endpoint)
        deployment = self._deployment(serving[0]) if len(serving) == 1 else None
        if deployment is None or deployment.provisioning_state != "Succeeded":
            return None
        return str(deployment.name) if self._is_of(deployment, release) else None

    def _is_of(self, deployment: Any, release: Release) -> bool:
        """Whether a deployment has the model asset of a version, and these settings."""
        same = (deployment.tags or {}).get(_SETTINGS) == self._settings_digest
        return same and self._serves_asset(deployment) and _name_and_version(deployment.model) == self._asset(release)

    def _serves_asset(self, deployment: Any) -> bool:
        """Whether a deployment serves a model asset of this workspace, and not by a program that somebody has added."""
        reference = str(getattr(deployment.model, "id", None) or deployment.model).casefold()
        one = self._settings
        place = re.search(r"/subscriptions/([^/]+)/resourcegroups/([^/]+)/.*/workspaces/([^/]+)/", reference)
        ours = tuple(part.casefold() for part in (one.subscription, one.resource_group, one.workspace))
        is_elsewhere = "registries/" in reference or (place is not None and place.groups() != ours)
        return not is_elsewhere and getattr(deployment, "code_configuration", None) is None

    def _start(self, release: Release, stays: str) -> str:
        """A deployment of this version, which has no traffic yet; returns its name when it answers."""
        from azure.ai.ml.entities import ManagedOnlineDeployment

        model, version = self._asset(release)
        facts = hashlib.sha256(f"{model}:{version}:{self._settings_digest}".encode()).hexdigest()
        # The numbers of events begin again where a log does: what the name says of the content does not.
        name = f"v{release.version}-e{release.event}-{facts[:6]}"
        made = ManagedOnlineDeployment(
            name=name,
            endpoint_name=self._settings.endpoint,
            model=f"azureml:{model}:{version}",
            environment=self._settings.environment,
            environment_variables=dict(self._settings.variables),
            instance_type=self._settings.instance_type,
            instance_count=self._settings.instances,
            tags={
                _MODEL: release.model,
                _VERSION: str(release.version),
                _SETTINGS: self._settings_digest,
                _EVENT: str(release.event),
            },
        )
        reason = ""
        try:
            found = self._settled(name)
            if found is None or found.provisioning_state != "Succeeded":
                with self._errors():
                    self._client.online_deployments.begin_create_or_update(made).result()
        except TargetError as problem:
            if problem.cause in (Cause.NETWORK, Cause.NO_CREDENTIAL, Cause.BAD_CREDENTIAL, Cause.FORBIDDEN):
                raise
            reason = problem.message
        deployment = self._settled(name)
        if deployment is not None and not self._is_of(deployment, release):
            words = f"the deployment {name} has another model, or other settings, than version {release.version}"
            raise _other_content(words)
        if deployment is not None and deployment.provisioning_state == "Succeeded":
            return name
        if deployment is not None:
            self._delete(name)
        raise DeploymentRefused(
            NotDeployed.UNHEALTHY,
            f"the deployment of version {release.version} at the endpoint {self._settings.endpoint} does not answer"
            f"{f': {reason}' if reason else ''}; {stays}",
            hint="read the log of the deployment in the studio of Azure Machine Learning",
        )

    def _settled(self, name: str) -> Any:
        """A deployment, once it does not change any more: a job that was killed may have begun it."""
        until = time.monotonic() + self._settings.patience
        while (found := self._deployment(name)) and found.provisioning_state in _CHANGING:
            if time.monotonic() >= until:
                raise TargetError(
                    f"the deployment {name} is still in the state {found.provisioning_state}",
                    hint="see the endpoint in the studio of Azure Machine Learning",
                    cause=Cause.NETWORK,
                )
            time.sleep(PAUSE)
        return found

    def _lead_to(self, name: str | None, model: str, event: int) -> None:
        """Give all traffic to a deployment, or to none, in one request."""
        endpoint = self._endpoint()
        traffic = {name: 100} if name else {}
        # A deployment takes minutes to start, and another one may have come meanwhile.
        self._check(model, event, endpoint)
        if endpoint is None or (_serving(endpoint) == list(traffic) and _event(endpoint) == event):
            return
        endpoint.traffic = traffic
        endpoint.mirror_traffic = {}
        endpoint.tags = {**(endpoint.tags or {}), _EVENT: str(event)}
        with self._errors():
            self._client.online_endpoints.begin_create_or_update(endpoint).result()

    def _delete_others(self, kept: str | None, model: str, event: int) -> None:
        """Delete the deployments of ciplug before this event; a later one may be starting."""
        with self._errors():
            found = list(self._client.online_deployments.list(endpoint_name=self._settings.endpoint))
        for one in found:
            if one.name != kept and (one.tags or {}).get(_MODEL) == model and _event(one) <= event:
                self._delete(one.name)

    def _delete(self, name: str) -> None:
        with self._errors():
            self._client.online_deployments.begin_delete(name=name, endpoint_name=self._settings.endpoint).result()

    def _check(self, model: str, event: int, endpoint: Any) -> None:
        self._check_model(model, endpoint)
        if endpoint is not None:
            self._check_order(model, event, endpoint)

    def _check_model(self, model: str, endpoint: Any) -> None:
        if endpoint is not None and (endpoint.tags or {}).get(_MODEL) != model:
            raise DeploymentRefused(
                NotDeployed.OTHER_MODEL,
                f"the endpoint {self._settings.endpoint} is not of the model '{model}'",
                hint="give each model an endpoint of its own, in targets: of ciplug.yaml",
            )

    def _check_order(self, model: str, event: int, endpoint: Any) -> None:
        """Raise DeploymentRefused where a later deployment is served: this job was held up for long."""
        if _event(endpoint) > event:
            raise DeploymentRefused(
                NotDeployed.SUPERSEDED,
                f"the endpoint {self._settings.endpoint} is of a later deployment (event {_event(endpoint)}) than this "
                f"one (event {event})",
                hint=f"see what is served: ciplug deployments status '{model}'",
            )

    # --- the workspace

    @cached_property
    def _client(self) -> Any:
        try:
            from azure.ai.ml import MLClient
            from azure.identity import DefaultAzureCredential
        except ImportError:
            raise TargetError(
                "the SDK of Azure Machine Learning is not installed",
                hint="pip install 'ciplug[azureml]'",
                cause=Cause.LIBRARY_MISSING,
            ) from None
        one = self._settings
        place = (one.subscription, one.resource_group, one.workspace)
        with self._errors():
            return MLClient(DefaultAzureCredential(), *place, enable_telemetry=False)

    def _endpoint(self) -> Any:
        found = self._found(lambda: self._client.online_endpoints.get(name=self._settings.endpoint))
        if found is None:
            # Azure says the same where the workspace does not exist: that something serves elsewhere is no end.
            with self._errors():
                self._client.workspaces.get(name=self._settings.workspace)
        return found

    def _deployment(self, name: str) -> Any:
        return self._found(
            lambda: self._client.online_deployments.get(name=name, endpoint_name=self._settings.endpoint)
        )

    def _model(self, name: str, version: str) -> Any:
        return self._found(lambda: self._client.models.get(name=name, version=version))

    def _found(self, ask: Callable[[], Any]) -> Any:
        """What is asked for; None where Azure does not have it."""
        try:
            with self._errors():
                return ask()
        except TargetError as problem:
            if problem.cause is Cause.NOT_FOUND:
                return None
            raise

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """Raise what the SDK raises as TargetError."""
        try:
            yield
        except CiplugError:
            raise
        except Exception as problem:
            said = "".join(c if c.isprintable() else " " for c in self._mask(str(problem)))[:_WORDS_MOST]
            names = {cls.__name__ for cls in type(problem).__mro__}
            status = getattr(problem, "status_code", None) or 0
            cause = Cause.NETWORK if status == 429 or status >= 500 else _CAUSES.get(status, Cause.UNKNOWN)
            if "ResourceNotFoundError" in names:
                cause = Cause.NOT_FOUND
            elif "ClientAuthenticationError" in names:
                cause = Cause.NO_CREDENTIAL
            elif names & {"ServiceRequestError", "ServiceResponseError", "RequestException", "OSError"}:
                cause = Cause.NETWORK
            hint = "credentials come from AZURE_CLIENT_ID, AZURE_TENANT_ID and AZURE_CLIENT_SECRET, or az login"
            denied = cause in (Cause.NO_CREDENTIAL, Cause.BAD_CREDENTIAL, Cause.FORBIDDEN)
            raise TargetError(
                f"Azure: {said or type(problem).__name__}", hint=hint if denied else None, cause=cause
            ) from None


def _serving(endpoint: Any) -> list[str]:
    """The deployments that have traffic."""
    return sorted(str(name) for name, share in (endpoint.traffic or {}).items() if int(share) > 0)


def _other_content(words: str) -> DeploymentRefused:
    return DeploymentRefused(
        NotDeployed.OTHER_CONTENT, words, hint="find out who made it, and delete it in the workspace"
    )


def _event(tagged: Any) -> int:
    """The number of the event that an endpoint or a deployment is of."""
    text = (tagged.tags or {}).get(_EVENT, "")
    return int(text) if text.isdecimal() else 0


def _name_and_version(model: Any) -> tuple[str, str]:
    """Of a model asset: an address such as `azureml:wine:1` or `…/models/wine/versions/1`."""
    text = str(getattr(model, "id", None) or model)
    found = re.search(r"/models/([^/]+)/versions/([^/]+)$", text) or re.search(r"([^:/]+):([^:/]+)$", text)
    return (found[1], found[2]) if found else ("", "")


def _digest_of(file: Path) -> str:
    digest = hashlib.sha256()
    with file.open("rb") as data:
        while part := data.read(1 << 20):
            digest.update(part)
    return f"sha256:{digest.hexdigest()}"
