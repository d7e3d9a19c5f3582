"""The promotions that the committed files of the default branch propose, and that have not happened yet."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ciplug.config import Config
from ciplug.errors import ConfigError
from ciplug.git.branch_files import tree_of_commit
from ciplug.registry.ladder import Ladder
from ciplug.registry.model import Model
from ciplug.steps.policy_in_force import read_policies
from ciplug.steps.promotion.promote import PromotionRequest
from ciplug.steps.promotion.proposed import every_proposed
from ciplug.steps.promotion.protected_policy import by_protected_policy
from ciplug.steps.registered_model import read_model
from ciplug.steps.session import Session


@dataclass(frozen=True)
class Proposals:
    """What the files propose."""

    files: tuple[str, ...]
    open: tuple[PromotionRequest, ...]
    """Model by model, the lower stages first."""


def proposals(session: Session, reason: str | None = None, pull_request: int | None = None) -> Proposals:
    """Return the proposed promotions of versions that are not in the stage.

    Raises ConfigError where no stage of the policy takes a pull request, or a file is missing or cannot be read.
    """
    protected = by_protected_policy(session)
    policies = read_policies(protected)
    files = _files(policies.own)
    if not files:
        raise ConfigError(
            "no stage of the policy of the default branch requires a pull request",
            hint="stages: {production: {approvals: {pull_request: promotions.yaml}}}",
        )
    commit = policies.own_source.commit or ""
    tree = tree_of_commit(session.need_workspace(), commit, session.env)
    found = [
        request
        for file in files
        for model, stages in every_proposed(tree.read(file), f"{file} of {policies.own_source.branch}").items()
        for request in _requests(session, model, stages, Ladder(policies.ladder(model)), reason, pull_request)
    ]
    return Proposals(files, tuple(found))


def _files(config: Config) -> tuple[str, ...]:
    rules = [rules for section in config.sections() for rules in section.policy.stages.values()]
    return tuple(dict.fromkeys(one.approvals.pull_request for one in rules if one.approvals.pull_request))


def _requests(
    session: Session,
    name: str,
    stages: dict[str, int | str],
    ladder: Ladder,
    reason: str | None,
    pull_request: int | None,
) -> Iterator[PromotionRequest]:
    model = read_model(session, name)
    named = {ladder.stage(stage): value for stage, value in stages.items()}
    for stage in sorted(named, key=ladder.stages.index):
        value = named[stage]
        if not _holds(model, stage, value):
            run, version = (value, None) if isinstance(value, str) else (None, value)
            yield PromotionRequest(name, stage, run=run, version=version, reason=reason, pull_request=pull_request)


def _holds(model: Model, stage: str, value: int | str) -> bool:
    """Whether the version is in the stage."""
    holder = model.holder(stage)
    return holder is not None and value in (holder.number, holder.run)
