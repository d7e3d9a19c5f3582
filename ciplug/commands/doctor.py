"""Check whether ciplug can work here, and print the line that fixes each problem."""

from __future__ import annotations

import argparse
import re
from collections.abc import Mapping
from dataclasses import replace

from ciplug import config, console
from ciplug.ci.base import safe_log
from ciplug.commands import options
from ciplug.errors import CiplugError, ConfigError
from ciplug.health import checkout, forge, machine, store, trust
from ciplug.health.base import Check, Finding, State, attempt, examine, exit_code
from ciplug.records import canonical
from ciplug.steps.session import Session, open_session

MACHINE = {"python": machine.python, "git": machine.git}
CHECKS: dict[str, Check] = {
    "repository": checkout.repository,
    "job": checkout.job,
    "commit": checkout.commit,
    "configuration": checkout.config,
    "policy": checkout.policy,
    "libraries": machine.libraries,
    "mlflow": checkout.mlflow,
    "spool": checkout.spool,
    "credentials": checkout.credentials,
    "remote": checkout.remote,
    "history": checkout.history,
    "store": store.read,
    "write": store.write,
    "branch": store.branch,
    "artifacts": store.artifacts,
    "trust": trust.trust,
    "forge": forge.forge,
    "token": forge.token,
    "pull-request": forge.pull_request,
    "comment": forge.comment,
    "status": forge.status,
}
"""The checks in the order in which they run: a check may be skipped because of an earlier one."""
_SHOWN: dict[State, str] = {"ok": "ok", "warning": "warning", "failure": "FAILS", "skipped": "-"}
_COUNTED: dict[State, str] = {"ok": "ok", "failure": "fail", "warning": "warn", "skipped": "skipped"}
_SECRET = re.compile(r"TOKEN|SECRET|PASSWORD|_KEY|_PAT\b")
_SHORTEST_SECRET = 8


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="the findings as JSON on stdout")


def run(args: argparse.Namespace) -> int:
    import os

    machine_findings = {name: attempt(name, check) for name, check in MACHINE.items()}
    findings = {n: _without_secrets(f, os.environ) for n, f in _examined(args, machine_findings).items()}
    code = exit_code(findings)
    if args.json:
        checks = [
            {"check": f.check, "state": f.state, "message": f.message, "remedy": f.remedy or None}
            for f in findings.values()
        ]
        console.out(canonical.dumps({"schema": 1, "exit_code": code, "checks": checks}))
    else:
        console.out(safe_log(_drawn(findings)))
    return code


def _examined(args: argparse.Namespace, before: dict[str, Finding]) -> dict[str, Finding]:
    try:
        session, checks = _session(args)
    except CiplugError as problem:
        failed = Finding("repository", "failure", problem.message, problem.hint or "", problem.exit_code)
        rest = {name: Finding(name, "skipped", "the repository cannot be read") for name in CHECKS}
        return {**before, **rest, "repository": failed}
    return examine(session, checks, before)


def _session(args: argparse.Namespace) -> tuple[Session, dict[str, Check]]:
    """The session and its checks. If ciplug.yaml cannot be read, a session without it, and a check that says why."""
    try:
        return options.session_of(args, for_recording=True), CHECKS
    except ConfigError as problem:
        unread = problem

        def unreadable(session: Session, before: Mapping[str, Finding]) -> str:
            raise unread

        session = open_session(store=args.store, settings=config.Config(), listener=console)
        return session, {**CHECKS, "configuration": unreadable}


def _without_secrets(finding: Finding, env: Mapping[str, str]) -> Finding:
    """A server's message may contain anything, even what it was sent."""
    secrets = [v.strip() for k, v in env.items() if _SECRET.search(k) and len(v.strip()) >= _SHORTEST_SECRET]

    def hidden(text: str) -> str:
        for secret in sorted(secrets, key=len, reverse=True):
            text = text.replace(secret, "***")
        return " ".join(text.split())

    return replace(finding, message=hidden(finding.message), remedy=hidden(finding.remedy))


def _drawn(findings: Mapping[str, Finding]) -> str:
    width = max(map(len, findings))
    lines = []
    for finding in findings.values():
        lines.append(f"{_SHOWN[finding.state]:<7}  {finding.check:<{width}}  {finding.message}")
        if finding.remedy:
            lines.append(f"{'':<7}  {'':<{width}}  -> {finding.remedy}")
    states = [finding.state for finding in findings.values()]
    counts = {name: states.count(state) for state, name in _COUNTED.items()}
    summary = ", ".join(f"{count} {name}" for name, count in counts.items() if count)
    return "\n".join([*lines, "", f"{len(states)} checks: {summary}"])
