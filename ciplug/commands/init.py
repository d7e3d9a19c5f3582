"""Write ciplug.yaml and the pipeline file for this project, from what its files show."""

from __future__ import annotations

import argparse
import os
import posixpath
import re
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from ciplug import config, console, forges
from ciplug.errors import UsageError
from ciplug.git.credentials import redact
from ciplug.git.workspace import Workspace, discover
from ciplug.records.provenance import Context
from ciplug.scaffold import configuration, pipelines
from ciplug.scaffold.advice import about_numbers, about_pipeline, about_requirements, next_steps, not_in_git
from ciplug.scaffold.asking import Asker
from ciplug.scaffold.files import write
from ciplug.scaffold.first_run import first_run
from ciplug.scaffold.project import (
    Numbers,
    Project,
    default_branch,
    metric_files,
    model_name,
    model_name_in,
    models_elsewhere,
    parameter_files,
    read_numbers,
    requirements,
    scan,
    server_of,
)
from ciplug.scaffold.training import Training, Trainings, trainings
from ciplug.steps.record import check_model_name
from ciplug.steps.session import DEFAULT_ARTIFACT_LIMIT
from ciplug.stores import is_archived, is_git, open_store

_CI = (*pipelines.HOSTS, "none")
_AZURE_REPOS = re.compile(r"[/@.](?:dev\.azure|visualstudio)\.com[/:]")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--yes", action="store_true", help="ask nothing, and use what was detected")
    parser.add_argument(
        "--run", action="store_true", help="run the training once, here, and propose gates from its numbers"
    )
    parser.add_argument("--command", metavar="CMD", help="the training command (default: from the project's files)")
    parser.add_argument("--model", metavar="M", help="name of the model (default: the repository's, or the folder's)")
    parser.add_argument("--ci", choices=_CI, help="host to write a pipeline for (default: from files and remote)")
    parser.add_argument(
        "--source", metavar="ADDRESS", help="your copy of ciplug, at a commit, for the pipeline to install"
    )
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
    remote = workspace.remotes.get("origin") or next(iter(workspace.remotes.values()), None)
    host = args.ci or _host(whole, remote, asker)
    model = _model(args, whole, folder, remote)
    console.say(f"model: {model}")
    planned = _pipeline(args, workspace, project, whole, training, host, model)
    own = posixpath.normpath(posixpath.join(folder, config.FILE))
    kept = _kept(args, [own, *planned.files], whole, planned.files, asker)

    files = dict(planned.files)
    first: list[str] = []
    if own not in kept:
        numbers, numbers_of = _numbers(args, workspace, project, training, asker)
        files[own], gated = _configuration(args, project, training, model, numbers, numbers_of)
        first = about_numbers(training, numbers, _again(args, training, ways))
        if host == "jenkins" and not gated:
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
    here = Path.cwd()
    workspace = discover(here)
    if workspace is None:
        raise UsageError(
            f"{here} is not in a git repository", hint="runs are tied to commits: run git init, then ciplug init"
        )
    if args.store:
        if redact(args.store) != args.store:
            raise UsageError(
                "--store contains credentials, and ciplug.yaml is committed", hint="remove them from the address"
            )
        if not is_archived(args.store):
            open_store(args.store, workspace)
    return workspace


def _model(args: argparse.Namespace, whole: Project, folder: str, remote: str | None) -> str:
    if args.model is None:
        return model_name(whole, remote) if folder == "." else model_name_in(folder, whole)
    model = check_model_name(args.model)
    if other := models_elsewhere("" if folder == "." else folder, whole).get(model):
        raise UsageError(
            f"{other} already has the model '{model}'",
            hint="the runs of two trainings would be compared: choose another name",
        )
    return model


def _training(args: argparse.Namespace, ways: Trainings, asker: Asker) -> Training:
    """Return how to train the model: by --command, by the user's answer, or by the project's files."""
    best = ways.best
    if args.command is not None:
        return _named(args.command, ways)
    others = ", ".join(t.command for t in ways.rivals[:4])
    if asker.may:
        if others:
            console.say(f"other possible commands: {others}")
        shown = f" [{best.command}]" if best else ""
        return _named(asker.ask(f"Which command trains the model?{shown}", best.command if best else ""), ways)
    if best is None:
        return _named("", ways)
    also = f"; other possible commands: {others} (--command)" if others else ""
    console.say(f"training: {best.command} (by {best.why}){also}")
    return best


def _named(command: str, ways: Trainings) -> Training:
    command = command.strip()
    if not command or not command.replace("\n", " ").isprintable():
        raise UsageError("no training command detected", hint="name it: ciplug init --command 'python my_script.py'")
    for training in ways.detected:
        if training.command == command:
            return training
    # The command may start one of the scripts.
    for training in ways.detected:
        if training.why in command.split():
            return replace(training, command=command)
    return Training(command=command, why="--command", rank=0)


def _host(project: Project, remote: str | None, asker: Asker) -> str:
    """The CI host: that of an existing pipeline, else the forge of the remote."""
    kind: str | None = forges.forge_name(Context(), os.environ, remote) if remote else None
    if kind is None and remote and _AZURE_REPOS.search(remote):
        kind = "azure"
    existing = project.pipelines
    if kind == "gitea" and "github" in existing:
        # Gitea and Forgejo read GitHub's folder, too.
        return _detected("gitea", f"the remote, and {existing['github']}")
    if kind in existing:
        return _detected(str(kind), existing[str(kind)])
    if existing:
        host = next(iter(existing))
        more = f"; also present: {', '.join(list(existing)[1:])} (--ci)" if len(existing) > 1 else ""
        return _detected(host, f"{existing[host]}{more}")
    if kind:
        return _detected(kind, "the remote")
    if remote and asker.may:
        answer = asker.ask(f"Write a pipeline for which CI host ({', '.join(_CI)})? [none]", "none").lower()
        if answer not in _CI:
            raise UsageError(f"unknown CI host {answer!r}", hint=f"one of: {', '.join(_CI)}")
        return answer
    why = "the remote's name does not show which forge it is" if remote else "there is no remote"
    console.say(f"CI: none detected, because {why}; no pipeline is written: name a host with --ci")
    return "none"


def _detected(host: str, why: str) -> str:
    console.say(f"CI: {host} (by {why})")
    return host


def _pipeline(
    args: argparse.Namespace,
    workspace: Workspace,
    project: Project,
    whole: Project,
    training: Training,
    host: str,
    model: str,
) -> pipelines.Pipeline:
    if host == "none":
        return pipelines.Pipeline({})
    remote = workspace.remotes.get("origin") or next(iter(workspace.remotes.values()), None)
    install = requirements(project, whole) or ("-r requirements.txt" if training.imports else None)
    settings = pipelines.Settings(
        command=training.command,
        model=model,
        branch=default_branch(workspace),
        install=install,
        source=args.source,
        server=server_of(remote),
        forge=forges.forge_name(Context(), os.environ, remote) if remote else None,
        folder=None if project is whole else project.top.relative_to(whole.top).as_posix(),
        alone=".." not in (install or "").removeprefix("-r ").split("/"),
    )
    # The existing pipeline may already be the one to write.
    alone = pipelines.pipeline(host, settings, ())
    if all(whole.read(path) == text for path, text in alone.files.items()):
        return alone
    return pipelines.pipeline(host, settings, whole.files)


def _kept(
    args: argparse.Namespace, paths: Sequence[str], project: Project, texts: Mapping[str, str], asker: Asker
) -> set[str]:
    """The existing files that stay as they are.

    Raises UsageError if there is nobody to ask, and nothing would be written.
    """
    existing = [p for p in paths if os.path.lexists(project.top / p)]
    same = {p for p in existing if p in texts and project.read(p) == texts[p]}
    different = [p for p in existing if p not in same]
    if not different or args.force:
        return same
    names = " and ".join(different)
    several = len(different) > 1
    if not asker.may and set(existing) < set(paths):
        return set(existing)
    if not asker.may:
        raise UsageError(
            f"{names} already {'exist' if several else 'exists'}; nothing was written",
            hint="--force replaces existing files; on a terminal, init asks",
        )
    question = f"{names} already {'exist' if several else 'exists'}. Replace {'them' if several else 'it'}?"
    return same if asker.agree(question) else set(existing)


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
        return first_run(workspace, project, training)
    return numbers, ", ".join(numbers.files)


def _configuration(
    args: argparse.Namespace, project: Project, training: Training, model: str, numbers: Numbers, numbers_of: str
) -> tuple[str, bool]:
    """The text of ciplug.yaml, and whether there is a gate in it."""
    from ciplug.gates.propose import propose

    params, unread = parameter_files(project, training.params)
    in_git = not args.store or is_git(args.store)
    large = {
        path: f"{path}: too large for git: set an artifact_store (docs/artifacts.md)"
        for path in numbers.models
        if in_git and (project.top / path).stat().st_size > DEFAULT_ARTIFACT_LIMIT
    }
    proposal = propose(numbers.values, numbers.constants)
    for problem in (*numbers.problems, *unread, *large.values()):
        console.complain(f"warning: {problem}; not used")
    named = numbers.files or (training.metrics if not numbers.values and not numbers.problems else ())
    text = configuration.render(
        configuration.Settings(
            model=model,
            store=args.store,
            metrics=named,
            params=params,
            models=[path for path in numbers.models if path not in large],
            model_files=training.models,
            unread={"metrics": numbers.problems, "params": unread, "artifacts": list(large.values())},
            numbers_of=numbers_of,
            proposal=proposal,
        )
    )
    # Read the text as every later command will, before it is written.
    config.parse(text, Path(config.FILE))
    gates = ", ".join(gate.metric for gate in proposal.gates)
    console.say(f"gates: {gates} (from {numbers_of})" if gates else "gates: none yet")
    return text, bool(proposal.gates)
