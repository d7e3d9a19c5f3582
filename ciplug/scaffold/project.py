"""What lies in a project: its files as git sees them, what its training has left, and its pipelines."""

from __future__ import annotations

import itertools
import os
import posixpath
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ciplug import strict_yaml
from ciplug.errors import CiplugError, InputError
from ciplug.git.credentials import redact
from ciplug.git.run import run_git
from ciplug.git.workspace import Workspace
from ciplug.records.run import Scalar, is_model_name
from ciplug.scaffold.training import METRIC_FILE

_FILES_MOST = 20_000
_WALKED_MOST = 5_000
_DEPTH_MOST = 4
_TEXT_BYTES = 512 * 1024
_READ_MOST = 20


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


_NOT_ENTERED = _set(
    ".git .venv venv env node_modules __pycache__ site-packages mlruns mlartifacts wandb .dvc .tox .nox .mypy_cache "
    ".ruff_cache .pytest_cache ciplug-report build dist lightning_logs tests test docs templates"
)
_OF_ONE_TIME = re.compile(r"\d{4}-\d{2}|checkpoint-\d+|version_\d+|[0-9a-f]{12,}|run[_-]?\d+", re.IGNORECASE)
"""A folder that the next training will not write to."""
_PARAMS = re.compile(r"(?:params|parameters|hparams|hyperparameters|hyperparams)\.(?:ya?ml|json|toml)", re.IGNORECASE)
_LISTS = re.compile(r"requirements[\w.-]*\.txt|pyproject\.toml|setup\.(?:py|cfg)|dvc\.(?:yaml|lock)|MLproject|Makefile")
_BRANCHES = ("main", "master", "trunk", "develop")
_PIPELINES = {
    "github": re.compile(r"\.github/workflows/[^/]+\.ya?ml"),
    "gitlab": re.compile(r"\.gitlab-ci\.yml"),
    "jenkins": re.compile(r"Jenkinsfile"),
    "gitea": re.compile(r"\.(?:gitea|forgejo)/workflows/[^/]+\.ya?ml"),
    "bitbucket": re.compile(r"bitbucket-pipelines\.yml"),
    "azure": re.compile(r"\.?azure-pipelines\.ya?ml"),
}


@dataclass(frozen=True)
class Project:
    """The files of a work tree or of a folder of it, relative to that, with `/`, the least deep first."""

    top: Path
    files: tuple[str, ...]
    """Those that git knows or would add."""
    ignored: tuple[str, ...] = ()
    """Those that git ignores, as far as they were looked at: what a training writes is often among them."""

    def read(self, path: str) -> str | None:
        """The text of a file; None where it is none, large, or leads out of the project."""
        whole = self.top / path
        try:
            if not whole.is_file() or not whole.resolve().is_relative_to(self.top.resolve()):
                return None
            with whole.open("rb") as file:
                data = file.read(_TEXT_BYTES + 1)
            return data.decode("utf-8-sig") if len(data) <= _TEXT_BYTES else None
        except (OSError, UnicodeDecodeError, RuntimeError):
            return None

    @property
    def pipelines(self) -> dict[str, str]:
        """The CI hosts that the files tell of, and which file does."""
        found: dict[str, str] = {}
        for name, pattern in _PIPELINES.items():
            for path in self.files:
                if pattern.fullmatch(path):
                    found.setdefault(name, path)
        return found

    @property
    def requirements(self) -> str | None:
        """What `pip install` takes for the training: `-r requirements.txt`, `.`; None where nothing says it."""
        if "requirements.txt" in self.files:
            return "-r requirements.txt"
        if re.search(r"^\[(?:project|build-system)\]", self.read("pyproject.toml") or "", re.MULTILINE):
            return "."
        if "setup.py" in self.files:
            return "."
        listed = re.compile(r"requirements[\w.-]*\.txt|requirements/[\w.-]+\.txt")
        return next((f"-r {path}" for path in self.files if listed.fullmatch(path)), None)


@dataclass(frozen=True)
class Numbers:
    """The metrics that lie in the project."""

    files: tuple[str, ...] = ()
    """As `metrics` of ciplug.yaml takes them."""
    values: Mapping[str, float] = field(default_factory=dict)
    constants: frozenset[str] = frozenset()
    """Metrics that were the same at every one of several steps."""
    problems: tuple[str, ...] = ()
    """Why other files are not taken."""
    models: tuple[str, ...] = ()
    """Files that the training was seen to write its model to."""


def look(top: Path) -> Project:
    """Look at a work tree, or a folder of it, within limits. Raises GitError."""
    known = _names(run_git("ls-files", "-z", "-co", "--exclude-standard", cwd=top).stdout)
    ignored = _names(run_git("ls-files", "-z", "-oi", "--exclude-standard", "--directory", cwd=top).stdout)
    return Project(top, tuple(known[:_FILES_MOST]), tuple(_below(top, ignored)))


def default_branch(workspace: Workspace) -> str:
    """The branch that pull requests go into, as far as the clone tells."""
    asked = ("symbolic-ref", "--quiet", "--short", "refs/remotes/origin/HEAD")
    head = run_git(*asked, cwd=workspace.top, check=False).stdout.decode().strip().removeprefix("origin/")
    listed = run_git("for-each-ref", "--format=%(refname:lstrip=2)", "refs/heads", "refs/remotes", cwd=workspace.top)
    names = {name.removeprefix("origin/") for name in listed.stdout.decode(errors="replace").split()}
    usual = next((name for name in _BRANCHES if name in names), None)
    return head or usual or workspace.branch or "main"


def is_left_out(path: str) -> bool:
    """Whether a file lies in a folder that is no part of a project: an environment, a cache, tests."""
    return bool(_NOT_ENTERED & set(path.split("/")[:-1]))


def is_list(path: str) -> bool:
    """Whether a file says what is installed, what is run, or with which parameters."""
    return bool(_LISTS.fullmatch(posixpath.basename(path)) or _PARAMS.fullmatch(posixpath.basename(path)))


def _names(listed: bytes) -> list[str]:
    """Names as text, the least deep first; those that no line of a file can hold are left out."""
    names = {name.decode("utf-8", "replace") for name in listed.split(b"\0") if name}
    return sorted((n for n in names if n.isprintable() and "\ufffd" not in n), key=lambda n: (n.count("/"), n))


def _below(top: Path, listed: Iterable[str]) -> Iterator[str]:
    """The ignored files, and those in ignored folders, which git names only; a folder ends with `/`."""
    left = _WALKED_MOST
    waiting = [name for name in listed if not _NOT_ENTERED & set(name.split("/"))]
    while waiting and left > 0:
        name = waiting.pop(0)
        left -= 1
        if not name.endswith("/"):
            yield name
            continue
        try:
            entries = sorted(os.scandir(top / name), key=lambda entry: entry.name)
        except OSError:
            continue
        for entry in entries[:_WALKED_MOST]:
            if not entry.name.isprintable() or entry.is_symlink():
                continue
            inner = f"{name}{entry.name}"
            if not entry.is_dir():
                waiting.append(inner)
            elif inner.count("/") < _DEPTH_MOST and entry.name not in _NOT_ENTERED:
                waiting.append(f"{inner}/")


def metric_files(project: Project, named: Sequence[str] = ()) -> list[str]:
    """The files with metrics, those that a training names first; DVCLive's is its folder."""
    found = [path for path in named if (project.top / path).exists()]
    for path in sorted((*project.files, *project.ignored), key=lambda p: (p.count("/"), p)):
        *folders, name = path.split("/")
        if folders and folders[-1] == "dvclive" and name == "metrics.json":
            found.append(posixpath.dirname(path))
        elif (
            METRIC_FILE.fullmatch(name)
            and "dvclive" not in folders
            and not any(folder in _NOT_ENTERED or _OF_ONE_TIME.search(folder) for folder in folders)
        ):
            found.append(path)
    inside = [path for path in dict.fromkeys(found) if posixpath.dirname(path) not in found]
    # Hugging Face writes the parts beside the whole.
    return [p for p in inside if not re.fullmatch(r"(?:eval|train|test)_results\.json", posixpath.basename(p))
            or posixpath.join(posixpath.dirname(p), "all_results.json") not in inside][:_READ_MOST]  # fmt: skip


def read_numbers(top: Path, files: Iterable[str]) -> Numbers:
    """The metrics of files; one that cannot be read, or says otherwise than those before it, is a problem."""
    from ciplug.capture.metric_files import read_metrics

    taken: list[str] = []
    values: dict[str, float] = {}
    constants: set[str] = set()
    problems: list[str] = []
    for path in files:
        try:
            read = read_metrics(top / path)
        except InputError as problem:
            problems.append(problem.message.replace(f"{top / path}", path, 1))
            continue
        differing = [
            name for name, value in read.values.items() if name in values and repr(values[name]) != repr(value)
        ]
        if differing:
            problems.append(f"{path}: the metric '{differing[0]}' stands in {', '.join(taken)} with another value")
            continue
        taken.append(path)
        values.update(read.values)
        constants |= {
            name for name, series in read.series.items() if len(series.values) > 2 and len(set(series.values)) == 1
        }
    return Numbers(tuple(taken), values, frozenset(constants), tuple(problems))


def parameter_files(project: Project, named: Sequence[str] = ()) -> tuple[list[str], list[str]]:
    """The files with parameters, and why others are not taken."""
    from ciplug.capture.metric_files import read_params

    candidates = [p for p in named if p in project.files]
    candidates += [p for p in project.files if _PARAMS.fullmatch(posixpath.basename(p)) and p.count("/") < 2]
    taken: list[str] = []
    problems: list[str] = []
    known: dict[str, Scalar] = {}
    for path in list(dict.fromkeys(candidates))[:_READ_MOST]:
        try:
            params = read_params(project.top / path)
        except InputError as problem:
            problems.append(problem.message.replace(f"{project.top / path}", path, 1))
            continue
        if any(name in known and repr(known[name]) != repr(value) for name, value in params.items()):
            problems.append(f"{path}: a parameter of it stands in {', '.join(taken)} with another value")
            continue
        known.update(params)
        taken.append(path)
    return taken, problems


def requirements(project: Project, whole: Project) -> str | None:
    """What `pip install` takes in the project's folder: what lies there, else what lies at the repository's top."""
    if project.requirements or project is whole or not whole.requirements:
        return project.requirements
    up = posixpath.relpath(".", project.top.relative_to(whole.top).as_posix())
    name = whole.requirements.removeprefix("-r ")
    return up if name == "." else f"-r {up}/{name}"


def server_of(remote_url: str | None) -> str | None:
    """Host of a remote, https://host/path or git@host:path alike; None for a folder."""
    found = re.match(r"(?:\w+://(?:[^@/]*@)?|[^@/]+@)([\w.-]+)", remote_url or "")
    return found[1] if found else None


def model_name(project: Project, remote_url: str | None) -> str:
    """A name for the model: that of the repository."""
    name = re.split(r"[/:\\]", redact(remote_url or "").rstrip("/").removesuffix(".git"))[-1] or project.top.name
    name = name if is_model_name(name) else "model"
    return f"{name}-top" if name in models_elsewhere("", project) else name


def model_name_in(folder: str, whole: Project) -> str:
    """A name for the model of a folder: the folder's own, or its whole path where another project has that name.

    Args:
        folder: relative to the top of the repository, `services/ranking`.
        whole: the repository.
    """
    own, path = folder.rpartition("/")[2], folder.replace("/", "-")
    name = path if own in models_elsewhere(folder, whole) else own
    return name if is_model_name(name) else "model"


def models_elsewhere(folder: str, whole: Project) -> dict[str, str]:
    """The models of the repository's other projects, each with the ciplug.yaml that names it."""
    found: dict[str, str] = {}
    others = (p for p in whole.files if posixpath.basename(p) == "ciplug.yaml" and posixpath.dirname(p) != folder)
    for path in itertools.islice(others, _READ_MOST):
        try:
            data = strict_yaml.load(whole.read(path) or "", path).data
        except CiplugError:
            continue  # Its own commands say what is wrong in it.
        if isinstance(data, dict):
            names = data["models"] if isinstance(data.get("models"), dict) else [data.get("model")]
            found.update((str(name), path) for name in names if name)
    return found
