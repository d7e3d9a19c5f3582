"""The issue about a version in production that fails its gates. Pure; all text that comes from data is escaped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

from ciplug.errors import counted
from ciplug.records.run import Run
from ciplug.records.verdict import Verdict
from ciplug.reports import untrusted
from ciplug.reports.markdown_style import table
from ciplug.reports.text import OUTCOME_ICONS

_WINDOWS_MOST = 14
_GATES_MOST = 20


@dataclass(frozen=True, kw_only=True)
class IssueFacts:
    """What the issue is about."""

    model: str
    stage: str
    version: int
    where: str
    """After the version: "in Production", or nothing where it is named by its number."""
    verdict: Verdict
    windows: Sequence[Run]
    """The windows of the version, the last first."""
    failures: int
    """Windows in a row that failed; 0: it has recovered."""
    actions: Sequence[str] = ()
    """What ciplug has done about it, as sentences."""
    run_url: str | None = None


def marker(model: str, stage: str) -> str:
    """The first line, by which the issue of a model and stage is found. A name could end the comment: it is hashed."""
    name = sha256(b"\n".join([model.encode(), stage.encode()])).hexdigest()
    return f"<!-- ciplug-monitor: {name[:32]} -->"


def title(facts: IssueFacts) -> str:
    """One line, which forges show as text."""
    return f"'{untrusted.clean(facts.model, 80)}' in {untrusted.clean(facts.stage, 40)} fails its gates"


def body(facts: IssueFacts) -> str:
    """Markdown, with the marker on its first line."""
    escape = untrusted.escape_markdown
    what = f"Version {facts.version} of {escape(facts.model, 80)} {escape(facts.where, 40)}".rstrip()
    if facts.failures:
        lead = f"{what} has failed its gates in {counted(facts.failures, 'window')} in a row."
    else:
        lead = f"{what} passes its gates again. This issue is closed by `ciplug monitor`."
    parts = [marker(facts.model, facts.stage), lead, *map(escape, facts.actions), *_tables(facts)]
    link = untrusted.safe_url(facts.run_url) if facts.run_url else None
    if link:
        parts.append(f"[The pipeline of the last window]({link})")
    if facts.failures:
        parts.append(
            "`ciplug monitor` updates this issue, and closes it once a window passes. What the gates judge is in "
            "`ciplug runs show RUN`."
        )
    return "\n\n".join(parts) + "\n"


def summary(facts: IssueFacts) -> str:
    """The same facts for the page of a job, whatever the outcome."""
    escape = untrusted.escape_markdown
    outcome = facts.verdict.outcome
    what = f"version {facts.version} of {escape(facts.model, 80)} {escape(facts.where, 40)}".rstrip()
    return "\n\n".join([f"## {OUTCOME_ICONS[outcome]} {outcome}: {what}", *_tables(facts)]) + "\n"


def _tables(facts: IssueFacts) -> list[str]:
    """The gates that did not pass, and the last windows."""
    escape = untrusted.escape_markdown
    bad = [gate for gate in facts.verdict.gates if gate.outcome != "PASS"][:_GATES_MOST]
    gates = [
        [f"{OUTCOME_ICONS[gate.outcome]} {gate.outcome}", escape(gate.gate, 80), escape(gate.reason)] for gate in bad
    ]
    windows = [
        [
            seen.until[:16].replace("T", " "),
            seen.outcome if seen.outcome in OUTCOME_ICONS else "",
            escape(", ".join(seen.failed), 120),
            f"{seen.rows:,}",
            f"{seen.labelled:,}",
            f"`{run.id[:12]}`",
        ]
        for run in facts.windows[:_WINDOWS_MOST]
        if (seen := run.monitor) is not None
    ]
    last = _table(["window to (UTC)", "outcome", "failed gates", "predictions", "labelled", "run"], windows)
    return [*([_table(["outcome", "gate", "why"], gates)] if gates else []), last]


def _table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    head, lines = table(headers, rows)
    return "\n".join([head, *lines])
