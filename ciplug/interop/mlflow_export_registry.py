"""Export the registered models of this store to MLflow, by its client: each version once, under its number.

The tag `ciplug.version` marks a copy. Both sides are MLflow's client, so a stage that a policy judges is there as
MLflow shows it here: as the stage of the version, and as an alias.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from ciplug.errors import CiplugError, StoreError
from ciplug.interop.mlflow_client import pages, versions_of

LOGGED_MODEL, VERSION = "ciplug.logged_model", "ciplug.version"
"""Tags of copies: the id that a logged model has here, and the number of a version."""
_STAGES = ("Staging", "Production", "Archived")
_DELETED = "deleted:/"
_MOST = 100
_OF_RUN = re.compile(r"(?:runs:/|ciplug-artifacts:/(?:[^/]+/)?)(?P<run>[0-9a-f]{32})(?:/artifacts)?(?P<path>/.*)?")
_OF_MODEL = re.compile(r"(?:models:/|ciplug-artifacts:/(?:[^/]+/)?models/)(?P<model>m-[0-9a-f]{32})(?:/artifacts)?")


class Report(Protocol):
    """What takes the numbers, the reasons and the names."""

    versions: int
    known_versions: int
    failed: list[str]
    left_out: list[str]


class RegistryExport:
    """Registered models on their way to MLflow.

    Args:
        copies: our id of a run → theirs.
    """

    def __init__(
        self, ours: Any, theirs: Any, copies: Mapping[str, str], tell: Callable[[int], None], done: Report
    ) -> None:
        self._ours, self._theirs, self._copies, self._tell, self._done = ours, theirs, copies, tell, done

    def run(self) -> None:
        from mlflow.exceptions import MlflowException

        for model in pages(lambda token: self._ours.search_registered_models(None, _MOST, None, token)):
            try:
                self._copy(model)
            except (MlflowException, CiplugError) as problem:
                self._done.failed.append(f"model '{model.name}': {str(problem.message).splitlines()[0]}")

    def _copy(self, model: Any) -> None:
        from mlflow.exceptions import MlflowException

        name = model.name
        try:
            there = self._theirs.get_registered_model(name)
        except MlflowException as missing:
            if missing.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            tags = {**model.tags, VERSION: "0"}
            there = self._theirs.create_registered_model(name, tags, model.description)
        if VERSION not in there.tags:
            raise StoreError(f"there is another model of this name, '{name}'")
        ours = {int(one.version): one for one in versions_of(self._ours, name)}
        known = {int(one.version): one for one in versions_of(self._theirs, name)}
        # Of a number that was deleted nothing is shown; the tag says how far the copy got.
        copied = int(there.tags[VERSION])
        for number in range(1, max(ours, default=0) + 1):
            if number <= copied:
                self._done.known_versions += number in ours
            else:
                if number not in known:
                    known[number] = self._register(name, number, ours.get(number))
                if number in ours:
                    self._label(model, ours[number])
                    self._done.versions += 1
                    self._tell(1)
                self._theirs.set_registered_model_tag(name, VERSION, str(number))
            if number in known and str(known[number].source).startswith(_DELETED):
                self._theirs.delete_model_version(name, str(number))

    def _register(self, name: str, number: int, version: Any) -> Any:
        """Create a version; one that was deleted here is created to be deleted, so that later ones keep theirs."""
        source, run, tags, link, words = f"{_DELETED}{name}/{number}", None, {}, None, None
        if version is not None:
            run = self._copies.get(version.run_id or "")
            source, tags, link, words = self._source(version), version.tags, version.run_link, version.description
        # A server takes the files of a logged model only where the model is named, too.
        logged = {"model_id": source.removeprefix("models:/")} if source.startswith("models:/m-") else {}
        made = self._theirs.create_model_version(
            name, source, run, tags, link, words, await_creation_for=None, **logged
        )
        if int(made.version) != number:
            self._theirs.delete_model_version(name, made.version)
            raise StoreError(f"the target would number version {number} as {made.version}")
        return made

    def _source(self, version: Any) -> str:
        """The address of a version's files there; of files that were not copied with a run, the one they have here."""
        here = self._ours.get_model_version_download_uri(version.name, version.version)
        if (match := _OF_MODEL.fullmatch(here)) and (copy := self._logged_model(match["model"])):
            return f"models:/{copy}"
        if (match := _OF_RUN.fullmatch(here)) and match["run"] in self._copies:
            return f"runs:/{self._copies[match['run']]}{match['path'] or ''}"
        return str(here)

    def _logged_model(self, id_: str) -> str | None:
        """Their id of the copy of a logged model, or of the very same one."""
        from mlflow.exceptions import MlflowException

        model = self._ours.get_logged_model(id_)
        run = self._copies.get(model.source_run_id or "")
        if run is None:
            return None
        for output in self._theirs.get_run(run).outputs.model_outputs:
            try:
                copy = self._theirs.get_logged_model(output.model_id)
            except MlflowException:
                continue
            if id_ in (copy.model_id, copy.tags.get(LOGGED_MODEL)):
                return str(copy.model_id)
        return None

    def _label(self, model: Any, version: Any) -> None:
        """Put a version into its stage, and give it its aliases."""
        name, number, stage = version.name, str(version.version), version.current_stage
        if stage in _STAGES:
            self._theirs.transition_model_version_stage(name, number, stage, archive_existing_versions=False)
        elif stage not in (None, "None"):
            self._done.left_out.append(f"the stage {stage} of version {number} of '{name}'")
        for alias, of in model.aliases.items():
            if int(of) == int(number):
                self._theirs.set_registered_model_alias(name, alias, number)
