"""A repository of an OCI registry as a target: the version's manifest under its digest and `vN`, then the stage's tag.

The tag of the stage is what is served. It is set last, in one request, when everything that it leads to is there. The
manifest of a version is the same for each deployment, so only an end says its event there; the log tells the rest.
"""

from __future__ import annotations

from collections.abc import Mapping

from ciplug.config.targets import OciTarget
from ciplug.errors import Cause, DeploymentRefused, NotDeployed, TargetError
from ciplug.targets import model_pack
from ciplug.targets.base import Live, Release
from ciplug.targets.model_pack import INDEX, Blob, Pack
from ciplug.targets.oci_registry import MANIFEST_MOST, Repository

_ATTEMPTS = 3


class Oci:
    """A target of kind `oci`."""

    def __init__(self, settings: OciTarget, env: Mapping[str, str]) -> None:
        self._settings = settings
        self._repository = Repository(settings.host, settings.name, env)

    def live(self, stage: str) -> Live | None:
        manifest = self._repository.manifest(stage.lower())
        if manifest is None or model_pack.is_nothing(manifest.data):
            return None
        files = model_pack.files_in(manifest.data)
        missing = next((path for path, digest in files.items() if not self._repository.has_blob(digest)), None)
        problem = f"the registry does not have the bytes of {missing[:200]}" if missing else None
        reference = f"{self._settings.repository}@{manifest.digest}"
        return Live(reference, files, f"{self._settings.repository}:{stage.lower()}", problem)

    def place(self, release: Release) -> None:
        packed = self._packed(release)
        version = self._check_tag(release, f"v{release.version}")
        self._check_tag(release, release.stage.lower())
        for path, digest in sorted(release.files.items()):
            file = release.folder / path
            self._repository.put_blob(digest, file.stat().st_size, lambda file=file: file.open("rb"))  # type: ignore[misc]
        self._put(packed)
        self._verify(packed)
        self._put_statements(packed, release)
        if version is None or version.digest != packed.manifest.digest:
            self._repository.put_manifest(packed.manifest, f"v{release.version}")

    def switch(self, release: Release) -> None:
        packed, stage = self._packed(release), release.stage.lower()
        served = self._repository.manifest(stage)
        if served is not None and model_pack.event_in(served.data) > release.event:
            raise DeploymentRefused(
                NotDeployed.SUPERSEDED,
                f"{self._settings.repository}:{stage} was ended later (event {model_pack.event_in(served.data)}) than "
                f"this deployment was begun (event {release.event})",
                hint=f"see what is served: ciplug deployments status '{release.model}'",
            )
        if served is None or served.digest != packed.manifest.digest:
            self._repository.put_manifest(packed.manifest, stage)

    def end(self, model: str, stage: str, event: int) -> None:
        served = self._repository.manifest(stage.lower())
        if served is None or model_pack.is_nothing(served.data):
            return
        self._check_model(served, model, stage.lower())
        nothing = model_pack.nothing(model, event)
        self._put(nothing)
        self._repository.put_manifest(nothing.manifest, stage.lower())

    def _packed(self, release: Release) -> Pack:
        sizes = {path: (release.folder / path).stat().st_size for path in release.files}
        packed = model_pack.pack(release, sizes)
        if len(packed.manifest.data) > MANIFEST_MOST:
            raise TargetError(
                f"version {release.version} of '{release.model}' has {len(release.files)} files, more than a manifest "
                "can name",
                hint="record the folder as one archive: --artifact model.tar",
                cause=Cause.TOO_LARGE,
            )
        return packed

    def _check_tag(self, release: Release, tag: str) -> Blob | None:
        """Return what a tag names. Raises DeploymentRefused where that is not of this model, or of other files."""
        manifest = self._repository.manifest(tag)
        if manifest is None:
            return None
        self._check_model(manifest, release.model, tag)
        if tag == f"v{release.version}" and model_pack.files_in(manifest.data) != dict(release.files):
            raise DeploymentRefused(
                NotDeployed.OTHER_CONTENT,
                f"{self._settings.repository}:{tag} has other files than version {release.version} of "
                f"'{release.model}'",
                hint=f"find out who pushed it, and remove that tag; see: ciplug deployments status '{release.model}'",
            )
        return manifest

    def _check_model(self, manifest: Blob, model: str, tag: str) -> None:
        if model_pack.model_in(manifest.data) != model:
            raise DeploymentRefused(
                NotDeployed.OTHER_MODEL,
                f"{self._settings.repository}:{tag} is not of the model '{model}'",
                hint="give each model a repository of its own, in targets: of ciplug.yaml",
            )

    def _put(self, packed: Pack) -> bool:
        import io

        for blob in packed.blobs:
            self._repository.put_blob(blob.digest, len(blob.data), lambda blob=blob: io.BytesIO(blob.data))  # type: ignore[misc]
        return self._repository.put_manifest(packed.manifest)

    def _verify(self, packed: Pack) -> None:
        """Raise TargetError unless the registry has the manifest by its digest, with these very bytes."""
        kept = self._repository.manifest(packed.manifest.digest)
        if kept is None or kept.data != packed.manifest.data:
            raise TargetError(
                f"{self._settings.repository} does not have the manifest that was pushed: {packed.manifest.digest}",
                cause=Cause.LOST,
            )

    def _put_statements(self, packed: Pack, release: Release) -> None:
        """Push the statements on the version; where the registry does not list them, an index under a tag does."""
        packs = model_pack.statement_packs(packed.manifest, release.documents)
        listed_there = [self._put(one) for one in packs]
        if all(listed_there):
            return
        tag, wanted = model_pack.fallback_tag(packed.manifest.digest), {one.manifest.digest for one in packs}
        for _ in range(_ATTEMPTS):
            index = self._repository.manifest(tag)
            if index and wanted <= model_pack.referrers_in(index.data):
                return
            try:
                listed = model_pack.with_referrers(index.data if index else None, packs)
            except (ValueError, KeyError, TypeError, RecursionError):
                raise TargetError(f"{self._settings.repository}:{tag} is not an index", hint="remove it") from None
            self._repository.put_manifest(Blob(INDEX, listed), tag)
