"""As much of a Kubernetes API server as kubectl needs for InferenceServices, and of KServe's controller.

kubectl itself is real. As in KServe, a status stays until the controller has looked at what was changed, which it does
after the next question; its `observedGeneration` is that of the Deployment behind the service, which others count up,
too. A service whose predictor names the runtime `broken` does not become ready. What is deleted is there once more.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.servers.loopback import Handler, Loopback

_GROUP = "serving.kserve.io"
_BASE = f"/apis/{_GROUP}/v1beta1"
_KIND = {"group": _GROUP, "version": "v1beta1", "kind": "InferenceService"}
_RESOURCE = {
    "name": "inferenceservices",
    "singularName": "inferenceservice",
    "namespaced": True,
    "kind": "InferenceService",
    "verbs": ["create", "delete", "get", "update"],
}
_VERSION = {"groupVersion": f"{_GROUP}/v1beta1", "version": "v1beta1"}
_FIELDS = {"x-kubernetes-group-version-kind": _KIND, "parameters": [{"name": "fieldValidation", "in": "query"}]}
_STATIC = {
    "/api": {"kind": "APIVersions", "versions": ["v1"]},
    "/api/v1": {"kind": "APIResourceList", "groupVersion": "v1", "resources": []},
    "/apis": {
        "kind": "APIGroupList",
        "apiVersion": "v1",
        "groups": [{"name": _GROUP, "versions": [_VERSION], "preferredVersion": _VERSION}],
    },
    _BASE: {"kind": "APIResourceList", "groupVersion": f"{_GROUP}/v1beta1", "resources": [_RESOURCE]},
    "/openapi/v3": {"paths": {_BASE[1:]: {"serverRelativeURL": f"/openapi/v3{_BASE}"}}},
    f"/openapi/v3{_BASE}": {"openapi": "3.0.0", "paths": {f"{_BASE}/x": {"patch": _FIELDS}}},
}


class _Api(Handler):
    do_HEAD = Handler.do_GET  # noqa: N815

    def serve(self) -> None:
        body, api = self.read_body(), self.owner
        path = urlsplit(self.path).path
        api.seen.append(self.command)
        if api.before:
            before, api.before = api.before, None
            before()
        if path in _STATIC:
            self._tell(200, _STATIC[path])
            return
        _, _, collection = path.partition(f"{_BASE}/namespaces/models/inferenceservices")
        name = collection.lstrip("/")
        if self.command == "POST":
            given = json.loads(body)
            name = given["metadata"]["name"]
            if name in api.objects:
                self._refuse(409, "AlreadyExists")
            else:
                self._tell(201, api.keep(name, given, 1))
        elif name not in api.objects:
            self._refuse(404, "NotFound")
        elif self.command == "PUT":
            given, kept = json.loads(body), api.objects[name]
            if given["metadata"]["resourceVersion"] != kept["metadata"]["resourceVersion"]:
                self._refuse(409, "Conflict")
            else:
                self._tell(200, api.keep(name, given, kept["metadata"]["generation"] + 1))
        elif self.command == "DELETE":
            must = json.loads(body or b"{}").get("preconditions", {})
            if any(api.objects[name]["metadata"].get(key) != value for key, value in must.items()):
                self._refuse(409, "Conflict")
            else:
                api.objects[name]["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
                self._tell(200, {"kind": "Status", "apiVersion": "v1", "status": "Success"})
        else:
            self._tell(200, api.looked_at(name))

    def _refuse(self, status: int, reason: str) -> None:
        facts = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": status, "reason": reason}
        self._tell(status, {**facts, "message": "inferenceservices.serving.kserve.io: no"})

    def _tell(self, status: int, value: Any) -> None:
        self.answer(status, [("Content-Type", "application/json")], json.dumps(value).encode())


class KubernetesApi(Loopback):
    handler = _Api

    def __init__(self) -> None:
        super().__init__()
        self.objects: dict[str, dict[str, Any]] = {}
        self.seen: list[str] = []
        self.before: Callable[[], object] | None = None
        """Called once, before the next request is answered."""
        self._seen: dict[str, str] = {}
        self._count = 0

    def _next(self) -> str:
        self._count += 1
        return str(self._count)

    def keep(self, name: str, given: dict[str, Any], generation: int) -> dict[str, Any]:
        kept = self.objects.get(name, {})
        facts = {"uid": kept.get("metadata", {}).get("uid") or f"uid-{self._next()}", "generation": generation}
        metadata = {**given["metadata"], **facts, "resourceVersion": self._next()}
        self.objects[name] = {**given, "metadata": metadata, "status": kept.get("status", {})}
        return self.objects[name]

    def looked_at(self, name: str) -> dict[str, Any]:
        """The object as it is now; the controller looks at it afterwards."""
        kept = self.objects[name]
        if "deletionTimestamp" in kept["metadata"]:
            return self.objects.pop(name)
        spec = json.dumps([kept["spec"], kept["metadata"].get("annotations")])
        if kept["status"] and self._seen.get(name) == spec:
            return kept
        self._seen[name] = spec
        broken = kept["spec"]["predictor"]["model"].get("runtime") == "broken"
        failure = {"transitionStatus": "BlockedByFailedLoad", "lastFailureInfo": {"message": "no such layer"}}
        status = {
            "observedGeneration": kept["status"].get("observedGeneration", 10) + 1,
            "url": f"http://{name}.models.example.com",
            "conditions": [{"type": "Ready", "status": "False" if broken else "True"}],
            "modelStatus": failure if broken else {"transitionStatus": "UpToDate"},
        }
        self.objects[name] = {
            **kept,
            "metadata": {**kept["metadata"], "resourceVersion": self._next()},
            "status": status,
        }
        return kept

    def write_config(self, file: Path) -> None:
        """A configuration of kubectl for this server, with a token."""
        value = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "test", "cluster": {"server": self.origin}}],
            "users": [{"name": "robot", "user": {"token": "correct-horse-battery"}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "robot"}}],
            "current-context": "test",
        }
        file.write_text(json.dumps(value))
