"""The targets of ciplug.yaml: where versions are deployed to, a dataclass for each kind."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ciplug.config import kinds, values
from ciplug.config.kinds import Mistake, Named, OneKind, Table, key, required
from ciplug.config.service_targets import AzuremlTarget, KserveTarget, MlflowTarget, SagemakerTarget
from ciplug.config.target_base import REPOSITORY, URL_PATH, Target, matching

_FOLDER = r"(/|~/).*"
_PORTS = "two different ports from 1 to 65535 are expected, like [5001, 5002]: the next version starts beside the last"


def _ports(value: Any) -> tuple[int, ...]:
    numbers = tuple(value) if isinstance(value, list) else ()
    if len(set(numbers)) != 2 or not all(type(one) is int and 0 < one < 65536 for one in numbers):
        raise ValueError(f"{_PORTS}, not {values.shown(value)}")
    return numbers


def _command_line(value: Any) -> str:
    text = values.text(value)
    try:
        words = shlex.split(text)
    except ValueError as problem:
        raise ValueError(f"a command line is expected, and this one cannot be read: {problem}") from None
    if not words or "\0" in text:
        raise ValueError(f"a command line is expected, not {values.shown(value)}")
    return text


_COMMAND = kinds.Scalar(_command_line, kinds.TEXT.form)
_PORTS_FORM = {
    "type": "array",
    "items": {"type": "integer", "minimum": 1, "maximum": 65535},
    "minItems": 2,
    "maxItems": 2,
    "uniqueItems": True,
}


@dataclass(frozen=True, kw_only=True)
class OciTarget(Target):
    """A repository of an OCI registry: a version is pushed in the layout of ModelPack."""

    kind: str = required(kinds.one_of("oci"))
    repository: str = required(
        matching(REPOSITORY, "host and name of a repository are expected, like registry.example.com/team/wine")
    )
    """Host and name of the repository, without `https://` and without a tag."""

    @property
    def host(self) -> str:
        return self.repository.partition("/")[0]

    @property
    def name(self) -> str:
        return self.repository.partition("/")[2]


@dataclass(frozen=True, kw_only=True)
class LocalTarget(Target):
    """A folder of this machine, and a server command over the files of the version in it."""

    kind: str = required(kinds.one_of("local"))
    folder: str = required(matching(_FOLDER, "an absolute folder is expected, like /srv/models/wine"))
    """An absolute folder, of this target alone."""
    ports: tuple[int, ...] = key(kinds.Scalar(_ports, _PORTS_FORM), (5001, 5002))
    """Two ports on 127.0.0.1, of which one serves."""
    serve: str | None = key(_COMMAND)
    """The server command, with {files} for the folder of the files, {port}, {model} for the only MLflow model among the
    files, and {version}. Default: MLflow's model server."""
    health: str = key(matching(URL_PATH, "a path is expected, like /health"), "/health")
    """The path that answers 200 when the server is ready."""
    patience: float = key(kinds.POSITIVE, 120.0)
    """Seconds in which it must be ready."""
    after_switch: str | None = key(_COMMAND)
    """A command to run after the switch, such as `nginx -s reload`."""
    supervisor: str | None = key(kinds.one_of("systemd", "process", "compose"))
    """What keeps the server running: units of systemd of this user, a process, or a container of Docker Compose.
    Default: systemd where it runs."""
    image: str | None = key(kinds.TEXT)
    """The image of the container, for `supervisor: compose`."""
    volumes: tuple[str, ...] | None = key(kinds.NAMES)
    """Folders that the container may write to, under the same paths, beside the files of the version."""

    def mistakes(self) -> Iterator[Mistake]:
        if self.serve and "{port}" not in self.serve:
            yield Mistake(("serve",), "the command must name its port: {port}", None, (("serve",),))
        if (self.supervisor == "compose") != (self.image is not None):
            words = "'supervisor: compose' and 'image' need one another"
            yield Mistake(("image",), words, "image: python:3.12-slim", (("image",), ("supervisor",)))
        if self.volumes and self.supervisor != "compose":
            yield Mistake(("volumes",), "it is for 'supervisor: compose'", None, (("volumes",),))
        for one in self.volumes or ():
            if not one.startswith("/") or ":" in one:
                words = f"an absolute folder without ':' is expected, not {values.shown(one)}"
                yield Mistake(("volumes",), words, "volumes: [/var/log/wine]", (("volumes",),))


KINDS: dict[str, Table] = {
    "oci": Table(OciTarget, "{kind: oci, repository: registry.example.com/team/wine}"),
    "local": Table(LocalTarget, "{kind: local, folder: /srv/models/wine}"),
    "sagemaker": Table(
        SagemakerTarget,
        "{kind: sagemaker, endpoint: wine, storage: 's3://acme-models/wine', image: …, role: 'arn:aws:iam::…'}",
    ),
    "kserve": Table(
        KserveTarget, "{kind: kserve, name: wine, storage: 's3://acme-models/wine', format: mlflow, apply: true}"
    ),
    "azureml": Table(
        AzuremlTarget, "{kind: azureml, subscription: …, resource_group: ml, workspace: ml, endpoint: wine-prod}"
    ),
    "mlflow": Table(MlflowTarget, "{kind: mlflow, plugin: databricks, name: wine}"),
}
_NAME = {"pattern": r"^[a-z0-9][a-z0-9_-]{0,62}$"}


def _name(name: str) -> str:
    if not re.fullmatch(_NAME["pattern"], name):
        raise ValueError("write the name of a target in lower case, with letters, digits, '-' and '_'")
    return name


TARGETS = Named(OneKind(Target, "kind", KINDS), name=_name, name_form=_NAME)
