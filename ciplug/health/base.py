"""What a check finds, and how checks are run: each by itself, whatever becomes of the others."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from ciplug.errors import CiplugError, ConfigError
from ciplug.steps.session import Session

State = Literal["ok", "warning", "failure", "not asked"]


@dataclass(frozen=True)
class Finding:
    """What a check has found: one line, and one more where something is to be done."""

    check: str
    state: State
    said: str
    """What is wrong, what was found, or why it is not asked."""
    remedy: str = ""
    """What to add or to change, and where."""
    exit_code: int = 0
    """Of a failure."""


@dataclass(eq=False)
class Trouble(Exception):
    """Ends a check with what it has found."""

    state: State
    said: str
    remedy: str = ""


Examined = Mapping[str, Finding]
"""What has been found so far, by check."""
Check = Callable[[Session, Examined], str]
"""Returns what is well, in one line. Raises Trouble, or any of our errors, for anything else."""


def warning(said: str, remedy: str = "") -> Trouble:
    return Trouble("warning", said, remedy)


def failure(said: str, remedy: str = "") -> Trouble:
    return Trouble("failure", said, remedy)


def not_asked(why: str) -> Trouble:
    return Trouble("not asked", why)


def attempt(name: str, check: Callable[[], str]) -> Finding:
    """Run one check. Nothing is raised but an interrupt: what goes wrong is a failure of this check."""
    try:
        return Finding(name, "ok", check())
    except Trouble as found:
        return Finding(name, found.state, found.said, found.remedy, 3 if found.state == "failure" else 0)
    except CiplugError as problem:
        return Finding(name, "failure", problem.message, problem.hint or "", problem.exit_code)
    except OSError as problem:
        where = f"{problem.filename}: " if problem.filename else ""
        return Finding(name, "failure", f"{where}{problem.strerror or problem}", exit_code=3)
    except Exception as problem:
        said = f"this check fails for a bug in ciplug: {type(problem).__name__}: {problem}"
        return Finding(name, "failure", said, "please report it", 3)


def examine(session: Session, checks: Mapping[str, Check], before: Examined) -> dict[str, Finding]:
    """Run the checks in their order; each sees what those before it have found."""
    found = dict(before)
    for name, check in checks.items():
        found[name] = attempt(name, lambda check=check: check(session, found))  # type: ignore[misc]
    return found


def exit_code(findings: Examined) -> int:
    """0 where nothing fails; 2 where only the configuration does, else 3."""
    codes = {finding.exit_code for finding in findings.values() if finding.state == "failure"}
    return max(codes, default=0) and (ConfigError.exit_code if codes == {ConfigError.exit_code} else 3)
