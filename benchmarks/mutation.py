"""Mutation scores: which small changes of the code do its tests notice?

Take a fixed sample of cosmic-ray's mutants of a part of ciplug, run its tests against each, and list the survivors.

    pip install -e '.[mutation]'
    python -m benchmarks.mutation stats --count 100
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import difflib
import gc
import importlib
import itertools
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from coverage import Coverage

ROOT = Path(__file__).parents[1]
TESTS = {
    "gates": """
        test_gates*.py test_waivers.py test_outcomes.py test_reason_text.py test_reruns.py test_verdict.py
        test_repeats.py
        test_propose.py test_policy.py test_paired_tests.py test_trend_gates.py test_trade_off.py test_weights.py
        test_many_gates.py test_gate_audit.py test_alpha_spending.py test_policy_cases.py test_extend.py test_max_t.py
        integration/test_config_commands.py integration/test_accidental_passes.py
    """,
    "stats": """
        test_statistics.py test_paired_tests.py test_classes.py test_distributions.py test_drift_tests.py test_sample.py
        test_trend.py test_crossed.py test_alpha_spending.py test_max_t.py test_resampling.py
        test_selection_cost.py test_weights.py test_change_point.py test_gates.py test_gates_with_evidence.py
        test_calibration.py
    """,
    "registry": """
        test_registry_*.py test_evidence_chain.py test_tag_faults.py integration/test_registry_of_the_future.py
    """,
    "steps/promotion": """
        integration/test_promote.py integration/test_labels_and_deployments.py integration/test_named_run.py
        integration/test_merge_approval.py integration/test_registry_moves.py integration/test_after_promotion.py
        integration/test_foreign_policy.py integration/test_import_systems.py
        attacks/test_claims.py attacks/test_signed_moves.py attacks/test_signed.py attacks/test_other_names.py
        integration/test_which_run_counts.py integration/test_policy_in_use.py
    """,
    "stores/git": """
        test_git_*.py integration/test_git_store.py integration/test_git_files.py
        integration/test_git_segments.py integration/test_git_branch.py integration/test_git_server.py
        integration/test_git_as_it_is.py test_segment_lines.py
        integration/test_git_blocks.py integration/test_git_faults.py
        integration/test_retention.py attacks/test_refs_in_the_way.py attacks/test_registry_override.py
        integration/test_store_contract.py integration/test_mirror_tags.py
    """,
}
"""Part of ciplug → its tests, the quick ones first; a test without a folder is in tests/unit."""
LIBRARIES = (
    *("pytest", "hypothesis", "numpy", "scipy.stats", "statsmodels.api", "sklearn.metrics", "pyarrow.parquet"),
    *("pydantic.type_adapter", "yaml", "requests", "tabulate"),
)
"""What the tests import and no mutant changes: a fork has it already."""


@dataclass(frozen=True)
class Mutant:
    path: Path
    """Relative to the root of the repository."""
    line: int
    code: str

    def diff(self) -> str:
        before = (ROOT / self.path).read_text(encoding="utf-8").splitlines()
        lines = difflib.unified_diff(before, self.code.splitlines(), n=0, lineterm="")
        return "\n".join(f"    {line}" for line in lines if line[:2] not in ("--", "++", "@@"))


def sample(paths: Sequence[Path], count: int, seed: int) -> list[Mutant]:
    """Return at most `count` mutants, each at a place of its own: an operator with many replacements weighs no more."""
    draw = random.Random(seed)
    drawn = [draw.sample(changes, len(changes)) for path in paths for changes in _places(path)]
    draw.shuffle(drawn)
    chosen = itertools.islice(filter(None, map(_first_mutant, drawn)), count)
    return sorted(chosen, key=lambda mutant: (mutant.path, mutant.line))


class _Change(NamedTuple):
    path: Path
    line: int
    operator: Any
    occurrence: int


def _places(path: Path) -> Iterator[list[_Change]]:
    """Yield, for each place in a file that cosmic-ray's operators change, the changes there."""
    from cosmic_ray import plugins
    from cosmic_ray.ast import ast_nodes, get_ast

    nodes = list(ast_nodes(get_ast((ROOT / path).read_text(encoding="utf-8"))))
    places: dict[tuple[object, ...], list[_Change]] = defaultdict(list)
    for operator_class in map(plugins.get_operator, sorted(plugins.operator_names())):
        if operator_class.arguments():
            continue
        operator = operator_class()
        spans = [span for node in nodes for span in operator.mutation_positions(node)]
        for occurrence, (start, end) in enumerate(spans):
            places[(start, end)].append(_Change(path, start[0], operator, occurrence))
    yield from places.values()


def _first_mutant(changes: Sequence[_Change]) -> Mutant | None:
    """Return the first of the changes that gives other code; None where there is none, as in an annotation."""
    from cosmic_ray.mutating import mutate_code

    for path, line, operator, occurrence in changes:
        code = (ROOT / path).read_text(encoding="utf-8")
        changed = mutate_code(code, operator, occurrence)
        if changed and _meaning(changed) not in (_meaning(code), None):
            return Mutant(path, line, changed)
    return None


def _meaning(code: str) -> str | None:
    """Return the syntax tree without what only callers and type checkers see; None for what is no Python."""
    try:
        tree = ast.parse(code)
    except SyntaxError:
        return None
    for node in ast.walk(tree):
        if isinstance(node, ast.AnnAssign):
            node.annotation = ast.Constant(None)
        elif isinstance(node, ast.arg):
            node.annotation = None
        elif isinstance(node, ast.arguments):
            node.args, node.posonlyargs, node.kwonlyargs = [*node.posonlyargs, *node.args, *node.kwonlyargs], [], []
            node.defaults, node.kw_defaults = [*node.defaults, *filter(None, node.kw_defaults)], []
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            node.returns = None
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            node.test = ast.Constant(None)
    return ast.dump(tree)


class Copy:
    """A copy of the files of the repository, in which mutants are tested one after the other."""

    def __init__(self, folder: Path, tests: Sequence[str], most: int) -> None:
        from coverage import CoverageData

        self.root = folder / "copy"
        self._folder, self._tests, self._most = folder, tests, most
        listed = subprocess.run(
            ["git", "ls-files", "-zco", "--exclude-standard"], cwd=ROOT, check=True, capture_output=True, text=True
        ).stdout
        for name in filter(None, listed.split("\0")):
            if (ROOT / name).is_file():
                (self.root / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(ROOT / name, self.root / name)
        started = time.monotonic()
        if _forked(self._trace_tests, timeout=1800) != 0:
            raise SystemExit((folder / "log").read_text() + "\nthe tests fail without a mutant")
        self.timeout = 20 + 4 * (time.monotonic() - started)
        self._traced = CoverageData(str(folder / "lines"))
        self._traced.read()

    def kills(self, mutant: Mutant) -> bool:
        """Whether a test that comes by fails, or takes much longer than all did before."""
        path = self.root / mutant.path
        before = path.read_bytes()
        for compiled in (path.parent / "__pycache__").glob(f"{path.stem}.*"):
            compiled.unlink()
        path.write_text(mutant.code, encoding="utf-8")
        tests = self._tests_at(mutant)
        try:
            return _forked(lambda: self._run_tests(tests, compile_modules=False), self.timeout) != 0
        finally:
            path.write_bytes(before)

    def _tests_at(self, mutant: Mutant) -> Sequence[str]:
        """Return tests that run the changed statement; all where it runs on import, or in none that is traced."""
        lines = self._traced.contexts_by_lineno(str(self.root / mutant.path))
        names = {name for line in _statement(mutant) for name in lines.get(line, ())}
        if not names or "" in names:
            return self._tests
        tests = {re.split(r"[\[ ]", name)[0] for name in names}
        some = random.Random(mutant.line).sample(sorted(tests), min(self._most, len(tests)))
        return sorted(some, key=lambda test: (self._tests.index(test.partition("::")[0]), test))

    def _trace_tests(self) -> int:
        from coverage import Coverage

        settings = self._folder / "coverage"
        run = {"data_file": self._folder / "lines", "source": self.root / "ciplug", "parallel": True}
        settings.write_text("\n".join(["[run]", *(f"{name} = {value}" for name, value in run.items()), ""]))
        cover = Coverage(config_file=str(settings))
        settings.write_text(settings.read_text() + "context = ${PYTEST_CURRENT_TEST}\n")
        os.environ["COVERAGE_PROCESS_START"] = str(settings)
        with cover.collect():
            code = self._run_tests(self._tests, compile_modules=True, plugins=[_Contexts(cover)])
        cover.save()
        combined = Coverage(data_file=self._folder / "lines", config_file=False)
        combined.combine([str(self._folder)])
        combined.save()
        return code

    def _run_tests(self, tests: Sequence[str], compile_modules: bool, plugins: Sequence[object] = ()) -> int:
        """Run the tests in this process. Only the first run compiles: a mutant may have its module's size and time."""
        import pytest

        output = os.open(self._folder / "log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(output, 1)
        os.dup2(output, 2)
        os.chdir(self.root)
        os.environ["PYTHONPATH"] = sys.path[0] = str(self.root)
        if not compile_modules:
            os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
            sys.dont_write_bytecode = True
        options = ["-q", "-x", "-p", "no:xdist", "-p", "no:cacheprovider", f"--basetemp={self._folder / 'tmp'}"]
        return pytest.main([*options, *tests], plugins=plugins)


class _Contexts:
    """A plugin of pytest by which coverage.py knows which test runs a line."""

    def __init__(self, cover: Coverage) -> None:
        self._cover = cover

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self._cover.switch_context(nodeid)

    def pytest_runtest_logfinish(self) -> None:
        self._cover.switch_context("")


def _statement(mutant: Mutant) -> range:
    """Return the lines of the innermost statement at a mutant: of an `if` or a loop, those of its head."""
    lines = range(mutant.line, mutant.line + 1)
    for node in ast.walk(ast.parse((ROOT / mutant.path).read_text(encoding="utf-8"))):
        if isinstance(node, ast.stmt):
            body = getattr(node, "body", None)
            head = range(node.lineno, body[0].lineno if body else (node.end_lineno or node.lineno) + 1)
            if mutant.line in head:
                lines = head
    return lines


def _forked(work: Callable[[], int], timeout: float) -> int | None:
    """Return the exit code of `work` in a process group of its own; None if it had to be killed."""
    child = os.fork()
    if child == 0:
        os.setsid()
        code = 1
        try:
            code = work()
        finally:
            os._exit(code)
    end = time.monotonic() + timeout
    try:
        while time.monotonic() < end:
            done, status = os.waitpid(child, os.WNOHANG)
            if done:
                return os.waitstatus_to_exitcode(status)
            time.sleep(0.02)
        return None
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(child, 0)


def tests_of(part: str) -> list[str]:
    """Return the test files of the longest listed part that `part` lies in."""
    known = [name for name in TESTS if part == name or part.startswith(f"{name}/")]
    if not known:
        raise SystemExit(f"no tests are listed for '{part}': add it to TESTS in benchmarks/mutation.py")
    found = []
    for pattern in TESTS[max(known, key=len)].split():
        found += sorted((ROOT / "tests").glob(pattern if "/" in pattern else f"unit/{pattern}"))
    return [str(path.relative_to(ROOT)) for path in found]


def main() -> None:
    parser = argparse.ArgumentParser(description="Count the mutants of a part of ciplug that its tests notice.")
    parser.add_argument("part", nargs="+", help="a folder or module, such as stats or gates/waivers")
    parser.add_argument("--count", type=int, default=100, help="mutants for each part (default: 100)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--most", type=int, default=400, help="run at most this many of the tests that come by a line")
    parser.add_argument("--only", type=int, nargs="+", help="test only these mutants of the sample, by their numbers")
    parser.add_argument("--tests", nargs="+", help="test files to run in place of those in TESTS")
    args = parser.parse_args()
    for library in LIBRARIES:
        importlib.import_module(library)
    gc.freeze()
    for part in args.part:
        base = ROOT / "ciplug" / part
        files = sorted(base.rglob("*.py")) if base.is_dir() else [base.with_suffix(".py")]
        numbered = list(enumerate(sample([path.relative_to(ROOT) for path in files], args.count, args.seed), 1))
        chosen = [(number, mutant) for number, mutant in numbered if not args.only or number in args.only]
        with tempfile.TemporaryDirectory(prefix="ciplug-mutants-") as folder:
            copy = Copy(Path(folder), args.tests or tests_of(part), args.most)
            survivors = []
            for number, mutant in chosen:
                if not copy.kills(mutant):
                    survivors.append(mutant)
                    print(f"{number}. {mutant.path}:{mutant.line} survives\n{mutant.diff()}", flush=True)
        killed = len(chosen) - len(survivors)
        print(f"{part}: {killed} of {len(chosen)} mutants killed ({killed / len(chosen):.0%})", flush=True)


if __name__ == "__main__":
    main()
