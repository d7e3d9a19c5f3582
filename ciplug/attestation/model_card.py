"""A model card as Hugging Face reads it: YAML with `model-index`, and a page for people."""

from __future__ import annotations

import math
from typing import Any

from ciplug.attestation.facts import VersionFacts
from ciplug.records.verdict import outcomes_of
from ciplug.reports.untrusted import code_markdown, escape_markdown

_NO_ADDRESS = (
    "not known: the job of the run named no repository, and the remote of the clone that wrote this card is a folder"
)
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
        "Version": escape_markdown(f"{facts.version} ({facts.stage})"),
        "Registered": _exact(facts.registered),
        "Run": _exact(run.id),
        "Commit": _exact(run.commit) if run.commit else "none: the run was recorded without one",
        "Code": _exact(facts.repository) if facts.repository else _NO_ADDRESS,
        "Seed": "not recorded" if run.provenance.seed is None else _exact(str(run.provenance.seed)),
    }
    lines = [f"# {escape_markdown(facts.model)}", "", *_table(("", ""), list(rows.items()))]
    if run.metrics:
        lines += ["", "## Metrics", ""]
        lines += _table(
            ("metric", "value"), [(_exact(name), _exact(str(value))) for name, value in sorted(run.metrics.items())]
        )
    if facts.verdict:
        lines += ["", f"## Gates: {facts.verdict.verdict.outcome}", ""]
        outcomes = outcomes_of(facts.verdict.verdict).items()
        lines += _table(("gate", "outcome"), [(_exact(name), escape_markdown(str(one))) for name, one in outcomes])
    if run.datasets:
        lines += ["", "## Data", ""]
        lines += _table(("dataset", "sha256"), [(_exact(file.path), _exact(file.digest)) for file in run.datasets])
    lines += ["", "## Files", ""]
    lines += _table(("file", "sha256"), [(_exact(path), _exact(one)) for path, one in sorted(facts.files.items())])
    return "\n".join(lines) + "\n"


def _exact(value: str) -> str:
    """A value that a person can copy as it is: as a code span, where it can be one."""
    code = None if set(value) & set("<>&") else code_markdown(value)
    return code or escape_markdown(value)


def _table(head: tuple[str, str], rows: list[tuple[str, str]]) -> list[str]:
    """Rows of cells that are Markdown already."""
    return [f"| {head[0]} | {head[1]} |", "| --- | --- |", *(f"| {left} | {right} |" for left, right in rows)]
