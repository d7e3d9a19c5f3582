"""The credential for one registry: from the environment, or as `docker login` and its helpers have kept it."""

from __future__ import annotations

import base64
import json
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ciplug.errors import Cause, TargetError

USER, PASSWORD = "CIPLUG_OCI_USER", "CIPLUG_OCI_PASSWORD"
HOST = "CIPLUG_OCI_HOST"
"""The registry that the two variables are for."""
_DOCKER_HUB = ("docker.io", "index.docker.io", "registry-1.docker.io")


class Credential(NamedTuple):
    user: str
    password: str

    @property
    def basic(self) -> str:
        return base64.b64encode(f"{self.user}:{self.password}".encode()).decode()


def credential_for(host: str, env: Mapping[str, str]) -> Credential | None:
    """The credential of the environment, else of docker's or podman's configuration; None: the registry gets none.

    Raises TargetError where a configuration or its helper cannot be used.
    """
    if env.get(USER) and env.get(PASSWORD) and env.get(HOST, "").lower() == host.lower():
        return Credential(env[USER], env[PASSWORD])
    for file in _files(env):
        if file.is_file() and (found := _in_file(file, host, env)):
            return found
    return None


def _files(env: Mapping[str, str]) -> Iterator[Path]:
    home = Path(env.get("HOME") or Path.home())
    yield Path(env.get("DOCKER_CONFIG") or home / ".docker") / "config.json"
    if named := env.get("REGISTRY_AUTH_FILE"):
        yield Path(named)
    if runtime := env.get("XDG_RUNTIME_DIR"):
        yield Path(runtime) / "containers" / "auth.json"


def _in_file(file: Path, host: str, env: Mapping[str, str]) -> Credential | None:
    try:
        value: Mapping[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        helpers = value.get("credHelpers") or {}
        auths = value.get("auths") or {}
        for key in _keys(host):
            if helper := helpers.get(key) or (value.get("credsStore") if key in auths else None):
                return _from_helper(str(helper), key, env)
            if text := (auths.get(key) or {}).get("auth"):
                user, _, password = base64.b64decode(text).decode().partition(":")
                return Credential(user, password)
    except (OSError, ValueError, AttributeError, TypeError):
        raise TargetError(f"{file} cannot be read", hint=f"log in again: docker login {host}") from None
    return None


def _keys(host: str) -> list[str]:
    """The names under which `docker login` keeps the credential of a registry."""
    hub = [*_DOCKER_HUB, "https://index.docker.io/v1/"] if host in _DOCKER_HUB else []
    return list(dict.fromkeys([host, f"https://{host}", f"https://{host}/v2/", f"https://{host}/v1/", *hub]))


def _from_helper(name: str, key: str, env: Mapping[str, str]) -> Credential | None:
    program = f"docker-credential-{name}"
    try:
        done = subprocess.run([program, "get"], input=key, capture_output=True, text=True, env=dict(env), timeout=60)
        if done.returncode:
            return None
        value = json.loads(done.stdout)
        return Credential(str(value["Username"]), str(value["Secret"]))
    except (OSError, ValueError, KeyError, TypeError, subprocess.SubprocessError):
        raise TargetError(
            f"{program}, which docker's configuration names for {key}, gave no credential",
            hint=f"log in again: docker login {key}",
            cause=Cause.NO_CREDENTIAL,
        ) from None
