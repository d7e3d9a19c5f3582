"""Find out from a project's files how it trains its model. Python is read as text, never imported or run."""

from __future__ import annotations

import ast
import posixpath
import re
import shlex
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ciplug import strict_yaml
from ciplug.errors import CiplugError, UsageError

Read = Callable[[str], str | None]
"""The text of a file by its path; None if it is not text, or too large."""

_SCRIPTS_MOST = 60


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


_LIBRARIES = _set(
    "sklearn torch tensorflow keras xgboost lightgbm catboost transformers jax flax statsmodels pytorch_lightning "
    "lightning fastai ultralytics spacy setfit sentence_transformers prophet autogluon"
)
_TRAINS = frozenset(("fit", "fit_transform", "backward", "train", "fit_generator", "minimize"))
_SKIPPED = _set(
    "test tests testing doc docs example examples benchmarks notebooks site-packages node_modules build dist"
)
_NAMED_TRAIN = re.compile(r"(?:train|training|fit)\.py|train[_-]\w.*\.py|\w.*[_-]train(?:ing)?\.py")
_NAMED_MAIN = re.compile(r"(?:main|run|app|model|experiment|pipeline)\.py|run[_-]\w.*\.py")
METRIC_FILE = re.compile(
    r"(?:.*[_.-])?(?:metrics?|scores?)(?:[_.-].*)?\.(?:json|yaml|yml|toml|csv|tsv|jsonl|ndjson)"
    r"|(?:(?:all|eval|test|train)_)?results\.(?:json|csv)|eval(?:uation)?\.json",
    re.IGNORECASE,
)
"""Names of files with metrics."""
_MODEL_FILE = re.compile(
    r"[\w./-]{1,200}\.(?:joblib|pkl|pickle|pt|pth|onnx|keras|h5|cbm|ubj|safetensors|skops|ckpt|pmml|tflite)",
    re.IGNORECASE,
)


@dataclass(frozen=True, kw_only=True)
class Training:
    """One way to train."""

    command: str
    why: str
    """The file that shows it, or --command."""
    rank: int
    """Smaller is more likely."""
    metrics: tuple[str, ...] = ()
    """Paths of the files that it seems to write its metrics to."""
    params: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    """Paths of the files that it seems to keep its model in."""
    imports: frozenset[str] = frozenset()
    """Top-level names of the third-party packages that it imports."""
    tools: frozenset[str] = frozenset()
    """The tools that it logs with: ciplug, mlflow, dvclive, huggingface, wandb."""


@dataclass(frozen=True)
class Trainings:
    detected: tuple[Training, ...]
    """The most likely first."""
    problems: tuple[str, ...] = field(default=())
    """Files that could not be read."""

    @property
    def best(self) -> Training | None:
        return self.detected[0] if self.detected else None

    @property
    def rivals(self) -> tuple[Training, ...]:
        """The others that are as likely as the best."""
        return tuple(t for t in self.detected[1:] if t.rank == self.detected[0].rank)


def trainings(files: Sequence[str], read: Read) -> Trainings:
    """Return all trainings in the files of a project; paths are relative to its top, with `/`."""
    problems: list[str] = []
    detected: list[Training] = []
    names = set(files)
    if "dvc.yaml" in names:
        detected += _dvc(read("dvc.yaml"), problems)
    if "MLproject" in names:
        detected += _mlproject(read("MLproject"), problems)
    for makefile in ("GNUmakefile", "makefile", "Makefile"):
        if makefile in names and re.search(r"^train\s*:(?!=)", read(makefile) or "", re.MULTILINE):
            detected.append(Training(command="make train", why=f"the target 'train' of {makefile}", rank=2))
            break
    scripts = list(_scripts(files, read))
    detected += scripts
    ordered = sorted(detected, key=lambda t: (t.rank, t.command))
    if scripts and ordered[0] not in scripts:
        # A target or an entry point probably starts the script, which shows more.
        best, script = ordered[0], min(scripts, key=lambda t: t.rank)
        ordered[0] = replace(
            best,
            metrics=best.metrics or script.metrics,
            models=script.models,
            imports=best.imports | script.imports,
            tools=best.tools | script.tools,
        )
    return Trainings(tuple(ordered), tuple(problems))


def named_training(command: str, ways: Trainings) -> Training:
    """The training by a command that the user names. Raises UsageError for one that is empty or not printable."""
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


def _dvc(text: str | None, problems: list[str]) -> Iterator[Training]:
    data = _mapping(text, "dvc.yaml", problems)
    stages = data.get("stages")
    if not isinstance(stages, dict) or not stages:
        return
    metrics: dict[str, None] = dict.fromkeys(_paths(data.get("metrics"), ""))
    params: dict[str, None] = {}
    for stage in stages.values():
        stage = stage.get("do", stage) if isinstance(stage, dict) else {}
        if not isinstance(stage, dict):
            continue
        folder = str(stage.get("wdir") or "")
        metrics.update(dict.fromkeys(_paths(stage.get("metrics"), folder)))
        listed = stage.get("params")
        for item in listed if isinstance(listed, list) else []:
            # Plain names are parameters of params.yaml; a key is another file.
            where = [str(key) for key in item] if isinstance(item, dict) else ["params.yaml"]
            params.update(dict.fromkeys(_joined(folder, path) for path in where))
    yield Training(
        command="dvc repro",
        why="the stages of dvc.yaml",
        rank=0,
        metrics=_without_templates(metrics),
        params=_without_templates(params),
        imports=frozenset(("dvc",)),
    )


def _paths(listed: Any, folder: str) -> Iterator[str]:
    for item in listed if isinstance(listed, list) else []:
        for path in item if isinstance(item, dict) else [item]:
            yield _joined(folder, str(path))


def _joined(folder: str, path: str) -> str:
    return posixpath.normpath(posixpath.join(folder, path))


def _without_templates(paths: Iterable[str]) -> tuple[str, ...]:
    return tuple(path for path in paths if "${" not in path and not path.startswith(("..", "/")))


def _mlproject(text: str | None, problems: list[str]) -> Iterator[Training]:
    data = _mapping(text, "MLproject", problems)
    points = data.get("entry_points")
    entry = next((name for name in ("main", "train") if isinstance(points, dict) and name in points), None)
    if entry is not None:
        command = "mlflow run . --env-manager=local" + ("" if entry == "main" else f" -e {entry}")
        yield Training(
            command=command,
            why=f"the entry point '{entry}' of MLproject",
            rank=1,
            imports=frozenset(("mlflow",)),
            tools=frozenset(("mlflow",)),
        )


def _mapping(text: str | None, name: str, problems: list[str]) -> dict[str, Any]:
    try:
        data = strict_yaml.load(text or "", name).data
    except CiplugError as problem:
        problems.append(f"{problem.message}: the file is ignored")
        return {}
    return data if isinstance(data, dict) else {}


def _scripts(files: Sequence[str], read: Read) -> Iterator[Training]:
    scripts = [path for path in files if path.endswith(".py") and not _SKIPPED & set(path.lower().split("/")[:-1])]
    scripts = [path for path in scripts if not path.startswith(".") and "/." not in path]
    own = {part.removesuffix(".py") for path in files if path.endswith(".py") for part in path.split("/")}
    scripts.sort(key=lambda path: (_by_name(path), path.count("/"), path))
    for path in scripts[:_SCRIPTS_MOST]:
        facts = _facts(read(path))
        if facts is None:
            continue
        kind, depth = _by_name(path), path.count("/")
        learns = bool(facts.imports & _LIBRARIES and facts.calls & _TRAINS)
        exact = posixpath.basename(path) == "train.py"
        if not (exact or learns or (kind == 0 and facts.is_main)):
            continue
        if kind == 2 and depth and not facts.is_main:
            # A module that other scripts use.
            continue
        yield Training(
            command=_command(path, facts),
            why=path,
            rank=(3 if exact else 4 + kind) * 10 + min(depth, 9),
            metrics=tuple(facts.metrics),
            models=tuple(facts.models),
            imports=frozenset(facts.imports - sys.stdlib_module_names - own - {"ciplug"}),
            tools=frozenset(facts.tools),
        )


def _by_name(path: str) -> int:
    name = posixpath.basename(path)
    return 0 if _NAMED_TRAIN.fullmatch(name) else 1 if _NAMED_MAIN.fullmatch(name) else 2


def _command(path: str, facts: _Facts) -> str:
    if facts.relative:
        return f"python -m {path.removesuffix('.py').removeprefix('src/').replace('/', '.')}"
    return f"python {shlex.quote(path)}"


@dataclass
class _Facts:
    """The facts in the source of a module."""

    imports: set[str] = field(default_factory=set)
    calls: set[str] = field(default_factory=set)
    metrics: dict[str, None] = field(default_factory=dict)
    models: dict[str, None] = field(default_factory=dict)
    tools: set[str] = field(default_factory=set)
    is_main: bool = False
    relative: bool = False


def _facts(text: str | None) -> _Facts | None:
    if text is None:
        return None
    try:
        tree = ast.parse(text)
        nodes = list(ast.walk(tree))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    facts = _Facts()
    for node in nodes:
        if isinstance(node, ast.Import):
            facts.imports.update(alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            facts.relative = facts.relative or node.level > 0
            if not node.level and node.module:
                facts.imports.add(node.module.partition(".")[0])
        elif isinstance(node, ast.Call):
            called = node.func
            name = (
                called.attr if isinstance(called, ast.Attribute) else called.id if isinstance(called, ast.Name) else ""
            )
            facts.calls.add(name)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            if node.value == "__main__":
                facts.is_main = True
            elif _is_metric_path(node.value):
                facts.metrics[posixpath.normpath(node.value)] = None
            elif _MODEL_FILE.fullmatch(node.value) and not posixpath.normpath(node.value).startswith(("/", "..")):
                facts.models[posixpath.normpath(node.value)] = None
    facts.tools = facts.imports & {"ciplug", "mlflow", "dvclive", "wandb"}
    if "dvclive" in facts.tools:
        facts.metrics["dvclive"] = None
    if "transformers" in facts.imports:
        facts.tools.add("huggingface")
    return facts


def _is_metric_path(text: str) -> bool:
    plain = re.fullmatch(r"[\w./-]{1,200}", text)
    named = plain and METRIC_FILE.fullmatch(posixpath.basename(text))
    return bool(named and not posixpath.normpath(text).startswith(("/", "..")))
