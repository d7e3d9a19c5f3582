"""Write ciplug.yaml and the pipeline file for this project, from what its files show."""

from __future__ import annotations

import argparse
import os
import posixpath
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from ciplug import config, console
from ciplug.commands.prompts import Asker
from ciplug.errors import UsageError
from ciplug.git.workspace import Workspace
from ciplug.scaffold import pipelines
from ciplug.scaffold.advice import about_numbers, about_pipeline, about_requirements, next_steps, not_in_git
from ciplug.scaffold.detect_host import detect_host
from ciplug.scaffold.first_config import FirstConfig, first_config
from ciplug.scaffold.first_run import first_run
from ciplug.scaffold.plan import choose_model, existing_files, open_workspace, plan_pipeline, remote_of
from ciplug.scaffold.project import Numbers, Project, metric_files, read_numbers, scan
from ciplug.scaffold.training import Training, Trainings, named_training, trainings
from ciplug.scaffold.write_files import write


def _choices() -> list[str]:
    """The CI hosts that a pipeline can be written for, and none."""
    return [*pipelines.HOSTS, "none"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--yes", action="store_true", help="ask nothing, and use what was detected")
    parser.add_argument(
        "--run", action="store_true", help="run the training once, here, and propose gates from its numbers"
    )
    parser.add_argument("--command", metavar="CMD", help="the training command (default: from the project's files)")
    parser.add_argument("--model", metavar="M", help="name of the model (default: the repository's, or the folder's)")
    parser.add_argument(
        "--ci", choices=_choices(), help="host to write a pipeline for (default: from files and remote)"
    )
    parser.add_argument(
        "--source", metavar="ADDRESS", help="your copy of ciplug, at a commit, for the pipeline to install"
    )
    parser.add_argument("--site", action="store_true", help="publish `ciplug site` on GitHub or GitLab Pages, too")
    parser.add_argument("--monitor", action="store_true", help="watch the version in production every night, too")
    parser.add_argument("--deploy", action="store_true", help="promote and deploy in a job that a person starts, too")
    parser.add_argument("--force", action="store_true", help="replace existing files")


def run(args: argparse.Namespace) -> int:
    workspace = _workspace(args)
    asker = Asker(allowed=not args.yes and sys.stdin.isatty())
    whole = scan(workspace.top)
    folder = Path.cwd().resolve().relative_to(workspace.top.resolve()).as_posix()
    project = whole if folder == "." else scan(workspace.top / folder)
    if project is not whole:
        console.say(f"project: {folder}, in the repository {workspace.top}")

    ways = trainings(project.files, project.read)
    for problem in ways.problems:
        console.complain(problem)
    training = _training(args, ways, asker)
    if training.tools:
        console.say(f"it logs with: {', '.join(sorted(training.tools))}")
    remote = remote_of(workspace)
    host = args.ci or _host(whole, remote, asker)
    model = choose_model(args.model, whole, folder, remote)
    console.say(f"model: {model}")
    jobs = (args.site, args.monitor, args.deploy)
    planned = plan_pipeline(workspace, project, whole, training, host, model, args.source, *jobs)
    own = posixpath.normpath(posixpath.join(folder, config.FILE))
    kept = _kept(args, [own, *planned.files], whole, planned.files, asker)

    files = dict(planned.files)
    first: list[str] = []
    if own not in kept:
        numbers, numbers_of = _numbers(args, workspace, project, training, asker)
        written = first_config(project, training, model, args.store, numbers, numbers_of)
        files[own] = written.text
        _show(written, numbers_of)
        first = about_numbers(training, numbers, _again(args, training, ways))
        if host == "jenkins" and not written.gates:
            first.append("add a gate before the first build: without one, the stage Gate fails")
    others = {path: whole.read(path) or "" for path in kept if path in files and whole.read(path) != files[path]}
    files = {path: text for path, text in files.items() if path not in kept}
    write(whole.top, files)

    for path in sorted(files):
        console.out(f"wrote {posixpath.relpath(path, folder)}")
    for path in sorted(kept):
        console.out(f"kept {posixpath.relpath(path, folder)} unchanged")
    needs = [] if host == "none" else about_requirements(project, whole, training)
    changed = not_in_git(project, training, [posixpath.relpath(path, folder) for path in (*files, *kept)])
    todo = [*first, *needs, *about_pipeline(others, planned.todo)]
    console.out(next_steps(workspace, project, changed, todo, planned.tokens))
    return 0


def _again(args: argparse.Namespace, training: Training, ways: Trainings) -> str:
    """The command that proposes gates later, and leaves the pipeline alone."""
    words = ["ciplug", "init", *(["--yes"] if args.yes else []), "--run", "--force", "--ci", "none"]
    if training is not ways.best:
        words += ["--command", training.command]
    for option in ("model", "store"):
        if value := getattr(args, option):
            words += [f"--{option}", value]
    return shlex.join(words)


def _workspace(args: argparse.Namespace) -> Workspace:
    if args.config:
        raise UsageError(f"init writes {config.FILE} into the current folder", hint="omit --config")
    return open_workspace(Path.cwd(), args.store)


def _training(args: argparse.Namespace, ways: Trainings, asker: Asker) -> Training:
    """Return how to train the model: by --command, by the user's answer, or by the project's files."""
    best = ways.best
    if args.command is not None:
        return named_training(args.command, ways)
    others = ", ".join(t.command for t in ways.rivals[:4])
    if asker.may:
        if others:
            console.say(f"other possible commands: {others}")
        shown = f" [{best.command}]" if best else ""
        return named_training(asker.ask(f"Which command trains the model?{shown}", best.command if best else ""), ways)
    if best is None:
        return named_training("", ways)
    also = f"; other possible commands: {others} (--command)" if others else ""
    console.say(f"training: {best.command} (by {best.why}){also}")
    return best


def _host(project: Project, remote: str | None, asker: Asker) -> str:
    """The CI host: as detected, else by the answer of the user."""
    detected = detect_host(project.pipelines, remote, os.environ)
    if detected.name:
        console.say(f"CI: {detected.name} (by {detected.why})")
        return detected.name
    if remote and asker.may:
        answer = asker.ask(f"Write a pipeline for which CI host ({', '.join(_choices())})? [none]", "none").lower()
        if answer not in _choices():
            raise UsageError(f"unknown CI host {answer!r}", hint=f"one of: {', '.join(_choices())}")
        return answer
    console.say(f"CI: none detected, because {detected.why}; no pipeline is written: name a host with --ci")
    return "none"


def _kept(
    args: argparse.Namespace, paths: Sequence[str], project: Project, texts: Mapping[str, str], asker: Asker
) -> set[str]:
    """The existing files that stay as they are.

    Raises UsageError if there is nobody to ask, and nothing would be written.
    """
    existing = existing_files(project, paths, texts)
    if not existing.different or args.force:
        return existing.same
    names = " and ".join(existing.different)
    several = len(existing.different) > 1
    if not asker.may and existing.paths < set(paths):
        return existing.paths
    if not asker.may:
        raise UsageError(
            f"{names} already {'exist' if several else 'exists'}; nothing was written",
            hint="--force replaces existing files; on a terminal, init asks",
        )
    question = f"{names} already {'exist' if several else 'exists'}. Replace {'them' if several else 'it'}?"
    return existing.same if asker.agree(question) else existing.paths


def _numbers(
    args: argparse.Namespace, workspace: Workspace, project: Project, training: Training, asker: Asker
) -> tuple[Numbers, str]:
    """The numbers that gates are proposed from, and where they come from."""
    numbers = read_numbers(project.top, metric_files(project, training.metrics))
    run_it = args.run
    if not run_it and not numbers.values:
        if asker.may:
            run_it = asker.agree(f"Run `{training.command}` once now, to propose gates from its numbers?")
        else:
            console.say("no metrics yet, and the training is not run: --run runs it to propose gates")
    if run_it:
        return first_run(workspace, project, training, console)
    return numbers, ", ".join(numbers.files)


def _show(first: FirstConfig, numbers_of: str) -> None:
    for problem in first.unused:
        console.complain(f"warning: {problem}; not used")
    console.say(f"gates: {', '.join(first.gates)} (from {numbers_of})" if first.gates else "gates: none yet")
