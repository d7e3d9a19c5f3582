"""The kinds of notices, and the facts that each may have. Decisions are made from these, never from words."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Literal

from ciplug.records.selection import Reason

Subject = Literal["candidate", "baseline", "production"]
Resumed = Literal["then", "later"]
Hindrance = Literal["known", "both"]
"""Why a rename is not followed: the target branch has a metric of the new name; the run has metrics of both names."""


class Kind(str, Enum):
    """The kind of a notice; JSON has its value."""

    # A run
    FAILED = "failed"
    KILLED = "killed"
    END_UNKNOWN = "end_unknown"
    """The program of the run ended with an exit code that nobody knows."""
    FORK = "fork"
    """The run was recorded by a fork's job."""
    DIRTY = "dirty"
    HEAD_MOVED = "head_moved"
    """The command of the run checked out another commit, so the run counts as dirty."""
    SET_ASIDE = "set_aside"
    """Files differed from the commit, and do not count because of `clean: ignore`."""
    BESIDE = "beside"
    """Other runs were to write the same files at the same time."""
    OLDER = "older"
    """Outputs were recorded that are older than the commit."""
    UNWRITTEN = "unwritten"
    """The command did not write some of the outputs, and the user allowed it."""
    LEFT_OUT = "left_out"
    """Names in the files of metrics, or in log calls, gave no metric."""
    NOT_MADE = "not_made"
    """Files for people, such as figures, that the training logged could not be made."""
    NOT_RECORDED = "not_recorded"
    """A file of metrics or examples gave nothing: it was not written, or could not be read."""
    NOT_KEPT = "not_kept"
    """An artifact is not recorded, or no store has its content."""
    TWO_VALUES = "two_values"
    """Metrics were logged with another value than their file has, which counts."""
    PASSED_OVER = "passed_over"
    """A run of the commit, where another one counts, or none."""
    MORE_PASSED_OVER = "more_passed_over"
    """More runs were passed over than are named."""
    WITHDRAWN = "withdrawn"
    DELETED = "deleted"
    UNREAD_AMENDMENT = "unread_amendment"
    """An amendment of the run cannot be read, and may be a withdrawal."""
    NEWER_AMENDMENT = "newer_amendment"
    """A newer ciplug amended the run, and may have done more to it than this one understands."""
    AMENDED_METRIC = "amended_metric"
    """A recorded metric was given another value later."""

    # Several runs of one commit
    SEEDS = "seeds"
    """Runs that differ in their seed are judged as one."""
    RERUNS = "reruns"
    FLAKY = "flaky"
    """The same seed in the same environment gave other numbers."""
    VARIES = "varies"
    """Numbers differ, and so does the environment, or no seed is recorded."""
    FAILED_BEFORE = "failed_before"
    """Another run of the commit failed a gate that the one that counts did not fail."""
    FAILED_WITHDRAWN = "failed_withdrawn"
    """So did one that somebody withdrew or deleted."""
    NO_NUMBER_BEFORE = "no_number_before"
    """Another run of the same command has no number for a gate that the one that counts did not fail."""
    NOT_ALL_JUDGED = "not_all_judged"
    """There are too many runs of the commit to judge each of them."""

    # The history
    SHALLOW = "shallow"
    NOT_FETCHED = "not_fetched"
    NOT_PUSHED = "not_pushed"
    """The clone is shallow, and its commit is not on the remote yet."""
    TARGET_UNKNOWN = "target_unknown"
    """Neither the policy nor the remote names the branch to compare with."""

    # The baseline
    NO_BRANCH = "no_branch"
    NO_TAG = "no_tag"
    NO_COMMIT = "no_commit"
    NO_RUN = "no_run"
    """The merge base, or the parent, and the commits before it have no run to compare with."""
    NO_RUN_THERE = "no_run_there"
    """The commit that was named and its ancestors have none."""
    NO_RUN_ON_BRANCH = "no_run_on_branch"
    NO_ANCESTOR = "no_ancestor"
    """There is no earlier commit to search."""
    HISTORY_UNKNOWN = "history_unknown"
    """The commits before the merge base are not known."""
    NO_HOLDER = "no_holder"
    """No version of the model is in the last stage."""
    STALE = "stale"
    OTHER_EVALUATION = "other_evaluation"
    """The baseline was measured on other data."""
    NO_EVALUATION = "no_evaluation"
    """The data that the baseline, or the candidate, was measured on are not known."""
    BASE_ASKED = "base_asked"
    """The comparison is with a commit that the user named; the gates keep the policy's baseline."""

    # The store, the registry and the policy
    UNREADABLE = "unreadable"
    BROKEN_LOG = "broken_log"
    """The log of the model cannot be read, or was rewritten."""
    UNSIGNED_EVENTS = "unsigned_events"
    """Events of the registry that no allowed signer has signed, and that do not count."""
    SKIPPED_EVENT = "skipped_event"
    """A registry event that only a newer ciplug knows."""
    NO_BASE_POLICY = "no_base_policy"
    """The target branch has no policy for the model, so a pull request is judged by its own."""
    LOOKS = "looks"
    """Many runs were measured on one evaluation set, and whoever takes the best of them takes some luck, too."""
    GATED_NOT_RUN = "gated_not_run"
    """The target branch has gates for a model that has no run on the commit of the pull request."""
    GATED_DROPPED = "gated_dropped"
    """The same, and the pull request takes these gates away."""
    RENAMED = "renamed"
    """The pull request renames a metric, and what the target branch knows by the old name follows, or does not."""
    READ_OTHERWISE = "read_otherwise"
    """The pull request takes its numbers from other files than the target branch, or reads them in another way."""
    NOT_JUDGED = "not_judged"
    """The policy cannot judge the model."""


MISNAMED = frozenset({Kind.NO_BRANCH, Kind.NO_TAG, Kind.NO_COMMIT})
"""The policy names a baseline that does not exist, or that this clone cannot find by the name."""
UNSEEN = frozenset({Kind.SHALLOW, Kind.NOT_FETCHED, Kind.NOT_PUSHED, Kind.UNREADABLE, Kind.BROKEN_LOG})
"""There may be a baseline that this clone does not have, or cannot read."""


@dataclass(frozen=True, kw_only=True)
class Facts:
    """The facts of a notice. One that does not belong to the kind is None or empty."""

    kind: Kind
    of: Subject = "candidate"
    """The role of the run, or of what was looked for."""
    model: str | None = None
    run: str | None = None
    runs: tuple[str, ...] = ()
    commits: tuple[str, ...] = ()
    """Earlier commits with the same files, that some of the runs are of."""
    parent: str | None = None
    """The run that started `run`, where the notice is about that one."""
    seed: str | None = None
    exit_code: int | None = None
    signal: str | None = None
    resumed: Resumed | None = None
    """then: the run did not finish when `by` resumed it. later: it was resumed after it had failed."""
    hindrance: Hindrance | None = None
    by: str | None = None
    """The person who withdrew, deleted, amended or resumed."""
    reason: str | None = None
    """That person's reason."""
    because: Reason | None = None
    """Why a run was passed over."""
    reasons: tuple[Reason, ...] = ()
    """For each of `runs`, why it could not count."""
    settled: bool | None = None
    """True: another run counts in its place."""
    files: tuple[str, ...] = ()
    before: tuple[str, ...] = ()
    now: tuple[str, ...] = ()
    """For each of `files`, how the target branch reads it, and how the pull request does."""
    metrics: tuple[str, ...] = ()
    """Names of metrics, or of gates."""
    values: tuple[tuple[float, float], ...] = ()
    """For each of `metrics`, the least and the largest value."""
    differs: tuple[str, ...] = ()
    """What was not the same for several runs: "Python (3.11.9, 3.12.3)"."""
    outcomes: tuple[str, ...] = ()
    """The outcome of each of several runs."""
    count: int | None = None
    """The number of runs, of all files, or of the commits that were searched after the first."""
    more: int | None = None
    """The number of those that were not looked at."""
    behind: int | None = None
    """The number of runs that could not count beside the one that does."""
    elsewhere: bool | None = None
    """True: a report tells it at another place: as the result of a gate, or where it lists the runs of the commit."""
    name: str | None = None
    """The branch, tag, commit or stage that was looked for or searched, or the place of the policy."""
    luck: float | None = None
    """How much better the best of `count` runs looks by chance, at most, in the unit of the first of `metrics`."""
    day: str | None = None
    """2026-11-23."""
    max_age_days: float | None = None
    path: str | None = None
    """A dataset, or the key of a record."""
    event: int | None = None
    """The number of a registry event."""
    type: str | None = None
    schema: int | None = None
    """The schema of a registry event, or of an amendment, that is newer than ours."""
    detail: str | None = None
    """The words of another program, such as MLflow's status of a run, or of the error that stopped ciplug."""
    advice: str | None = None
    """The remedy that came with `detail`."""
