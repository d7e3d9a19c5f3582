"""A plugin of `mlflow deployments` as a target: MLflow finds it by its name, and it does what its API says.

No plugin must say which bytes it serves. If the settings hand it the digest, and its answer has the digest, that is
compared; otherwise only the log knows.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from typing import Any

from ciplug.config.service_targets import MlflowTarget
from ciplug.errors import Cause, CiplugError, TargetError
from ciplug.targets.base import Live, Release
from ciplug.targets.served_folder import served_folder

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_WORDS_MOST = 300


class Mlflow:
    """A target of kind `mlflow`."""

    def __init__(self, settings: MlflowTarget, mask: Callable[[str], str]) -> None:
        self._settings = settings
        self._mask = mask
        self._place = {"endpoint": settings.endpoint} if settings.endpoint else {}

    def live(self, stage: str) -> Live | None:
        with self._plugin() as plugin:
            if not self._is_there(plugin):
                return None
            said = plugin.get_deployment(self._settings.name, **self._place)
        reference = f"{self._settings.plugin}#{self._settings.name}"
        if "{digest}" not in json.dumps(self._settings.config):
            return Live(reference)
        found = set(_DIGEST.findall(json.dumps(said, default=str)))
        digest = found.pop() if len(found) == 1 else ""
        return Live(f"{reference}@{digest}", digest=digest)

    def place(self, release: Release) -> None:
        """Nothing: the plugin takes the files when it deploys them."""
        served_folder(release.files, self._settings.folder)

    def switch(self, release: Release) -> None:
        model = release.folder / served_folder(release.files, self._settings.folder)
        words = {
            "model_uri": str(model),
            "flavor": self._settings.flavor,
            "config": _filled(self._settings.config, release),
            **self._place,
        }
        with self._plugin() as plugin:
            deploy = plugin.update_deployment if self._is_there(plugin) else plugin.create_deployment
            deploy(self._settings.name, **words)

    def end(self, model: str, stage: str, event: int) -> None:
        with self._plugin() as plugin:
            if self._is_there(plugin):
                plugin.delete_deployment(self._settings.name, **self._place)

    def _is_there(self, plugin: Any) -> bool:
        return any(one.get("name") == self._settings.name for one in plugin.list_deployments(**self._place))

    @contextmanager
    def _plugin(self) -> Iterator[Any]:
        """The client of the plugin. What it prints goes to stderr, what it raises becomes a TargetError."""
        try:
            from mlflow.deployments import get_deploy_client
        except ImportError:
            raise TargetError(
                "MLflow is not installed here", hint="pip install 'ciplug[mlflow]'", cause=Cause.LIBRARY_MISSING
            ) from None
        try:
            with redirect_stdout(sys.stderr):
                yield get_deploy_client(self._settings.plugin)
        except CiplugError:
            raise
        except Exception as problem:
            said = "".join(c if c.isprintable() else " " for c in self._mask(str(problem)))[:_WORDS_MOST]
            raise TargetError(
                f"the plugin '{self._settings.plugin}' of MLflow: {said or type(problem).__name__}",
                hint=f"see: mlflow deployments help -t {self._settings.plugin}",
            ) from None


def _filled(value: Any, release: Release) -> Any:
    """The config for the plugin, with the facts of the version in the place of their names."""
    if isinstance(value, Mapping):
        return {key: _filled(inner, release) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_filled(inner, release) for inner in value]
    if not isinstance(value, str):
        return value
    facts = {"model": release.model, "version": str(release.version), "stage": release.stage, "digest": release.digest}
    for name, fact in facts.items():
        value = value.replace(f"{{{name}}}", fact)
    return value
