"""One run as an outline for the eye: its record as amended, and the history of its amendments."""

from __future__ import annotations

import math
import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ciplug.errors import counted
from ciplug.records.amendment import Amendment
from ciplug.records.canonical import plain
from ciplug.records.changes import Changes, RefusedParam
from ciplug.records.inputs import DatasetInput, ModelOutput
from ciplug.records.left_out import LeftOut
from ciplug.records.run import NO_TIME_TEXT, File, Run
from ciplug.records.verdict import Verdict, outcomes_of

if TYPE_CHECKING:
    from ciplug.records.series import Series
    from ciplug.steps.recorded_verdicts import RecordedVerdict
    from ciplug.tracking.entries import Entry

CHILDREN_MOST = 50
"""Child runs that the outline has."""
_IMAGES_MOST = 100
"""Images that the outline has."""
_VERDICTS_MOST = 5
"""Earlier verdicts that the outline has."""


def details(
    run: Run,
    changes: Changes,
    refused: Sequence[RefusedParam] = (),
    *,
    images: Sequence[File] = (),
    unlisted: Mapping[str, str] | None = None,
    verdicts: Sequence[RecordedVerdict] = (),
    series: Mapping[str, Series] | None = None,
    signed: str | None = None,
    children: Sequence[Entry] = (),
    more: int = 0,
) -> str:
    """The record as an indented outline, in the order of importance; packages are counted, `--json` lists them.

    Args:
        images: those among the artifacts and in folders.
        unlisted: folder → why its images are not known.
        verdicts: those that were recorded on the run, those that count and the latest first.
        series: metric → its steps.
        signed: the allowed signers who have signed it; empty: none has; None: nothing needs a signature.
        children: the runs that this one started.
        more: the number of those beyond them.
    """
    from ciplug.reports import untrusted
    from ciplug.reports.crash import crash_of

    facts = plain(run)
    provenance = dict(facts.pop("provenance", {}))
    packages = provenance.pop("packages", {})
    facts.pop("last", None)
    if run.metrics:
        facts["metrics"] = {name: f"{_number(value)}{_step(run, name)}" for name, value in run.metrics.items()}
    if run.left_out:
        facts["left_out"] = [_left_out(one) for one in run.left_out]
    if run.inputs:
        facts["inputs"] = [_input(one) for one in run.inputs]
    if run.outputs:
        facts["outputs"] = [_output(one) for one in run.outputs]
    if series:
        facts = _with_series(facts, series)
    if images or unlisted:
        beyond = [f"and {len(images) - _IMAGES_MOST:,} more"] if len(images) > _IMAGES_MOST else []
        unknown = [f"those in {folder}: {problem}" for folder, problem in (unlisted or {}).items()]
        facts["images"] = [*(_image(run, file) for file in images[:_IMAGES_MOST]), *beyond, *unknown]
    lines: list[str] = []

    def write(name: str, value: object, depth: int) -> None:
        pad = "  " * depth
        if isinstance(value, dict):
            lines.append(f"{pad}{untrusted.clean(name)}:")
            for key, inner in value.items():
                write(str(key), inner, depth + 1)
        elif isinstance(value, list):
            lines.append(f"{pad}{untrusted.clean(name)}:")
            for inner in value:
                shown = "  ".join(str(v) for v in inner.values()) if isinstance(inner, dict) else str(inner)
                lines.append(f"{pad}  - {untrusted.clean(shown, 200)}")
        else:
            lines.append(f"{pad}{untrusted.clean(name)}: {untrusted.clean(str(value), 400)}")

    if signed is not None:
        write("signed by", signed or "nobody who is allowed to", 0)
    if changes.objection:
        write("not counted" if changes.state == "active" else changes.state, changes.objection, 0)
    for name in ("id", "name", "model", "status", "commit", "started", "ended"):
        if name in facts:
            value = facts.pop(name)
            write(name, NO_TIME_TEXT if name in ("started", "ended") and not value else value, 0)
        if name == "status" and run.provenance.dirty:
            write("dirty", _dirt(run), 0)
    facts.pop("schema", None)
    for name in ("error", "last_lines"):
        provenance.pop(name, None)
    if crash := crash_of(run):
        write("crash", f"{crash.words}{f': {crash.error}' if crash.error else ''}", 0)
        lines += [f"  | {untrusted.output_line(line, 400)}" for line in crash.lines]
    if verdicts:
        latest, *earlier = verdicts
        write("verdict", _verdict(latest), 0)
        for gate, outcome in outcomes_of(latest.verdict).items():
            write(gate, outcome if outcome == "PASS" else f"{outcome}: {_reason(latest.verdict, gate, outcome)}", 1)
        if earlier:
            write("earlier verdicts", [_verdict(one) for one in earlier[:_VERDICTS_MOST]], 0)
    for name, value in facts.items():
        write(name, value, 0)
    if children:
        some = [f"and {more:,} more: ciplug runs list --where \"parent = '{run.id}'\""] if more else []
        write("children", [*map(_child, children), *some], 0)
    write("provenance", provenance, 0)
    lines.append(f"  packages: {len(packages)}")
    if changes.amendments:
        lines += [
            "amendments:",
            *(f"  - {untrusted.clean(line, 400)}" for line in map(_history_line, changes.amendments)),
        ]
    if refused:
        lines.append("refused, because a parameter never changes:")
        lines += [f"  - {untrusted.clean(_refusal_line(one), 400)}" for one in refused]
    return untrusted.defuse("\n".join(lines))


def _with_series(facts: dict[str, Any], series: Mapping[str, Series]) -> dict[str, Any]:
    """The facts with the steps of metrics after the metrics."""
    from ciplug.records.run_diff import SeriesSummary
    from ciplug.reports.run_diff import series_words
    from ciplug.reports.sparkline import sparkline

    lines = {
        name: f"{sparkline(one.values)} {series_words(SeriesSummary.of(one))}".strip()
        for name, one in sorted(series.items())
        if one.steps
    }
    placed: dict[str, Any] = {}
    for name, value in facts.items():
        placed[name] = value
        if name == "metrics":
            placed["series"] = lines
    return placed if "metrics" in facts else {**placed, "series": lines}


def _dirt(run: Run) -> str:
    """Why a run is not of its commit, in one line."""
    from ciplug.errors import listed

    files = listed(run.provenance.dirty_files, most=5)
    return f"{files} differed from the commit" if files else "it may be of another commit"


def _reason(verdict: Verdict, gate: str, outcome: str) -> str:
    return next((one.reason for one in verdict.gates if one.gate == gate and one.outcome == outcome), "")


def _image(run: Run, file: File) -> str:
    """An image in one line, with the command that fetches it. The list of a folder has no sizes."""
    from ciplug.reports import number_format

    kept = number_format.size(file.size) if file.store else "its bytes were not kept"
    about = f" ({kept})" if file.size or not file.store else ""
    return f"{file.path}{about}: ciplug pull {run.id[:12]} {shlex.quote(file.path)}"


def _verdict(recorded: RecordedVerdict) -> str:
    """A verdict in one line: its outcome, when it was made, by which policy, what it is for, and whether it counts."""
    verdict = recorded.verdict
    where = f"{verdict.policy_file} of {verdict.policy_branch}" if verdict.policy_branch else verdict.policy_file
    about = [f"{verdict.created[:16].replace('T', ' ')}", f"by {where}"]
    about += [f"for {verdict.stage}"] if verdict.stage else []
    about += ["dry run"] if verdict.dry_run else []
    about += [] if recorded.counts else ["unsigned: it does not count"]
    return f"{verdict.outcome} ({', '.join(about)})"


def verdict_json(recorded: RecordedVerdict) -> dict[str, object]:
    """The outcome of a recorded verdict, and of each gate."""
    verdict = recorded.verdict
    return {
        "outcome": verdict.outcome,
        "created": verdict.created,
        "stage": verdict.stage,
        "dry_run": verdict.dry_run,
        **({} if recorded.counts else {"counts": False}),
        "policy": plain(verdict.policy_source),
        "gates": outcomes_of(verdict),
    }


def as_json(shown_run: Run, changes: Changes, refused: Sequence[RefusedParam]) -> dict[str, object]:
    """The record as amended; of a run that was amended, its state, the amendments, and what of them was refused.

    It always has `metrics` and `children`, so that a script needs no case for a run without.
    """
    unread = {"unread_amendments": list(changes.unread)} if changes.unread else {}
    amended: dict[str, object] = {"amendments": plain(changes.amendments)} if changes.amendments else {}
    if changes.amendments or changes.effective != "active":
        amended["lifecycle"] = changes.effective
    attempts = [
        {"name": one.name, "value": plain(one.value), "kept": plain(one.kept), "seq": one.amendment.seq}
        for one in refused
    ]
    return {
        "metrics": {},
        **plain(shown_run),
        **amended,
        **unread,
        **({"refused_params": attempts} if attempts else {}),
    }


def _step(run: Run, metric: str) -> str:
    """Describe the point of the highest step of a metric: its value may differ from the one that counts."""
    point = run.last.get(metric)
    if point is None or point.step == 0:
        return ""
    same = repr(point.value) == repr(run.metrics[metric])
    return f" (step {point.step:,})" if same else f"; at the highest step, {point.step:,}, it is {_number(point.value)}"


def _number(value: float) -> str:
    """All digits of a number; one that is not finite as tables have it."""
    from ciplug.reports import number_format

    return str(value) if math.isfinite(value) else number_format.number(value)


def _left_out(one: LeftOut) -> str:
    return one.clause if one.why in ("file", "output", "elsewhere") else f"{one.name}: {one.clause}"


def _input(dataset: DatasetInput) -> str:
    """A dataset in one line; its source and schema, which may be JSON, are in `--json`."""
    about = [dataset.digest, dataset.source_type, *([dataset.context] if dataset.context else [])]
    return f"{dataset.name} ({', '.join(about)})"


def _output(model: ModelOutput) -> str:
    """A logged model in one line; its parameters and tags are in `--json`."""
    about = [f"step {model.step:,}", *([model.location] if model.location else [])]
    return f"{f'{model.name} ' if model.name else ''}{model.id} ({', '.join(about)})"


def _child(child: Entry) -> str:
    name, status = child.attributes.get("name"), child.attributes.get("status", "unknown")
    state = f", {child.state}" if child.state != "active" else ""
    metrics = ", ".join(f"{metric}={_number(value)}" for metric, value in sorted(child.metrics.items())[:4])
    return f"{child.id[:12]} ({f'{name}, ' if name else ''}{status}{state}){f': {metrics}' if metrics else ''}"


def _history_line(one: Amendment) -> str:
    return f"{one.created[:16].replace('T', ' ')} {one.author}: {', '.join(_parts(one))}"


def _refusal_line(one: RefusedParam) -> str:
    return f"{one.name}={one.value} by {one.amendment.author}: it is {one.kept}"


def _parts(one: Amendment) -> Iterator[str]:
    """Yield the effects of an amendment, one clause each."""
    if one.withdrawn is not None:
        yield "withdrawn" if one.withdrawn else "no longer withdrawn"
    if one.lifecycle is not None:
        yield "deleted" if one.lifecycle == "deleted" else "no longer deleted"
    if one.reason:
        yield f"reason: {one.reason}"
    if one.name is not None:
        yield f"name {one.name}"
    yield from (f"tag {name}={value}" for name, value in sorted(one.tags.items()))
    yield from (f"tag {name} removed" for name in one.untag)
    yield from (f"metric {name}={value:g}" for name, value in sorted(one.metrics.items()))
    yield from (f"parameter {name}={value}" for name, value in sorted(one.params.items()))
    yield from (f"input {dataset.name} ({dataset.digest})" for dataset in one.inputs)
    yield from (f"model input {model}" for model in one.model_inputs)
    yield from (f"output {model.id}" for model in one.outputs)
    if one.status is not None:
        yield f"resumed, and {one.status}"
    if one.signs:
        yield f"signed as it was then: {counted(len(one.signs), 'object')}"
    if one.is_newer:
        yield f"written by a newer ciplug (schema {one.schema}), and this ciplug understands only a part of it"
