"""What the job of a pull request costs: `ciplug ci` in a new clone one commit deep, with a gate, and a comment.

Facts: the least seconds of CPU of several jobs, of ciplug and of all that it starts; requests and bytes as the servers
saw them; processes of git that ciplug starts, by a `git` on PATH that notes each call; and the time with slow requests.
"""

from __future__ import annotations

import json
import shlex
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.checking import usage
from benchmarks.measuring import Fact, Result, Skipped, call, environment
from benchmarks.places import PROJECT, Clones, Tools, scratch, server, write_metrics
from tests.servers.github_api import GitHubApi

AIM_CPU, AIM_REQUESTS, AIM_PROCESSES, AIM_SLOW = 0.45, 16, 20, 4.0
GATES = "gates:\n  accuracy: {higher_is_better: true, min: 0.8, max_regression: 0.01}\n"
_NUMBER = 7


def measure(tools: Tools, *, pairs: int, quick: bool) -> Iterator[Result | Fact | Skipped]:
    for runs in (30,) if quick else (100, 100_000):
        with scratch() as folder, server(folder, runs, more_settings=GATES) as git, GitHubApi(PROJECT) as api:
            api.add_token("job", "github-actions[bot]", app=True)
            main = Clones(folder / "main", git, "main").fresh()
            write_metrics(main, 0.913)
            call([*tools.ciplug, "record", "--quiet"], main, tools.env)
            clones = Clones(folder / "clones", git)
            name = f"`ciplug ci` of a pull request, {runs:,} runs in the store"

            # One round warms the disk's cache, and counts the processes.
            trace = folder / "trace"
            _job(tools, clones.fresh(), api, folder, _tracing(folder, trace))
            processes = len(trace.read_text().splitlines())
            seconds = []
            for _ in range(pairs):
                clone = clones.fresh()
                git.requests.clear()
                api.calls.clear()
                seconds.append(_job(tools, clone, api, folder)[0])
            size = sum(request.bytes_in + request.bytes_out for request in git.requests)
            yield Fact(
                name,
                f"{min(seconds):.2f} s of CPU",
                f"aim: {AIM_CPU} s; {len(git.requests)} requests of git (aim: {AIM_REQUESTS}), {size / 1024:,.0f} KiB, "
                f"{len(api.calls)} of the forge; {processes} processes of git (aim: {AIM_PROCESSES}); "
                f"the least of {pairs}",
            )
            git.latency = api.latency = 0.02 if quick else 0.2
            taken = [_job(tools, clones.fresh(), api, folder)[1] for _ in range(min(pairs, 2))]
            yield Fact(
                f"{name}, {git.latency * 1000:.0f} ms a request",
                f"{min(taken):.2f} s",
                f"aim: {AIM_SLOW} s; of {len(taken)}",
            )


def _job(
    tools: Tools, clone: Path, api: GitHubApi, folder: Path, extra: dict[str, str] | None = None
) -> tuple[float, float]:
    """Seconds of CPU, and of the clock, of the job of a pull request in this clone."""
    write_metrics(clone, 0.921)
    head = call(["git", "rev-parse", "HEAD"], clone).decode().strip()
    api.comments.clear()
    api.add_pull(_NUMBER, branch="better", commit=head)
    repository = {"full_name": PROJECT, "fork": False}
    pull = {
        "number": _NUMBER,
        "head": {"sha": head, "ref": "better", "repo": repository},
        "base": {"sha": "b" * 40, "ref": "main", "repo": repository},
    }
    event = folder / "event.json"
    about = {"full_name": PROJECT, "default_branch": "main"}
    event.write_text(json.dumps({"number": _NUMBER, "pull_request": pull, "repository": about}))
    env = {
        **tools.env,
        "CI": "true",
        "GITHUB_ACTIONS": "true",
        "GITHUB_EVENT_NAME": "pull_request",
        "GITHUB_EVENT_PATH": str(event),
        "GITHUB_SHA": "d" * 40,
        "GITHUB_REF": f"refs/pull/{_NUMBER}/merge",
        "GITHUB_REF_NAME": f"{_NUMBER}/merge",
        "GITHUB_HEAD_REF": "better",
        "GITHUB_BASE_REF": "main",
        "GITHUB_REPOSITORY": PROJECT,
        "GITHUB_SERVER_URL": api.origin,
        "GITHUB_API_URL": api.url,
        "GITHUB_RUN_ID": "42",
        "GITHUB_ACTOR": "octocat",
        "GITHUB_TOKEN": "job",
        "GITHUB_OUTPUT": str(folder / "output"),
        "GITHUB_STEP_SUMMARY": str(folder / "summary.md"),
        **(extra or {}),
    }
    began = time.perf_counter()
    seconds = usage([*tools.ciplug, "ci", "--quiet"], clone, env)[0]
    taken = time.perf_counter() - began
    if not any("0.921" in comment["body"] for comment in api.comments[_NUMBER]):
        raise RuntimeError("this job has written no comment")
    return seconds, taken


def _tracing(folder: Path, trace: Path) -> dict[str, str]:
    """The environment in which every process of git that is started is a line of a file."""
    programs = folder / "programs"
    programs.mkdir()
    git = shutil.which("git")
    if git is None:
        raise RuntimeError("git is not on PATH")
    wrapper = programs / "git"
    wrapper.write_text(f'#!/bin/sh\necho "$*" >> {shlex.quote(str(trace))}\nexec {shlex.quote(git)} "$@"\n')
    wrapper.chmod(0o755)
    path = environment()["PATH"]
    return {"PATH": f"{programs}:{path}"}
