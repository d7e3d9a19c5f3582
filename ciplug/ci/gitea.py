"""Gitea and Forgejo Actions: GitHub's variables and files, with addresses of their own."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from ciplug.ci import base, github_actions
from ciplug.ci.base import text
from ciplug.records.provenance import Context

name = "gitea"
variables = ("GITEA_", "FORGEJO_", *github_actions.variables)


def detect(env: Mapping[str, str]) -> bool:
    return "true" in (env.get("GITEA_ACTIONS"), env.get("FORGEJO_ACTIONS"))


def context(env: Mapping[str, str]) -> Context:
    """A pull request that was pushed to `refs/for/…` has neither a branch nor a fork.

    Everyone who may read the repository can push one, so it is not trusted, like a fork's.
    """
    context = _of_head(github_actions.context(env), env)
    server, repository = (context.server_url or "").rstrip("/") or None, context.repository
    run = text(env, "GITHUB_RUN_NUMBER")
    # Forgejo, and Gitea before 1.26, count the runs of a repository; a newer Gitea needs `by_index`.
    url = f"{server}/{repository}/actions/runs/{run}?by_index=1" if server and repository and run else None
    branchless = (context.branch or "").startswith("refs/pull/")
    return dataclasses.replace(
        context,
        host=name,
        server_url=server,
        run_url=url,
        branch=None if branchless else context.branch,
        trusted=context.trusted and not branchless,
    )


def _of_head(context: Context, env: Mapping[str, str]) -> Context:
    """The job of a pull request builds its head, not a merge of it: that is known without the payload, too."""
    if context.merge_commit is None or not env.get("GITHUB_REF", "").endswith("/head"):
        return context
    return dataclasses.replace(context, commit=context.merge_commit, merge_commit=None)


report_url = base.no_report_url
write_summary = base.no_summary  # the runner provides the file, but nothing shows it
write_outputs = github_actions.write_outputs
annotate = github_actions.annotate
push_hint = base.PUSH_HINT
names_the_head = True
merges_into_head = False
merged_head = base.second_parent
target_tips = github_actions.target_tips
workspace = "GITHUB_WORKSPACE"
advice = base.Advice(
    push="in the step: env: {{token}: '${{ secrets.{token} }}'}, a token with write:repository",
    keep_credential="in the step of actions/checkout: with: {persist-credentials: true}",
    variable="in the step: env: {{name}: '${{ secrets.{name} }}'}",
    full_history="in the step of actions/checkout: with: {fetch-depth: 0}",
)
