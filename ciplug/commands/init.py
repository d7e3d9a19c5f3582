"""Write ciplug.yaml and the pipeline file for this project: what is found is used, and little is asked."""

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
from ciplug.commands.first_run import first_run
from ciplug.errors import UsageError
from ciplug.git.credentials import redact
from ciplug.git.workspace import Workspace, discover
from ciplug.records.provenance import Context
from ciplug.scaffold import configuration, pipelines
from ciplug.scaffold.advice import about_numbers, about_pipeline, about_requirements, next_steps, not_in_git
from ciplug.scaffold.asking import Asker
from ciplug.scaffold.files import write
from ciplug.scaffold.project import (
    Numbers,
    Project,
    default_branch,
    look,
    metric_files,
    model_name,
    model_name_in,
    models_elsewhere,
    parameter_files,
    read_numbers,
    requirements,
    server_of,
)
from ciplug.scaffold.training import Training, Trainings, trainings
from ciplug.steps.record import check_model_name
from ciplug.steps.session import DEFAULT_ARTIFACT_LIMIT
from ciplug.stores import is_archived, is_git, open_store

_CI = (*pipelines.HOSTS, "none")
_AZURE_REPOS = re.compile(r"[/@.](?:dev\.azure|visualstudio)\.com[/:]")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--yes", action="store_true", help="ask nothing, and take what is found")
    parser.add_argument("--run", action="store_true", help="run the training once, here, to propose gates from")
    parser.add_argument("--command", metavar="CMD", help="the training command (default: what the files tell)")
    parser.add_argument("--model", metavar="M", help="name of the model (default: the repository's, or the folder's)")
    parser.add_argument("--ci", choices=_CI, help="whose pipeline to write (default: what files and remote tell)")
    parser.add_argument(
        "--source", metavar="ADDRESS", help="your copy of ciplug, at a commit: where the pipeline gets it"
    )
    parser.add_argument("--force", action="store_true", help="replace files that are there")


def run(args: argparse.Namespace) -> int:
    workspace = _workspace(args)
    asker = Asker(allowed=not args.yes and sys.stdin.isatty())
    whole = look(workspace.top)
    folder = Path.cwd().resolve().relative_to(workspace.top.resolve()).as_posix()
    project = whole if folder == "." else look(workspace.top / folder)
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
    told: list[str] = []
    if own not in kept:
        numbers, numbers_of = _numbers(args, workspace, project, training, asker)
        files[own], gated = _configuration(args, project, training, model, numbers, numbers_of)
        told = about_numbers(training, numbers, _again(args, training, ways))
        if host == "jenkins" and not gated:
            told.append("have a gate before the first build: the stage Gate fails without one")
    others = {path: whole.read(path) or "" for path in kept if path in files and whole.read(path) != files[path]}
    files = {path: text for path, text in files.items() if path not in kept}
    write(whole.top, files)

    for path in sorted(files):
        console.out(f"wrote {posixpath.relpath(path, folder)}")
    for path in sorted(kept):
        console.out(f"kept {posixpath.relpath(path, folder)}, as it was")
    needs = [] if host == "none" else about_requirements(project, whole, training)
    changed = not_in_git(project, training, [posixpath.relpath(path, folder) for path in (*files, *kept)])
    todo = [*told, *needs, *about_pipeline(others, planned.todo)]
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
        raise UsageError(f"init writes {config.FILE} into the folder that it is called in", hint="leave --config out")
    here = Path.cwd()
    workspace = discover(here)
    if workspace is None:
        raise UsageError(
            f"{here} is in no git repository", hint="ciplug keeps runs by commit: git init, and call it again"
        )
    if args.store:
        if redact(args.store) != args.store:
            raise UsageError("--store has credentials in it, and ciplug.yaml is committed", hint="leave them out of it")
        if not is_archived(args.store):
            open_store(args.store, workspace)
    return workspace


def _model(args: argparse.Namespace, whole: Project, folder: str, remote: str | None) -> str:
    if args.model is None:
        return model_name(whole, remote) if folder == "." else model_name_in(folder, whole)
    model = check_model_name(args.model)
    if other := models_elsewhere("" if folder == "." else folder, whole).get(model):
        raise UsageError(
            f"{other} is of the model '{model}' already",
            hint="the runs of two trainings would be compared: name another",
        )
    return model


def _training(args: argparse.Namespace, ways: Trainings, asker: Asker) -> Training:
    """How the model is trained: as said, as found, as answered."""
    best = ways.best
    if args.command is not None:
        return _named(args.command, ways)
    others = ", ".join(t.command for t in ways.rivals[:4])
    if asker.may:
        if others:
            console.say(f"it could also be: {others}")
        shown = f" [{best.command}]" if best else ""
        return _named(asker.ask(f"Which command trains the model?{shown}", best.command if best else ""), ways)
    if best is None:
        return _named("", ways)
    also = f"; it could also be: {others} (--command)" if others else ""
    console.say(f"training: {best.command} (by {best.why}){also}")
    return best


def _named(command: str, ways: Trainings) -> Training:
    command = command.strip()
    if not command or not command.replace("\n", " ").isprintable():
        raise UsageError(
            "no command is known that trains the model", hint="name it: ciplug init --command 'python my_script.py'"
        )
    for known in ways.found:
        if known.command == command:
            return known
    # What the command starts is perhaps one of the scripts.
    for known in ways.found:
        if known.why in command.split():
            return replace(known, command=command)
    return Training(command=command, why="as said", rank=0)


def _host(project: Project, remote: str | None, asker: Asker) -> str:
    """The CI host, by the pipelines that are there, else by the forge that the remote is on."""
    kind: str | None = forges.forge_name(Context(), os.environ, remote) if remote else None
    if kind is None and remote and _AZURE_REPOS.search(remote):
        kind = "azure"
    there = project.pipelines
    if kind == "gitea" and "github" in there:
        # Gitea and Forgejo read GitHub's folder, too.
        return _found("gitea", f"the remote, and {there['github']}")
    if kind in there:
        return _found(str(kind), there[str(kind)])
    if there:
        host = next(iter(there))
        more = f"; there are others as well: {', '.join(list(there)[1:])} (--ci)" if len(there) > 1 else ""
        return _found(host, f"{there[host]}{more}")
    if kind:
        return _found(kind, "the remote")
    if remote and asker.may:
        answer = asker.ask(f"Whose pipeline is to be written: {', '.join(_CI)}? [none]", "none").lower()
        if answer not in _CI:
            raise UsageError(f"{answer!r} is no CI host that ciplug knows", hint=f"one of: {', '.join(_CI)}")
        return answer
    why = "the remote's name does not say which forge it is" if remote else "there is no remote"
    console.say(f"CI: none is known, since {why}; no pipeline is written: name one with --ci")
    return "none"


def _found(host: str, why: str) -> str:
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
    wanted = pipelines.Wanted(
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
    # A pipeline that is there may be the very one that is to be written.
    alone = pipelines.pipeline(host, wanted, ())
    if all(whole.read(path) == text for path, text in alone.files.items()):
        return alone
    return pipelines.pipeline(host, wanted, whole.files)


def _kept(
    args: argparse.Namespace, paths: Sequence[str], project: Project, texts: Mapping[str, str], asker: Asker
) -> set[str]:
    """The files that are there already and stay as they are.

    Raises UsageError where nobody may be asked, and there would be nothing to write.
    """
    there = [p for p in paths if os.path.lexists(project.top / p)]
    same = {p for p in there if p in texts and project.read(p) == texts[p]}
    there = [p for p in there if p not in same]
    if not there or args.force:
        return same
    names = " and ".join(there)
    several = len(there) > 1
    if not asker.may and set(there) | same < set(paths):
        return {*same, *there}
    if not asker.may:
        raise UsageError(
            f"{names} {'are' if several else 'is'} there already, and nothing was written",
            hint="--force replaces it; on a terminal, init asks, and can keep it",
        )
    question = f"{names} {'are' if several else 'is'} there already. Replace {'them' if several else 'it'}?"
    return same if asker.agree(question) else {*same, *there}


def _numbers(
    args: argparse.Namespace, workspace: Workspace, project: Project, training: Training, asker: Asker
) -> tuple[Numbers, str]:
    """The numbers that gates are proposed from, and what they are of."""
    numbers = read_numbers(project.top, metric_files(project, training.metrics))
    wanted = args.run
    if not wanted and not numbers.values:
        if asker.may:
            wanted = asker.agree(f"Run `{training.command}` once now, to propose gates from its numbers?")
        else:
            console.say("no metrics are known yet, and the training is not run: --run runs it, to propose gates")
    if wanted:
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
        path: f"{path}: it is larger than git takes: name an artifact_store, too (docs/artifacts.md)"
        for path in numbers.models
        if in_git and (project.top / path).stat().st_size > DEFAULT_ARTIFACT_LIMIT
    }
    proposal = propose(numbers.values, numbers.constants)
    for problem in (*numbers.problems, *unread, *large.values()):
        console.complain(f"warning: {problem}; it is not taken")
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
    # What is written is read first, as every later command will.
    config.parse(text, Path(config.FILE))
    gates = ", ".join(gate.metric for gate in proposal.gates)
    console.say(f"gates: {gates} (from {numbers_of})" if gates else "gates: none yet")
    return text, bool(proposal.gates)
