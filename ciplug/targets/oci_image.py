"""A version as an OCI image that has nothing but its files: what Kubernetes mounts as a volume of an image.

Each file is a layer of its own, a tar that is not compressed and has no times or owners: the image of a version has the
same digest, whoever makes it. An index names it for each platform, since a node takes only an image of its own.
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, Any

from ciplug.errors import Cause, TargetError
from ciplug.targets.base import Release
from ciplug.targets.model_pack import INDEX, MANIFEST, Blob
from ciplug.targets.oci_registry import Repository

_CONFIG = "application/vnd.oci.image.config.v1+json"
_LAYER = "application/vnd.oci.image.layer.v1.tar"
_PATH, _DIGEST = "ciplug.path", "ciplug.sha256"
"""Annotations of a layer."""
_ARCHITECTURES = ("amd64", "arm64")
_MODELS, _OTHERS = "models", "files"
"""Folders of the image: what the server gets, and the other files of the version."""


class Image:
    """The image of a version, made in a temporary folder."""

    def __init__(self, release: Release, folder: str) -> None:
        """
        Args:
            folder: the folder among the files that the server gets; empty: all.
        """
        self._release = release
        self._folder = folder
        self._layers: list[dict[str, Any]] = []
        for path, digest in sorted(release.files.items()):
            with TemporaryDirectory(prefix="ciplug-") as place, self._layer(path, Path(place)) as tar:
                size = tar.seek(0, io.SEEK_END)
                notes = {_PATH: path, _DIGEST: digest}
                self._layers.append(
                    {"mediaType": _LAYER, "digest": _digest_of(tar), "size": size, "annotations": notes}
                )
        self._configs = {one: Blob(_CONFIG, self._config(one)) for one in _ARCHITECTURES}
        self._manifests = {one: Blob(MANIFEST, self._manifest(config)) for one, config in self._configs.items()}
        self.index = Blob(INDEX, self._index())

    def push(self, repository: Repository) -> None:
        """Push what the registry does not have. Raises TargetError where it fails, or has other bytes then."""
        for layer in self._layers:
            if not repository.has_blob(layer["digest"]):
                with TemporaryDirectory(prefix="ciplug-") as place:
                    path = layer["annotations"][_PATH]
                    repository.put_blob(layer["digest"], layer["size"], lambda: self._layer(path, Path(place)))  # noqa: B023
        for config in self._configs.values():
            repository.put_blob(config.digest, len(config.data), lambda: io.BytesIO(config.data))  # noqa: B023
        for manifest in (*self._manifests.values(), self.index):
            repository.put_manifest(manifest)
        kept = repository.manifest(self.index.digest)
        if kept is None or kept.data != self.index.data:
            raise TargetError(
                f"{repository.host}/{repository.name} does not have the image that was pushed", cause=Cause.LOST
            )

    def _layer(self, path: str, place: Path) -> IO[bytes]:
        """A tar with one file."""
        file = self._release.folder / path
        start = f"{self._folder}/" if self._folder else ""
        inside = path.startswith(start)
        entry = tarfile.TarInfo(f"{_MODELS}/{path.removeprefix(start)}" if inside else f"{_OTHERS}/{path}")
        entry.size, entry.mode = file.stat().st_size, 0o644
        whole = place / "layer.tar"
        with file.open("rb") as data, tarfile.open(whole, "w", format=tarfile.PAX_FORMAT) as tar:
            tar.addfile(entry, data)
        return whole.open("rb")

    def _config(self, architecture: str) -> bytes:
        digests = [layer["digest"] for layer in self._layers]
        return _json(
            {
                "architecture": architecture,
                "os": "linux",
                "rootfs": {"type": "layers", "diff_ids": digests},
                "config": {},
            }
        )

    def _manifest(self, config: Blob) -> bytes:
        notes = {
            "ciplug.model.digest": self._release.digest,
            "org.opencontainers.image.title": self._release.model,
            "org.opencontainers.image.version": str(self._release.version),
        }
        return _json(
            {
                "schemaVersion": 2,
                "mediaType": MANIFEST,
                "config": config.descriptor,
                "layers": self._layers,
                "annotations": notes,
            }
        )

    def _index(self) -> bytes:
        manifests = [
            {**manifest.descriptor, "platform": {"architecture": one, "os": "linux"}}
            for one, manifest in self._manifests.items()
        ]
        return _json({"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests})


def files_in(repository: Repository, digest: str) -> Mapping[str, str]:
    """Path → sha256:<hex> of the files of an image that the registry has whole; none where it does not."""
    files: dict[str, str] = {}
    index = repository.manifest(digest)
    with suppress(ValueError, KeyError, TypeError, AttributeError, RecursionError):
        for one in json.loads(index.data)["manifests"] if index else ():
            manifest = repository.manifest(one["digest"])
            layers = json.loads(manifest.data)["layers"] if manifest else []
            found = {str(one["annotations"][_PATH]): str(one["annotations"][_DIGEST]) for one in layers}
            if manifest is None or (files and files != found):
                return {}
            files = found
            for layer in layers:
                if not repository.has_blob(layer["digest"]):
                    return {}
        return files
    return {}


def _digest_of(data: IO[bytes]) -> str:
    data.seek(0)
    digest = hashlib.sha256()
    while part := data.read(1 << 20):
        digest.update(part)
    return f"sha256:{digest.hexdigest()}"


def _json(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()
