"""CONTRIBUTING.md shows the house as it is: its table is generated, and the files that it names exist.

`python -m tests.unit.test_contributing` rewrites the table from MAY_IMPORT and the docstrings of the parts.
"""

from __future__ import annotations

import ast
import re

from tests.unit.test_imports import MAY_IMPORT, PACKAGE, module, sources

ROOT = PACKAGE.parent
PAGE = ROOT / "CONTRIBUTING.md"
BEGIN, END = "<!-- table: who may import whom -->\n", "<!-- /table -->\n"


def name_of(part: str) -> str:
    return f"`{part}/`" if (PACKAGE / part).is_dir() else f"`{part}.py`"


def sentence(part: str) -> str:
    """The first sentence of the part's docstring."""
    paragraph = (ast.get_docstring(module(part)) or "").partition("\n\n")[0]
    return re.split(r"(?<=\.) ", " ".join(paragraph.split()))[0].rstrip(".")


def table() -> str:
    rows = [
        f"| {name_of(part)} | {sentence(part)} | {' '.join(f'`{t}`' for t in sorted(targets)) or 'nothing'} |\n"
        for part, targets in reversed(MAY_IMPORT.items())
    ]
    return "".join(["| part | what it is | may import |\n", "|---|---|---|\n", *rows])


def rewritten(text: str) -> str:
    before, rest = text.split(BEGIN)
    return f"{before}{BEGIN}\n{table()}\n{END}{rest.split(END)[1]}"


def test_the_table_is_current() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert text == rewritten(text), "run: python -m tests.unit.test_contributing"


def test_every_path_that_contributing_names_exists() -> None:
    named = set(re.findall(r"`([\w.-]+/[\w./-]*)`", PAGE.read_text(encoding="utf-8")))
    missing = {path for path in named if not (ROOT / path).exists() and not (PACKAGE / path).exists()}
    assert named and not missing


def test_every_module_that_contributing_names_exists() -> None:
    """`gates.policy`, `stores.open_store`: a module, or a name in one."""
    text = PAGE.read_text(encoding="utf-8").split(END)[1]
    missing = []
    for named in re.findall(r"`((?:\w+\.)+\w+)(?:\(.*?\))?`", text):
        if named.partition(".")[0] in MAY_IMPORT and not exists(named):
            missing.append(named)
    assert not missing


def exists(dotted: str) -> bool:
    place, _, name = dotted.rpartition(".")
    if dotted in sources() or (PACKAGE / dotted).exists():
        return True
    if place not in sources():
        return False
    top = {n.id for n in ast.walk(module(place)) if isinstance(n, ast.Name)}
    named = {getattr(n, "name", "") for n in module(place).body}
    return name in top | named


if __name__ == "__main__":
    PAGE.write_text(rewritten(PAGE.read_text(encoding="utf-8")), encoding="utf-8")


def test_the_row_on_refusals_names_each_module_that_refuses() -> None:
    [row] = [line for line in PAGE.read_text().splitlines() if line.startswith("| a refusal of a promotion |")]
    refusing = [
        path for path in PACKAGE.rglob("*.py") if re.search(r"(raise|return) PromotionRefused\(", path.read_text())
    ]
    assert sorted(path.name for path in refusing if f"{path.name}`" not in row) == []
