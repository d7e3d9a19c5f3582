"""How a run came to be, as labels and values. Pure."""

from __future__ import annotations

from ciplug.errors import listed
from ciplug.records.run import NO_TIME_TEXT, Run
from ciplug.reports import number_format


def facts_of(run: Run) -> list[tuple[str, str]]:
    """Label and value of all that is known on how the run came to be."""
    origin, context, machine = run.provenance, run.provenance.context, run.provenance.hardware
    ended = origin.signal or (None if origin.exit_code is None else f"exit code {origin.exit_code}")
    differs = "yes, files differ from the commit" if origin.dirty_files or not origin.head_after else None
    dirty = {True: differs, False: "no", None: None}[origin.dirty]
    facts: list[tuple[str, str | None]] = [
        ("run", run.id),
        ("name", run.name),
        ("status", f"{run.status}, {ended}" if ended else run.status),
        ("started", run.started or NO_TIME_TEXT),
        ("ended", run.ended or NO_TIME_TEXT),
        ("commit", run.commit),
        ("uncommitted changes", dirty),
        ("checked out while it ran", origin.head_after),
        ("changed files", origin.named_dirt(len(origin.dirty_files)) or None),
        ("digest of the changes", origin.diff_digest),
        ("changed files that do not count", listed(origin.ignored_files) or None),
        ("branch", context.branch),
        ("pull request", None if context.pull_request is None else str(context.pull_request)),
        ("CI", context.host),
        ("job", context.job),
        ("actor", context.actor),
        ("trusted", None if context.trusted else "no: a fork's pull request"),
        ("command", " ".join(origin.command) or None),
        ("wall time", number_format.duration(origin.wall_seconds)),
        ("CPU time", number_format.duration(origin.cpu_seconds)),
        ("peak memory", number_format.size(origin.peak_memory_bytes)),
        ("seed", None if origin.seed is None else str(origin.seed)),
        ("Python", origin.python),
        ("system", origin.os),
        ("CPU", machine.cpu),
        ("cores", None if machine.cores is None else str(machine.cores)),
        ("memory", number_format.size(machine.memory_bytes)),
        ("GPU", ", ".join(machine.gpus) or None),
        ("ciplug", origin.ciplug),
    ]
    return [(label, value) for label, value in facts if value is not None]
