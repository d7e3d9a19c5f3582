"""GitHub Actions: its variables, the payload of the event, and workflow commands."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ciplug.ci import base
from ciplug.ci.base import Level, check_outputs, cut_markdown, number, text
from ciplug.records.provenance import Context

name = "github_actions"
variables = ("GITHUB_", "RUNNER_", "ACTIONS_")
push_hint = "the job needs `permissions: contents: write`, or CIPLUG_PUSH_TOKEN set to a token that may write contents"

MAX_EVENT_BYTES = 25 * 1024 * 1024
"""GitHub's own limit for a payload."""
MAX_SUMMARY_BYTES = 1024 * 1024
"""For one step, over all writers."""


@dataclass(frozen=True)
class TriggeringRun:
    """The workflow run that triggered a `workflow_run` event: it has the bundles of a fork."""

    id: int
    event: str
    head_commit: str
    head_branch: str | None
    head_repository: str | None


def detect(env: Mapping[str, str]) -> bool:
    return env.get("GITHUB_ACTIONS") == "true"


def context(env: Mapping[str, str]) -> Context:
    """Return the context. In a `workflow_run` event, the commit is the default branch's, which the job checks out.

    A job of a pull request that has been merged is about the commit of the target branch, which GitHub builds then. It
    is trusted no more than the pull request was: GitHub gives it no more rights.
    """
    payload = event_payload(env)
    pull_request = _dig(payload, "pull_request")
    built, is_tag = text(env, "GITHUB_SHA"), env.get("GITHUB_REF_TYPE") == "tag"
    ref = text(env, "GITHUB_REF_NAME")
    repository, server = text(env, "GITHUB_REPOSITORY"), text(env, "GITHUB_SERVER_URL")
    run = text(env, "GITHUB_RUN_ID")
    target = text(env, "GITHUB_BASE_REF") or _string(payload, "merge_group", "base_ref")

    about_pull_request = isinstance(pull_request, dict) or text(env, "GITHUB_HEAD_REF") is not None
    landed = about_pull_request and _has_landed(env, payload)
    commit, branch, merge, number_ = built, None if is_tag else ref, None, None
    if landed:
        branch, target = target or _string(pull_request, "base", "ref"), None
    elif about_pull_request:
        commit = _string(pull_request, "head", "sha")
        branch = text(env, "GITHUB_HEAD_REF") or _string(pull_request, "head", "ref")
        target = target or _string(pull_request, "base", "ref")
        number_ = _pull_request_number(env, pull_request)
        # In pull_request_target, GITHUB_SHA is the tip of the target branch.
        if env.get("GITHUB_EVENT_NAME") != "pull_request_target" and built != commit:
            merge = built

    return Context(
        host=name,
        event=text(env, "GITHUB_EVENT_NAME"),
        commit=commit,
        merge_commit=merge,
        branch=branch,
        target_branch=target.removeprefix("refs/heads/") if target else None,
        default_branch=_string(payload, "repository", "default_branch"),
        tag=ref if is_tag else None,
        pull_request=number_,
        repository=repository,
        server_url=server,
        api_url=text(env, "GITHUB_API_URL"),
        run_url=f"{server}/{repository}/actions/runs/{run}" if server and repository and run else None,
        job=text(env, "GITHUB_JOB"),
        job_id=text(env, "RUNNER_TRACKING_ID"),
        attempt=number(env, "GITHUB_RUN_ATTEMPT"),
        actor=text(env, "GITHUB_TRIGGERING_ACTOR") or text(env, "GITHUB_ACTOR"),
        trusted=_same_repository(pull_request) if about_pull_request else True,
    )


def _has_landed(env: Mapping[str, str], payload: dict[str, Any]) -> bool:
    """Whether GITHUB_SHA is a commit of the target branch that a pull request was merged into."""
    pull_request = payload.get("pull_request")
    if payload.get("action") != "closed" or _dig(pull_request, "merged") is False:
        return False
    built, merged = text(env, "GITHUB_SHA"), _dig(pull_request, "merged") is True
    if merged and built == _string(pull_request, "merge_commit_sha"):
        return True
    if not env.get("GITHUB_REF", "").startswith("refs/heads/") or built == _string(pull_request, "head", "sha"):
        return False
    # pull_request_target is always of the target branch.
    return merged or env.get("GITHUB_EVENT_NAME") != "pull_request_target"


def target_tips(env: Mapping[str, str]) -> tuple[str, ...]:
    """The target of the payload; in `pull_request_target`, GITHUB_SHA is the one at the time of the event."""
    built = text(env, "GITHUB_SHA") if env.get("GITHUB_EVENT_NAME") == "pull_request_target" else None
    return tuple(filter(None, (built, _string(event_payload(env), "pull_request", "base", "sha"))))


def event_payload(env: Mapping[str, str]) -> dict[str, Any]:
    """The content of GITHUB_EVENT_PATH; empty if it cannot be read."""
    path = text(env, "GITHUB_EVENT_PATH")
    try:
        with Path(path or "").open("rb") as file:
            data = file.read(MAX_EVENT_BYTES + 1)
        payload = json.loads(data) if len(data) <= MAX_EVENT_BYTES else None
    except (OSError, ValueError, RecursionError):
        return {}
    return payload if isinstance(payload, dict) else {}


def triggering_run(env: Mapping[str, str]) -> TriggeringRun | None:
    """The run that triggered this `workflow_run` job; None in any other job."""
    run = _dig(event_payload(env), "workflow_run")
    id_, event, head = _dig(run, "id"), _string(run, "event"), _string(run, "head_sha")
    if type(id_) is not int or event is None or head is None:
        return None
    return TriggeringRun(
        id=id_,
        event=event,
        head_commit=head,
        head_branch=_string(run, "head_branch"),
        head_repository=_string(run, "head_repository", "full_name"),
    )


def report_url(env: Mapping[str, str], file: Path) -> str | None:
    """The list of the run's artifacts: a later step decides which of them has the file."""
    url = context(env).run_url
    return f"{url}#artifacts" if url else None


def write_summary(env: Mapping[str, str], markdown: Callable[[], str]) -> bool:
    """Append to the step's summary, as many whole sections as its limit allows."""
    path = text(env, "GITHUB_STEP_SUMMARY")
    if path is None:
        return False
    try:
        taken = Path(path).stat().st_size if Path(path).exists() else 0
        shown = cut_markdown(markdown().removesuffix("\n") + "\n", MAX_SUMMARY_BYTES - taken)
        return bool(shown) and _append(path, shown)
    except OSError:
        return False


def write_outputs(env: Mapping[str, str], outputs: Mapping[str, str]) -> bool:
    """Append to the step's outputs. Raises ValueError for an invalid name."""
    import secrets

    path = text(env, "GITHUB_OUTPUT")
    if path is None:
        return False
    check_outputs(outputs)
    lines = []
    for key, value in outputs.items():
        # A random delimiter: a value that contains it could set other outputs.
        delimiter = f"ciplug_{secrets.token_hex(16)}"
        lines.append(f"{key}<<{delimiter}\n{value}\n{delimiter}\n")
    try:
        return _append(path, "".join(lines))
    except OSError:
        return False


def annotate(level: Level, message: str, file: str | None = None, line: int | None = None) -> str:
    """A workflow command: `::error file=train.py,line=3::…`."""
    place = {"file": file, "line": None if line is None or file is None else str(line)}
    properties = ",".join(f"{key}={_escape(value, ':,')}" for key, value in place.items() if value is not None)
    return f"::{level}{' ' if properties else ''}{properties}::{_escape(message)}"


def _escape(value: str, further: str = "") -> str:
    for character in "%\r\n" + further:
        value = value.replace(character, f"%{ord(character):02X}")
    return value


def _append(path: str, content: str) -> bool:
    with open(path, "a", encoding="utf-8", newline="\n") as file:
        file.write(content)
    return True


def _same_repository(pull_request: Any) -> bool:
    """Whether head and base are in one repository; False if unknown (no payload, a deleted fork)."""
    head, base = (_string(pull_request, side, "repo", "full_name") for side in ("head", "base"))
    return head is not None and base is not None and head.lower() == base.lower()


def _pull_request_number(env: Mapping[str, str], pull_request: Any) -> int | None:
    value = _dig(pull_request, "number")
    if type(value) is int:
        return value
    match = re.fullmatch(r"refs/pull/(\d+)/(?:merge|head)", env.get("GITHUB_REF", ""))
    return number({"n": match[1]}, "n") if match else None


def _dig(value: Any, *keys: str) -> Any:
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _string(value: Any, *keys: str) -> str | None:
    inner = _dig(value, *keys)
    return inner if isinstance(inner, str) and inner else None


names_the_head = True
merges_into_head = False
merged_head = base.second_parent
workspace = "GITHUB_WORKSPACE"
advice = base.Advice(
    push="in the job: permissions: {contents: write, pull-requests: write, statuses: write}",
    keep_credential="in the step of actions/checkout: with: {persist-credentials: true}",
    variable="in the step: env: {{name}: '${{ secrets.{name} }}'}",
    full_history="in the step of actions/checkout: with: {fetch-depth: 0}",
)
