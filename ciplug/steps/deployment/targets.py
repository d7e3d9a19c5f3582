"""The targets of a model: those of the policy in force, never those of a branch or of a file that is not committed."""

from __future__ import annotations

import shlex
from collections.abc import Mapping

from ciplug.config.target_base import Target as Settings
from ciplug.errors import ConfigError, NotFound, nearest
from ciplug.registry.model import Model
from ciplug.steps.policy_in_force import read_policies
from ciplug.steps.promotion.judging_section import ladder_of
from ciplug.steps.session import Session


def targets_of(session: Session, model: str) -> Mapping[str, Settings]:
    """The targets of a model by name. `session` goes by the protected policy."""
    own = read_policies(session).own
    section = own.section_of(model)
    folder = session.top / own.path.parent if own.path else session.top
    return {name: one.in_folder(folder) for name, one in section.targets.items()} if section else {}


def find_target(session: Session, model: str, name: str) -> Settings:
    """Raises NotFound for a name of no target, ConfigError where the model has none."""
    targets = targets_of(session, model)
    source = read_policies(session).own_source
    where = f"{source.file} of {source.branch}" if source.branch else source.file
    if not targets:
        raise ConfigError(
            f"{where}: '{model}' has no target",
            hint="targets: {prod: {kind: oci, repository: registry.example.com/team/wine}}; commit it, and push it "
            "to the default branch",
        )
    if name not in targets:
        raise NotFound(f"{where}: '{model}' has no target '{name}'", hint=nearest(name, list(targets)))
    return targets[name]


def stage_of(session: Session, model: Model, settings: Settings) -> str:
    """The stage whose versions a target takes, as the registry names it. Raises UsageError for an unknown one."""
    ladder = ladder_of(session, model)
    return ladder.stage(settings.stage) if settings.stage else ladder.stages[-1]


def deploy_command(model: str, stage: str, target: str) -> str:
    """The command line that deploys who is in a stage."""
    return shlex.join(["ciplug", "deploy", f"models:/{model}@{stage.lower()}", "--to", target])


def undeploy_command(model: str, target: str) -> str:
    """The command line that ends what a target serves."""
    return shlex.join(["ciplug", "undeploy", model, "--from", target])


def record_end_command(model: str, target: str) -> str:
    """The command line that says in the log that a target which ciplug.yaml does not name serves nothing."""
    return f"{undeploy_command(model, target)} --record-only --reason TEXT"
