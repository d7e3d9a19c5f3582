"""Run a training command, and record the run: its parameters, metrics, environment and provenance."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from ciplug import ci, console
from ciplug.commands import options
from ciplug.errors import Cause, CiplugError, InputError, RemoteError, StoreError, UsageError
from ciplug.records.run import Status
from ciplug.steps.record import Inputs, Recorded, begin, finish, send
from ciplug.steps.session import Session

_RIGHTS = {
    *(Cause.NO_CREDENTIAL, Cause.BAD_CREDENTIAL, Cause.FORBIDDEN, Cause.PROTECTED, Cause.RULE),
    # A host hides a repository from those who may not read it.
    Cause.NOT_FOUND,
}
"""Causes that a right to push, or a token that has it, removes."""
_OWN = (
    "CIPLUG_PUSH_TOKEN",
    "CIPLUG_GITHUB_TOKEN",
    "CIPLUG_GITLAB_TOKEN",
    "CIPLUG_GITEA_TOKEN",
    "CIPLUG_BITBUCKET_TOKEN",
    "CIPLUG_JENKINS_",
    "CIPLUG_INPUT_",
    # So runners made from act, such as Gitea's, hand the action's tokens to its steps.
    "INPUT_TOKEN",
    "INPUT_PUSH-TOKEN",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    options.add_inputs(parser)
    options.add_bundle(parser)
    options.add_command(parser)


def run(args: argparse.Namespace) -> int:
    session = options.session_of(args)
    recorded, code = train(session, options.inputs_of(args, session), options.command_of(args))
    refusal = deliver(session, recorded, options.bundle_of(args))
    return code or worst_code(recorded, refusal)


def train(session: Session, inputs: Inputs, command: list[str]) -> tuple[Recorded, int]:
    """Run the command under a run of its own; returns the sealed record and the command's exit code."""
    from ciplug.capture.process import run_child

    if not command:
        raise UsageError("no command to run", hint="put it after `--`: ciplug run -- python train.py")
    options.tell_recovered(session)
    before = {path: _fingerprint(path) for path in inputs.outputs}
    entry = begin(session, inputs, command=command)
    # The tokens that were handed to ciplug are none of the training's business.
    env = {name: value for name, value in session.env.items() if not name.startswith(_OWN)}
    env.update(CIPLUG_RUN_ID=entry.id, CIPLUG_RUN_DIR=str(entry.folder.resolve()))
    if inputs.seed is not None:
        env["CIPLUG_SEED"] = str(inputs.seed)
    try:
        child = run_child(command, env=env, cwd=session.cwd, inherits=entry.locks)
    except CiplugError:
        # Nothing ran: what lies here is of an earlier run.
        finish(session, entry, replace(inputs, metrics=(), artifacts=(), addresses=(), samples=None), status="failed")
        raise
    status: Status = "finished" if child.exit_code == 0 else "killed" if child.signal else "failed"
    stale = [path for path, was in before.items() if was and was == _fingerprint(path)]
    samples = [Path(inputs.samples.file)] if inputs.samples else []
    problems: list[CiplugError] = []
    if status == "finished":
        problems = [
            InputError(
                f"{path}: the command did not write it: these are the numbers of an earlier run",
                hint="does the training write its metrics elsewhere? Name that file with --metrics",
            )
            for path in stale
            if path in inputs.metrics or path in samples
        ]
        for path in stale:
            if path in inputs.artifacts:
                console.say(f"warning: {path}: the command did not write this artifact; it is kept as it was found")
    fresh = replace(
        inputs,
        metrics=tuple(path for path in inputs.metrics if path not in stale),
        samples=None if any(path in stale for path in samples) else inputs.samples,
    )
    recorded = finish(session, entry, fresh, status=status, child=child, python=command[0], problems=problems)
    return recorded, child.exit_code


def deliver(session: Session, recorded: Recorded, bundle: Path | None = None) -> StoreError | None:
    """Say what was recorded, send it or put it into `bundle`, and say what stood in the way."""
    run = recorded.run
    for problem in recorded.problems:
        console.complain(problem.message, problem.hint)
    refusal = None
    kept = f"recorded in {session.store.uri}"
    if bundle is not None:
        kept = f"handed over in {bundle}"
        try:
            session.spool.hand_over([recorded.sealed], bundle, session.send_command)
        except StoreError as problem:
            refusal = problem
            console.complain(problem.message, problem.hint)
        else:
            if any("://" not in artifact.path for artifact in run.artifacts):
                console.say(f"{bundle} names the artifacts by their digests, and holds none of their bytes")
            if not session.context.trusted:
                console.say(f"a fork's job must not write the store: the run is in {bundle}; see `ciplug collect`")
    elif not session.context.trusted:
        kept = "spooled"
        console.say(f"a fork's job must not write the store: the run is kept in {recorded.sealed.folder}, and not sent")
        console.say(f"hand it over to a job that may: {session.send_command} --bundle FILE")
    else:
        try:
            send(session, recorded.sealed)
        except StoreError as problem:
            refusal = problem
            hints = [problem.hint or ""]
            if isinstance(problem, RemoteError) and problem.cause in _RIGHTS:
                hints.append(ci.host_module(session.context.host).push_hint)
            console.complain(problem.message, "\n  -> ".join(filter(None, hints)))
        else:
            if folder := session.to_archive:
                kept = f"written into {folder}"
                console.say(f"{session.store.uri} holds what builds archive: have the pipeline archive {folder}")
                if any("://" not in artifact.path for artifact in run.artifacts):
                    console.say("a bundle names artifacts by their digests, and holds none of their bytes")
    if refusal and recorded.sealed.waits:
        kept = "spooled"
    commit = f" of commit {run.commit[:8]}" if run.commit else ""
    if session.workspace and not run.commit:
        console.complain("warning: this run belongs to no commit, so nothing can be compared with it: commit first")
    if not run.metrics and run.status == "finished" and not recorded.problems:
        console.complain(
            "warning: this run has no metric, so nothing of it can be compared",
            "name the file that the training writes with --metrics, or as 'metrics:' in ciplug.yaml",
        )
    console.say(f"run {run.id} ({run.model}, {run.status}){commit}: {_count(len(run.metrics), 'metric')}, {kept}")
    return refusal


def worst_code(recorded: Recorded, refusal: StoreError | None) -> int:
    """0 when all went well, 3 when the store refused, 2 when an input could not be taken."""
    if refusal:
        return refusal.exit_code
    return recorded.problems[0].exit_code if recorded.problems else 0


def _fingerprint(path: Path) -> list[tuple[str, int, int]]:
    """What tells whether a file, or any file of a folder, was written: name, time of change, size."""
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    return [(str(f), s.st_mtime_ns, s.st_size) for f in files if f.is_file() and (s := f.stat())]


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
