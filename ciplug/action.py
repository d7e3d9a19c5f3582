"""The inputs of the GitHub action, the GitLab component and the Jenkins step, as a command line of `ciplug ci`.

Each of the three hands its inputs over as variables, CIPLUG_INPUT_FAIL_ON for `fail-on`, so that no text of a
user is ever pasted into a shell script. An input with several lines comes as text, or as a JSON list
in a variable whose name ends with _JSON. All three start `python -I -m ciplug.action`.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Mapping

from ciplug.errors import CiplugError, UsageError, nearest

PREFIX = "CIPLUG_INPUT_"
_JSON = "_JSON"
_ONE = {
    "model": "--model",
    "name": "--name",
    "seed": "--seed",
    "store": "--store",
    "artifact-store": "--artifact-store",
    "artifact-limit": "--artifact-limit",
    "config": "--config",
    "output-dir": "--output-dir",
    "bundle": "--bundle",
    "baseline": "--baseline",
    "fail-on": "--fail-on",
    "promote-to": "--promote-to",
}
_MANY = {
    "metrics": "--metrics",
    "params": "--params",
    "artifacts": "--artifact",
    "datasets": "--dataset",
    "tags": "--tag",
    "allow-unchanged": "--allow-unchanged",
}
_SWITCHES = {
    "comment": ("true", "--no-comment"),
    "label": ("false", "--label"),
    "hand-over": ("false", "--hand-over"),
}
"""Input → its default, and the option for the other value."""
_COLLECT = "collect"
"""True, false, or the folder with what the other jobs handed over."""
INPUTS = ("command", _COLLECT, *_ONE, *_MANY, *_SWITCHES)
_BOOLEANS = ("true", "false")


def variable(name: str) -> str:
    """The environment variable that carries an input."""
    return PREFIX + name.upper().replace("-", "_")


def arguments(env: Mapping[str, str], *, shell: str = "bash") -> list[str]:
    """The arguments of `ciplug` for the inputs in `env`; an absent or blank input keeps its default.

    Raises UsageError for an input that is unknown, given twice, or not of its type.
    """
    variables = [variable(name) for name in INPUTS]
    variables += [variable(name) + _JSON for name in ("command", *_MANY)]
    for key in sorted(env):
        if key.startswith(PREFIX) and key not in variables:
            raise UsageError(f"{key}: unknown input", hint=nearest(key, variables))
    # `--option=value`, so that a value that starts with a dash stays a value.
    argv = ["ci"]
    for name, option in _ONE.items():
        if value := env.get(variable(name), "").strip():
            if len(value.splitlines()) > 1:
                raise UsageError(f"input '{name}': one value is expected, but there are several lines")
            argv.append(f"{option}={value}")
    for name, option in _MANY.items():
        argv += [f"{option}={value}" for line in _lines(env, name) if (value := line.strip())]
    for name, (default, option) in _SWITCHES.items():
        value = env.get(variable(name), "").strip() or default
        if value.lower() not in _BOOLEANS:
            raise UsageError(f"input '{name}': '{value}' is neither true nor false")
        if value.lower() != default:
            argv.append(option)
    collect = env.get(variable(_COLLECT), "").strip() or "false"
    if collect.lower() != "false":
        argv.append("--collect" if collect.lower() == "true" else f"--collect={collect}")
    command = "\n".join(_lines(env, "command"))
    if command.strip():
        argv += ["--", shell, "-eo", "pipefail", "-c", command]
    return argv


def _lines(env: Mapping[str, str], name: str) -> list[str]:
    text, listed = env.get(variable(name), ""), env.get(variable(name) + _JSON, "")
    if not listed.strip():
        return text.splitlines()
    if text.strip():
        raise UsageError(f"input '{name}': given twice, as {variable(name)} and as {variable(name)}{_JSON}")
    try:
        value = json.loads(listed)
    except ValueError as problem:
        hint = "the value of a variable in a list must not contain quotes"
        raise UsageError(f"input '{name}': not JSON: {problem}", hint=hint) from None
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise UsageError(f"input '{name}': a list of strings is expected, not {listed.strip()}")
    return value


def main() -> int:
    """Run `ciplug ci` with the inputs in the environment; returns the exit code."""
    from ciplug import console
    from ciplug.cli import program

    # On Windows, a bare `bash` would be the one of WSL, from the system folder.
    shell = (shutil.which("bash") or "bash") if os.name == "nt" else "bash"
    try:
        argv = arguments(os.environ, shell=shell)
    except CiplugError as problem:
        console.complain(problem.message, problem.hint)
        return problem.exit_code
    return program(argv)


if __name__ == "__main__":
    sys.exit(main())
