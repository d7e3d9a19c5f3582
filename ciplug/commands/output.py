"""Printing and writing that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ciplug import console
from ciplug.errors import UsageError, counted
from ciplug.records.notice import Kind, Notice
from ciplug.registry.ladder import NO_STAGE
from ciplug.reports.untrusted import clean

if TYPE_CHECKING:
    from ciplug.registry.model import Model
    from ciplug.reports.report import Report
    from ciplug.steps.deployment.deploy import Done
    from ciplug.steps.deployment.undeploy import Ended
    from ciplug.steps.promotion.promote import Promotion
    from ciplug.tracking.runs import Runs


def show_report(report: Report) -> None:
    """Print a report for a terminal or a CI log."""
    from ciplug.reports import terminal

    console.out(terminal.render(report, colour=console.use_colour(), width=console.width()).rstrip("\n"))


def tell_problems(runs: Runs) -> None:
    """Name the records that could not be read, and what is wrong with the store."""
    for note in runs.notes:
        console.complain(f"warning: {note}")
    for problem in runs.problems.values():
        console.complain(f"warning: a record is left out: {problem}")


def tell_promotion(promotion: Promotion) -> None:
    """Say what was promoted, and name the default requirements that the policy has turned off."""
    if promotion.lost_races:
        console.detail(f"lost {promotion.lost_races} races for the log, and judged again after each")
    if promotion.exemptions:
        console.complain(
            f"warning: the policy does not require this of {promotion.stage}: {', '.join(promotion.exemptions)}; "
            "the registry records it"
        )
    if ignored := promotion.run.provenance.ignored_files:
        notice = Notice(kind=Kind.SET_ASIDE, run=promotion.run.id, files=ignored, count=len(ignored))
        console.complain(f"warning: {notice.line}")
    for sentence in promotion.reruns:
        console.complain(f"warning: {sentence}")
    if promotion.gates_of:
        model, judge = clean(promotion.run.model, 80), clean(promotion.gates_of, 80)
        console.say(f"run {promotion.run.id[:12]} is of the model '{model}', judged by the gates of '{judge}'")
    tell_move(promotion.model, promotion.version, promotion.stage, promotion.event, promotion.replaced)


def tell_move(model: str, version: int, stage: str, event: int, replaced: int | None = None) -> None:
    """Say which stage a version is in now."""
    where = "in no stage" if stage == NO_STAGE else f"in {stage}"
    instead = f", in place of version {replaced}" if replaced else ""
    console.say(f"{model} version {version} is {where}{instead} (event {event})")


def tell_deployed(done: Done) -> None:
    """Say what a target serves."""
    name = f"{clean(done.model, 120)} version {done.version}"
    written = _from_here(done.written) if done.written else ""
    if not done.event and written:
        console.say(f"nothing to do: {written} has {name}, as the log says: {clean(done.reference, 300)}")
        return
    if not done.event:
        console.say(f"nothing to do: '{done.target}' serves {name}, as the log says: {clean(done.reference, 300)}")
        return
    where = clean(done.endpoint or done.reference, 300)
    console.say(f"{counted(done.files, 'file')} of {name} verified")
    if written:
        console.say(f"the manifest of {name} for '{done.target}' is in {written} (event {done.event})")
        console.say(f"nothing serves it before {written} is applied: commit and push it to what applies it")
    else:
        console.say(f"'{done.target}' serves {name} at {where} (event {done.event})")
    console.out(clean(done.reference, 300))


def _from_here(file: str) -> str:
    """A path as a person types it in this folder."""
    path, here = Path(file), Path.cwd()
    return clean(str(path.relative_to(here) if path.is_relative_to(here) else path), 300)


def tell_ended(ended: Ended) -> None:
    """Say that a target serves nothing."""
    name = clean(ended.model, 120)
    if ended.event and ended.removed:
        file = _from_here(ended.removed)
        console.say(
            f"{file}, with {name} version {ended.version} for '{ended.target}', is removed (event {ended.event})"
        )
        console.say(f"it is served until the removal of {file} is applied: commit and push it to what applies it")
    elif ended.event:
        console.say(f"'{ended.target}' serves {name} version {ended.version} no longer (event {ended.event})")
    else:
        console.say(f"nothing to do: '{ended.target}' serves nothing of {name}")


def tell_still_served(model: Model, version: int) -> None:
    """Name the targets that still serve a version which was taken out of use."""
    from ciplug.steps.deployment.still_served import still_served

    for one in still_served(model, version):
        name = clean(model.name, 120)
        console.complain(
            f"warning: '{clean(one.target, 80)}' still serves {name} version {version}, by the log", one.remedy
        )


def write_file(path: Path, content: str | bytes) -> None:
    """Write a result to a file that the user named, with the folders above it. Raises UsageError."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    except OSError as problem:
        raise UsageError(f"{path} cannot be written: {problem.strerror}") from None
