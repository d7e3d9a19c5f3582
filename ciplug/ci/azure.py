"""Azure Pipelines: its predefined variables, and the logging commands that its agent finds in a step's output."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import urlsplit

from ciplug.ci import base
from ciplug.ci.base import Level, check_outputs, number, text
from ciplug.records.provenance import Context

name = "azure"
variables = ("BUILD_", "SYSTEM_", "AGENT_", "TF_BUILD", "ENDPOINT_")
push_hint = (
    "the step `checkout: self` needs `persistCredentials: true`, and in Azure Repos the project's build service "
    "needs 'Contribute' on the repository; else set CIPLUG_PUSH_TOKEN to a token that may write the repository"
)


def detect(env: Mapping[str, str]) -> bool:
    return env.get("TF_BUILD", "").lower() == "true"


def context(env: Mapping[str, str]) -> Context:
    """The events are Azure's reasons of a build: Manual, IndividualCI, BatchedCI, Schedule, PullRequest, …

    BUILD_SOURCEVERSION of a pull request is its merge with the target. If the code is on GitHub or
    Bitbucket, the number is theirs, not Azure's own id.
    """
    ref, built = env.get("BUILD_SOURCEBRANCH", ""), text(env, "BUILD_SOURCEVERSION")
    server, repository = _place(env)
    change = _pull_request(env)
    head, branch, target = built, _branch(ref), None
    if change is not None:
        head = text(env, "SYSTEM_PULLREQUEST_SOURCECOMMITID")
        branch = env.get("SYSTEM_PULLREQUEST_SOURCEBRANCH", "").removeprefix("refs/heads/") or None
        target = env.get("SYSTEM_PULLREQUEST_TARGETBRANCH", "").removeprefix("refs/heads/") or None
    return Context(
        host=name,
        event=text(env, "BUILD_REASON"),
        commit=head,
        merge_commit=built if built != head else None,
        branch=branch,
        target_branch=target,
        tag=ref.removeprefix("refs/tags/") if ref.startswith("refs/tags/") else None,
        pull_request=change,
        repository=repository,
        server_url=server,
        run_url=_run_url(env),
        job=text(env, "SYSTEM_JOBDISPLAYNAME") or text(env, "AGENT_JOBNAME"),
        actor=text(env, "BUILD_REQUESTEDFOR"),
        # Unknown is not trusted.
        trusted=change is None or env.get("SYSTEM_PULLREQUEST_ISFORK", "").lower() == "false",
    )


def _branch(ref: str) -> str | None:
    return ref.removeprefix("refs/heads/") if ref.startswith("refs/heads/") else None


def _pull_request(env: Mapping[str, str]) -> int | None:
    in_azure = env.get("BUILD_REPOSITORY_PROVIDER") == "TfsGit"
    change = number(env, f"SYSTEM_PULLREQUEST_PULLREQUEST{'ID' if in_azure else 'NUMBER'}")
    if change is not None:
        return change
    # A build of a pull request that was started by hand has none of its variables.
    match = re.fullmatch(r"refs/pull/(\d+)/merge", env.get("BUILD_SOURCEBRANCH", ""))
    return int(match[1]) if match else None


def _place(env: Mapping[str, str]) -> tuple[str | None, str | None]:
    """Web address and repository of the forge, from the address of the repository."""
    parts = urlsplit(env.get("BUILD_REPOSITORY_URI", ""))
    if parts.scheme not in ("http", "https") or not parts.hostname:
        return None, None
    server = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
    return server, parts.path.strip("/").removesuffix(".git") or None


def _run_url(env: Mapping[str, str]) -> str | None:
    collection = text(env, "SYSTEM_COLLECTIONURI") or text(env, "SYSTEM_TEAMFOUNDATIONCOLLECTIONURI")
    project, build = text(env, "SYSTEM_TEAMPROJECT"), text(env, "BUILD_BUILDID")
    if not (collection and project and build):
        return None
    return f"{collection.rstrip('/')}/{project.replace(' ', '%20')}/_build/results?buildId={build}"


def report_url(env: Mapping[str, str], file: Path) -> str | None:
    """The list of the run's artifacts: a later step decides which of them has the file."""
    url = _run_url(env)
    return f"{url}&view=artifacts&type=publishedArtifacts" if url else None


def write_summary(env: Mapping[str, str], markdown: Callable[[], str]) -> bool:
    """Show it among the extensions of the run's page; the agent uploads the file after the command."""
    import tempfile

    folder = text(env, "AGENT_TEMPDIRECTORY")
    if folder is None:
        return False
    try:
        descriptor, path = tempfile.mkstemp(prefix="ciplug-", suffix=".md", dir=folder)
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="\n") as file:
            file.write(markdown())
    except OSError:
        return False
    _command("task.uploadsummary", {}, path)
    return True


def write_outputs(env: Mapping[str, str], outputs: Mapping[str, str]) -> bool:
    """Set output variables: `$(step.verdict)` in the job where `step` is the step's `name`.

    Raises ValueError for an invalid name.
    """
    check_outputs(outputs)
    for key, value in outputs.items():
        _command("task.setvariable", {"variable": key, "isOutput": "true"}, value)
    return True


def annotate(level: Level, message: str, file: str | None = None, line: int | None = None) -> str:
    """An issue of the build, `##vso[task.logissue type=error;sourcepath=train.py;linenumber=3]…`; no notices."""
    if level == "notice":
        return base.annotate(level, message, file, line)
    place = {"sourcepath": file, "linenumber": None if line is None or file is None else str(line)}
    return _line("task.logissue", {"type": level, **{k: v for k, v in place.items() if v is not None}}, message)


def _command(command: str, properties: Mapping[str, str], value: str) -> None:
    """Tell the agent on stderr, which it reads as well: stdout is only for results."""
    print(_line(command, properties, value), file=sys.stderr, flush=True)


def _line(command: str, properties: Mapping[str, str], value: str) -> str:
    listed = ";".join(f"{key}={_escape(text, ';]')}" for key, text in properties.items())
    return f"##vso[{command}{' ' if listed else ''}{listed}]{_escape(value)}"


def _escape(value: str, further: str = "") -> str:
    value = value.replace("%", "%AZP25")
    for character in "\r\n" + further:
        value = value.replace(character, f"%{ord(character):02X}")
    return value


names_the_head = False
merges_into_head = False
merged_head = base.second_parent
target_tips = base.no_target_tips
workspace = "BUILD_SOURCESDIRECTORY"
advice = base.Advice(
    push="Project settings > Repositories > Security > Build Service: Contribute = Allow",
    keep_credential="in the steps: - {checkout: self, persistCredentials: true}",
    variable="in the step: env: {{name}: $(ciplug-comment)}",
    full_history="in the steps: - {checkout: self, fetchDepth: 0}",
)
