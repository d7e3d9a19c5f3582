"""An InferenceService of KServe as a target: a manifest whose address of the files is pinned by the digest.

The manifest is applied by kubectl, or written to a file that something else applies, such as a GitOps repository.
Kubernetes refuses a replacement of an object that has changed since it was read, so two deployments cannot both win.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ciplug.config.service_targets import KserveTarget
from ciplug.errors import DeploymentRefused, NotDeployed, TargetError
from ciplug.locking import write_atomically
from ciplug.targets.base import Live, Release
from ciplug.targets.kserve_storage import open_storage
from ciplug.targets.kubectl import Conflict, Kubectl
from ciplug.targets.served_folder import served_folder

PAUSE = 3.0
"""Seconds between two questions to a service that is not ready."""
_KIND = "inferenceservices.serving.kserve.io"
_MODEL, _VERSION, _DIGEST, _STAGE, _COMMIT, _EVENT, _SETTINGS = (
    f"ciplug/{name}" for name in ("model", "version", "digest", "stage", "commit", "event", "settings")
)
"""Annotations."""
_OURS = ("apiVersion", "kind", "spec")
_WORDS_MOST = 300


class Kserve:
    """A target of kind `kserve`."""

    def __init__(self, settings: KserveTarget, env: Mapping[str, str], mask: Callable[[str], str]) -> None:
        self._settings = settings
        self._mask = mask
        self._storage = open_storage(settings.storage, env)
        self._kubectl = Kubectl(_KIND, settings.name, settings.namespace, settings.context, env, mask)
        self._address: str | None = None

    def live(self, stage: str) -> Live | None:
        served = self._get()
        if served is None:
            return None
        address, digest = _address(served), _notes(served).get(_DIGEST, "")
        files = self._storage.files(address, digest) if digest else {}
        status = served.get("status", {})
        problem = None if self._settings.manifest else _trouble(served)
        outdated = None
        if _notes(served).get(_SETTINGS) != self._settings_digest:
            outdated = f"the settings of the InferenceService {self._settings.name} in ciplug.yaml have changed"
        return Live(address, files, status.get("url"), problem and self._words(problem), outdated=outdated)

    def place(self, release: Release) -> None:
        self._check_model(release.model, self._get())
        self._address = self._put(release)

    def switch(self, release: Release) -> None:
        served = self._get()
        self._check_model(release.model, served)
        self._check_order(release.model, release.event, served)
        wanted = self._manifest(release, self._address or self._put(release))
        if self._settings.manifest:
            self._write(wanted)
            return
        is_there = served is not None and (_address(served), _notes(served).get(_SETTINGS)) == (
            _address(wanted),
            self._settings_digest,
        )
        if not is_there:
            self._replace(wanted, served, release.model)
        # What was served before is known only to who has replaced it.
        self._wait(release, served, can_go_back=not is_there)

    def end(self, model: str, stage: str, event: int) -> None:
        served = self._get()
        if served is None:
            return
        self._check_model(model, served)
        self._check_order(model, event, served)
        if self._settings.manifest:
            Path(self._settings.manifest).unlink(missing_ok=True)
        else:
            self._kubectl.delete()

    # --- the manifest

    def _put(self, release: Release) -> str:
        return self._storage.put(release, served_folder(release.files, self._settings.folder))

    @property
    def _settings_digest(self) -> str:
        facts = [self._settings.format, self._settings.predictor, self._settings.folder, self._settings.storage]
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]

    def _manifest(self, release: Release, address: str) -> dict[str, Any]:
        predictor = dict(self._settings.predictor)
        model = {"modelFormat": {"name": self._settings.format}, **predictor.get("model", {}), "storageUri": address}
        notes = {
            _MODEL: release.model,
            _VERSION: str(release.version),
            _DIGEST: release.digest,
            _STAGE: release.stage,
            **({_COMMIT: release.commit} if release.commit else {}),
            _EVENT: str(release.event),
            _SETTINGS: self._settings_digest,
        }
        return {
            "apiVersion": "serving.kserve.io/v1beta1",
            "kind": "InferenceService",
            "metadata": {"name": self._settings.name, "namespace": self._settings.namespace, "annotations": notes},
            "spec": {"predictor": {**predictor, "model": model}},
        }

    def _write(self, manifest: Mapping[str, Any]) -> None:
        import yaml

        file = Path(str(self._settings.manifest))
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(file, yaml.safe_dump(manifest, sort_keys=False, allow_unicode=True).encode())
        except OSError as problem:
            raise TargetError(f"{file}: {problem.strerror or problem}", hint="change manifest: of the target") from None

    # --- the cluster, or the file

    def _get(self) -> dict[str, Any] | None:
        if not self._settings.manifest:
            return self._kubectl.get()
        import yaml

        file = Path(self._settings.manifest)
        try:
            if file.stat().st_size > 1 << 20:
                raise TargetError(f"{file} is too long for a manifest")
            found = yaml.safe_load(file.read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, yaml.YAMLError, RecursionError) as problem:
            raise TargetError(f"{file} cannot be read: {' '.join(str(problem).split())[:200]}") from None
        return found if isinstance(found, dict) else {}

    def _replace(self, wanted: Mapping[str, Any], served: Mapping[str, Any] | None, model: str) -> None:
        """Replace what was read, with the labels and annotations that others have given it."""
        made = dict(wanted)
        if served is not None:
            there = served["metadata"]
            notes = {**there.get("annotations", {}), **wanted["metadata"]["annotations"]}
            made["metadata"] = {**there, "annotations": notes}
        try:
            self._kubectl.put(made)
        except Conflict as problem:
            raise DeploymentRefused(
                NotDeployed.SUPERSEDED,
                f"somebody else has changed the InferenceService {self._settings.name} meanwhile: {problem.message}",
                hint=f"see what is served: ciplug deployments status '{model}'",
            ) from None

    def _wait(self, release: Release, before: Mapping[str, Any] | None, *, can_go_back: bool) -> None:
        """Return when the service is ready. If it does not become that, put back what was served before."""
        until = time.monotonic() + self._settings.patience
        while True:
            now = self._kubectl.get()
            self._check_order(release.model, release.event, now)
            trouble = _trouble(now) if now else "it is gone"
            if trouble is None:
                return
            if now is None or time.monotonic() >= until or _cannot_load(now):
                break
            time.sleep(PAUSE)
        end = "it stays so, and KServe serves what it can"
        if can_go_back and now is not None:
            self._go_back(before, now)
            end = "what was served before is put back"
        raise DeploymentRefused(
            NotDeployed.UNHEALTHY,
            f"the InferenceService {self._settings.name} is not ready with version {release.version}: "
            f"{self._words(trouble)}; {end}",
            hint=f"see: kubectl describe inferenceservice {self._settings.name} -n {self._settings.namespace}",
        )

    def _go_back(self, before: Mapping[str, Any] | None, now: Mapping[str, Any]) -> None:
        if before is None:
            self._kubectl.delete()
            return
        metadata = {**before["metadata"], "resourceVersion": now["metadata"]["resourceVersion"]}
        self._kubectl.put({**{name: before[name] for name in _OURS}, "metadata": metadata})

    def _check_model(self, model: str, served: Mapping[str, Any] | None) -> None:
        if served is not None and _notes(served).get(_MODEL) != model:
            what = self._settings.manifest or f"the InferenceService {self._settings.name}"
            raise DeploymentRefused(
                NotDeployed.OTHER_MODEL,
                f"{what} is not of the model '{model}'",
                hint="give each model a name of its own, in targets: of ciplug.yaml",
            )

    def _check_order(self, model: str, event: int, served: Mapping[str, Any] | None) -> None:
        """Raise DeploymentRefused where a later deployment is served: this job was held up for long."""
        text = _notes(served).get(_EVENT, "") if served else ""
        if text.isdecimal() and int(text) > event:
            raise DeploymentRefused(
                NotDeployed.SUPERSEDED,
                f"the InferenceService {self._settings.name} is of a later deployment (event {text}) than this one "
                f"(event {event})",
                hint=f"see what is served: ciplug deployments status '{model}'",
            )

    def _words(self, text: str) -> str:
        return "".join(c if c.isprintable() else " " for c in self._mask(text))[:_WORDS_MOST]


def _notes(served: Mapping[str, Any]) -> Mapping[str, str]:
    found = served.get("metadata", {}).get("annotations", {})
    return {str(key): str(value) for key, value in found.items()} if isinstance(found, dict) else {}


def _address(served: Mapping[str, Any]) -> str:
    try:
        return str(served["spec"]["predictor"]["model"]["storageUri"])
    except (KeyError, TypeError):
        return ""


def _trouble(served: Mapping[str, Any]) -> str | None:
    """Why a service is not ready, as a clause; None: it is."""
    status, generation = served.get("status", {}), served.get("metadata", {}).get("generation", 0)
    if status.get("observedGeneration", generation) < generation:
        return "KServe has not looked at it yet"
    if _cannot_load(served):
        failure = status["modelStatus"].get("lastFailureInfo", {})
        return f"the model cannot be loaded: {failure.get('message') or failure.get('reason') or 'no reason is given'}"
    conditions: list[dict[str, Any]] = status.get("conditions", [])
    ready = next((one for one in conditions if one.get("type") == "Ready"), {})
    if ready.get("status") == "True":
        return None
    return str(ready.get("message") or ready.get("reason") or "it is not ready")


def _cannot_load(served: Mapping[str, Any]) -> bool:
    state = served.get("status", {}).get("modelStatus", {}).get("transitionStatus")
    return state in ("BlockedByFailedLoad", "InvalidSpec")
