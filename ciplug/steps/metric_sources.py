"""Whether a pull request takes the numbers that gates look at from elsewhere than its target branch does."""

from __future__ import annotations

from ciplug.comparison import readings
from ciplug.config import Config
from ciplug.records.notice import Kind, Notice
from ciplug.steps.policy_in_force import read_policies
from ciplug.steps.session import Session


def read_otherwise(session: Session, model: str) -> Notice | None:
    """Return the notice on files of metrics and examples that the checkout reads in another way than its target."""
    policies = read_policies(session)
    in_force = policies.find(model)
    if policies.base is None or in_force is None or in_force.no_base_policy is not None:
        return None
    changes = readings.changes(_sources(policies.base, model), _sources(policies.own, model))
    if not changes:
        return None
    return Notice(
        kind=Kind.READ_OTHERWISE,
        name=policies.base_branch,
        files=tuple(one.file for one in changes),
        before=tuple(one.before for one in changes),
        now=tuple(one.now for one in changes),
    )


def _sources(config: Config, model: str) -> readings.Sources:
    section = config.section_of(model)
    if section is None:
        return {}
    files: dict[str, dict[str, object]] = {
        one.file: {"step": one.step, "take": one.take, "of": one.of} for one in section.metrics.files
    }
    if samples := section.policy.samples:
        columns = {
            name: getattr(samples, name) for name in ("format", "id", "label", "prediction", "cluster", "weight")
        }
        files[samples.file] = {"samples": True, **columns}
    return readings.sources(config.path.parent.as_posix() if config.path else "", files)
