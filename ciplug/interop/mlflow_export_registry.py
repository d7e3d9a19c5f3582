"""Export the registered models of this store to a server of MLflow: each version once, under its number.

The tag `ciplug.version` of the model says how far the copy got, and that of a version which one it is a copy of. A
version without it is somebody else's, and stays as it is. A stage that a policy judges is there as MLflow shows
it here: as the stage of the version, and as an alias.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from typing import Any

from ciplug.errors import CiplugError, StoreError
from ciplug.interop.mlflow_export import LOGGED_MODEL, Exported, RunExport
from ciplug.interop.mlflow_server import Interrupted, MlflowServer, Refused
from ciplug.interop.mlflow_source import ExportSource
from ciplug.interop.mlflow_uploads import pairs
from ciplug.registry.ladder import NO_STAGE
from ciplug.registry.model import Model, Version

VERSION = "ciplug.version"
_STAGES = ("Staging", "Production", "Archived")
_PLACEHOLDER = "ciplug.placeholder"
"""Tag of the copy of a version that is deleted here: it is created to be deleted, so that later ones keep theirs."""
_OF_RUN = re.compile(r"(?:runs:/|ciplug-artifacts:/(?:[^/]+/)?)(?P<run>[0-9a-f]{32})(?:/artifacts)?(?P<path>/.*)?")
_OF_MODEL = re.compile(r"(?:models:/|ciplug-artifacts:/(?:[^/]+/)?models/)(?P<model>m-[0-9a-f]{32})(?:/artifacts)?")


class RegistryExport:
    """Registered models on their way to MLflow, after the runs."""

    def __init__(
        self,
        source: ExportSource,
        server: MlflowServer,
        runs: RunExport,
        tell: Callable[[int], None],
        done: Exported,
    ) -> None:
        self._source, self._server, self._runs, self._tell, self._done = source, server, runs, tell, done

    def run(self) -> None:
        for model in self._source.models():
            try:
                self._copy(model)
            except Refused as refused:
                if refused.status in (401, 403):
                    raise
                self._done.failed.append(f"model '{model.name}': {refused.message}")
            except (Interrupted, CiplugError) as problem:
                self._done.failed.append(f"model '{model.name}': {problem.message}")

    def _copy(self, model: Model) -> None:
        server, name = self._server, model.name
        try:
            registered = server.get("registered-models/get", name=name)["registered_model"]
        except Refused as missing:
            if not missing.is_unknown_thing:
                raise
            about = {
                "name": name,
                "tags": pairs({**self._runs.own_tags(model.tags), VERSION: "0"}),
                "description": model.description or "",
            }
            registered = server.post("registered-models/create", about)["registered_model"]
        tags = _tags(registered)
        if not tags.get(VERSION, "").isdecimal():
            raise StoreError(f"there is another model of this name, '{name}'")
        ours = {one.number: one for one in model.versions}
        known = {int(one["version"]): one for one in self._versions(name)}
        # Of a number that was deleted nothing is shown; the tag says how far the copy got.
        copied = int(tags[VERSION])
        for number in range(1, max(ours, default=0) + 1):
            if number <= copied:
                self._done.known_versions += number in ours
            else:
                if number not in known:
                    known[number] = self._register(name, number, ours.get(number), known)
                elif _tags(known[number]).get(VERSION) != str(number):
                    raise StoreError(f"version {number} there is not of this export")
                if number in ours:
                    self._label(model, ours[number])
                    self._done.versions += 1
                    self._tell(1)
                server.post("registered-models/set-tag", {"name": name, "key": VERSION, "value": str(number)})
            if number not in ours and number in known and _PLACEHOLDER in _tags(known[number]):
                self._delete(name, number)

    def _versions(self, name: str) -> list[dict[str, Any]]:
        # MLflow's filters have no way to escape a quote.
        mark = "'" if "'" not in name else '"'
        about = {} if mark in name else {"filter": f"name={mark}{name}{mark}"}
        found = self._server.pages("model-versions/search", "model_versions", about, method="GET")
        return [one for one in found if one["name"] == name]

    def _register(self, name: str, number: int, version: Version | None, known: Collection[int]) -> dict[str, Any]:
        """Create a version.

        Args:
            version: None: it was deleted here.
            known: the numbers that are taken there.
        """
        mark = {VERSION: str(number)}
        about: dict[str, Any] = {"name": name, "source": f"deleted:/{name}/{number}"}
        about["tags"] = pairs({_PLACEHOLDER: "true", **mark})
        if version is not None:
            self._check_run(version)
            source = self._address(version)
            about = {"name": name, "source": source, "tags": pairs({**self._runs.own_tags(version.tags), **mark})}
            optional = {
                "run_id": self._runs.copies.get(version.run or ""),
                "run_link": version.run_link,
                "description": version.description,
                # A server takes the files of a logged model only where the model is named, too.
                "model_id": source.removeprefix("models:/") if source.startswith("models:/m-") else None,
            }
            about |= {key: value for key, value in optional.items() if value}
        made: dict[str, Any] = self._server.post("model-versions/create", about, repeats=False)["model_version"]
        if (theirs := int(made["version"])) != number:
            if theirs not in known:
                self._delete(name, theirs)
            raise StoreError(f"the target would number version {number} as {theirs}")
        return {**made, "tags": about["tags"]}

    def _delete(self, name: str, number: int) -> None:
        self._server.post("model-versions/delete", {"name": name, "version": str(number)}, method="DELETE")

    def _check_run(self, version: Version) -> None:
        """Raise StoreError where the run of a version is not there yet: the next export has both."""
        match = _OF_MODEL.fullmatch(self._source.location(version))
        model = self._source.logged_model(match["model"]) if match else None
        for run in (version.run, model.source_run if model else None):
            if run in self._runs.failed:
                raise StoreError(f"the run of version {version.number}, {run}, is not there yet")

    def _address(self, version: Version) -> str:
        """The address of a version's files there; of files that were not copied with a run, the one they have here."""
        here = self._source.location(version)
        if (match := _OF_MODEL.fullmatch(here)) and (copy := self._logged_model(match["model"])):
            return copy
        if (match := _OF_RUN.fullmatch(here)) and match["run"] in self._runs.copies:
            return f"runs:/{self._runs.copies[match['run']]}{match['path'] or ''}"
        return here

    def _logged_model(self, id_: str) -> str | None:
        """The address of the copy of a logged model, or of the very same one."""
        if id_ in self._runs.models:
            return self._runs.models[id_]
        model = self._source.logged_model(id_)
        copy = self._runs.copies.get(model.source_run or "") if model else None
        if model is None or copy is None:
            return None
        outputs = (self._server.get("runs/get", run_id=copy)["run"].get("outputs") or {}).get("model_outputs") or ()
        for output in outputs:
            found = self._server.supports("logged models", self._server.get, f"logged-models/{output['model_id']}")
            info = found["model"]["info"] if found else {}
            if found and id_ in (info["model_id"], _tags(info).get(LOGGED_MODEL)):
                return f"models:/{info['model_id']}"
        return f"runs:/{copy}/{model.name}" if "logged models" in self._server.lacks or not outputs else None

    def _label(self, model: Model, version: Version) -> None:
        """Put a version into its stage, and give it its aliases."""
        server, name, number = self._server, model.name, str(version.number)
        if version.stage in _STAGES:
            about = {"name": name, "version": number, "stage": version.stage, "archive_existing_versions": False}
            if server.supports("stages", server.post, "model-versions/transition-stage", about) is None:
                self._done.left_out["stage: the server keeps none"] += 1
        elif version.stage != NO_STAGE:
            self._done.left_out[f"stage: {version.stage} is not one of the server's"] += 1
        for alias, of in self._source.aliases(model).items():
            if of == version.number:
                about = {"name": name, "alias": alias, "version": number}
                if server.supports("aliases", server.post, "registered-models/alias", about) is None:
                    self._done.left_out["alias: the server keeps none"] += 1


def _tags(thing: Mapping[str, Any]) -> dict[str, str]:
    return {str(tag["key"]): str(tag.get("value", "")) for tag in thing.get("tags") or ()}
