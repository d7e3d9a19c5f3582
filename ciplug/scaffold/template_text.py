"""Fill in the places of a template: the training, its packages and its branch.

A template without such a place is an error: no pipeline is written that trains something else.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable

from ciplug.errors import CiplugError
from ciplug.scaffold import yaml_text

TRAINING = r"\bpython3? train\.py"
"""Finds the training in a template."""
_OPERATOR = re.compile(r"[;&|<>()`\n]")


def with_install(text: str, name: str, install: str | None) -> str:
    """Install what the training needs, or nothing (None). On GitHub, the file is a variable of the step."""
    pattern = r"^pip install -r .*"
    try:
        if install is None:
            return yaml_text.without_step(text, pattern)
        if install.startswith("-r ") and "REQUIREMENTS" in text:
            return yaml_text.replace(text, r"requirements\.txt", lambda match: install.removeprefix("-r "))
        return yaml_text.replace(text, pattern, lambda match: f"pip install {install}")
    except CiplugError as problem:
        raise not_as_expected(name, problem.message) from None


def with_command(text: str, name: str, command: str) -> str:
    """Start this training in place of the template's."""

    def new(match: re.Match[str]) -> str:
        # A string in a GitHub expression: ${{ inputs.command || 'python train.py' }}
        return command.replace("'", "''") if "${{" in match.string else command

    try:
        return yaml_text.replace(text, TRAINING, new)
    except CiplugError as problem:
        raise not_as_expected(name, problem.message) from None


def with_branch(text: str, name: str, branch: str) -> str:
    """Run for this branch in place of main."""
    return replaced(text, name, r"^main$", branch, where=lambda path: "branches" in path)


def replaced(
    text: str, name: str, pattern: str, new: str, where: Callable[[yaml_text.Path], bool] = lambda path: True
) -> str:
    """Replace what a regular expression finds in the values of a template. Raises CiplugError where it finds nothing.

    Args:
        name: of the template, for the error.
    """
    try:
        return yaml_text.replace(text, pattern, lambda match: new, where=where)
    except CiplugError as problem:
        raise not_as_expected(name, problem.message) from None


def not_as_expected(name: str, what: str) -> CiplugError:
    """The error for a template that lacks a place to fill in."""
    return CiplugError(
        f"the template {name} cannot be filled in: {what}",
        hint=f"copy templates/{name} by hand, and report this as a bug in ciplug",
    )


def after_dashes(command: str) -> str:
    """A command for a line of shell, after `ciplug ci --`."""
    plain = not _OPERATOR.search(command) and not re.match(r"\s*\w+=", command)
    return command if plain else f"sh -c {shlex.quote(command)}"


def yaml_scalar(text: str) -> str:
    """Text as a YAML value, plain if every reader reads the same."""
    return text if re.fullmatch(r"[A-Za-z][\w./+@-]*(?: [\w./=+-]+|:[\w./+@-]+)*", text) else json.dumps(text)
