"""A model card as Hugging Face reads it: YAML with `model-index`, and a page for people."""

from __future__ import annotations

import math
from typing import Any

from ciplug.attestation.facts import VersionFacts
from ciplug.records.verdict import outcomes_of
from ciplug.reports.untrusted import escape_markdown

TASK = "other"
"""The type of the task where nobody has named one; Hugging Face takes any text."""


def model_card(facts: VersionFacts, task: str = TASK) -> str:
    """Return the content of README.md for a repository of the model."""
    import yaml

    head = yaml.safe_dump(_metadata(facts, task), sort_keys=False, allow_unicode=False)
    return f"---\n{head}---\n\n{page(facts)}"


def _metadata(facts: VersionFacts, task: str) -> dict[str, Any]:
    run = facts.run
    read = [file.path for file in run.datasets] + [stated.name for stated in run.inputs]
    # Hugging Face has no number that JSON does not have.
    metrics = [
        {"type": name, "name": name, "value": value}
        for name, value in sorted(run.metrics.items())
        if math.isfinite(value)
    ]
    result: dict[str, Any] = {
        "task": {"type": task},
        "dataset": {"name": read[-1] if read else "not recorded", "type": read[-1] if read else "unknown"},
        "metrics": metrics,
    }
    index = [{"name": facts.model, "results": [result]}] if metrics else []
    return {"tags": ["ciplug"], "model_name": facts.model, **({"model-index": index} if index else {})}


def page(facts: VersionFacts) -> str:
    """The facts about a version as Markdown."""
    run = facts.run
    rows = {
        "Version": f"{facts.version} ({facts.stage})",
        "Registered": facts.registered,
        "Run": run.id,
        "Commit": run.commit or "none",
        "Code": facts.repository or "not known",
        "Seed": "not recorded" if run.provenance.seed is None else str(run.provenance.seed),
    }
    lines = [f"# {escape_markdown(facts.model)}", "", *_table(("", ""), list(rows.items()))]
    if run.metrics:
        lines += ["", "## Metrics", ""]
        lines += _table(("metric", "value"), [(name, str(value)) for name, value in sorted(run.metrics.items())])
    if facts.verdict:
        lines += ["", f"## Gates: {facts.verdict.verdict.outcome}", ""]
        lines += _table(("gate", "outcome"), list(outcomes_of(facts.verdict.verdict).items()))
    if run.datasets:
        lines += ["", "## Data", ""]
        lines += _table(("dataset", "sha256"), [(file.path, file.digest) for file in run.datasets])
    lines += ["", "## Files", ""]
    lines += _table(("file", "sha256"), sorted(facts.files.items()))
    return "\n".join(lines) + "\n"


def _table(head: tuple[str, str], rows: list[tuple[str, Any]]) -> list[str]:
    cells = [f"| {escape_markdown(str(left))} | {escape_markdown(str(right))} |" for left, right in rows]
    return [f"| {head[0]} | {head[1]} |", "| --- | --- |", *cells]
