"""Choose the policy that judges: in a pull request that of the target branch, else the checkout's."""

from __future__ import annotations

import posixpath
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ciplug import config as configuration
from ciplug.config import Config, Section
from ciplug.config.metrics import Metrics
from ciplug.errors import CiplugError, ConfigError
from ciplug.git.branch_files import tree_of_branch, tree_of_commit
from ciplug.git.commits import commit_named
from ciplug.git.worktree import committed
from ciplug.records.notice import Kind, Notice
from ciplug.records.provenance import MOST_IGNORED
from ciplug.records.run import Run
from ciplug.records.verdict import PolicySource
from ciplug.steps.committed_settings import inside, settings_in
from ciplug.steps.session import Session

if TYPE_CHECKING:
    from ciplug.config.policy import Policy


@dataclass(frozen=True)
class PolicyInForce:
    """The policy of one model, and where it was read."""

    policy: Policy
    """The policy with the settings for the branch."""
    digest: str
    """sha256 of the whole policy of the model."""
    source: PolicySource
    folder: str = ""
    """The folder of the file, from the top of the repository: paths in the policy are relative to it."""
    evaluation: tuple[str, ...] = ()
    """The datasets that metrics are measured on, as runs name them."""
    metrics: Metrics = field(default_factory=Metrics)
    """The settings of the model's metrics."""
    proposed_renames: Mapping[str, str] = field(default_factory=dict)
    """Old name → present name, of the renames that only the pull request has."""
    no_base_policy: Notice | None = None
    """The reason why a pull request is judged by its own policy, not the base branch's; None if it is not."""


@dataclass(frozen=True)
class Policies:
    """The policies that judge the models of a commit, and those that a pull request proposes."""

    own: Config
    """The checkout's."""
    own_source: PolicySource
    branch: str | None
    """The branch that the commit is to be merged into, or is on."""
    base: Config | None = None
    """The base branch's settings; None outside of pull requests, and if the branch has no file."""
    base_source: PolicySource | None = None
    base_branch: str | None = None
    _by_source: dict[tuple[int, str], PolicyInForce | None] = field(default_factory=dict, compare=False, repr=False)
    """What `in_force` has found in `own` and `base`: the digest of many gates takes time."""

    def metrics(self, model: str) -> Metrics:
        """The settings of a model's metrics: those of the policy in force, or of the checkout without a gate."""
        section = (self.base or self.own).section_of(model) or self.own.section_of(model)
        return section.metrics if section else Metrics()

    @property
    def any_gate(self) -> bool:
        """Whether there is a gate for any model at all."""
        configs = [self.own, *([self.base] if self.base else [])]
        return any(section.policy.gates for config in configs for section in config.sections())

    @property
    def baseline_branches(self) -> dict[str | None, None]:
        """The branches of the baselines, in the order of the models; None: the target branch."""
        policies = [section.policy for section in (self.base or self.own).sections()]
        return dict.fromkeys(
            baseline.branch for policy in policies for baseline in (policy.baseline, *policy.baselines())
        )

    def of(self, model: str) -> PolicyInForce:
        """The policy that judges a model. Raises ConfigError if there is none: that must not count as a pass."""
        in_force = self.find(model)
        if in_force is None:
            raise _none(self.base or self.own, self.base_source or self.own_source, model)
        return in_force

    def ladder(self, model: str) -> tuple[str, ...]:
        """The stages of a model, lowest first: those of the policy in force, or the default without one."""
        return (self.base or self.own).ladder_of(model)

    def gated_stages(self, model: str) -> tuple[str, ...]:
        """The stages that versions of a model reach by a promotion alone, by the policy in force."""
        return (self.base or self.own).gated_stages(model)

    def names(self, model: str) -> bool:
        """Whether the policy in force is for this very model, not only for every model."""
        return (self.base or self.own).names(model)

    @property
    def every_gated_stage(self) -> tuple[str, ...]:
        """The stages of all models that versions reach by a promotion alone."""
        config = self.base or self.own
        names = [*config.models] or [config.model or ""]
        return tuple(dict.fromkeys(stage for name in names for stage in config.gated_stages(name)))

    def only_pipelines(self, model: str) -> bool:
        """Whether only runs of pipelines count for a model, by the policy in force or the settings without a gate."""
        if in_force := self.find(model):
            return in_force.policy.record == "ci"
        section = (self.base or self.own).section_of(model)
        return section is not None and section.policy.record == "ci"

    def counted(self, run: Run, model: str | None = None) -> tuple[str, ...]:
        """The files that a run set aside as it was recorded, and that its model's settings in force do not ignore.

        All of them where their list was cut: then nobody knows the others.

        Args:
            model: whose settings; None: those of the run's model.
        """
        files = run.provenance.ignored_files
        model = model or run.model
        config = self.base if self.base and self.base.section_of(model) else self.own
        clean = config.clean_of(model)
        # A file outside the repository speaks of the whole of it.
        inside = config.path and not config.path.is_absolute()
        folder = config.path.parent.as_posix() if config.path and inside else "."
        all_listed = len(files) < MOST_IGNORED
        return tuple(path for path in files if not (all_listed and clean.ignores(posixpath.relpath(path, folder))))

    def need_own(self, model: str) -> None:
        """Raises ConfigError where the checkout's file has no gate for the model."""
        if self._remembered(self.own, self.own_source, model) is None:
            raise _none(self.own, self.own_source, model)

    def find(self, model: str) -> PolicyInForce | None:
        """The policy that judges a model, None if no gate does."""
        if self.base_branch is None:
            return self._remembered(self.own, self.own_source, model)
        of_base = self._remembered(self.base, self.base_source, model) if self.base and self.base_source else None
        if of_base is not None:
            section = self.own.section_of(model)
            renames = dict(section.metrics.rename) if section else {}
            ours = {old: new for old, new in renames.items() if old not in of_base.metrics.rename}
            return replace(of_base, proposed_renames=ours)
        proposed = self.proposed(model)
        return replace(proposed, no_base_policy=self._no_base_policy(model)) if proposed else None

    def unrun(self, sections: Mapping[str, Section], recorded: Collection[str]) -> tuple[Notice, ...]:
        """A notice on each model that has gates in its section of the base, and that is not among the recorded ones."""
        return tuple(
            Notice(
                kind=Kind.GATED_NOT_RUN if self.proposed(name) else Kind.GATED_DROPPED,
                model=name,
                name=str(self.base_source),
            )
            for name, section in sections.items()
            if section.policy.gates and not section.policy.optional and name not in recorded
        )

    def proposed(self, model: str) -> PolicyInForce | None:
        """The policy that the pull request proposes for the model; None if it has no gate for it."""
        return self._remembered(self.own, self.own_source, model)

    def changed(self, model: str) -> bool:
        """Whether the pull request changes the policy of the model."""
        judging, proposed = self.find(model), self.proposed(model)
        return self.base_branch is not None and (judging and judging.digest) != (proposed and proposed.digest)

    def _no_base_policy(self, model: str) -> Notice:
        if self.base is None:
            return Notice(kind=Kind.NO_BASE_POLICY, name=self.base_branch, path=configuration.FILE)
        return Notice(kind=Kind.NO_BASE_POLICY, name=str(self.base_source), model=model)

    def _remembered(self, config: Config, source: PolicySource, model: str) -> PolicyInForce | None:
        """The same as `in_force`, for `own` or `base`."""
        key = (id(config), model)
        if key not in self._by_source:
            self._by_source[key] = self.in_force(config, source, model)
        return self._by_source[key]

    def in_force(self, config: Config, source: PolicySource, model: str) -> PolicyInForce | None:
        """The policy that some settings have for a model; None if they have no gate for it."""
        from ciplug.gates.digest import digest_of

        section = config.section_of(model)
        if section is None or not section.policy.gates:
            return None
        policy = section.policy
        folder = config.path.parent.as_posix() if config.path else ""
        evaluation = tuple(posixpath.normpath(posixpath.join(folder, name)) for name in policy.evaluation or ())
        digest = digest_of(policy.renamed(section.metrics.rename))
        return PolicyInForce(policy.for_branch(self.branch), digest, source, folder, evaluation, section.metrics)


def _none(config: Config, source: PolicySource, model: str) -> ConfigError:
    if config.models:
        hint = f"it has: {', '.join(config.models)}; name one with --model"
        return ConfigError(f"{source}: it has no gate for the model '{model}'", hint=hint)
    if config.model not in (None, model):
        return ConfigError(
            f"{source}: its gates are for the model '{config.model}', and the run is of '{model}'",
            hint=f"name the run's model '{config.model}' (--model, or start_run(model=…) in the training), or change "
            "'model:'",
        )
    if config.path is None:
        if source.branch:
            words = f"{source.branch} has no {source.file}, and so no gate"
            return ConfigError(words, hint=f"commit the file, and push it to {source.branch}")
        return ConfigError(f"there is no {configuration.FILE}, and so no gate", hint="ciplug init")
    return ConfigError(f"{source}: there is no gate", hint="add one: gates: {accuracy: {min: 0.9}}")


def read_policies(session: Session) -> Policies:
    """The policies that hold for this job.

    In a pull request they are read from the tip of its target branch, so that no change is judged by thresholds of
    its own. Raises ConfigError for one that is wrong, GitError where the branch cannot be read.
    """
    return session.remember("policies", lambda: _read_policies(session))


def _read_policies(session: Session) -> Policies:
    if session.policy_error:
        raise session.policy_error
    target, file = session.context.target_branch, _inside(session)
    own = _own(session, file)
    source = _source(session, file)
    if target is None or session.workspace is None or file is None:
        return Policies(own, source, target or session.context.branch)
    tree = tree_of_branch(session.workspace, target, session.env)
    session.tips_seen[target] = tree.commit
    settings = settings_in(tree, file, f"{target} ({tree.commit[:8]})")
    if settings is None:
        return Policies(own, source, target, base_branch=target)
    base, name = settings
    return Policies(own, source, target, base, PolicySource(file=name, branch=target, commit=tree.commit), target)


def is_changed_by(session: Session, model: str, began_from: Iterable[str]) -> bool:
    """Whether a pull request itself changes the policy of a model, and is not only behind its target branch.

    Args:
        began_from: commits of the target branch that it is based on. One that cannot be read shows nothing.
    """
    policies, file = read_policies(session), _inside(session)
    if not policies.changed(model) or file is None:
        return False
    proposed = policies.proposed(model)
    for commit in began_from:
        try:
            settings = settings_in(tree_of_commit(session.need_workspace(), commit, session.env), file, commit[:8])
        except CiplugError:
            continue
        before = policies.in_force(settings[0], policies.own_source, model) if settings else None
        if (before and before.digest) == (proposed and proposed.digest):
            return False
    return True


def of_checkout(session: Session, model: str) -> PolicyInForce | None:
    """Return the policy for a model in the checkout's own file, without fetching anything. None: no gate."""
    file = _inside(session)
    own = _own(session, file)
    return Policies(own, _source(session, file), session.context.branch).proposed(model)


def _inside(session: Session) -> Path | None:
    """Return the path of the file from the top of the repository; None if it is outside."""
    return inside(session.config.path or session.cwd / configuration.FILE, session.top)


def _own(session: Session, file: Path | None) -> Config:
    """Return the settings of the checkout, with the path of their file, if there is one, from the repository's top."""
    config = session.config
    return config if config.path is None else replace(config, path=file or config.path)


def _source(session: Session, file: Path | None) -> PolicySource:
    """Return the place of the policy, relative to the repository, and whether it is unchanged since its commit."""
    path = session.config.path
    if path is None:
        return PolicySource(file=configuration.FILE)
    if file is None or session.workspace is None:
        return PolicySource(file=str(path))
    top = session.workspace.top
    as_committed = bool(committed(top, [top / file], config=session.workspace.config))
    # A run may be judged later, by the policy of a commit after its own.
    head = commit_named(top, "HEAD") if as_committed else None
    return PolicySource(file=file.as_posix(), commit=head, as_committed=as_committed)
