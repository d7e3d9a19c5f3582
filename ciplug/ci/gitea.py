"""Gitea and Forgejo Actions: GitHub's variables and files, on a page of their own."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from ciplug.ci import base, github_actions
from ciplug.ci.base import text
from ciplug.records.provenance import Context

name = "gitea"


def detect(env: Mapping[str, str]) -> bool:
    return "true" in (env.get("GITEA_ACTIONS"), env.get("FORGEJO_ACTIONS"))


def context(env: Mapping[str, str]) -> Context:
    like_github = github_actions.context(env)
    server, repository = like_github.server_url, like_github.repository
    # Its pages are numbered within the repository.
    run = text(env, "GITHUB_RUN_NUMBER")
    url = f"{server}/{repository}/actions/runs/{run}" if server and repository and run else None
    return dataclasses.replace(like_github, host=name, run_url=url)


report_url = base.no_report_url
write_summary = base.no_summary  # the runner offers the file, but nobody shows it
write_outputs = github_actions.write_outputs
annotate = github_actions.annotate
push_hint = base.PUSH_HINT
