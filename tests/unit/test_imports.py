"""The shape of the house: who imports whom, and what nobody imports before it is needed."""

from __future__ import annotations

import ast
import gc
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

import ciplug

PACKAGE = Path(ciplug.__file__).parent

RECORDS = {"records", "errors"}

MAY_IMPORT: dict[str, set[str]] = {
    # Leaves.
    "_version": set(),
    "loading": set(),
    "errors": set(),
    "locking": set(),
    "git": {*RECORDS, "locking"},
    "strict_yaml": {"errors"},
    "config": {"errors", "strict_yaml"},
    "records": {"errors"},
    # A program beside git.
    "forged_signature": set(),
    "signing": {"errors", "forged_signature"},
    # Pure.
    "stats": RECORDS,
    "comparison": {*RECORDS, "stats"},
    "gates": {*RECORDS, "config", "stats", "comparison"},
    "reports": RECORDS,
    # The edges.
    "ci": RECORDS,
    "forges": RECORDS,
    # Where versions are deployed to.
    "targets": {*RECORDS, "config", "locking", "serve_log"},
    "bundles": RECORDS,
    "stores": {*RECORDS, "_version", "bundles", "git", "locking"},
    "tracking": {*RECORDS, "stores"},
    "capture": {*RECORDS, "_version", "stats", "stores", "git", "locking", "strict_yaml"},
    # What it says of a version is for other tools: facts in, documents out.
    "attestation": {*RECORDS, "reports"},
    "registry": {*RECORDS, "stores"},
    # What goes to the log of a job must not be taken for a command of its host.
    "console": {"ci"},
    # What the program does, one verb of the domain a file.
    "steps": {
        *RECORDS,
        *("config", "console", "ci", "forges", "gates", "git", "stores", "tracking", "capture", "registry", "bundles"),
        *("comparison", "reports", "stats", "locking", "strict_yaml", "_version", "loading", "signing", "attestation"),
        "targets",
    },
    "health": {"errors", "_version", "signing", "ci", "config", "steps", "forges", "git", "stores"},
    "scaffold": {
        *RECORDS,
        *("gates", "git", "strict_yaml", "capture", "config", "console", "forges", "steps", "stores"),
    },
    "api": {*RECORDS, "console", "capture", "registry", "steps", "tracking"},
    "mlflow": {
        *RECORDS,
        *("capture", "config", "console", "loading", "registry", "steps", "stores", "tracking"),
    },
    # Import from other systems, and export to them.
    "interop": {
        *RECORDS,
        *("attestation", "capture", "config", "console", "forges", "git", "locking", "mlflow", "registry", "reports"),
        *("steps", "stores", "tracking"),
    },
    "commands": {
        *RECORDS,
        *("config", "console", "ci", "gates", "git", "tracking", "capture", "registry", "bundles"),
        *("reports", "stats", "steps", "health", "scaffold", "attestation", "interop", "serve_log"),
    },
    "cli": {"errors", "console", "_version"},
    # What action.yml and the templates start.
    "action": {"errors", "console", "cli"},
    "install": set(),
    # What a server of models imports.
    "serve_log": set(),
    "__init__": {"api", "_version", "loading"},
    "__main__": {"cli"},
}
"""Part (a folder, or a module at the top) → the parts that it may import, besides itself.

CONTRIBUTING.md shows it as a table: `python -m tests.unit.test_contributing` rewrites that."""

COMMAND_HELPERS = {
    "commands",
    *(
        f"commands.{name}"
        for name in (
            "collect_output",
            "metric_changes",
            "options",
            "output",
            "prompts",
            "record_output",
            "registry_changes",
            "registry_tables",
            "run_details",
            "run_diff",
            "run_list",
            "run_sweep",
            "run_tables",
            "smoke_test_output",
        )
    ),
}
"""What commands share: how they read their options, and how they print. Anything else that two need is a step."""

HEAVY = {
    *("github", "gitlab", "jenkinsapi", "mlflow", "numpy", "pandas", "sklearn", "scipy", "torch", "requests"),
    *("jinja2", "tabulate", "yaml", "pydantic", "tqdm", "obstore", "sigstore"),
    *("boto3", "botocore", "google", "pyarrow", "duckdb"),
}
HEAVY_ALLOWED = {
    ("stats.resampling", "numpy"): "arrays in and out; imported with per-example scores only",
    ("stats.scores", "numpy"): "as resampling, which it stands on",
    ("stats.score_columns", "numpy"): "as resampling, which it stands on",
    ("stats.smooth_scores", "numpy"): "as resampling, which it stands on",
    ("stats.resampled_scores", "numpy"): "as resampling, which it stands on",
    ("stats.mean_tests", "numpy"): "arrays in; imported with per-example scores only",
    ("stats.influence", "numpy"): "arrays in; imported with per-example scores only",
    ("stats.paired_proportions", "numpy"): "sums over tables of counts; imported with per-example scores only",
    ("stats.paired_tests", "numpy"): "as resampling, which it stands on",
    ("stats.unknown_answers", "numpy"): "as resampling, which it stands on",
    ("stats.max_t", "numpy"): "as resampling, which it stands on",
}


class Import(NamedTuple):
    module: str
    """The importing module, without the package's name: gates.evaluate, cli."""
    target: str
    """What it imports, in full: ciplug.records.run, pydantic."""
    line: int
    eager: bool
    """Executed when the module is imported."""
    typing_only: bool

    @property
    def part(self) -> str:
        return self.module.partition(".")[0]

    @property
    def target_part(self) -> str | None:
        """The part of ciplug that is imported, `__init__` for the package itself; None for other packages."""
        top, _, rest = self.target.partition(".")
        return (rest.partition(".")[0] or "__init__") if top == "ciplug" else None


@cache
def sources() -> dict[str, str]:
    """The text of each module, by its name without the package's."""
    paths = {".".join(path.relative_to(PACKAGE).with_suffix("").parts): path for path in sorted(PACKAGE.rglob("*.py"))}
    return {name.removesuffix(".__init__"): path.read_text(encoding="utf-8") for name, path in paths.items()}


@cache
def module(name: str) -> ast.Module:
    return ast.parse(sources()[name], name)


@cache
def modules() -> dict[str, ast.Module]:
    """All of them; parsed by the first test that asks, since every process of the tests collects this file."""
    gc.disable()  # it would look through millions of nodes, none of which is garbage, again and again
    try:
        return {name: module(name) for name in sources()}
    finally:
        gc.enable()


def with_words(pattern: str) -> dict[str, ast.Module]:
    """The modules in whose text one of the words is."""
    return {name: module(name) for name, text in sources().items() if re.search(rf"\b({pattern})\b", text)}


@cache
def import_statements() -> list[tuple[str, ast.ImportFrom]]:
    """Each `from … import …`, with its module."""
    found: list[tuple[str, ast.ImportFrom]] = []

    def look(name: str, node: ast.AST) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.ImportFrom):
                found.append((name, child))
            elif not isinstance(child, ast.expr):  # it holds no statement, and most of the nodes
                look(name, child)

    for name, tree in modules().items():
        look(name, tree)
    return found


def imports_of(name: str, tree: ast.AST, *, eager: bool = True, typing_only: bool = False) -> Iterator[Import]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(name, alias.name, node.lineno, eager, typing_only)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{name}:{node.lineno}: imports are absolute"
            base = node.module or ""
            for alias in node.names:
                full = f"{base}.{alias.name}"
                known = base == "ciplug" or full.removeprefix("ciplug.") in sources()
                yield Import(name, full if known else base, node.lineno, eager, typing_only)
        elif isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            for inner in node.body:
                yield from imports_of(name, ast.Module([inner], []), eager=False, typing_only=True)
            for inner in node.orelse:
                yield from imports_of(name, ast.Module([inner], []), eager=eager, typing_only=typing_only)
        elif not isinstance(node, ast.expr):  # it holds no statement, and most of the nodes
            lazy = isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
            yield from imports_of(name, node, eager=eager and not lazy, typing_only=typing_only)


@cache
def imports() -> list[Import]:
    return [found for name, tree in modules().items() for found in imports_of(name, tree)]


def test_every_part_has_its_place() -> None:
    parts = {name.partition(".")[0] for name in sources()}
    assert parts <= set(MAY_IMPORT), "a new part: say here, and in the architecture, whom it may import"
    assert all(targets <= set(MAY_IMPORT) for targets in MAY_IMPORT.values())


def test_the_arrows() -> None:
    broken = [
        f"{i.module}:{i.line} imports {i.target}"
        for i in imports()
        if i.target_part is not None and i.target_part not in (i.part, *MAY_IMPORT.get(i.part, ()))
    ]
    assert not broken, "\n".join(broken)


def test_every_exception_is_still_needed() -> None:
    assert set(HEAVY_ALLOWED) <= {(i.module, i.target) for i in imports()}


def test_nobody_imports_the_commands() -> None:
    """The command line names them in a table, and loads the one that is called."""
    assert not [i for i in imports() if i.target_part == "commands" and i.part != "commands"]
    from ciplug.cli import COMMANDS, module_of

    commands = {name for name in sources() if name.startswith("commands")}
    assert commands - COMMAND_HELPERS == {f"commands.{module_of(c)}" for c in COMMANDS}


def test_no_command_imports_a_command() -> None:
    """What two commands share is a step, beside the helpers that are named above."""
    commands = [i for i in imports() if i.part == i.target_part == "commands"]
    assert not [i for i in commands if i.target.removeprefix("ciplug.") not in COMMAND_HELPERS]


def test_the_package_itself_is_imported_by_users_only() -> None:
    """ciplug/__init__.py is the door; the modules behind it take the version from its own leaf."""
    assert not [f"{i.module}:{i.line}" for i in imports() if i.target_part == "__init__"]


def test_no_module_is_imported_by_a_name_that_this_test_cannot_see() -> None:
    """`import_module("ciplug.x")` would be an arrow that nobody draws: the command line alone loads what it lists."""
    hidden = {
        name
        for name, tree in with_words("import_module|__import__").items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and ast.unparse(node.func).endswith(("import_module", "__import__"))
        and "ciplug" in ast.unparse(node)
    }
    assert hidden == {"cli"}


def test_no_private_name_crosses_a_module() -> None:
    for name, node in import_statements():
        if (node.module or "").startswith("ciplug"):
            private = [a.name for a in node.names if a.name.startswith("_") and a.name != "__version__"]
            assert not private, f"{name}:{node.lineno}: {private}"


@pytest.mark.parametrize("level", ["modules", "parts"])
def test_no_cycle(level: str) -> None:
    """By any import: at module level, in a function, for type checking only."""
    edges: dict[str, set[str]] = {}
    for i in imports():
        if i.target_part is not None:
            by_module = level == "modules"
            start = i.module if by_module else i.part
            target = i.target.removeprefix("ciplug.") if by_module else i.target_part
            if target != start:
                edges.setdefault(start, set()).add(target)
    done: set[str] = set()

    def visit(node: str, way: tuple[str, ...]) -> None:
        assert node not in way, " → ".join([*way[way.index(node) :], node])
        if node not in done:
            for target in sorted(edges.get(node, ())):
                visit(target, (*way, node))
            done.add(node)

    for start in sorted(edges):
        visit(start, ())


def test_nothing_heavy_is_imported_before_it_is_needed() -> None:
    found = [
        f"{i.module}:{i.line} imports {i.target}"
        for i in imports()
        if i.eager and i.target.partition(".")[0] in HEAVY and (i.module, i.target) not in HEAVY_ALLOWED
        # MLflow has loaded itself before it loads its plugins, and nothing else imports them.
        if (i.part, i.target.partition(".")[0]) != ("mlflow", "mlflow")
    ]
    assert not found, "\n".join(found)


def test_what_imports_something_heavy_at_once_is_itself_imported_late() -> None:
    late = {module for module, _ in HEAVY_ALLOWED}
    eager = [i for i in imports() if i.eager and i.target.removeprefix("ciplug.") in late]
    assert not [f"{i.module}:{i.line}" for i in eager if i.module not in late]


def test_only_the_git_folder_runs_git() -> None:
    """The demo types what a user would; the others ask or start programs that are none of git."""
    runs = {i.module for i in imports() if i.target.partition(".")[0] == "subprocess"}
    git = {"git.run", "git.blobs", "git.cat_file"}
    assert runs <= git | {"capture.environment", "capture.process", "commands.demo", "install", "signing"} | {
        "targets.kubectl",
        "targets.local",
        "targets.oci_credentials",
        "targets.supervisors",
    }
    for name in runs - git:
        words = {n.value for n in ast.walk(module(name)) if isinstance(n, ast.Constant) and isinstance(n.value, str)}
        assert "git" not in words, f"{name} runs git by itself"


def test_every_module_puts_its_annotations_off_and_says_what_it_is_for() -> None:
    for name, tree in modules().items():
        if not tree.body:
            continue
        assert ast.get_docstring(tree), f"{name} has no docstring"
        future = any(isinstance(n, ast.ImportFrom) and n.module == "__future__" for n in tree.body)
        assert future or all(isinstance(n, ast.Expr) for n in tree.body), f"{name} lacks the annotations import"


PRINTERS = {"commands", "console", "cli", "action", "install", "api", "mlflow"}


def is_quiet(name: str) -> bool:
    return name.partition(".")[0] not in PRINTERS


def test_only_commands_and_what_programs_log_with_print() -> None:
    """Others tell a listener: a caller decides who hears it. Of the console they know the types."""
    types = {"Note", "Nobody", "Listener", "warning", "problem_note"}
    console = {
        (name, alias.name)
        for name, node in import_statements()
        if is_quiet(name) and node.module in ("ciplug", "ciplug.console")
        for alias in node.names
        if alias.name == "console" or (node.module == "ciplug.console" and alias.name not in types)
    }
    prints = {
        name
        for name, tree in with_words("print|write").items()
        if is_quiet(name)
        for node in ast.walk(tree)
        if isinstance(node, ast.Name | ast.Attribute)
        if ast.unparse(node) in ("print", "sys.stdout.write", "sys.stderr.write")
    }
    assert not console
    assert prints == {"ci.azure"}, "the agent reads the commands of its host there"
