"""A CycloneDX 1.6 bill of materials of a model: its files, datasets, packages, and the numbers it reached."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

from ciplug.attestation.facts import VersionFacts
from ciplug.attestation.statement import hex_of
from ciplug.records.canonical import plain
from ciplug.records.verdict import GateResult

_NAMESPACE = uuid.UUID("a3f0c7c6-52f5-4f1c-9a0b-2f1f6f0c9d51")


def bom(facts: VersionFacts) -> dict[str, Any]:
    """Return the bill of materials. The same version is the same document."""
    files = list(_files(facts))
    datasets = list(_datasets(facts))
    packages = list(_packages(facts))
    parts = [part["bom-ref"] for part in (*files, *datasets, *packages)]
    identity = f"{facts.name} {facts.run.id} {sorted(facts.files.items())}"
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(_NAMESPACE, identity)}",
        "version": 1,
        "metadata": {
            "timestamp": facts.registered,
            "tools": {"components": [{"type": "application", "name": "ciplug", "version": facts.ciplug}]},
            "component": _model(facts, [part["bom-ref"] for part in datasets]),
        },
        "components": [*files, *datasets, *packages],
        "dependencies": [{"ref": "model", "dependsOn": parts}],
    }


def _model(facts: VersionFacts, datasets: list[str]) -> dict[str, Any]:
    run = facts.run
    gated = {gate.metric: gate for gate in (facts.verdict.verdict.gates if facts.verdict else ()) if not gate.slice}
    card: dict[str, Any] = {
        "modelParameters": {"datasets": [{"ref": ref} for ref in datasets]} if datasets else {},
        "quantitativeAnalysis": {
            "performanceMetrics": [_metric(name, value, gated.get(name)) for name, value in sorted(run.metrics.items())]
        },
    }
    properties = {
        "ciplug:run": run.id,
        "ciplug:stage": facts.stage,
        "ciplug:commit": run.commit,
        "ciplug:seed": run.provenance.seed,
        "ciplug:verdict": facts.verdict.verdict.outcome if facts.verdict else None,
        **{f"ciplug:param:{name}": value for name, value in sorted(run.params.items())},
    }
    component: dict[str, Any] = {
        "type": "machine-learning-model",
        "bom-ref": "model",
        "name": facts.model,
        "version": str(facts.version),
        "modelCard": card,
        "properties": [
            {"name": name, "value": str(plain(value))} for name, value in properties.items() if value is not None
        ],
    }
    if len(facts.files) == 1:
        component["hashes"] = _hashes(next(iter(facts.files.values())))
    return component


def _metric(name: str, value: float, gate: GateResult | None) -> dict[str, Any]:
    metric: dict[str, Any] = {"type": name, "value": str(plain(value))}
    if gate and gate.n:
        metric["slice"] = f"all {gate.n} examples or runs"
    return metric


def _files(facts: VersionFacts) -> Iterator[dict[str, Any]]:
    for number, (path, digest) in enumerate(sorted(facts.files.items()), start=1):
        yield {"type": "file", "bom-ref": f"file-{number}", "name": path, "hashes": _hashes(digest)}


def _datasets(facts: VersionFacts) -> Iterator[dict[str, Any]]:
    for number, file in enumerate(facts.run.datasets, start=1):
        folder = file.kind == "folder"
        part: dict[str, Any] = {
            "type": "data",
            "bom-ref": f"dataset-{number}",
            "name": file.path,
            "data": [{"type": "dataset", "name": file.path}],
        }
        if folder:
            part["properties"] = [{"name": "ciplug:folder-digest", "value": file.digest}]
        else:
            part["hashes"] = _hashes(file.digest)
        yield part
    for number, stated in enumerate(facts.run.inputs, start=1):
        about = {"ciplug:stated-digest": stated.digest, "ciplug:context": stated.context}
        yield {
            "type": "data",
            "bom-ref": f"stated-dataset-{number}",
            "name": stated.name,
            "data": [{"type": "dataset", "name": stated.name}],
            "properties": [{"name": name, "value": value} for name, value in about.items() if value],
        }


def _packages(facts: VersionFacts) -> Iterator[dict[str, Any]]:
    for name, version in sorted(facts.run.provenance.packages.items()):
        yield {
            "type": "library",
            "bom-ref": f"package-{name}",
            "name": name,
            "version": version,
            "purl": f"pkg:pypi/{quote(name.lower().replace('_', '-'), safe='')}@{quote(version, safe='')}",
        }


def _hashes(digest: str) -> list[dict[str, str]]:
    return [{"alg": "SHA-256", "content": hex_of(digest)}]
