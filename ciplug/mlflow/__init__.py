"""MLflow on ciplug: what the entry points of MLflow name. Importing this imports neither MLflow nor a store."""

from __future__ import annotations

from typing import Any


def open_tracking_store(store_uri: str, artifact_uri: str | None = None) -> Any:
    """Return the tracking store of a `ciplug:` URI."""
    from ciplug.mlflow.tracking_store import TrackingStore

    return TrackingStore(store_uri, artifact_uri)


def open_registry_store(store_uri: str, tracking_uri: str | None = None) -> Any:
    """Return the model registry of a `ciplug:` URI."""
    from ciplug.mlflow.registry_store import RegistryStore

    return RegistryStore(store_uri, tracking_uri)


def open_artifacts(artifact_uri: str, *args: Any, **options: Any) -> Any:
    """Return the files of a run or a logged model, by a `ciplug-artifacts:` URI."""
    from ciplug.mlflow.artifact_repository import ArtifactRepository

    return ArtifactRepository(artifact_uri, *args, **options)
