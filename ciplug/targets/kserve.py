"""An InferenceService of KServe as a target: a manifest whose address of the files is pinned by the digest.

The manifest is applied by kubectl, or written to a file that something else applies, such as a GitOps repository.
Kubernetes refuses a replacement of an object that has changed since it was read, so two deployments cannot both win.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from ciplug.config.service_targets import KserveTarget
from ciplug.errors import DeploymentRefused, NotDeployed, TargetError
from ciplug.locking import write_atomically
from ciplug.targets.base import Live, Release
from ciplug.targets.kserve_service import (
    BEFORE,
    address_of,
    cannot_load,
    notes_of,
    observed,
    part,
    strangers,
    trouble_of,
    url_of,
)
from ciplug.targets.kserve_storage import open_storage
from ciplug.targets.kubectl import Conflict, Kind, Kubectl
from ciplug.targets.served_folder import served_folder

PAUSE = 3.0
"""Seconds between two questions to a service that is not ready."""
_KIND = Kind("serving.kserve.io", "v1beta1", "inferenceservices")
_MODEL, _VERSION, _DIGEST, _STAGE, _COMMIT, _EVENT, _SETTINGS = (
    f"ciplug/{name}" for name in ("model", "version", "digest", "stage", "commit", "event", "settings")
)
"""Annotations."""
_OURS = ("apiVersion", "kind", "spec")
_ATTEMPTS = 10
"""KServe writes its status into the object that is replaced, which is then another one for Kubernetes."""
_WORDS_MOST = 300


class Kserve:
    """A target of kind `kserve`."""

    def __init__(self, settings: KserveTarget, env: Mapping[str, str], mask: Callable[[str], str]) -> None:
        self._settings = settings
        self._mask = mask
        self._storage = open_storage(settings.storage, env, mask)
        self._kubectl = Kubectl(_KIND, settings.name, settings.namespace, settings.context, env, mask)
        self._address: str | None = None

    def live(self, stage: str) -> Live | None:
        served = self._get()
        if served is None:
            return None
        address, notes = address_of(served), notes_of(served)
        is_of_settings = notes.get(_SETTINGS) == self._settings_digest
        spec = self._spec(address) if is_of_settings else {}
        problem = None if self._settings.manifest else trouble_of(served)
        if found := strangers(served, spec):
            problem = f"it has {found[0]}, which is not of ciplug and can change what is served"
        digest = "" if found else notes.get(_DIGEST, "")
        files = self._storage.files(address, digest) if digest else {}
        outdated = None
        if not is_of_settings:
            outdated = f"the settings of the InferenceService {self._settings.name} in ciplug.yaml have changed"
        return Live(address, files, url_of(served), problem and self._words(problem), outdated=outdated)

    def place(self, release: Release) -> None:
        self._check_model(release.model, self._get())
        self._address = self._put(release)

    def switch(self, release: Release) -> None:
        address = self._address or self._put(release)
        if self._settings.manifest:
            served = self._get()
            self._check(release.model, release.event, served)
            self._write(self._manifest(release, address, served))
            return
        before, is_there = self._replace(release, address)
        # What was served before is known only to who has replaced it.
        self._wait(release, before, can_go_back=not is_there)

    def end(self, model: str, stage: str, event: int) -> None:
        if not self._settings.manifest:
            self._delete(model, event)
            return
        self._check(model, event, self._get())
        Path(self._settings.manifest).unlink(missing_ok=True)

    # --- the manifest

    def _put(self, release: Release) -> str:
        return self._storage.put(release, served_folder(release.files, self._settings.folder))

    @property
    def _settings_digest(self) -> str:
        facts = [self._settings.format, self._settings.predictor, self._settings.folder, self._settings.storage]
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]

    def _spec(self, address: str) -> dict[str, Any]:
        predictor = dict(self._settings.predictor)
        model = {"modelFormat": {"name": self._settings.format}, **predictor.get("model", {}), "storageUri": address}
        return {"spec": {"predictor": {**predictor, "model": model}}}

    def _manifest(self, release: Release, address: str, served: Mapping[str, Any] | None) -> dict[str, Any]:
        """The object, with the labels and annotations that others have given to the one that it replaces."""
        notes = {
            _MODEL: release.model,
            _VERSION: str(release.version),
            _DIGEST: release.digest,
            _STAGE: release.stage,
            **({_COMMIT: release.commit} if release.commit else {}),
            _EVENT: str(release.event),
            _SETTINGS: self._settings_digest,
        }
        metadata: dict[str, Any] = {"name": self._settings.name, "namespace": self._settings.namespace}
        if not self._settings.manifest and served is not None:
            metadata = {**part(served, "metadata")}
            notes = {**notes_of(served), **notes, BEFORE: str(observed(served))}
        made = {"apiVersion": "serving.kserve.io/v1beta1", "kind": "InferenceService"}
        return {**made, "metadata": {**metadata, "annotations": notes}, **self._spec(address)}

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
        except (OSError, yaml.YAMLError, ValueError, RecursionError) as problem:
            raise TargetError(f"{file} cannot be read: {' '.join(str(problem).split())[:200]}") from None
        return found if isinstance(found, dict) else {}

    def _replace(self, release: Release, address: str) -> tuple[Mapping[str, Any] | None, bool]:
        """Have the cluster want this version; returns what it wanted before, and whether that was this very version."""
        read: Mapping[str, Any] | None = None
        for attempt in range(_ATTEMPTS):
            served = self._gone_if_deleted(release.model, release.event)
            if attempt and _changed(read, served):
                break
            read = served
            self._check(release.model, release.event, served)
            wanted = self._manifest(release, address, served)
            if served is not None and self._is_as(wanted, served):
                return served, True
            try:
                self._kubectl.put(wanted)
                return served, False
            except Conflict as problem:
                conflict = problem
        raise DeploymentRefused(
            NotDeployed.SUPERSEDED,
            f"somebody else has changed the InferenceService {self._settings.name} meanwhile: {conflict.message}",
            hint=f"see what is served: ciplug deployments status '{release.model}'",
        )

    def _is_as(self, wanted: Mapping[str, Any], served: Mapping[str, Any]) -> bool:
        """Whether the cluster wants this version already, with these settings, and nothing else."""
        is_of_settings = notes_of(served).get(_SETTINGS) == self._settings_digest
        return is_of_settings and address_of(served) == address_of(wanted) and not strangers(served, wanted)

    def _gone_if_deleted(self, model: str, event: int) -> dict[str, Any] | None:
        """What the cluster has, once an earlier one that is being deleted is gone."""
        until = time.monotonic() + self._settings.patience
        while (served := self._kubectl.get()) and part(served, "metadata").get("deletionTimestamp"):
            self._check(model, event, served)
            if time.monotonic() >= until:
                raise TargetError(
                    f"the InferenceService {self._settings.name} is still being deleted after "
                    f"{self._settings.patience:g} s",
                    hint=f"see: kubectl describe inferenceservice {self._settings.name} -n {self._settings.namespace}",
                )
            time.sleep(PAUSE)
        return served

    def _delete(self, model: str, event: int) -> None:
        """Delete the service that is of this model and of no later deployment, and return when it is gone."""
        for _ in range(_ATTEMPTS):
            served = self._gone_if_deleted(model, event)
            if served is None:
                return
            self._check(model, event, served)
            with suppress(Conflict):
                self._kubectl.delete(served)
        if self._gone_if_deleted(model, event) is not None:
            raise TargetError(
                f"the InferenceService {self._settings.name} is changed by others all the time, and was not deleted",
                hint=f"see: kubectl describe inferenceservice {self._settings.name} -n {self._settings.namespace}",
            )

    def _wait(self, release: Release, before: Mapping[str, Any] | None, *, can_go_back: bool) -> None:
        """Return when the service is ready. If it does not become that, put back what was served before."""
        until = time.monotonic() + self._settings.patience
        while True:
            now = self._kubectl.get()
            self._check_order(release.model, release.event, now)
            trouble = trouble_of(now) if now else "it is gone"
            if trouble is None:
                return
            if now is None or time.monotonic() >= until or cannot_load(now):
                break
            time.sleep(PAUSE)
        end = "it stays so, and KServe serves what it can"
        if can_go_back and now is not None:
            end = self._go_back(release, before)
        raise DeploymentRefused(
            NotDeployed.UNHEALTHY,
            f"the InferenceService {self._settings.name} is not ready with version {release.version}: "
            f"{self._words(trouble)}; {end}",
            hint=f"see: kubectl describe inferenceservice {self._settings.name} -n {self._settings.namespace}",
        )

    def _go_back(self, release: Release, before: Mapping[str, Any] | None) -> str:
        """Put back what was there before; returns the words for that."""
        if before is None:
            self._delete(release.model, release.event)
            return "nothing was served before, and it was deleted"
        for _ in range(_ATTEMPTS):
            now = self._kubectl.get()
            self._check_order(release.model, release.event, now)
            if now is None:
                break
            notes = {**notes_of(before), BEFORE: str(observed(now))}
            metadata = {**part(before, "metadata"), "resourceVersion": part(now, "metadata").get("resourceVersion")}
            with suppress(Conflict):
                self._kubectl.put({**{n: before.get(n) for n in _OURS}, "metadata": {**metadata, "annotations": notes}})
                return "what was served before is put back"
        return "what was served before could not be put back"

    def _check(self, model: str, event: int, served: Mapping[str, Any] | None) -> None:
        self._check_model(model, served)
        self._check_order(model, event, served)

    def _check_model(self, model: str, served: Mapping[str, Any] | None) -> None:
        if served is not None and notes_of(served).get(_MODEL) != model:
            what = self._settings.manifest or f"the InferenceService {self._settings.name}"
            raise DeploymentRefused(
                NotDeployed.OTHER_MODEL,
                f"{what} is not of the model '{model}'",
                hint="give each model a name of its own, in targets: of ciplug.yaml",
            )

    def _check_order(self, model: str, event: int, served: Mapping[str, Any] | None) -> None:
        """Raise DeploymentRefused where a later deployment is served: this job was held up for long."""
        text = notes_of(served).get(_EVENT, "") if served else ""
        if text.isdecimal() and int(text) > event:
            raise DeploymentRefused(
                NotDeployed.SUPERSEDED,
                f"the InferenceService {self._settings.name} is of a later deployment (event {text}) than this one "
                f"(event {event})",
                hint=f"see what is served: ciplug deployments status '{model}'",
            )

    def _words(self, text: str) -> str:
        return "".join(c if c.isprintable() else " " for c in self._mask(text))[:_WORDS_MOST]


def _changed(before: Mapping[str, Any] | None, now: Mapping[str, Any] | None) -> bool:
    """Whether somebody has changed more than the status of an object, or made another one."""
    if before is None or now is None:
        return True
    return any(part(before, "metadata").get(key) != part(now, "metadata").get(key) for key in ("uid", "generation"))
