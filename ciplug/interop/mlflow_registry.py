"""Import MLflow's registered models: each version under its number, as events that say where they are from.

Every event is written once: what the log has already is left as it is. A stage, or an alias that is called as one,
that a policy of this repository judges is recorded with the version and not entered: it takes a promotion.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from ciplug.errors import CiplugError, StoreError
from ciplug.interop.mlflow_client import pages, translated, versions_of
from ciplug.interop.mlflow_record import moment
from ciplug.mlflow import state
from ciplug.mlflow.registry_view import Made
from ciplug.records.registry_event import Register
from ciplug.records.registry_labels import DeleteAlias, SetAlias
from ciplug.registry import ledger
from ciplug.registry.events import payload_of
from ciplug.registry.ladder import NO_STAGE
from ciplug.registry.model import Model
from ciplug.steps.promotion.imported import import_alias, import_gap, import_model, import_stage, import_version
from ciplug.steps.registered_model import read_model
from ciplug.steps.session import Session
from ciplug.stores.base import NoLog

FROM = "imported_from"
_MOST = 100


@dataclass
class ImportedModels:
    """What the import of a registry has done."""

    versions: int = 0
    """New ones."""
    known: int = 0
    judged: list[str] = field(default_factory=list)
    """Stages and aliases that were not taken over, since the policy judges them, each with the command for it."""
    failed: list[str] = field(default_factory=list)
    """Models and versions that were not imported, with the reason."""


class RegistryImport:
    """The registered models of a store of MLflow on their way into the registry of this store.

    Args:
        source: the address of that store, without credentials.
        runs: ids of the runs that this store has.
        made: returns what a version of files at an address, and of a run, freezes.
        copied: whether artifacts are copied: otherwise their addresses stay those of the source.
    """

    def __init__(
        self,
        session: Session,
        client: Any,
        source: str,
        runs: Collection[str],
        made: Callable[[str, str | None], Made],
        tell: Callable[[int], None],
        *,
        copied: bool,
    ) -> None:
        self._session, self._client, self._source = session, client, source
        self._runs, self._made, self._tell, self._copied = runs, made, tell, copied
        self.done = ImportedModels()

    def run(self) -> ImportedModels:
        try:
            with translated(self._source):
                found = list(pages(lambda token: self._client.search_registered_models(None, _MOST, None, token)))
        except StoreError as problem:
            self.done.failed.append(f"the registered models: {problem.message}")
            return self.done
        if found and isinstance(self._session.log, NoLog):
            self.done.failed.append(f"{len(found)} registered models: {self._session.log.refusal().message}")
            return self.done
        for model in sorted(found, key=lambda one: str(one.name)):
            try:
                self._take(model)
            except (CiplugError, ValueError) as problem:
                words = problem.message if isinstance(problem, CiplugError) else str(problem)
                self.done.failed.append(f"model '{model.name}': {words}")
        return self.done

    def _take(self, model: Any) -> None:
        name = str(model.name)
        here = read_model(self._session, name)
        if here.exists and here.origin.get(FROM) != self._source:
            other = here.origin.get(FROM)
            words = f"is from {other}" if other else "was not imported"
            self.done.failed.append(f"model '{name}': this registry already has a model of this name, which {words}")
            return
        origin = self._origin(model)
        if not here.exists:
            if here.moved_to is not None or here.last_number:
                self.done.failed.append(f"model '{name}': this registry had a model of this name")
                return
            import_model(self._session, name, model.description or None, _texts(model.tags), origin)
        with translated(self._source):
            versions = {int(one.version): one for one in versions_of(self._client, name)}
        seen = _aliases_of(self._session, name)
        for number in range(1, max(versions, default=0) + 1):
            if number not in versions:
                if number not in here.by_number or not here.by_number[number].hidden:
                    import_gap(self._session, name, number, {FROM: self._source})
                continue
            self._take_version(here, versions[number], model, seen)
            self._tell(1)

    def _take_version(self, here: Model, there: Any, model: Any, seen: Collection[str]) -> None:
        name, number = here.name, int(there.version)
        aliases = sorted(alias for alias, of in dict(model.aliases).items() if int(of) == number)
        stage = there.current_stage or NO_STAGE
        origin = self._origin(there)
        if stage != NO_STAGE:
            origin["stage"] = stage
        if aliases:
            origin["aliases"] = ",".join(aliases)
        if number in here.by_number:
            self.done.known += 1
        else:
            import_version(self._session, name, self._registration(there, origin))
            self.done.versions += 1
        came = {FROM: self._source}
        known = here.by_number.get(number)
        if known is not None and known.hidden:
            return
        is_unmoved = stage != NO_STAGE and (known is None or known.moved is None)
        if is_unmoved and not import_stage(self._session, name, number, stage, came):
            self._judged(name, number, stage)
        for alias in aliases:
            if alias not in seen and not import_alias(self._session, name, alias, number, came):
                self._judged(name, number, alias)

    def _judged(self, name: str, number: int, stage: str) -> None:
        what = f"version {number} of '{name}' was {stage} there"
        self.done.judged.append(f"{what}: ciplug promote '{name}' --to {stage.lower()} --version {number}")

    def _registration(self, there: Any, origin: Mapping[str, str]) -> Register:
        run = there.run_id if there.run_id in self._runs else None
        location = self._location(there)
        made = self._made(location or "", run)
        model_id = there.source.rpartition("/")[2] if str(there.source).startswith("models:/m-") else None
        return Register(
            version=int(there.version),
            run=run,
            commit=made.commit,
            files=made.files,
            digest=made.digest,
            record=made.record,
            metrics=made.metrics,
            source=there.source or None,
            location=location if location != there.source else None,
            model_id=model_id or getattr(there, "model_id", None),
            run_link=there.run_link or None,
            description=there.description or None,
            tags=_texts(there.tags),
            origin=origin,
        )

    def _location(self, there: Any) -> str | None:
        """The address of a version's files here, where they were copied; else that of the source."""
        with translated(self._source):
            address = str(self._client.get_model_version_download_uri(there.name, there.version) or "")
            if not self._copied:
                return address or None
            if address.startswith("models:/m-"):
                address = str(self._client.get_logged_model(address.rpartition("/")[2]).artifact_location)
            logged = _logged_model_in(address)
            if logged is not None:
                return f"ciplug-artifacts:/models/{logged[0]}/artifacts{logged[1]}"
            run = self._client.get_run(there.run_id) if there.run_id in self._runs else None
        top = str(run.info.artifact_uri).rstrip("/") if run is not None else None
        if top is not None and (address == top or address.startswith(f"{top}/")):
            return f"ciplug-artifacts:/{there.run_id}/artifacts{address[len(top) :]}"
        return address or None

    def _origin(self, one: Any) -> dict[str, str]:
        origin = {FROM: self._source}
        if one.creation_timestamp:
            origin["created"] = moment(one.creation_timestamp / 1000)
        if one.last_updated_timestamp:
            origin["updated"] = moment(one.last_updated_timestamp / 1000)
        for name, value in (("user", getattr(one, "user_id", None)), ("run", getattr(one, "run_id", None))):
            if value:
                origin[name] = str(value)
        return origin


def _logged_model_in(address: str) -> tuple[str, str] | None:
    """The id of the logged model whose files an address names, and the path below them."""
    before, found, after = address.partition("/models/m-")
    id_, _, rest = after.partition("/")
    if not (before and found) or len(id_) != 32 or (rest != "artifacts" and not rest.startswith("artifacts/")):
        return None
    return f"m-{id_}", rest[len("artifacts") :]


def _aliases_of(session: Session, name: str) -> set[str]:
    """Every alias that this registry has ever set or removed: whoever removed one wants it gone."""
    payloads = map(payload_of, ledger.read(session.log, name).events)
    return {payload.alias for payload in payloads if isinstance(payload, SetAlias | DeleteAlias)}


def _texts(tags: Mapping[str, Any] | None) -> dict[str, str]:
    return {str(name): str(value) for name, value in (tags or {}).items() if not name.startswith(state.HIDDEN)}
