"""SLSA provenance v1: how the files of a version came about."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from ciplug.attestation.facts import VersionFacts
from ciplug.attestation.statement import content_resource, file_resource, hex_of, statement
from ciplug.records.canonical import plain
from ciplug.records.run import NO_TIME

PREDICATE = "https://slsa.dev/provenance/v1"
BUILD_TYPE = "urn:ciplug:training:v1"
"""docs/evidence.md defines its parameters."""
_HEX = re.compile(r"[0-9a-f]{64}")


def provenance(facts: VersionFacts) -> dict[str, Any]:
    """Return the statement on the training."""
    run = facts.run
    origin = run.provenance
    predicate = {
        "buildDefinition": {
            "buildType": BUILD_TYPE,
            "externalParameters": _without_none(
                {
                    "command": list(origin.command) or None,
                    "params": plain(run.params) or None,
                    "seed": origin.seed,
                    "model": facts.model,
                    "branch": origin.context.branch,
                }
            ),
            "internalParameters": _without_none(
                {
                    "python": origin.python,
                    "os": origin.os,
                    "packages": dict(origin.packages) or None,
                    "hardware": plain(origin.hardware) or None,
                    "event": origin.context.event,
                    "job": origin.context.job,
                }
            ),
            "resolvedDependencies": list(_dependencies(facts)),
        },
        "runDetails": {
            "builder": {
                "id": f"urn:ciplug:host:{origin.context.host}",
                "version": {"ciplug": origin.ciplug or "unknown"},
            },
            "metadata": {
                "invocationId": origin.context.run_url or f"urn:ciplug:run:{run.id}",
                **({"startedOn": run.started} if run.started != NO_TIME else {}),
                **({"finishedOn": run.ended} if run.ended != NO_TIME else {}),
            },
            "byproducts": list(_byproducts(facts)),
        },
    }
    return statement(facts, PREDICATE, predicate)


def _dependencies(facts: VersionFacts) -> Iterator[dict[str, Any]]:
    run = facts.run
    if run.commit:
        yield {
            "name": "commit",
            "uri": f"git+{facts.repository}@{run.commit}" if facts.repository else f"urn:git:commit:{run.commit}",
            "digest": {"gitCommit": run.commit},
        }
    for dataset in run.datasets:
        yield {**file_resource(dataset), "annotations": {"kind": "dataset"}}
    for stated in run.inputs:
        # The training named it, and nobody has read it.
        about = {"kind": "dataset", "stated_by": "training", "source_type": stated.source_type}
        yield {"name": stated.name, "digest": {"stated": stated.digest}, "annotations": about}
    if image := run.provenance.context.image:
        yield _image(image)
    for path, digest in sorted(run.provenance.lockfiles.items()):
        yield {"name": path, "digest": {"sha256": hex_of(digest)}, "annotations": {"kind": "lockfile"}}


def _image(name: str) -> dict[str, Any]:
    """The container image of the job; only a name with a digest says which bytes it was."""
    address, _, digest = name.partition("@sha256:")
    found: dict[str, Any] = {"name": "image", "uri": f"docker://{name}", "annotations": {"kind": "image"}}
    return {**found, "digest": {"sha256": digest}} if _HEX.fullmatch(digest) and address else found


def _byproducts(facts: VersionFacts) -> Iterator[dict[str, Any]]:
    run = facts.run
    yield content_resource("metrics", dict(run.metrics))
    if run.provenance.diff_digest:
        digest = {"sha256": hex_of(run.provenance.diff_digest)}
        yield {"name": "uncommitted changes", "digest": digest, "annotations": {"dirty": run.provenance.dirty}}
    if facts.verdict:
        yield {"name": facts.verdict.key, "digest": {"sha256": hex_of(facts.verdict.digest)}}


def _without_none(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}
