"""Write ciplug.yaml and the pipeline file for this project: what is found is used, and little is asked."""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import shlex
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from ciplug import config, console, forges, git
from ciplug.errors import CiplugError, UsageError
from ciplug.recording import Inputs, check_model_name
from ciplug.records.provenance import Context
from ciplug.scaffold import configuration, pipelines
from ciplug.scaffold.project import (
    Numbers,
    Project,
    look,
    metric_files,
    model_name,
    parameter_files,
    read_numbers,
    server_of,
)
from ciplug.scaffold.training import Training, Trainings, trainings
from ciplug.session import NO_ARTIFACTS, Session
from ciplug.stores import DEFAULT_URI, is_archived, open_store

QUESTIONS_MOST = 3
_CI = (*pipelines.HOSTS, "none")
_AZURE_REPOS = re.compile(r"[/@.](?:dev\.azure|visualstudio)\.com[/:]")
_BRANCHES = ("main", "master", "trunk", "develop")
_DISTRIBUTIONS = {"sklearn": "scikit-learn", "yaml": "PyYAML", "cv2": "opencv-python", "PIL": "pillow"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--yes", action="store_true", help="ask nothing, and take what is found")
    parser.add_argument("--run", action="store_true", help="run the training once, here, to propose gates from")
    parser.add_argument("--command", metavar="CMD", help="the training command (default: what the files tell)")
    parser.add_argument("--model", metavar="M", help="name of the model (default: the repository's)")
    parser.add_argument("--ci", choices=_CI, help="whose pipeline to write (default: what files and remote tell)")
    parser.add_argument(
        "--source", metavar="ADDRESS", help="your copy of ciplug, at a commit: where the pipeline gets it"
    )
    parser.add_argument("--force", action="store_true", help="replace files that are there")


def run(args: argparse.Namespace) -> int:
    workspace = _workspace(args)
    asker = _Asker(allowed=not args.yes and sys.stdin.isatty())
    project = look(workspace)
    ways = trainings(project.files, project.read)
    for problem in ways.problems:
        console.complain(problem)
    training = _training(args, ways, asker)
    if training.tools:
        console.say(f"it logs with: {', '.join(sorted(training.tools))}")
    remote = workspace.remotes.get("origin") or next(iter(workspace.remotes.values()), None)
    host = args.ci or _host(project, remote, asker)
    model = check_model_name(args.model or model_name(project, remote))
    console.say(f"model: {model}")
    planned = _pipeline(args, workspace, project, training, host, model)
    kept = _kept(args, [config.FILE, *planned.files], project, planned.files, asker)

    files = dict(planned.files)
    told: list[str] = []
    if config.FILE not in kept:
        numbers, numbers_of = _numbers(args, workspace, project, training, asker)
        files[config.FILE] = _configuration(args, project, training, model, numbers, numbers_of)
        told = _about_numbers(training, numbers)
    files = {path: text for path, text in files.items() if path not in kept}
    _write(project.top, files)
    for path in sorted(files):
        console.out(f"wrote {path}")
    for path in sorted(kept):
        console.out(f"kept {path}, as it was")
    todo = [*told, *_about_requirements(project, training, host), *planned.todo]
    _tell_next(workspace, project, sorted(files), todo, planned.tokens)
    return 0


class _Asker:
    """Asks the person at the terminal, three questions at most; else the default counts."""

    def __init__(self, *, allowed: bool) -> None:
        self._left = QUESTIONS_MOST if allowed else 0

    @property
    def may(self) -> bool:
        return self._left > 0

    def ask(self, question: str, default: str) -> str:
        """The answer, or `default` for an empty one. Raises KeyboardInterrupt where the input ends."""
        self._left -= 1
        print(question, end=" ", file=sys.stderr, flush=True)
        line = sys.stdin.readline()
        if not line:
            print(file=sys.stderr)
            raise KeyboardInterrupt
        return line.strip() or default

    def agree(self, question: str) -> bool:
        return self.ask(f"{question} [y/N]", "n").lower() in ("y", "yes")


def _workspace(args: argparse.Namespace) -> git.Workspace:
    if args.config:
        raise UsageError(f"init writes {config.FILE} at the top of the repository", hint="leave --config out")
    here = Path.cwd()
    workspace = git.discover(here)
    if workspace is None:
        raise UsageError(
            f"{here} is in no git repository", hint="ciplug keeps runs by commit: git init, and call it again"
        )
    if workspace.top.resolve() != here.resolve():
        raise UsageError(
            f"{here} is not the top of its repository, where pipelines lie",
            hint=f"cd {shlex.quote(str(workspace.top))} && ciplug init",
        )
    if args.store:
        if git.redact(args.store) != args.store:
            raise UsageError("--store has credentials in it, and ciplug.yaml is committed", hint="leave them out of it")
        if not is_archived(args.store):
            open_store(args.store, workspace)
    return workspace


def _training(args: argparse.Namespace, ways: Trainings, asker: _Asker) -> Training:
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


def _host(project: Project, remote: str | None, asker: _Asker) -> str:
    """The CI host, by the pipelines that are there, else by the forge that the remote is on."""
    kind: str | None = forges.kind_of(Context(), os.environ, remote) if remote else None
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
    args: argparse.Namespace, workspace: git.Workspace, project: Project, training: Training, host: str, model: str
) -> pipelines.Pipeline:
    if host == "none":
        return pipelines.Pipeline({})
    install = project.requirements or ("-r requirements.txt" if training.imports else None)
    wanted = pipelines.Wanted(
        command=training.command,
        model=model,
        branch=_default_branch(workspace),
        install=install,
        source=args.source,
        server=server_of(workspace.remotes.get("origin") or next(iter(workspace.remotes.values()), None)),
    )
    # A pipeline that is there may be the very one that is to be written.
    alone = pipelines.pipeline(host, wanted, ())
    if all(project.read(path) == text for path, text in alone.files.items()):
        return alone
    return pipelines.pipeline(host, wanted, project.files)


def _default_branch(workspace: git.Workspace) -> str:
    asked = ("symbolic-ref", "--quiet", "--short", "refs/remotes/origin/HEAD")
    head = git.git(*asked, cwd=workspace.top, check=False).stdout.decode().strip().removeprefix("origin/")
    listed = git.git("for-each-ref", "--format=%(refname:lstrip=2)", "refs/heads", "refs/remotes", cwd=workspace.top)
    names = {name.removeprefix("origin/") for name in listed.stdout.decode(errors="replace").split()}
    usual = next((name for name in _BRANCHES if name in names), None)
    return head or usual or workspace.branch or "main"


def _kept(
    args: argparse.Namespace, paths: Sequence[str], project: Project, texts: Mapping[str, str], asker: _Asker
) -> set[str]:
    """The files that are there already and stay as they are. Raises UsageError where nobody may be asked."""
    there = [p for p in paths if os.path.lexists(project.top / p)]
    same = {p for p in there if p in texts and project.read(p) == texts[p]}
    there = [p for p in there if p not in same]
    if not there or args.force:
        return same
    names = " and ".join(there)
    several = len(there) > 1
    if not asker.may:
        raise UsageError(
            f"{names} {'are' if several else 'is'} there already, and nothing was written",
            hint="--force replaces it; on a terminal, init asks, and can keep it",
        )
    question = f"{names} {'are' if several else 'is'} there already. Replace {'them' if several else 'it'}?"
    return same if asker.agree(question) else {*same, *there}


def _numbers(
    args: argparse.Namespace, workspace: git.Workspace, project: Project, training: Training, asker: _Asker
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
        return _first_run(workspace, project, training)
    return numbers, ", ".join(numbers.files)


class _TrainingFailed(CiplugError):
    """The training of the first run ended with a code of its own."""

    def __init__(self, command: str, code: int) -> None:
        super().__init__(
            f"the training ended with {code}, and nothing was written: {command}",
            hint="mend it, name another with --command, or leave --run out",
        )
        self.exit_code = code


def _first_run(workspace: git.Workspace, project: Project, training: Training) -> tuple[Numbers, str]:
    """Run the training as `ciplug run` does, but its record goes nowhere; its numbers, and what they are of."""
    from ciplug.commands.run import train

    before = {path: _touched(project.top / path) for path in metric_files(project, training.metrics)}
    with tempfile.TemporaryDirectory(prefix="ciplug-init-") as spool:
        session = Session(
            cwd=project.top,
            env={**os.environ, "CIPLUG_SPOOL": spool},
            workspace=workspace,
            config=config.Config(),
            context=Context(),
            store_uri=DEFAULT_URI,
            artifact_store=NO_ARTIFACTS,
        )
        console.say(f"running {training.command}")
        recorded, code = train(session, Inputs(), _words(training.command))
    if recorded.run.provenance.signal == "SIGINT" or code == 130:
        raise KeyboardInterrupt
    if code:
        raise _TrainingFailed(training.command, code)
    files = metric_files(look(workspace), training.metrics)
    written = [path for path in files if before.get(path) != _touched(project.top / path)]
    logged = recorded.run.metrics
    if files and not written and not logged:
        console.complain(f"warning: the run did not write {', '.join(files)}: these are numbers of an earlier one")
        numbers = read_numbers(project.top, files)
        return numbers, f"{', '.join(numbers.files)} of an earlier run"
    numbers = read_numbers(project.top, written)
    return replace(numbers, values={**logged, **numbers.values}), f"a run of {training.command}"


def _words(command: str) -> list[str]:
    """The command as it is started; by a shell where it is one of a shell's."""
    try:
        words = shlex.split(command)
    except ValueError as problem:
        raise UsageError(f"the command {command!r} cannot be read: {problem}") from None
    if pipelines.after_dashes(command) != command or set("$*?[~#\\") & set(command):
        return ["sh", "-c", command]
    if words[0] == "python" and not shutil.which("python"):
        words[0] = "python3" if shutil.which("python3") else sys.executable
    return words


def _touched(path: Path) -> tuple[int, int] | None:
    """What tells whether a file, or DVCLive's folder, was written."""
    try:
        state = (path / "metrics.json" if path.is_dir() else path).stat()
    except OSError:
        return None
    return state.st_mtime_ns, state.st_size


def _configuration(
    args: argparse.Namespace, project: Project, training: Training, model: str, numbers: Numbers, numbers_of: str
) -> str:
    from ciplug.gates.propose import propose
    from ciplug.policies import check

    params, unread = parameter_files(project, training.params)
    proposal = propose(numbers.values, numbers.constants)
    for problem in (*numbers.problems, *unread):
        console.complain(f"warning: {problem}; it is not taken")
    named = numbers.files or (training.metrics if not numbers.values and not numbers.problems else ())
    text = configuration.render(
        configuration.Settings(
            model=model,
            store=args.store,
            metrics=named,
            params=params,
            unread={"metrics": numbers.problems, "params": unread},
            numbers_of=numbers_of,
            proposal=proposal,
        )
    )
    # What is written is read first, as every later command will.
    check(config.parse(text, Path(config.FILE)))
    gates = ", ".join(gate.metric for gate in proposal.gates)
    console.say(f"gates: {gates} (from {numbers_of})" if gates else "gates: none yet")
    return text


def _about_numbers(training: Training, numbers: Numbers) -> list[str]:
    """What is left to do before there is something to judge."""
    if numbers.values:
        return []
    told = [f"mend what cannot be recorded: {problem}" for problem in numbers.problems]
    if not told and not training.metrics and "ciplug" not in training.tools:
        how = "have the training write its numbers to metrics.json, and name it in ciplug.yaml: metrics: metrics.json"
        if "huggingface" in training.tools:
            how = (
                'have the training call trainer.save_metrics("all", metrics), and name its all_results.json in '
                "ciplug.yaml under metrics"
            )
        elif "mlflow" in training.tools:
            how += " (what it logs to MLflow is not read from there)"
        told.append(how)
    told.append("propose gates from its numbers: ciplug init --run --force, or write them by hand")
    return told


def _about_requirements(project: Project, training: Training, host: str) -> list[str]:
    if host == "none":
        return []
    listed = project.requirements
    told = []
    if training.command.startswith("dvc "):
        told.append(
            "have the pipeline reach the data: `dvc pull` before the training, with the credentials of its remote"
        )
    needed = sorted(_DISTRIBUTIONS.get(name, name) for name in training.imports)
    if listed is None:
        told += [f"write requirements.txt, which the pipeline installs: {', '.join(needed)}"] if needed else []
        return told
    tool = training.command.split()[0]
    text = project.read("pyproject.toml" if listed == "." else listed.removeprefix("-r ")) or ""
    return [*told, f"add {tool} to what `pip install {listed}` brings"] if tool in needed and tool not in text else told


def _write(top: Path, files: Mapping[str, str]) -> None:
    """Write all files or none: each is whole on the disk before the first takes its place."""
    staged: list[tuple[Path, Path]] = []
    made: list[Path] = []
    try:
        for name, text in files.items():
            path = top / name
            _make_folder(path.parent, top, made)
            if path.is_dir():
                raise UsageError(f"{name}: a folder is in its place", hint="move it away")
            part = path.with_name(f".{path.name}.{os.getpid()}.part")
            staged.append((part, path))
            part.write_text(text, encoding="utf-8", newline="\n")
        for part, path in staged:
            part.replace(path)
    except BaseException:
        for part, _ in staged:
            part.unlink(missing_ok=True)
        for folder in reversed(made):
            with contextlib.suppress(OSError):
                folder.rmdir()
        raise


def _make_folder(folder: Path, top: Path, made: list[Path]) -> None:
    for one in reversed([folder, *folder.parents]):
        if not one.is_relative_to(top) or one.is_dir():
            continue
        try:
            one.mkdir()
        except (FileExistsError, NotADirectoryError):
            raise UsageError(f"{one.relative_to(top)}: a file is where a folder is due", hint="move it away") from None
        made.append(one)
    if not folder.resolve().is_relative_to(top.resolve()):
        raise UsageError(f"{folder.relative_to(top)} leads out of the repository", hint="name another with --ci")


def _tell_next(
    workspace: git.Workspace, project: Project, written: Sequence[str], todo: Sequence[str], tokens: Sequence[str]
) -> None:
    lines = []
    if todo:
        lines += ["", "To do first:", *(f"  {number}. {what}" for number, what in enumerate(todo, 1))]
    if tokens:
        lines += ["", "Tokens:", *(f"  {token}" for token in tokens)]
    lines += ["", "Next:"]
    ignored = git.git("check-ignore", "--quiet", "ciplug-report/", cwd=workspace.top, check=False).returncode == 0
    add = list(written)
    if not ignored:
        lines.append("  echo ciplug-report/ >> .gitignore")
        add.append(".gitignore")
    if add:
        lines.append(f"  git add {shlex.join(add)}")
        lines.append("  git commit -m 'Record, compare and gate the training with ciplug'")
    if not workspace.remotes:
        lines.append("  git remote add origin URL")
    remote = "origin" if "origin" in workspace.remotes or not workspace.remotes else next(iter(workspace.remotes))
    tracked = workspace.setting(f"branch.{workspace.branch}.merge")
    lines.append("  git push" if tracked else f"  git push -u {shlex.quote(remote)} HEAD")
    lines.append("  ciplug doctor")
    console.out("\n".join(lines))
