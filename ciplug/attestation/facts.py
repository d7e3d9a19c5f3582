"""The facts about one version of a model that its attestations state."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ciplug.records.run import Run
from ciplug.records.verdict import Verdict


@dataclass(frozen=True, kw_only=True)
class StoredVerdict:
    """A verdict, and the bytes that the registry names."""

    verdict: Verdict
    key: str
    digest: str
    """sha256:<hex> of its bytes in the store."""


@dataclass(frozen=True, kw_only=True)
class VersionFacts:
    """A version, its run, and the verdict that allowed its last promotion."""

    model: str
    version: int
    stage: str
    registered: str
    """UTC, ISO 8601."""
    run: Run
    files: Mapping[str, str] = field(default_factory=dict)
    """Path → sha256:<hex> of each single file; a folder is represented by its files."""
    verdict: StoredVerdict | None = None
    """None: the version was never promoted."""
    repository: str | None = None
    """The address of the code, without credentials. None: the job did not name it, and no remote has one for others."""
    ciplug: str = ""
    """The version of ciplug that makes the attestation."""

    @property
    def name(self) -> str:
        """`wine@v3`."""
        return f"{self.model}@v{self.version}"
