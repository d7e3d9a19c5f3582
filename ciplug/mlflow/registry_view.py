"""The registry as a long-lived process reads it: the state of each model, kept by the head of its log."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeVar

from ciplug.capture.content import digest_file
from ciplug.errors import CiplugError, UsageError
from ciplug.mlflow import files
from ciplug.mlflow.place import Place
from ciplug.mlflow.view import SERVER_AGE
from ciplug.records.keys import RunKey, log_of
from ciplug.records.run import File, Run
from ciplug.registry import ledger
from ciplug.registry.model import Model, Version
from ciplug.registry.replayed_rules import model_digest
from ciplug.steps.policy_in_force import read_policies
from ciplug.steps.promotion.judging_section import judging_section
from ciplug.steps.promotion.protected_policy import by_protected_policy
from ciplug.steps.registered_model import read_model
from ciplug.steps.session import Session
from ciplug.stores.base import NoLog

T = TypeVar("T")
_CLIENT_AGE = 1.0
ARTIFACTS = "ciplug-artifacts:"
_OF_RUN = re.compile(r"runs:/+(?P<run>[0-9a-f]{32})(?:/(?P<path>.*))?")


@dataclass(frozen=True)
class Made:
    """What a version freezes of the run that made it."""

    commit: str | None = None
    files: Mapping[str, str] = field(default_factory=dict)
    digest: str | None = None
    record: str | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)


class RegistryView:
    """The models of a store."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._session: Session | None = None
        self._asked = self._opened = 0.0
        """When the store was asked last, and when the policy was read last."""
        self._models: dict[str, tuple[object, Model]] = {}
        self._stages: dict[str, tuple[str, ...]] = {}

    def _current(self, *, fresh: bool = False) -> Session:
        """Return a session whose view of the registry is as new as a reader may expect."""
        if self._session is None:
            return self._open()
        most = SERVER_AGE if self._place.is_server else 0.0 if fresh else _CLIENT_AGE
        if time.monotonic() - self._asked >= most:
            self._session.store.refresh()
            self._asked = time.monotonic()
            if self._asked - self._opened >= SERVER_AGE:
                self._session, self._opened = self._session.with_same_store(), self._asked
        return self._session

    def _open(self) -> Session:
        """Begin to read anew: the policy and the store are asked once, by the first question."""
        self._session = replace(self._place.session.refreshed(), reads_once=True)
        self._asked = self._opened = time.monotonic()
        self._stages.clear()
        return self._session

    def model(self, name: str, *, fresh: bool = False) -> Model:
        """Return the state of a model; one that does not exist has no versions."""
        with self._place.lock:
            session = self._current(fresh=fresh)
            if isinstance(session.log, NoLog):
                raise session.log.refusal()
            head = session.log.head(log_of(name))
            known = self._models.get(name)
            if known is None or known[0] != head:
                known = self._models[name] = (head, read_model(session, name))
            return known[1]

    def models(self) -> list[Model]:
        """Return all models that a log tells of, by name."""
        with self._place.lock:
            names = ledger.models(self._current().log)
            return [self.model(name) for name in names]

    def gated_stages(self, name: str) -> tuple[str, ...]:
        """The stages of a model that a promotion alone leads to, by the policy as it was last read."""
        with self._place.lock:
            if name not in self._stages:
                session = by_protected_policy(self._current())
                policies = read_policies(session)
                section = judging_section(session, policies, self.model(name))
                self._stages[name] = policies.gated_stages(section)
            return self._stages[name]

    def write(self, action: Callable[[Session], T]) -> T:
        """Change the registry, with the policy and the store as they are now, which `action` finds here as well."""
        with self._place.lock:
            session = self._open()
            try:
                return action(session)
            finally:
                self._session, self._asked = session, time.monotonic()
                # A renaming changes the state of a log whose own head stays.
                self._models.clear()

    def registration(self, location: str, run_id: str | None) -> Made:
        """Return what a version freezes: the files at a location, and the record of its run, as far as they are here.

        A model may be registered while its run goes on: its files are known then, and the record is not.
        """
        with self._place.lock:
            place = self._place
            place.look()
            state = place.run(run_id) if run_id else None
            if run_id is None or state is None:
                return Made()
            own = place.local().get(run_id)
            key = place.base.run_key(run_id, own)
            names = self._files(location, run_id, state.artifacts)
            metrics = {name: point.value for name, point in state.metrics.items()}
            digest = model_digest(names) if names else None
            if own is not None and own.begun is not None:
                begun = own.begun
                return Made(begun.get("commit"), names, digest, None, metrics)
            if key is None:
                return Made()
            return Made(key.commit, names, digest, self._record(key), metrics)

    def _record(self, key: RunKey) -> str | None:
        runs = self._place.session.runs()
        found: list[Run] = runs.load([key])
        return runs.digests(found)[key.key] if found else None

    def _files(self, location: str, run_id: str, artifacts: tuple[File, ...]) -> dict[str, str]:
        """Path among the artifacts of the run → digest, of the files at a location.

        A folder that was recorded as one artifact is one here; a location within it has no file that was recorded.
        """
        if of_run := _OF_RUN.fullmatch(location):
            location = f"{ARTIFACTS}{of_run['run']}/artifacts/{of_run['path'] or ''}"
        if not location.startswith(ARTIFACTS):
            return {}
        try:
            subject = files.parse_path(location.removeprefix(ARTIFACTS))
            found = files.listed(self._place, subject)
        except (CiplugError, UsageError):
            return {}
        if subject.model is None and subject.id != run_id:
            return {}
        top = f"{files.MODELS}/{subject.model}/" if subject.model else ""

        def is_there(name: str) -> bool:
            return not subject.path or name == subject.path or name.startswith(f"{subject.path}/")

        folders = {file.path: file.digest for file in artifacts if file.kind == "folder" and subject.model is None}
        names = {
            top + name: kept.digest or (digest_file(kept.here) if kept.here else "")
            for name, kept in found.items()
            if is_there(name) and not name.startswith(tuple(f"{folder}/" for folder in folders))
        }
        return {**names, **{path: digest for path, digest in folders.items() if is_there(path)}}


def version_location(version: Version) -> str:
    """The address of the files of a version that was promoted without MLflow: of its run's model."""
    top = f"{ARTIFACTS}/{version.run}/artifacts"
    homes = [path.removesuffix("/MLmodel") for path in version.files if path.endswith("/MLmodel")]
    if not homes:
        return top
    if logged := re.fullmatch(r"models/(m-[0-9a-f]{32})", homes[0]):
        return f"{ARTIFACTS}/models/{logged[1]}/artifacts"
    return f"{top}/{homes[0]}"
