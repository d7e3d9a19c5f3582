"""Objects of a Kubernetes cluster by kubectl, which has the credentials: KUBECONFIG, or that of the pod."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from ciplug.errors import Cause, TargetError

_PATIENCE = 60
"""Seconds for one call."""
_WORDS_MOST = 300
_SECRET = re.compile(
    r"CIPLUG_.*|.*(TOKEN|PASSWORD|PASSWD|PASSPHRASE|SECRET|API_?KEY|ACCESS_KEY|PRIVATE_KEY|SIGNING_KEY|JWT|_PAT)",
    re.IGNORECASE,
)
_OF_CLOUDS = re.compile(r"(AWS|AZURE|AAD|ARM|GOOGLE|CLOUDSDK|OCI_CLI|DIGITALOCEAN|IBMCLOUD|KUBE|KUBERNETES)_.*")
"""What kubectl's plugins for clouds log in with."""


class Conflict(TargetError):
    """Somebody else has changed, or created, the object since it was read."""


class NotThere(TargetError):
    """There is no such object, or no such kind of objects."""


class Kind(NamedTuple):
    """A kind of objects."""

    group: str
    version: str
    plural: str

    @property
    def name(self) -> str:
        return f"{self.plural}.{self.group}"


class Kubectl:
    """kubectl for one object."""

    def __init__(
        self,
        kind: Kind,
        name: str,
        namespace: str,
        context: str | None,
        env: Mapping[str, str],
        mask: Callable[[str], str],
    ) -> None:
        self._kind, self._name = kind.name, name
        self._path = f"/apis/{kind.group}/{kind.version}/namespaces/{namespace}/{kind.plural}/{name}"
        self._where = ["--namespace", namespace, *(["--context", context] if context else [])]
        self._env = program_environment(env)
        self._mask = mask

    def get(self) -> dict[str, Any] | None:
        """The object; None where there is none."""
        text = self._run("get", self._kind, self._name, "--ignore-not-found", "--output", "json")
        if not text.strip():
            return None
        try:
            found = json.loads(text)
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, dict) or not isinstance(found.get("metadata"), dict):
            raise TargetError(f"kubectl get {self._kind} {self._name}: the answer is not an object of Kubernetes")
        return found

    def put(self, manifest: Mapping[str, Any]) -> None:
        """Create an object, or replace the one whose `resourceVersion` it has.

        Raises Conflict where another was faster.
        """
        verb = "replace" if manifest["metadata"].get("resourceVersion") else "create"
        self._run(verb, "--filename", "-", data=json.dumps(manifest))

    def delete(self, found: Mapping[str, Any]) -> None:
        """Begin to delete the very object that was read.

        Raises Conflict where it was changed since, or is another one by now.
        """
        must = {key: found["metadata"][key] for key in ("uid", "resourceVersion") if found["metadata"].get(key)}
        options = {"kind": "DeleteOptions", "apiVersion": "v1", "preconditions": must}
        try:
            self._run("delete", "--raw", self._path, "--filename", "-", data=json.dumps(options))
        except NotThere:
            return

    def _run(self, *words: str, data: str | None = None) -> str:
        command: Sequence[str] = ["kubectl", *words, *self._where, f"--request-timeout={_PATIENCE}s"]
        try:
            done = subprocess.run(
                command,
                input=data,
                env=self._env,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=2 * _PATIENCE,
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
        if "(NotFound)" in said:
            raise NotThere(message, cause=Cause.NOT_FOUND)
        forbidden = "(Forbidden)" in said or "(Unauthorized)" in said
        raise TargetError(
            message,
            hint=f"try: kubectl get {self._kind} {' '.join(self._where)}",
            cause=Cause.FORBIDDEN if forbidden else Cause.UNKNOWN,
        )


def program_environment(env: Mapping[str, str]) -> dict[str, str]:
    """The environment of kubectl and its plugins: the job's without the secrets of ciplug, of forges and of others."""
    return {name: value for name, value in env.items() if _OF_CLOUDS.fullmatch(name) or not _SECRET.fullmatch(name)}
