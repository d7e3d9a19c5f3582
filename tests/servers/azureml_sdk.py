"""A stand-in for the part of azure-ai-ml that ciplug calls: models, endpoints and deployments in memory.

The SDK weighs 140 MB, and its servers cannot be had. A deployment with the instance type `broken` does not come up.
"""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest


class HttpResponseError(Exception):
    status_code = 400


class ResourceNotFoundError(HttpResponseError):
    status_code = 404


class ClientAuthenticationError(HttpResponseError):
    status_code = 401


for _error in (HttpResponseError, ResourceNotFoundError, ClientAuthenticationError):
    _error.__module__ = "azure.core.exceptions"


_WORKSPACE = "/subscriptions/s/resourceGroups/g/providers/Microsoft.MachineLearningServices/workspaces/w"


@dataclass(kw_only=True)
class Model:
    name: str
    version: str
    path: str
    type: str
    properties: dict[str, str]

    @property
    def id(self) -> str:
        return f"{_WORKSPACE}/models/{self.name}/versions/{self.version}"


@dataclass(kw_only=True)
class ManagedOnlineEndpoint:
    name: str
    auth_mode: str
    tags: dict[str, str]
    traffic: dict[str, int] = field(default_factory=dict)
    mirror_traffic: dict[str, int] = field(default_factory=dict)

    @property
    def id(self) -> str:
        return f"{_WORKSPACE}/onlineEndpoints/{self.name}"

    @property
    def scoring_uri(self) -> str:
        return f"https://{self.name}.westeurope.inference.ml.azure.com/score"


@dataclass(kw_only=True)
class ManagedOnlineDeployment:
    name: str
    endpoint_name: str
    model: str
    environment: str | None
    environment_variables: dict[str, str]
    instance_type: str
    instance_count: int
    tags: dict[str, str]
    provisioning_state: str = "Succeeded"
    code_configuration: str | None = None


class Workspace:
    """What Azure has. Each call is counted, and may fail."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.kept: dict[str, Any] = {}
        self.calls: list[str] = []
        self.fails: Callable[[int], BaseException | None] = lambda number: None
        self.workspace = "w"
        for kind in ("models", "online_endpoints", "online_deployments", "workspaces"):
            names = ("get", "create_or_update", "begin_create_or_update", "begin_delete", "list", "download")
            setattr(self, kind, SimpleNamespace(**{name: self._call(kind, name) for name in names}))

    def _call(self, kind: str, name: str) -> Callable[..., Any]:
        def call(*words: Any, **named: Any) -> Any:
            self.calls.append(f"{kind}.{name}")
            if problem := self.fails(len(self.calls)):
                raise problem
            done = getattr(self, f"_{name}")(kind, *words, **named)
            return SimpleNamespace(result=done) if name.startswith("begin") else done()

        return call

    def _get(self, kind: str, *, name: str, version: str = "", endpoint_name: str = "") -> Callable[[], Any]:
        key = f"{kind}/{name}{version}"
        if self.workspace != "w" or (kind != "workspaces" and key not in self.kept):
            raise ResourceNotFoundError(f"({kind}) {name} was not found")
        if kind == "workspaces":
            return lambda: name
        return lambda: replace(self.kept[key])

    def _create_or_update(self, kind: str, made: Any) -> Callable[[], Any]:
        self.kept[f"{kind}/{made.name}{getattr(made, 'version', '')}"] = made
        if isinstance(made, ManagedOnlineDeployment):
            # Azure tells the whole address.
            made.model = re.sub(r"^azureml:([^:/]+):([^:/]+)$", rf"{_WORKSPACE}/models/\1/versions/\2", made.model)
        if kind == "models":
            shutil.copytree(made.path, self._folder / made.name / made.version / "model", dirs_exist_ok=True)
        if getattr(made, "instance_type", "") == "broken":
            made.provisioning_state = "Failed"
        return lambda: self._outcome(made)

    _begin_create_or_update = _create_or_update

    def _outcome(self, made: Any) -> Any:
        if getattr(made, "provisioning_state", "Succeeded") == "Failed":
            raise HttpResponseError("(ResourceNotReady) User container has crashed or terminated")
        return made

    def _begin_delete(self, kind: str, *, name: str, endpoint_name: str) -> Callable[[], Any]:
        endpoint = self.kept[f"online_endpoints/{endpoint_name}"]
        if name in {**endpoint.traffic, **endpoint.mirror_traffic}:
            raise HttpResponseError("a deployment with traffic cannot be deleted")
        return lambda: self.kept.pop(f"{kind}/{name}")

    def _list(self, kind: str, *, endpoint_name: str) -> Callable[[], Any]:
        return lambda: [one for key, one in self.kept.items() if key.startswith(f"{kind}/")]

    def _download(self, kind: str, *, name: str, version: str, download_path: str) -> Callable[[], Any]:
        return lambda: shutil.copytree(self.files(name, version), Path(download_path) / name, dirs_exist_ok=True)

    def _client(self, credential: object, subscription: str, group: str, workspace: str, **named: Any) -> Workspace:
        self.workspace = workspace
        return self

    def files(self, name: str, version: str) -> Path:
        return self._folder / name / version

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Have `import azure.ai.ml` find this."""
        parts: dict[str, dict[str, Any]] = {
            "azure": {},
            "azure.ai": {},
            "azure.ai.ml": {"MLClient": self._client},
            "azure.ai.ml.entities": {
                one.__name__: one for one in (Model, ManagedOnlineEndpoint, ManagedOnlineDeployment)
            },
            "azure.identity": {"DefaultAzureCredential": lambda: None},
        }
        for name, members in parts.items():
            module = ModuleType(name)
            vars(module).update(members)
            monkeypatch.setitem(sys.modules, name, module)
