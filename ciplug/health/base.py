"""The result of a check, and how checks run: each on its own, whatever happens to the others."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from ciplug.errors import CiplugError, ConfigError
from ciplug.steps.session import Session

State = Literal["ok", "warning", "failure", "skipped"]


@dataclass(frozen=True)
class Finding:
    """The result of one check: one line, and one more if something is to be done."""

    check: str
    state: State
    message: str
    """The problem, the result, or the reason why the check was skipped."""
    remedy: str = ""
    """The line to add or to change, and its place."""
    exit_code: int = 0
    """The exit code that a failure asks for; 0 for any other state."""


@dataclass(eq=False)
class Trouble(Exception):
    """Ends a check in a state other than ok."""

    state: State
    message: str
    remedy: str = ""


Examined = Mapping[str, Finding]
"""The findings so far, by check."""
Check = Callable[[Session, Examined], str]
"""Returns one line if all is well. Raises Trouble, or a CiplugError, otherwise."""


def warning(message: str, remedy: str = "") -> Trouble:
    return Trouble("warning", message, remedy)


def failure(message: str, remedy: str = "") -> Trouble:
    return Trouble("failure", message, remedy)


def skipped(why: str) -> Trouble:
    return Trouble("skipped", why)


def attempt(name: str, check: Callable[[], str]) -> Finding:
    """Run one check. Any error but an interrupt becomes a failure of this check."""
    try:
        return Finding(name, "ok", check())
    except Trouble as trouble:
        return Finding(name, trouble.state, trouble.message, trouble.remedy, 3 if trouble.state == "failure" else 0)
    except CiplugError as problem:
        return Finding(name, "failure", problem.message, problem.hint or "", problem.exit_code)
    except OSError as problem:
        where = f"{problem.filename}: " if problem.filename else ""
        return Finding(name, "failure", f"{where}{problem.strerror or problem}", exit_code=3)
    except Exception as problem:
        message = f"this check failed because of a bug in ciplug: {type(problem).__name__}: {problem}"
        return Finding(name, "failure", message, "please report it", 3)


def examine(session: Session, checks: Mapping[str, Check], before: Examined) -> dict[str, Finding]:
    """Run the checks in their order; each sees the findings of those before it."""
    findings = dict(before)
    for name, check in checks.items():
        findings[name] = attempt(name, lambda check=check: check(session, findings))  # type: ignore[misc]
    return findings


def exit_code(findings: Examined) -> int:
    """0 if nothing fails, 2 if only the configuration does, else 3."""
    codes = {finding.exit_code for finding in findings.values() if finding.state == "failure"}
    return max(codes, default=0) and (ConfigError.exit_code if codes == {ConfigError.exit_code} else 3)
