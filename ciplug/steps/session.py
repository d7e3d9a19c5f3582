"""The context of every command: repository, configuration, CI context, store and spool of this folder."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from ciplug import ci, config
from ciplug.capture.spool import Spool
from ciplug.ci.job_commit import Identity
from ciplug.config import DEFAULT_ARTIFACT_LIMIT
from ciplug.console import Nobody, Note
from ciplug.errors import ConfigError, UsageError
from ciplug.git.cache import cache_folder
from ciplug.git.credentials import redact
from ciplug.git.workspace import Workspace, discover
from ciplug.records.provenance import Context
from ciplug.steps.config_checks import impossible_values
from ciplug.steps.job_identity import context_of, identity_of
from ciplug.steps.pull_request_places import with_places_of
from ciplug.stores import (
    DEFAULT_URI,
    OWN,
    Bundles,
    Files,
    Log,
    Store,
    is_archived,
    is_git,
    log_of,
    open_files,
    open_store,
    store_name,
)

if TYPE_CHECKING:
    from ciplug.capture.artifacts import Destination
    from ciplug.console import Listener
    from ciplug.stores.witness import WitnessedLog
    from ciplug.tracking.runs import Runs

T = TypeVar("T")

NO_ARTIFACTS = "none"
REPORT_FOLDER = "ciplug-report"
"""The folder that the pipeline archives, unless another one is named."""
FORK_PREFIX = "fork:"
"""The prefix of the store's address in the spool entries of a fork's job."""


def now() -> datetime:
    return datetime.fromtimestamp(time.time(), timezone.utc)


def stamp(moment: datetime) -> str:
    """UTC, ISO 8601, to the millisecond: 2026-11-23T19:24:00.123Z."""
    return moment.astimezone(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def beside_runs(place: str, address: str) -> bool:
    """Whether the files of artifacts that go to `place` lie in the same store as the runs of the store at `address`."""
    return place in (OWN, address.partition("#")[0])


class SessionOptions(NamedTuple):
    """The caller's choices for a session; None: use ciplug.yaml or the environment."""

    store: str | None = None
    config_file: str | None = None
    artifact_store: str | None = None
    artifact_limit: int | None = None
    output_dir: str | None = None
    settings: config.Config | None = None
    """Settings to use instead of the file, which is then not read."""
    for_recording: bool = False
    """Whether nothing is judged: mistakes in the gates go to `Session.policy_error`, and do not stop the command."""


_DEFAULTS = SessionOptions()


@dataclass(frozen=True, eq=False)
class Session:
    """The surroundings of one command: one state of repository, configuration and store.

    What lives longer than a command asks for `refreshed()` whenever it must see what others have done.
    """

    cwd: Path
    env: Mapping[str, str]
    workspace: Workspace | None
    config: config.Config
    context: Context
    store_uri: str
    artifact_store: str | None = None
    """A URI, `none`, or None for the place of the runs."""
    artifact_limit: int = DEFAULT_ARTIFACT_LIMIT
    output_dir: Path | None = None
    """The folder of this job's results, where it names one."""
    options: SessionOptions = _DEFAULTS
    """The options that it was opened with."""
    identity: Identity | None = None
    """The commit of the job, and how it was found; None outside of a repository."""
    listener: Listener = field(default_factory=Nobody)
    """Who hears what the steps have to say."""
    offline: bool = False
    """Whether git stores are read as this clone last fetched them, and nothing is contacted for them."""
    known_signers: tuple[Mapping[str, str], str] | None = None
    """Name → public key of the signers, and their repository, for settings that name none: from another place."""
    policy_error: ConfigError | None = None
    """The mistakes in what judges runs, of a session that only records."""
    reads_once: bool = False
    """Whether it is for a single moment, such as one write: the policy of the default branch is read once, and the
    sessions that are derived from this one to go by that policy share its view of the store."""

    def refreshed(self) -> Session:
        """A new session with the same options, which reads everything anew.

        That is the repository, ciplug.yaml, the store with its runs and registry, policies and history. This session
        answers as before, and everything that it holds in memory is freed with it. Nothing is contacted yet.
        Raises ConfigError and GitError as `open_session` does.
        """
        fresh = open_session(cwd=self.cwd, env=self.env, listener=self.listener, **self.options._asdict())
        return replace(fresh, context=replace(fresh.context, report_url=self.context.report_url))

    def with_same_store(self) -> Session:
        """A copy that remembers nothing, and sees the store as this session does."""
        copy = replace(self)
        copy.__dict__.update({"store": self.store, "witnessed": self.witnessed})
        return copy

    def tell(self, *notes: Note) -> None:
        """Have a person know this, if one listens."""
        self.listener.tell(notes)

    def remember(self, key: Hashable, make: Callable[[], T]) -> T:
        """Return the result of `make`, which is called once in a session's life. An exception is not remembered."""
        if key not in self._remembered:
            self._remembered[key] = make()
        value: T = self._remembered[key]
        return value

    @cached_property
    def _remembered(self) -> dict[Hashable, Any]:
        return {}

    @cached_property
    def tips_seen(self) -> dict[str, str]:
        """Branch → its tip, as the remote gave it a moment ago. Emptied by what takes long, such as a training."""
        return {}

    @cached_property
    def store(self) -> Store:
        may_fold = self.context.trusted
        return open_store(
            self.store_uri, self.workspace, self.env, may_fold=may_fold, bundles=self.bundles, offline=self.offline
        )

    @property
    def repository(self) -> str:
        """The repository in which the signatures of this job count: as the policy names it, else its store's place."""
        return self.config.repository or self.place_of_store

    @property
    def place_of_store(self) -> str:
        """The place of the store, the same for every address at which it is reached: host and path."""
        from ciplug.steps.place_names import place_name

        return place_name(self.store.address)

    @property
    def store_name(self) -> str:
        """The store as a person knows it."""
        return store_name(self.store)

    @cached_property
    def log(self) -> Log:
        """The logs of the store, such as the registry's: they never go back behind what this clone has seen."""
        return self.witnessed or log_of(self.store)

    @cached_property
    def witnessed(self) -> WitnessedLog | None:
        """The same, with what this clone remembers of them; None for a store without logs."""
        from ciplug.stores.witness import Memory, WitnessedLog

        if not isinstance(self.store, Log):
            return None
        memory = Memory(cache_folder(self.workspace, self.env) / "heads", self.store.address)
        return WitnessedLog(self.store, self.store.refresh, memory)

    @property
    def bundles(self) -> Bundles:
        """For a store that holds what pipelines archive."""
        return Bundles(self.cwd / (self.output_dir or REPORT_FOLDER), _check, self.context.trusted)

    @property
    def to_archive(self) -> Path | None:
        """The folder that the pipeline must archive to keep the records; None if the store keeps them."""
        return (self.output_dir or Path(REPORT_FOLDER)) if is_archived(self.store_uri) else None

    @property
    def destination(self) -> Destination | None:
        """The store of the artifacts' content; None if only their digests are kept. Nothing is opened."""
        from ciplug.capture.artifacts import Destination

        if not self.context.trusted or self.artifact_store == NO_ARTIFACTS or self.to_archive:
            return None
        if self.artifact_store is None and is_git(self.store_uri):
            return Destination(OWN, self.artifact_limit)
        uri = self.artifact_store or self.store_uri
        return Destination(redact(uri), self.artifact_limit if is_git(uri) else None)

    @cached_property
    def files(self) -> Files | None:
        """The store of this job's artifacts; None if only their digests are kept, as in a fork's job.

        Raises ConfigError for a place that does not exist.
        """
        if not self.context.trusted or self.artifact_store == NO_ARTIFACTS:
            return None
        if self.to_archive:
            if self.artifact_store:
                raise ConfigError(
                    f"the store '{self.store_uri}' keeps only the digests of artifacts",
                    hint="leave artifact_store out, or keep the runs in git: or in a bucket",
                )
            return None
        if self.artifact_store is None and is_git(self.store_uri):
            return self.files_at(OWN)
        uri = self.artifact_store or self.store_uri
        return open_files(uri, self.workspace, self.env, limit=self.artifact_limit)

    def files_at(self, name: str, *, chosen_here: bool = False, keep: bool = False) -> Files:
        """The place for files that a record names.

        Args:
            chosen_here: whether a command on this machine has chosen it, such as for what waits in the spool.
            keep: keep a copy on this machine of what is fetched from a bucket, for later and offline.

        Raises ConfigError, also for a repository on a host that only the record names.
        """
        uri = next((uri for uri in (self.artifact_store, self.store_uri) if uri and redact(uri) == name), None)
        if name == OWN:
            uri = self.store_uri if is_git(self.store_uri) else OWN
        if uri is None and not chosen_here and not self.offline:
            from ciplug.steps.record_places import check_record_place

            check_record_place(name, self.env, self.named_addresses)
        return open_files(
            uri or name,
            self.workspace,
            self.env,
            name=name,
            limit=self.artifact_limit,
            may_fold=self.context.trusted,
            named_by_user=uri is not None,
            offline=self.offline,
            keep=keep,
        )

    @property
    def named_addresses(self) -> list[str]:
        """Every address that the checkout, its settings or this command names: only their hosts are contacted."""
        remotes = self.workspace.remotes.values() if self.workspace else ()
        artifacts = [path for section in self.config.sections() for path in section.artifacts]
        return [*remotes, self.store_uri, self.artifact_store or "", *artifacts]

    @property
    def spool(self) -> Spool:
        named = self.env.get("CIPLUG_SPOOL")
        return Spool(Path(named) if named else cache_folder(self.workspace, self.env) / "spool")

    @property
    def spooled_for(self) -> str:
        """The store that this job's entries wait for. A fork's stay apart: no trusted job sends them later."""
        return self.store.address if self.context.trusted else f"{FORK_PREFIX}{self.store.address}"

    @property
    def send_command(self) -> str:
        """The command line that sends the runs queued in this spool for this store."""
        import shlex

        default = config.find(self.cwd, self.workspace.top if self.workspace else None)
        words = ["ciplug", "record", "--spooled"]
        if self.store_uri != (self.config.store or DEFAULT_URI):
            words += ["--store", self.store.uri]
        if self.config.path and self.config.path != default:
            words += ["--config", str(self.config.path)]
        named = self.env.get("CIPLUG_SPOOL")
        return (f"CIPLUG_SPOOL={shlex.quote(named)} " if named else "") + shlex.join(words)

    @property
    def top(self) -> Path:
        """The folder that paths in records are relative to."""
        return self.workspace.top if self.workspace else self.cwd

    @property
    def remote_url(self) -> str | None:
        """The URL of the remote, `origin` if there is one, as git's configuration has it."""
        remotes = self.workspace.remotes if self.workspace else {}
        return remotes.get("origin") or next(iter(remotes.values()), None)

    @property
    def proposes(self) -> bool:
        """Whether the job is of a pull request or of a merge queue, whatever it has checked out."""
        return self.context.proposed or (self.identity is not None and self.identity.claim.proposed)

    @property
    def head(self) -> str | None:
        """The commit that runs of this folder belong to: the pull request's own head, not its merge."""
        return self.context.commit

    def need_workspace(self) -> Workspace:
        if self.workspace is None:
            raise UsageError(f"{self.cwd} is not in a git repository", hint="run inside a checkout")
        return self.workspace

    def need_head(self) -> str:
        self.need_workspace()
        if self.head is None:
            raise UsageError("this repository has no commit yet", hint="commit first: runs are tied to commits")
        return self.head

    def runs(self, handed_over: Mapping[str, bytes] | None = None, *, offline: bool = False) -> Runs:
        """All runs of the store, those in this spool that wait for it, and those in a bundle of this job.

        Who decides on runs takes those of `steps.signatures.judged_runs`.
        """
        from ciplug.tracking.runs import Runs

        unsent = dict(handed_over or {})
        for sealed in self.spool.sealed(self.spooled_for):
            unsent.update(sealed.objects)
        return Runs(self.store, unsent, self.catalogs, offline=offline)

    @property
    def catalogs(self) -> Path:
        """The folder of the catalogs on this machine, one for each store."""
        return cache_folder(self.workspace, self.env) / "catalog"


def open_session(
    *,
    store: str | None = None,
    config_file: str | None = None,
    artifact_store: str | None = None,
    artifact_limit: int | None = None,
    output_dir: str | None = None,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    settings: config.Config | None = None,
    for_recording: bool = False,
    listener: Listener | None = None,
) -> Session:
    """The surroundings of a folder.

    Raises ConfigError for a wrong ciplug.yaml, GitError for a repository that git refuses.

    Args:
        settings: in place of the file's, which is not read then.
        for_recording: nothing is judged, so mistakes in the gates are not raised: they are `Session.policy_error`.
        listener: hears what the steps have to say; None: nobody does.
    """
    options = SessionOptions(store, config_file, artifact_store, artifact_limit, output_dir, settings, for_recording)
    cwd = _present_folder() if cwd is None else cwd
    env = os.environ if env is None else env
    workspace = discover(cwd, ci.workspace_of(env))
    path = Path(config_file) if config_file else config.find(cwd, workspace.top if workspace else None)
    policy_error = None
    if settings is None:
        try:
            settings = config.load(cwd / path, impossible_values) if path else config.Config()
        except config.PolicyError as wrong:
            if not for_recording:
                raise
            settings, policy_error = wrong.recording, wrong
    uri = store or env.get("CIPLUG_STORE") or settings.store or DEFAULT_URI
    identity = identity_of(env, workspace, keeps_own_runs=uri.partition("?")[0] == DEFAULT_URI)
    context = context_of(env, workspace, identity)
    if workspace and context.target_branch and path and options.settings is None:
        given = (store or env.get("CIPLUG_STORE"), artifact_store)
        settings = with_places_of(context.target_branch, workspace, env, cwd / path, settings, given, listener)
        uri = store or env.get("CIPLUG_STORE") or settings.store or DEFAULT_URI
    return Session(
        cwd=cwd,
        env=env,
        workspace=workspace,
        config=settings,
        context=context,
        store_uri=uri,
        artifact_store=artifact_store or settings.artifact_store,
        artifact_limit=next(
            size for size in (artifact_limit, settings.artifact_limit, DEFAULT_ARTIFACT_LIMIT) if size is not None
        ),
        output_dir=Path(output_dir) if output_dir else None,
        options=options,
        identity=identity,
        listener=listener or Nobody(),
        policy_error=policy_error,
    )


def _check(objects: Mapping[str, bytes], name: str, *, trusted: bool) -> None:
    from ciplug.bundles import check as collected

    collected.check(objects, name, trusted=trusted)


def _present_folder() -> Path:
    """The folder of this process. Raises ConfigError where somebody has deleted it."""
    try:
        return Path.cwd()
    except FileNotFoundError:
        raise ConfigError("the working directory does not exist any more", hint="cd to the checkout first") from None
