"""Every refusal of the registry says what to do next, and the commands that it names exist, with their options."""

from __future__ import annotations

import argparse
import ast
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import ciplug
from ciplug.cli import COMMANDS, module_of

PACKAGE = Path(ciplug.__file__).parent
SOURCES = [
    *sorted((PACKAGE / "steps" / "promotion").glob("*.py")),
    *(PACKAGE / "registry" / f"{name}.py" for name in ("ladder", "ledger", "model", "resolve")),
    PACKAGE / "steps" / "pull.py",
    *sorted((PACKAGE / "steps" / "deployment").glob("*.py")),
    *sorted((PACKAGE / "targets").glob("*.py")),
    PACKAGE / "stores" / "witness.py",
    PACKAGE / "stores" / "bucket" / "logs.py",
]
REFUSALS = {"PromotionRefused", "DeploymentRefused", "NotFound", "BrokenLog"}
_COMMAND = re.compile(r"ciplug ((?:[a-z-]+(?: |$))+)([^;:]*)")


def text_of(node: ast.AST) -> str:
    """The text of a literal, with X for what is filled in."""
    if isinstance(node, ast.JoinedStr):
        return "".join(text_of(one) or "X" for one in node.values)
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def nodes() -> Iterator[tuple[str, ast.AST]]:
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text())):
            yield f"{path.name}:{getattr(node, 'lineno', 0)}", node


def refusals() -> Iterator[tuple[str, ast.Call]]:
    for where, node in nodes():
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in REFUSALS:
            yield where, node


def commands() -> Iterator[tuple[str, list[str], str]]:
    """Where, the first words of a command, and the rest of it, of every text that may become a hint."""
    for where, node in nodes():
        for words, rest in _COMMAND.findall(text_of(node)):
            yield where, words.split(), rest


def options_of(words: list[str]) -> set[str]:
    """The options of a command, or of its verb; KeyError for one that does not exist."""
    parser = argparse.ArgumentParser()
    import_module(f"ciplug.commands.{module_of(words[0])}").add_arguments(parser)
    for word in words[1:]:
        verbs = next((one for one in parser._actions if isinstance(one, argparse._SubParsersAction)), None)
        if verbs is None:
            break
        parser = verbs.choices[word]
    # Every command has these.
    return {*(option for action in parser._actions for option in action.option_strings), "--store"}


def test_every_refusal_says_what_to_do() -> None:
    assert len(list(refusals())) > 50
    assert [where for where, call in refusals() if "hint" not in {one.arg for one in call.keywords}] == []


def test_the_commands_of_hints_exist() -> None:
    wrong, count = [], 0
    for where, words, rest in commands():
        if words[0] not in COMMANDS:
            continue
        count += 1
        try:
            wrong += [(where, one) for one in re.findall(r"--[a-z-]+", rest) if one not in options_of(words)]
        except KeyError as unknown:
            wrong.append((where, str(unknown)))
    assert wrong == []
    assert count > 35
