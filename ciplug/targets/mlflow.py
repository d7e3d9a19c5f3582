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

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}(?![0-9a-f])")
_NAMES = re.compile(r"\{(model|version|stage|digest)\}")
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
            said = json.dumps(_plain(plugin.get_deployment(self._settings.name, **self._place)))
        reference = f"{self._settings.plugin}#{self._settings.name}"
        if not _is_told(self._settings.config):
            return Live(reference, knows_model=False)
        found = set(_DIGEST.findall(said))
        digest = found.pop() if len(found) == 1 else ""
        return Live(f"{reference}@{digest}", digest=digest, knows_model=False)

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
        found = [_plain(one) for one in plugin.list_deployments(**self._place) or ()]
        return any(isinstance(one, dict) and one.get("name") == self._settings.name for one in found)

    @contextmanager
    def _plugin(self) -> Iterator[Any]:
        """The client of the plugin. What it prints goes to stderr, what it raises becomes a TargetError."""
        try:
            with redirect_stdout(sys.stderr):
                try:
                    from mlflow.deployments import get_deploy_client
                except ImportError:
                    raise TargetError(
                        "MLflow is not installed here", hint="pip install 'ciplug[mlflow]'", cause=Cause.LIBRARY_MISSING
                    ) from None
                yield get_deploy_client(self._settings.plugin)
        except CiplugError:
            raise
        # A plugin may be a program that ends itself.
        except (Exception, SystemExit) as problem:
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
    # Each name once: what is put in may look like a name itself.
    return _NAMES.sub(lambda name: facts[name[1]], value)


def _is_told(config: Any) -> bool:
    """Whether the plugin is told the digest: names are replaced in values, and not in keys."""
    if isinstance(config, Mapping):
        return any(map(_is_told, config.values()))
    if isinstance(config, (list, tuple)):
        return any(map(_is_told, config))
    return isinstance(config, str) and "{digest}" in config


def _plain(value: Any, deepest: int = 50) -> Any:
    """What a plugin says, as JSON has it: it may say anything."""
    if isinstance(value, Mapping) and deepest:
        return {str(key): _plain(one, deepest - 1) for key, one in value.items()}
    if isinstance(value, (list, tuple, set)) and deepest:
        return [_plain(one, deepest - 1) for one in value]
    return value if isinstance(value, (str, int, float, bool)) or value is None else str(value)
