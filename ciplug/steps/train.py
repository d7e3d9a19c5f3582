"""Record a training, one that is run here or the files that one has left; then deliver it, and report the outcome."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from ciplug import ci, console
from ciplug.capture.sealed import Sealed, families
from ciplug.capture.writer import RunWriter
from ciplug.ci.identity import doubt, explain
from ciplug.errors import Cause, CiplugError, FileNotKept, InputError, RemoteError, StoreError, UsageError, counted
from ciplug.git.credentials import redact
from ciplug.records.run import Run, Status
from ciplug.steps.inputs import Inputs
from ciplug.steps.record import Recorded, begin, finish
from ciplug.steps.recover import report_recovered
from ciplug.steps.send import send
from ciplug.steps.session import Session
from ciplug.steps.trust import MUST_NOT_WRITE

_RIGHTS = {
    *(Cause.NO_CREDENTIAL, Cause.BAD_CREDENTIAL, Cause.FORBIDDEN, Cause.PROTECTED, Cause.RULE),
}
"""Causes that a right to push, or a token that has it, removes."""
_SECRETS = (
    "CIPLUG_JENKINS_",
    "CIPLUG_INPUT_",
    # So runners made from act, such as Gitea's, hand the action's tokens to its steps.
    "INPUT_TOKEN",
    "INPUT_PUSH-TOKEN",
)


def train(session: Session, inputs: Inputs, command: Sequence[str]) -> tuple[Recorded, int]:
    """Run the command under a run of its own; returns the sealed record and the command's exit code.

    Raises UsageError for an empty command, and what `run_child` raises for one that cannot be started.
    """
    from ciplug.capture.process import run_child

    if not command:
        raise UsageError("no command to run", hint="put it after `--`: ciplug run -- python train.py")
    report_recovered(session)
    before = {path: _fingerprint(path) for path in inputs.outputs}
    entry = begin(session, inputs, command=command)
    try:
        child = run_child(command, env=_environment(session, entry, inputs), cwd=session.cwd, inherits=entry.locks)
    except CiplugError:
        # Nothing ran: the files here are of an earlier run.
        finish(session, entry, replace(inputs, metrics=(), artifacts=(), addresses=(), samples=None), status="failed")
        raise
    status: Status = "finished" if child.exit_code == 0 else "killed" if child.signal else "failed"
    stale = [path for path, was in before.items() if was and was == _fingerprint(path)]
    problems = _stale_problems(inputs, stale) if status == "finished" else []
    # Child runs whose processes were killed are sent with this run, too.
    report_recovered(session)
    recorded = finish(
        session, entry, _without(inputs, stale), status=status, child=child, python=command[0], problems=problems
    )
    return recorded, child.exit_code


def _environment(session: Session, entry: RunWriter, inputs: Inputs) -> Mapping[str, str]:
    """The environment of the training, without the tokens that ciplug was given."""
    env = {name: value for name, value in session.env.items() if not _is_secret(name)}
    env.update(CIPLUG_RUN_ID=entry.id, CIPLUG_RUN_DIR=str(entry.folder.resolve()))
    if (store := session.options.store) and redact(store) == store:
        # A training that resumes a recorded run looks for it there.
        env["CIPLUG_STORE"] = store
    if inputs.seed is not None:
        env["CIPLUG_SEED"] = str(inputs.seed)
    return env


def _is_secret(variable: str) -> bool:
    """Whether a variable holds a token for ciplug; each forge has one of its own, CIPLUG_…_TOKEN."""
    own = variable.startswith("CIPLUG_") and variable.endswith("_TOKEN")
    return own or variable.startswith(_SECRETS)


def _stale_problems(inputs: Inputs, stale: Sequence[Path]) -> list[CiplugError]:
    """Return the problems with files that the command did not write; for artifacts only a warning."""
    for path in stale:
        if path in inputs.artifacts:
            console.say(f"warning: {path}: the command did not write this artifact; it is kept as it is")
    return [
        InputError(
            f"{path}: the command did not write it: these are the numbers of an earlier run",
            hint="does the training write its metrics elsewhere? Name that file with --metrics",
        )
        for path in stale
        if path in inputs.metrics or path in _sample_files(inputs)
    ]


def _without(inputs: Inputs, stale: Sequence[Path]) -> Inputs:
    """The inputs without the metrics and examples of an earlier run."""
    return replace(
        inputs,
        metrics=tuple(path for path in inputs.metrics if path not in stale),
        samples=None if any(path in stale for path in _sample_files(inputs)) else inputs.samples,
    )


def _sample_files(inputs: Inputs) -> list[Path]:
    return [Path(inputs.samples.file)] if inputs.samples else []


def record_files(session: Session, inputs: Inputs) -> Recorded:
    """Record what a training has left, without running anything.

    Raises UsageError when no file is named, and the error of a file that cannot be taken: nothing is recorded then.
    """
    if not (inputs.metrics or inputs.params or inputs.artifacts or inputs.addresses):
        raise UsageError("there is nothing to record", hint="name a file: --metrics metrics.json, or in ciplug.yaml")
    report_recovered(session)
    recorded = finish(session, begin(session, inputs), inputs, status="finished")
    if wrong := [problem for problem in recorded.problems if not isinstance(problem, FileNotKept)]:
        recorded.sealed.discard()
        raise wrong[0]
    return recorded


def deliver(session: Session, recorded: Recorded, bundle: Path | None = None) -> StoreError | None:
    """Send a record and its child runs, or put them into `bundle`; report what was recorded and what went wrong.

    Returns why it was not delivered; it stays in the spool then.
    """
    for problem in recorded.problems:
        console.complain(problem.message, problem.hint)
    _tell_identity(session)
    refusal = None
    children = len(_with_children(session, recorded)) - 1
    if bundle is not None:
        kept, refusal = _hand_over(session, recorded, bundle)
    elif not session.context.trusted:
        kept = "spooled"
        folder = recorded.sealed.folder
        console.say(f"{MUST_NOT_WRITE}: the run is kept in {folder}, and not sent")
        console.say(f"hand it over to a job that may: {session.send_command} --bundle FILE")
    else:
        kept, refusal = _send(session, recorded)
    if refusal and recorded.sealed.waits:
        kept = "spooled"
    _report(session, recorded, kept, children)
    return refusal


def _tell_identity(session: Session) -> None:
    """Say which commit the run is of, where the CI host names another."""
    identity = session.identity
    if identity is None or not identity.elsewhere:
        return
    console.say(f"the run is of commit {(session.head or '')[:8]}, {explain(identity)}")
    if why := doubt(identity):
        console.say(f"this job counts as a fork's: {why}")


def _hand_over(session: Session, recorded: Recorded, bundle: Path) -> tuple[str, StoreError | None]:
    kept = f"handed over in {bundle}"
    try:
        session.spool.hand_over(_with_children(session, recorded), bundle, session.send_command)
    except StoreError as problem:
        console.complain(problem.message, problem.hint)
        return kept, problem
    if _has_files(recorded.run):
        console.say(f"{bundle} names the artifacts by their digests, and holds none of their bytes")
    if not session.context.trusted:
        console.say(f"{MUST_NOT_WRITE}: the run is in {bundle}; see `ciplug collect`")
    return kept, None


def _with_children(session: Session, recorded: Recorded) -> list[Sealed]:
    groups = families(session.spool.sealed(recorded.sealed.store))
    return next((group for group in groups if any(one.id == recorded.run.id for one in group)), [recorded.sealed])


def _send(session: Session, recorded: Recorded) -> tuple[str, StoreError | None]:
    kept = f"recorded in {session.store.uri}"
    try:
        send(session, recorded.sealed)
    except StoreError as problem:
        hints = [problem.hint or ""]
        if isinstance(problem, RemoteError) and problem.cause in _RIGHTS and not _is_on_disk(session.store.address):
            hints.append(ci.host_module(session.context.host).push_hint)
        console.complain(problem.message, "\n  -> ".join(filter(None, hints)))
        return kept, problem
    if folder := session.to_archive:
        kept = f"written into {folder}"
        console.say(f"{session.store.uri} holds what builds archive: have the pipeline archive {folder}")
        if _has_files(recorded.run):
            console.say("a bundle names artifacts by their digests, and holds none of their bytes")
    return kept, None


def _is_on_disk(address: str) -> bool:
    """Whether a repository is on this machine's disk, where no token is needed."""
    return address.startswith("file:") or Path(address).is_absolute()


def _has_files(run: Run) -> bool:
    return any("://" not in artifact.path for artifact in run.artifacts)


def _report(session: Session, recorded: Recorded, kept: str, children: int) -> None:
    run = recorded.run
    commit = f" of commit {run.commit[:8]}" if run.commit else ""
    if session.workspace and not run.commit:
        console.complain("warning: this run belongs to no commit, so nothing can be compared with it: commit first")
    if not run.metrics and run.status == "finished" and not recorded.problems:
        console.complain(
            "warning: this run has no metric, so nothing of it can be compared",
            "name the file that the training writes with --metrics, or as 'metrics:' in ciplug.yaml",
        )
    facts = [counted(len(run.metrics), "metric"), *([counted(children, "child run")] if children else []), kept]
    console.say(f"run {run.id} ({run.model}, {run.status}){commit}: {', '.join(facts)}")


def worst_code(recorded: Recorded, refusal: StoreError | None) -> int:
    """0 when all went well, 3 when the store refused, 2 when an input could not be taken."""
    if refusal:
        return refusal.exit_code
    return recorded.problems[0].exit_code if recorded.problems else 0


def _fingerprint(path: Path) -> list[tuple[str, int, int]]:
    """Return the signs of a write to a file, or to any file of a folder: name, time of change, size."""
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    return [(str(f), s.st_mtime_ns, s.st_size) for f in files if f.is_file() and (s := f.stat())]
