"""The contents of a project: its files as git sees them, the output of its training, and its pipelines."""

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
from ciplug.scaffold.host_files import HOST_FILES
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
_OF_ONE_TIME = re.compile(
    r"\d{4}-\d{2}|\d\d-\d\d-\d\d|\d{8}-\d{6}|checkpoint-\d+|version_\d+|[0-9a-f]{12,}|run[_-]?\d+", re.IGNORECASE
)
"""A folder that the next training will not write to."""
_PARAMS = re.compile(r"(?:params|parameters|hparams|hyperparameters|hyperparams)\.(?:ya?ml|json|toml)", re.IGNORECASE)
_LISTS = re.compile(r"requirements[\w.-]*\.txt|pyproject\.toml|setup\.(?:py|cfg)|dvc\.(?:yaml|lock)|MLproject|Makefile")
_BRANCHES = ("main", "master", "trunk", "develop")


@dataclass(frozen=True)
class Project:
    """The files of a work tree or of a folder of it, relative to that, with `/`, the least deep first."""

    top: Path
    files: tuple[str, ...]
    """Files that git tracks or would add."""
    ignored: tuple[str, ...] = ()
    """Files that git ignores, up to a limit; the output of a training is often among them."""

    def read(self, path: str) -> str | None:
        """The text of a file; None if it is not text, too large, or outside the project."""
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
        """The CI hosts of the pipelines in the project, each with its file."""
        hosts: dict[str, str] = {}
        for name, host in HOST_FILES.items():
            for path in self.files:
                if host.pattern.fullmatch(path):
                    hosts.setdefault(name, path)
        return hosts

    @property
    def requirements(self) -> str | None:
        """The argument of `pip install` for the training: `-r requirements.txt`, `.`; None if nothing lists it."""
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
    """The metrics in the files of the project."""

    files: tuple[str, ...] = ()
    """The files, as `metrics` of ciplug.yaml takes them."""
    values: Mapping[str, float] = field(default_factory=dict)
    constants: frozenset[str] = frozenset()
    """Metrics with the same value at every step."""
    problems: tuple[str, ...] = ()
    """The reasons why other files are not used."""
    models: tuple[str, ...] = ()
    """Files that the training wrote its model to in the first run."""


def scan(top: Path) -> Project:
    """List a work tree, or a folder of it, within limits. Raises GitError."""
    tracked = _names(run_git("ls-files", "-z", "-co", "--exclude-standard", cwd=top).stdout)
    ignored = _names(run_git("ls-files", "-z", "-oi", "--exclude-standard", "--directory", cwd=top).stdout)
    return Project(top, tuple(tracked[:_FILES_MOST]), tuple(_below(top, ignored)))


def default_branch(workspace: Workspace) -> str:
    """The branch that pull requests go into, as far as the clone shows."""
    query = ("symbolic-ref", "--quiet", "--short", "refs/remotes/origin/HEAD")
    head = run_git(*query, cwd=workspace.top, check=False).stdout.decode().strip().removeprefix("origin/")
    listed = run_git("for-each-ref", "--format=%(refname:lstrip=2)", "refs/heads", "refs/remotes", cwd=workspace.top)
    names = {name.removeprefix("origin/") for name in listed.stdout.decode(errors="replace").split()}
    usual = next((name for name in _BRANCHES if name in names), None)
    return head or usual or workspace.branch or "main"


def is_left_out(path: str) -> bool:
    """Whether a file is in a folder that is not part of the project: an environment, a cache, tests."""
    return bool(_NOT_ENTERED & set(path.split("/")[:-1]))


def is_list(path: str) -> bool:
    """Whether a file lists requirements, commands or parameters."""
    return bool(_LISTS.fullmatch(posixpath.basename(path)) or _PARAMS.fullmatch(posixpath.basename(path)))


def _names(listed: bytes) -> list[str]:
    """Names as text, the least deep first, without names that do not fit on a line of text."""
    names = {name.decode("utf-8", "replace") for name in listed.split(b"\0") if name}
    return sorted((n for n in names if n.isprintable() and "\ufffd" not in n), key=lambda n: (n.count("/"), n))


def _below(top: Path, listed: Iterable[str]) -> Iterator[str]:
    """The ignored files, and the files in ignored folders, of which git lists only the folder, with a final `/`."""
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
    """The files with metrics, first those that the training names; for DVCLive, its folder.

    Where there are none, the event files of TensorBoard, by patterns: each training gives them other names.
    """
    return _named_files(project, named) or list(dict.fromkeys(_event_patterns(project)))[:_READ_MOST]


def _event_patterns(project: Project) -> Iterator[str]:
    from ciplug.capture.event_files import is_event_file

    for path in (*project.files, *project.ignored):
        top, *inner = path.split("/")
        if is_event_file(path) and not is_left_out(path):
            yield f"{top}/**/events.out.tfevents.*" if inner else "events.out.tfevents.*"


def _named_files(project: Project, named: Sequence[str]) -> list[str]:
    paths = [path for path in named if (project.top / path).exists()]
    for path in sorted((*project.files, *project.ignored), key=lambda p: (p.count("/"), p)):
        *folders, name = path.split("/")
        if folders and folders[-1] == "dvclive" and name == "metrics.json":
            paths.append(posixpath.dirname(path))
        elif (
            METRIC_FILE.fullmatch(name)
            and "dvclive" not in folders
            and not any(folder in _NOT_ENTERED or _OF_ONE_TIME.search(folder) for folder in folders)
        ):
            paths.append(path)
    inside = [path for path in dict.fromkeys(paths) if posixpath.dirname(path) not in paths]
    # Hugging Face writes all_results.json and its parts.
    return [p for p in inside if not re.fullmatch(r"(?:eval|train|test)_results\.json", posixpath.basename(p))
            or posixpath.join(posixpath.dirname(p), "all_results.json") not in inside][:_READ_MOST]  # fmt: skip


def read_numbers(top: Path, files: Iterable[str]) -> Numbers:
    """The metrics of files; a file that cannot be read, or contradicts an earlier one, is a problem."""
    from ciplug.capture.metric_files import read_metrics

    taken: list[str] = []
    values: dict[str, float] = {}
    constants: set[str] = set()
    problems: list[str] = []
    for path in files:
        try:
            read = read_metrics(top / path, skip=_of_earlier_trainings(top, path))
        except InputError as problem:
            problems.append(problem.message.replace(f"{top / path}", path, 1))
            continue
        differing = [
            name for name, value in read.values.items() if name in values and repr(values[name]) != repr(value)
        ]
        if differing:
            problems.append(f"{path}: the metric '{differing[0]}' has another value in {', '.join(taken)}")
            continue
        taken.append(path)
        values.update(read.values)
        constants |= {
            name for name, series in read.series.items() if len(series.values) > 2 and len(set(series.values)) == 1
        }
    return Numbers(tuple(taken), values, frozenset(constants), tuple(problems))


def _of_earlier_trainings(top: Path, path: str) -> frozenset[Path]:
    """Of the files that match a pattern, those in a folder that an earlier training had for itself."""
    from ciplug.capture.written_files import absolute, is_pattern, matches, newest

    last = newest(top / path, ()) if is_pattern(top / path) else None
    if last is None:
        return frozenset()
    parts = last.relative_to(top).parts[:-1]
    own = next((top.joinpath(*parts[: n + 1]) for n, part in enumerate(parts) if _OF_ONE_TIME.search(part)), top)
    return absolute(file for file in matches(top / path) if not file.is_relative_to(own))


def parameter_files(project: Project, named: Sequence[str] = ()) -> tuple[list[str], list[str]]:
    """The files with parameters, and why other files are not used."""
    from ciplug.capture.param_files import read_params

    candidates = [p for p in named if p in project.files]
    candidates += [p for p in project.files if _PARAMS.fullmatch(posixpath.basename(p)) and p.count("/") < 2]
    taken: list[str] = []
    problems: list[str] = []
    values: dict[str, Scalar] = {}
    for path in list(dict.fromkeys(candidates))[:_READ_MOST]:
        try:
            params = read_params(project.top / path).values
        except InputError as problem:
            problems.append(problem.message.replace(f"{project.top / path}", path, 1))
            continue
        if any(name in values and repr(values[name]) != repr(value) for name, value in params.items()):
            problems.append(f"{path}: one of its parameters has another value in {', '.join(taken)}")
            continue
        values.update(params)
        taken.append(path)
    return taken, problems


def requirements(project: Project, whole: Project) -> str | None:
    """The argument of `pip install` in the project's folder: its own requirements, else those at the top."""
    if project.requirements or project is whole or not whole.requirements:
        return project.requirements
    up = posixpath.relpath(".", project.top.relative_to(whole.top).as_posix())
    name = whole.requirements.removeprefix("-r ")
    return up if name == "." else f"-r {up}/{name}"


def server_of(remote_url: str | None) -> str | None:
    """Host of a remote, https://host/path or git@host:path alike; None for a folder."""
    match = re.match(r"(?:\w+://(?:[^@/]*@)?|[^@/]+@)([\w.-]+)", remote_url or "")
    return match[1] if match else None


def model_name(project: Project, remote_url: str | None) -> str:
    """A name for the model: that of the repository."""
    name = re.split(r"[/:\\]", redact(remote_url or "").rstrip("/").removesuffix(".git"))[-1] or project.top.name
    name = name if is_model_name(name) else "model"
    return f"{name}-top" if name in models_elsewhere("", project) else name


def model_name_in(folder: str, whole: Project) -> str:
    """A name for the model of a folder: the folder's name, or its whole path if another project has that name.

    Args:
        folder: relative to the top of the repository, `services/ranking`.
        whole: the repository.
    """
    own, path = folder.rpartition("/")[2], folder.replace("/", "-")
    name = path if own in models_elsewhere(folder, whole) else own
    return name if is_model_name(name) else "model"


def models_elsewhere(folder: str, whole: Project) -> dict[str, str]:
    """The models of the repository's other projects, each with the ciplug.yaml that names it."""
    models: dict[str, str] = {}
    others = (p for p in whole.files if posixpath.basename(p) == "ciplug.yaml" and posixpath.dirname(p) != folder)
    for path in itertools.islice(others, _READ_MOST):
        try:
            data = strict_yaml.load(whole.read(path) or "", path).data
        except CiplugError:
            continue  # The commands of that project report what is wrong in it.
        if isinstance(data, dict):
            names = data["models"] if isinstance(data.get("models"), dict) else [data.get("model")]
            models.update((str(name), path) for name in names if name)
    return models
