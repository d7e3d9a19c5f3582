"""No CI host: a laptop, or an unknown host. The environment says nothing about the job."""

from __future__ import annotations

from collections.abc import Mapping

from ciplug.ci import base
from ciplug.records.provenance import Context

name = "local"
variables = ()


def detect(env: Mapping[str, str]) -> bool:
    return True


def context(env: Mapping[str, str]) -> Context:
    return Context(host=name)


report_url = base.no_report_url
write_summary = base.no_summary
write_outputs = base.no_outputs
annotate = base.annotate
push_hint = base.PUSH_HINT
names_the_head = False
merges_into_head = False
merged_head = base.second_parent
target_tips = base.no_target_tips
workspace = None
advice = base.Advice()
