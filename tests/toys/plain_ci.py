"""A CI host that a stranger adds by the recipe 'a CI host' of CONTRIBUTING.md."""

from __future__ import annotations

from collections.abc import Mapping

from ciplug.ci import base
from ciplug.ci.base import number, text
from ciplug.records.provenance import Context

name = "plain_ci"
names_the_head = True
merges_into_head = False
merged_head = base.second_parent
workspace = "PLAIN_FOLDER"
push_hint = base.PUSH_HINT
advice = base.Advice(variable="Settings > Secrets: {name}")


def detect(env: Mapping[str, str]) -> bool:
    return env.get("PLAIN_CI") == "yes"


def context(env: Mapping[str, str]) -> Context:
    return Context(
        host=name,
        commit=text(env, "PLAIN_COMMIT"),
        branch=text(env, "PLAIN_BRANCH"),
        target_branch=text(env, "PLAIN_TARGET"),
        pull_request=number(env, "PLAIN_PULL"),
        repository=text(env, "PLAIN_REPOSITORY"),
        server_url=text(env, "PLAIN_SERVER"),
    )


report_url = base.no_report_url
target_tips = base.no_target_tips
write_summary = base.no_summary
annotate = base.annotate


def write_outputs(env: Mapping[str, str], outputs: Mapping[str, str]) -> bool:
    return base.append_outputs(text(env, "PLAIN_OUTPUTS"), outputs)
