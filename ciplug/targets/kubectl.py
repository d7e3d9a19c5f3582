"""Objects of a Kubernetes cluster by kubectl, which has the credentials: KUBECONFIG, or that of the pod."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ciplug.errors import Cause, TargetError

_PATIENCE = 60
"""Seconds for one call."""
_WORDS_MOST = 300


class Conflict(TargetError):
    """Somebody else has changed, or created, the object since it was read."""


class Kubectl:
    """kubectl for one object."""

    def __init__(
        self,
        kind: str,
        name: str,
        namespace: str,
        context: str | None,
        env: Mapping[str, str],
        mask: Callable[[str], str],
    ) -> None:
        self._kind, self._name = kind, name
        self._where = ["--namespace", namespace, *(["--context", context] if context else [])]
        self._env = env
        self._mask = mask

    def get(self) -> dict[str, Any] | None:
        """The object; None where there is none."""
        text = self._run("get", self._kind, self._name, "--ignore-not-found", "--output", "json")
        try:
            found = json.loads(text) if text.strip() else None
        except ValueError:
            raise TargetError(f"kubectl get {self._kind} {self._name}: the answer is not JSON") from None
        return found if isinstance(found, dict) else None

    def put(self, manifest: Mapping[str, Any]) -> None:
        """Create an object, or replace the one whose `resourceVersion` it has.

        Raises Conflict where another was faster.
        """
        verb = "replace" if manifest["metadata"].get("resourceVersion") else "create"
        self._run(verb, "--filename", "-", data=json.dumps(manifest))

    def delete(self) -> None:
        self._run("delete", self._kind, self._name, "--ignore-not-found")

    def _run(self, *words: str, data: str | None = None) -> str:
        command: Sequence[str] = ["kubectl", *words, *self._where, f"--request-timeout={_PATIENCE}s"]
        try:
            done = subprocess.run(
                command, input=data, env=dict(self._env), capture_output=True, text=True, timeout=2 * _PATIENCE
            )
        except FileNotFoundError:
            raise TargetError(
                "kubectl is not installed",
                hint="install it, or have the manifest written to a file: manifest: FILE in place of apply: true",
                cause=Cause.LIBRARY_MISSING,
            ) from None
        except (OSError, subprocess.SubprocessError) as problem:
            raise TargetError(f"kubectl {words[0]}: {problem}", cause=Cause.NETWORK) from None
        if done.returncode == 0:
            return done.stdout
        said = " ".join(self._mask(done.stderr).split())
        said = "".join(c for c in said if c.isprintable())[:_WORDS_MOST]
        message = f"kubectl {words[0]} {self._kind} {self._name}: {said or f'exit code {done.returncode}'}"
        # The names of the reasons of Kubernetes' API, which kubectl prints.
        if "(Conflict)" in said or "(AlreadyExists)" in said:
            raise Conflict(message, cause=Cause.CONFLICT)
        forbidden = "(Forbidden)" in said or "(Unauthorized)" in said
        raise TargetError(
            message,
            hint=f"try: kubectl get {self._kind} {' '.join(self._where)}",
            cause=Cause.FORBIDDEN if forbidden else Cause.UNKNOWN,
        )
