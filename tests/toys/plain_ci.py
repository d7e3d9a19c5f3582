"""A CI host that a stranger adds by the recipe 'a CI host' of CONTRIBUTING.md."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

from ciplug.ci import base
from ciplug.ci.base import number, text
from ciplug.records.provenance import Context
from ciplug.scaffold.host_files import HostFiles
from ciplug.scaffold.monorepo import ProjectFolder, in_folder
from ciplug.scaffold.pipelines import Pipeline, Settings, Template

name = "plain_ci"
variables = ("PLAIN_",)
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


FILES = HostFiles(pattern=re.compile(r"plain\.txt"), in_folder=((r"^run ", "in @FOLDER@ run "),))
"""The row for `ciplug.scaffold.host_files.HOST_FILES`."""


def pipeline(settings: Settings, present: Collection[str], read: Template) -> Pipeline:
    """The row for `ciplug.scaffold.pipelines.HOSTS`."""
    filled = f"run ciplug ci -- {settings.command}\n"
    if settings.folder is not None:
        folder = ProjectFolder(settings.folder, settings.title, settings.alone)
        filled = in_folder(filled, "plain_ci/plain.txt", folder, "plain.txt")
    return Pipeline({"plain.txt": filled})
