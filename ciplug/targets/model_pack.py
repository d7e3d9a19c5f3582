"""A version as an OCI artifact of ModelPack (CNCF), and statements about it that refer to it. Pure.

Each file is a layer as it is, so the registry knows it by the very sha256 that was registered. The manifest has only
facts of the version that never change, so the same version has the same digest, whoever pushes it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any, NamedTuple

from ciplug.targets.base import Release

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
_ARTIFACT = "application/vnd.cncf.model.manifest.v1+json"
_CONFIG = "application/vnd.cncf.model.config.v1+json"
_NOTHING = "application/vnd.ciplug.nothing.v1+json"
_LAYER = "application/vnd.cncf.model.{}.v1.raw"
_EMPTY, _EMPTY_JSON = "application/vnd.oci.empty.v1+json", b"{}"
_STATEMENT, _ENVELOPE = "application/vnd.in-toto+json", "application/vnd.dsse.envelope.v1+json"
_PATH, _TITLE = "org.cncf.model.filepath", "org.opencontainers.image.title"
_DIGEST, _EVENT = "ciplug.model.digest", "ciplug.event"
_DOCS = ("readme", "license", "notice", "changelog")
_KINDS = {
    **dict.fromkeys((".md", ".rst"), "doc"),
    **dict.fromkeys((".py", ".sh", ".ipynb"), "code"),
    **dict.fromkeys((".json", ".yaml", ".yml", ".toml", ".txt", ".ini"), "weight.config"),
    **dict.fromkeys((".csv", ".jsonl", ".parquet"), "dataset"),
}


class Blob(NamedTuple):
    """Bytes of the registry, which names them by their digest."""

    media_type: str
    data: bytes

    @property
    def digest(self) -> str:
        return digest_of(self.data)

    @property
    def descriptor(self) -> dict[str, Any]:
        return {"mediaType": self.media_type, "digest": self.digest, "size": len(self.data)}


class Pack(NamedTuple):
    """A manifest, and the small blobs that it names beside the files."""

    manifest: Blob
    blobs: Sequence[Blob]


def digest_of(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def pack(release: Release, sizes: Mapping[str, int]) -> Pack:
    """The artifact of a version.

    Args:
        sizes: path → bytes of each file.
    """
    layers = [_layer(path, digest, sizes[path]) for path, digest in sorted(release.files.items())]
    described = {"name": release.model, "version": str(release.version), "createdAt": release.created}
    config = Blob(
        _CONFIG,
        _json(
            {
                "descriptor": {**described, **({"revision": release.commit} if release.commit else {})},
                "config": {},
                "modelfs": {"type": "layers", "diffIds": [layer["digest"] for layer in layers]},
            }
        ),
    )
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "artifactType": _ARTIFACT,
        "config": config.descriptor,
        "layers": layers,
        "annotations": {
            _DIGEST: release.digest,
            _TITLE: release.model,
            "org.opencontainers.image.created": release.created,
            "org.opencontainers.image.version": str(release.version),
            **({"org.opencontainers.image.revision": release.commit} if release.commit else {}),
        },
    }
    return Pack(Blob(MANIFEST, _json(manifest)), [config])


def _layer(path: str, digest: str, size: int) -> dict[str, Any]:
    metadata = {"name": PurePosixPath(path).name, "mode": 0o644, "uid": 0, "gid": 0, "size": size}
    metadata |= {"mtime": "1970-01-01T00:00:00Z", "typeflag": ord("0")}
    return {
        "mediaType": _LAYER.format(_kind(path)),
        "digest": digest,
        "size": size,
        "annotations": {
            _PATH: path,
            _TITLE: path,
            "org.cncf.model.file.metadata+json": json.dumps(metadata, sort_keys=True, separators=(",", ":")),
            # The kind follows from the name alone.
            "org.cncf.model.file.mediatype.untested": "true",
        },
    }


def _kind(path: str) -> str:
    name = PurePosixPath(path)
    if name.stem.lower() in _DOCS and name.suffix.lower() in ("", ".md", ".rst", ".txt"):
        return "doc"
    return "weight.config" if name.name == "MLmodel" else _KINDS.get(name.suffix.lower(), "weight")


def nothing(model: str, event: int) -> Pack:
    """The artifact that the tag of a stage names when no version is served: registries cannot all delete a tag.

    Args:
        event: the number of the event that began this end.
    """
    empty = Blob(_EMPTY, _EMPTY_JSON)
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "artifactType": _NOTHING,
        "config": empty.descriptor,
        "layers": [empty.descriptor],
        "annotations": {_TITLE: model, _EVENT: str(event)},
    }
    return Pack(Blob(MANIFEST, _json(manifest)), [empty])


def is_nothing(manifest: bytes) -> bool:
    """Whether a manifest says that no version is served."""
    try:
        return bool(json.loads(manifest)["artifactType"] == _NOTHING)
    except (ValueError, KeyError, TypeError, RecursionError):
        return False


def event_in(manifest: bytes) -> int:
    """The number of the event by which no version is served; 0 for the manifest of a version, which never changes."""
    try:
        text = str(json.loads(manifest)["annotations"][_EVENT]) if is_nothing(manifest) else ""
        return int(text) if text.isdecimal() else 0
    except (ValueError, KeyError, TypeError, RecursionError):
        return 0


def files_in(manifest: bytes) -> dict[str, str]:
    """Path → digest of the files that a manifest names; none for what is not a manifest of ModelPack."""
    try:
        value = json.loads(manifest)
        if value["artifactType"] != _ARTIFACT:
            return {}
        return {str(layer["annotations"][_PATH]): str(layer["digest"]) for layer in value["layers"]}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}


def model_in(manifest: bytes) -> str | None:
    """The model that a manifest of ours is of."""
    try:
        notes = json.loads(manifest)["annotations"]
        return str(notes[_TITLE]) if _DIGEST in notes or is_nothing(manifest) else None
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


def statement_packs(subject: Blob, documents: Mapping[str, bytes]) -> list[Pack]:
    """An artifact for each statement on a version, and for each envelope, that refers to the manifest."""
    return [
        _statement_pack(subject, name, data, _ENVELOPE if name.endswith(".dsse.json") else _STATEMENT)
        for name, data in sorted(documents.items())
    ]


def _statement_pack(subject: Blob, name: str, data: bytes, media_type: str) -> Pack:
    empty, layer = Blob(_EMPTY, _EMPTY_JSON), Blob(media_type, data)
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "artifactType": media_type,
        "config": empty.descriptor,
        "layers": [{**layer.descriptor, "annotations": {_TITLE: name}}],
        "subject": subject.descriptor,
    }
    return Pack(Blob(MANIFEST, _json(manifest)), [empty, layer])


def fallback_tag(digest: str) -> str:
    """The tag of the index of what refers to a manifest, for registries without the API of referrers."""
    return digest.replace(":", "-")


def with_referrers(index: bytes | None, packs: Sequence[Pack]) -> bytes:
    """The index with these artifacts added to those that it has.

    Raises ValueError, KeyError, TypeError and RecursionError for what is no index.
    """
    listed = list(json.loads(index)["manifests"]) if index else []
    known = {one["digest"] for one in listed}
    for one in packs:
        if one.manifest.digest not in known:
            kind = json.loads(one.manifest.data)["artifactType"]
            listed.append({**one.manifest.descriptor, "artifactType": kind})
    return _json({"schemaVersion": 2, "mediaType": INDEX, "manifests": listed})


def referrers_in(index: bytes | None) -> set[str]:
    """The digests that an index lists."""
    try:
        return {str(one["digest"]) for one in json.loads(index)["manifests"]} if index else set()
    except (ValueError, KeyError, TypeError, RecursionError):
        return set()


def _json(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()
