"""What a reader must know about a run, a baseline, the history, the policy or the store, as a kind with its facts.

Decisions are made from kinds and facts. Sentence and remedy are rendered from them, in this module alone, so that the
terminal, the comment, the page and JSON name the same states in the same words.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import ClassVar, Literal

from ciplug.errors import counted, listed
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
    """Names in the files of metrics, or in log calls, gave no metric or file."""
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
    SKIPPED_EVENT = "skipped_event"
    """A registry event that only a newer ciplug knows."""
    NO_BASE_POLICY = "no_base_policy"
    """The target branch has no policy for the model, so a pull request is judged by its own."""
    RENAMED = "renamed"
    """The pull request renames a metric, and what the target branch knows by the old name follows, or does not."""
    NOT_JUDGED = "not_judged"
    """The policy cannot judge the model."""


MISNAMED = frozenset({Kind.NO_BRANCH, Kind.NO_TAG})
"""The policy names a baseline that does not exist."""
UNSEEN = frozenset({Kind.SHALLOW, Kind.NOT_FETCHED, Kind.NOT_PUSHED, Kind.NO_COMMIT})
"""There may be a baseline that this clone does not have."""


@dataclass(frozen=True, kw_only=True)
class Notice:
    """One state that a reader must know. A fact that does not belong to the kind is None or empty."""

    DERIVED: ClassVar[tuple[str, ...]] = ("message", "remedy")

    kind: Kind
    of: Subject = "candidate"
    """The role of the run, or of what was looked for."""
    model: str | None = None
    run: str | None = None
    runs: tuple[str, ...] = ()
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
    settled: bool | None = None
    """True: another run counts in its place."""
    files: tuple[str, ...] = ()
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
    name: str | None = None
    """The branch, tag, commit or stage that was looked for or searched, or the place of the policy."""
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
    """The words of another program, or of the error that stopped ciplug."""
    advice: str | None = None
    """The remedy that came with `detail`."""

    @property
    def clause(self) -> str:
        """The state in words, to be a part of a sentence."""
        return _CLAUSES[self.kind](self)

    @property
    def message(self) -> str:
        """The state as a sentence."""
        text = self.clause
        return f"{text[:1].upper()}{text[1:]}" + ("" if text.endswith((".", "?")) else ".")

    @property
    def ended(self) -> str:
        """How a run ended that did not finish: "the run of seed 3 failed (exit code 1)"."""
        started = f"was started by run {self.parent[:12]}, which " if self.parent else ""
        return f"the run{f' of {self.seed}' if self.seed else ''} {started}{_ended(self)}"

    @property
    def remedy(self) -> str | None:
        """What to do about it, as a clause; None where there is nothing to do."""
        found = _REMEDIES.get(self.kind)
        return found(self) if callable(found) else found

    @property
    def line(self) -> str:
        """The sentence, and what to do."""
        return f"{self.message} → {self.remedy}" if self.remedy else self.message


# --- Sentences ---------------------------------------------------------------------------------------------------


def _quoted(names: Sequence[str]) -> str:
    return listed([f"'{name}'" for name in names])


def _which(notice: Notice) -> str:
    return f"run {(notice.run or '')[:12]}"


def _ended(notice: Notice) -> str:
    why = notice.signal or (f"exit code {notice.exit_code}" if notice.exit_code is not None else "")
    word = "was killed" if notice.kind is Kind.KILLED else "failed"
    if notice.resumed == "then":
        return f"was resumed by {notice.by} and then {word}"
    later = " before it was resumed" if notice.resumed else ""
    return (f"{word} ({why})" if why else word) + later


def _unfinished(notice: Notice) -> str:
    return f"{notice.ended if notice.parent else f'the training {_ended(notice)}'}: its numbers may be incomplete"


def _dirty(notice: Notice) -> str:
    files = f": {listed(notice.files, notice.count)}" if notice.files else ""
    return f"the run was made from a dirty tree: tracked files differed from the commit{files}"


def _passed_over(notice: Notice) -> str:
    lead = "passed over" if notice.of == "candidate" else "not compared with"
    return f"{lead}: {_which(notice)} {notice.detail}"


def _state(notice: Notice) -> str:
    if notice.kind is Kind.UNREAD_AMENDMENT:
        state = f"left with an amendment that cannot be read: {notice.path}"
    else:
        state = f"{notice.kind.value} by {notice.by}" + (f": {notice.reason}" if notice.reason else "")
    return f"started by a run that was {state}" if notice.parent else state


def _withdrawn(notice: Notice) -> str:
    lead = "not compared with: " if notice.of == "baseline" else ""
    return f"{lead}{_which(notice)} was {_state(notice)}"


def _amended(notice: Notice) -> str:
    what = f"{_quoted(notice.metrics)} {'was' if len(notice.metrics) == 1 else 'were'} changed after the end of"
    whose = {"baseline": "the baseline's "}.get(notice.of, "")
    return f"{whose}{what} {_which(notice)}, by {notice.by}"


def _newer_amendment(notice: Notice) -> str:
    lead = "the baseline's " if notice.of == "baseline" else ""
    by = f"by a newer ciplug (schema {notice.schema})"
    return f"{lead}{_which(notice)} was amended {by}, and this ciplug understands only a part of it"


def _reruns(notice: Notice) -> str:
    counts = [f"{notice.outcomes.count(one)} {one}" for one in dict.fromkeys(notice.outcomes)]
    others = f"; the others: {', '.join(counts)}" if counts else ""
    more = f", and {counted(notice.more, 'earlier run')} not judged" if notice.more else ""
    those = f" ({listed([run[:12] for run in notice.runs], notice.behind)})" if notice.runs else ""
    behind = f"; {counted(notice.behind, 'more run')} could not count{those}" if notice.behind else ""
    lead = f"{counted(notice.count or 0, 'run')} of this commit could count: {_which(notice)} counts"
    return f"{lead}{others}{more}{behind}"


def _ranges(notice: Notice) -> str:
    return listed(
        [
            f"'{name}' {' to '.join(_apart(least, most))} (by {most - least:.3g})"
            for name, (least, most) in zip(notice.metrics, notice.values, strict=True)
        ]
    )


def _apart(*values: float) -> list[str]:
    """Return different numbers with as many digits as it takes to tell them apart."""
    for digits in range(4, 17):
        texts = [f"{value:.{digits}g}" for value in values]
        if len(set(texts)) == len(texts):
            return texts
    return [repr(value) for value in values]


def _flaky(notice: Notice) -> str:
    return (
        f"FLAKY: {counted(len(notice.runs), 'run')} of this commit with seed {notice.seed} gave different numbers: "
        f"{_ranges(notice)}"
    )


def _varies(notice: Notice) -> str:
    seed = "without a recorded seed" if notice.seed is None else f"with seed {notice.seed}"
    where = f"; they differ in {listed(notice.differs)}" if notice.differs else ""
    return f"{counted(len(notice.runs), 'run')} of this commit {seed} gave different numbers: {_ranges(notice)}{where}"


def _failed_before(notice: Notice) -> str:
    where = _others(notice)
    return f"{_quoted(notice.metrics)} failed on {where} of this commit, and did not fail on the run that counts"


def _no_number_before(notice: Notice) -> str:
    errors, them = ("was an error", "it") if len(notice.metrics) == 1 else ("were errors", "them")
    have = "has" if len(notice.runs) == 1 else "have"
    found = f"{_quoted(notice.metrics)} {errors} on {_others(notice)} of this commit, which {have} no number for {them}"
    return f"{found}, and did not fail on the run that counts"


def _others(notice: Notice) -> str:
    runs = listed([run[:12] for run in notice.runs])
    return f"{'run' if len(notice.runs) == 1 else 'runs'} {runs}"


def _no_run(notice: Notice) -> str:
    beyond = f" or the {counted(notice.count, 'commit')} before it" if notice.count else ""
    return f"no run of '{notice.model}' to compare with on {notice.name}{beyond}"


def _no_run_on_branch(notice: Notice) -> str:
    with_metric = f" with '{notice.metrics[0]}'" if notice.metrics else ""
    return f"no {'other run' if notice.run else 'run'} of '{notice.model}'{with_metric} on {notice.name}"


def _stale(notice: Notice) -> str:
    allowed = f"at most {notice.max_age_days or 0:g} days of age are allowed"
    return f"the baseline is from {notice.day or 'an unknown day'}, and {allowed}"


def _no_evaluation(notice: Notice) -> str:
    if notice.of == "baseline":
        return f"the baseline has no digest of '{notice.path}': the numbers cannot be compared"
    return f"the run has no digest of the evaluation set '{notice.path}': is the file among the run's datasets?"


def _unreadable(notice: Notice) -> str:
    if notice.of == "production":
        return f"its run cannot be read: {notice.detail}"
    return f"a record cannot be read, and is left out: {notice.detail}"


def _skipped_event(notice: Notice) -> str:
    which = f"event {notice.event} of '{notice.model}'"
    if notice.schema is not None:
        return f"{which} was written by a newer ciplug (schema {notice.schema}) and is skipped"
    return f"{which} has type {(notice.type or '')[:60]!r}, which this ciplug does not know"


def _no_base_policy(notice: Notice) -> str:
    lacks = f"has no gate for the model '{notice.model}'" if notice.model else f"has no {notice.path}"
    return f"{notice.name} {lacks}: this pull request is judged by its own gates"


def _renamed(notice: Notice) -> str:
    old, new = notice.metrics
    if notice.hindrance is None:
        return f"this pull request renames '{old}' to '{new}': gates, baseline and history follow"
    why = {"known": f"the target branch has a '{new}' already", "both": "the run has metrics of both names"}
    return f"the rename of '{old}' to '{new}' is not followed: {why[notice.hindrance]}"


_CLAUSES: dict[Kind, Callable[[Notice], str]] = {
    Kind.FAILED: _unfinished,
    Kind.KILLED: _unfinished,
    Kind.FORK: lambda n: "the run was recorded by a fork's job: nobody has verified its numbers",
    Kind.DIRTY: _dirty,
    Kind.HEAD_MOVED: lambda n: f"the run {n.detail}",
    Kind.SET_ASIDE: lambda n: (
        "files that differ from the commit do not count, because 'clean: ignore' names them: "
        f"{listed(n.files, n.count)}"
    ),
    Kind.BESIDE: lambda n: (
        f"another run was started that writes the same files, and the numbers may be from that run: "
        f"{listed([run[:12] for run in n.runs])}"
    ),
    Kind.OLDER: lambda n: (
        f"these files are older than the commit, so other code may have written them: {listed(n.files)}"
    ),
    Kind.UNWRITTEN: lambda n: f"the command did not write {listed(n.files)}: recorded with the run anyway",
    Kind.LEFT_OUT: lambda n: f"of what the training wrote, {n.detail}",
    Kind.PASSED_OVER: _passed_over,
    Kind.MORE_PASSED_OVER: lambda n: f"{counted(n.count or 0, 'more run')} of this commit passed over",
    Kind.WITHDRAWN: _withdrawn,
    Kind.DELETED: _withdrawn,
    Kind.UNREAD_AMENDMENT: _withdrawn,
    Kind.NEWER_AMENDMENT: _newer_amendment,
    Kind.AMENDED_METRIC: _amended,
    Kind.SEEDS: lambda n: (
        f"{counted(len(n.runs), 'run')} of this commit, which differ in their seed, are judged as one"
    ),
    Kind.RERUNS: _reruns,
    Kind.FLAKY: _flaky,
    Kind.VARIES: _varies,
    Kind.FAILED_BEFORE: _failed_before,
    Kind.NO_NUMBER_BEFORE: _no_number_before,
    Kind.NOT_ALL_JUDGED: lambda n: (
        f"{counted(n.count or 0, 'earlier run')} of this commit could also count, "
        "and were not judged: only the last ones are"
    ),
    Kind.SHALLOW: lambda n: "this clone is shallow: ancestors beyond its depth are not seen",
    Kind.NOT_FETCHED: lambda n: f"the history could not be fetched ({n.detail})",
    Kind.NOT_PUSHED: lambda n: f"commit {(n.name or '')[:8]} is not on the remote yet, and this clone is shallow",
    Kind.TARGET_UNKNOWN: lambda n: "the default branch is not known",
    Kind.NO_BRANCH: lambda n: f"there is no branch '{n.name}'",
    Kind.NO_TAG: lambda n: f"there is no tag '{n.name}'",
    Kind.NO_COMMIT: lambda n: f"no commit '{n.name}' in this clone",
    Kind.NO_RUN: _no_run,
    Kind.NO_RUN_THERE: lambda n: f"no run of '{n.model}' on {n.name} or its ancestors",
    Kind.NO_RUN_ON_BRANCH: _no_run_on_branch,
    Kind.NO_ANCESTOR: lambda n: "there is no earlier commit",
    Kind.HISTORY_UNKNOWN: lambda n: "the history is not known",
    Kind.NO_HOLDER: lambda n: f"no version of '{n.model}' is in {n.name}",
    Kind.STALE: _stale,
    Kind.OTHER_EVALUATION: lambda n: (
        f"the baseline was measured on another version of '{n.path}': the numbers cannot be compared"
    ),
    Kind.NO_EVALUATION: _no_evaluation,
    Kind.BASE_ASKED: lambda n: f"compared with '{n.name}' as asked for; the gates keep the baseline of the policy",
    Kind.UNREADABLE: _unreadable,
    Kind.SKIPPED_EVENT: _skipped_event,
    Kind.NO_BASE_POLICY: _no_base_policy,
    Kind.RENAMED: _renamed,
    Kind.NOT_JUDGED: lambda n: n.detail or "no gate judges the model",
}


# --- Remedies ----------------------------------------------------------------------------------------------------


_TRAINING = "look at the log of the training"


def _of_withdrawal(notice: Notice) -> str:
    if notice.of == "production":
        return f"promote another version of '{notice.model}'"
    if notice.kind is Kind.UNREAD_AMENDMENT:
        return "record another run; `ciplug fsck` names what cannot be read"
    restored = notice.parent or notice.run or ""
    return f"record another run; or, if this run is correct after all: ciplug runs restore {restored[:12]}"


def _of_variation(notice: Notice) -> str:
    if notice.seed is None:
        return "set a seed, and record it: ciplug run --seed 1 -- COMMAND"
    return "make what differs the same, and run it again"


def _of_evaluation(notice: Notice) -> str:
    if notice.of == "baseline" or notice.kind is Kind.OTHER_EVALUATION:
        return "record the baseline's commit again, with this evaluation set among its datasets"
    return "name the file among the datasets of the run"


def _of_failure(notice: Notice) -> str:
    if notice.seed is None:
        return _TRAINING
    return (
        f"{_TRAINING}, and run this seed again; or withdraw the run if it must not count: "
        f"ciplug runs withdraw {(notice.run or '')[:12]} --reason WHY"
    )


_CHECK_OUT_FIRST = "check out the commit first, then train: ciplug run -- COMMAND"
_OF_PASSED_OVER = {
    Reason.DIRTY: "commit the changes, and record the run again",
    Reason.SET_ASIDE: "commit the changes, and record the run again; or merge that 'clean:' first",
    Reason.STATE_UNKNOWN: "record it again, in a clone of the repository",
    Reason.NOT_FINISHED: _TRAINING,
    Reason.INCOMPLETE: "make every run write the metrics that the gates use",
    Reason.WITHDRAWN: "record another run",
}
_WHOLE = "fetch the whole history first"
_OTHER_NAME = "name another 'baseline:' in ciplug.yaml"
_FIRST_RUN = (
    "the first run on the target branch becomes the baseline; "
    "to have one now, check out that commit, then train: ciplug run -- COMMAND"
)
_LATER = "this is normal for the first run: later runs are compared with it"
_OF_RENAME = {
    None: "check in the changes of the training that it is the same number",
    "known": "choose a name that the target branch does not have",
    "both": "make the training write only one of them",
}
_REMEDIES: dict[Kind, str | Callable[[Notice], str | None]] = {
    Kind.FAILED: _of_failure,
    Kind.KILLED: _of_failure,
    Kind.FORK: "to have verified numbers, train that code in a pipeline of this repository",
    Kind.DIRTY: "commit the changes, and record the run again",
    Kind.HEAD_MOVED: _CHECK_OUT_FIRST,
    Kind.SET_ASIDE: "if the training reads them, commit them, and record the run again",
    Kind.BESIDE: "run it again while no other run uses this folder",
    Kind.OLDER: "train this commit again: ciplug run -- COMMAND",
    Kind.UNWRITTEN: "make the command write these files",
    Kind.LEFT_OUT: "make the training write a number for each of them",
    Kind.MORE_PASSED_OVER: "list them: ciplug runs list --commit HEAD",
    Kind.PASSED_OVER: lambda n: _OF_PASSED_OVER.get(n.because) if n.because and not n.settled else None,
    Kind.WITHDRAWN: _of_withdrawal,
    Kind.DELETED: _of_withdrawal,
    Kind.UNREAD_AMENDMENT: _of_withdrawal,
    Kind.NEWER_AMENDMENT: "upgrade ciplug",
    Kind.AMENDED_METRIC: "record another run: recorded values cannot be changed",
    Kind.FLAKY: "find what is not seeded: threads, the order of data, a GPU kernel; or judge several seeds ('seeds:')",
    Kind.VARIES: _of_variation,
    Kind.NO_NUMBER_BEFORE: "find why the same command gave no number there; withdraw that run if it must not count",
    Kind.NOT_ALL_JUDGED: "judge several seeds ('seeds:') instead of running one seed again and again",
    Kind.FAILED_BEFORE: "do not rely on the last run alone: judge several seeds ('seeds:'), or allow for the noise",
    Kind.SHALLOW: "check out with the whole history (fetch-depth: 0)",
    Kind.NOT_FETCHED: _WHOLE,
    Kind.NOT_PUSHED: "push the commit, or fetch the whole history first",
    Kind.TARGET_UNKNOWN: "name the branch to compare with as 'baseline:' in ciplug.yaml",
    Kind.NO_BRANCH: _OTHER_NAME,
    Kind.NO_TAG: _OTHER_NAME,
    Kind.NO_COMMIT: _WHOLE,
    Kind.NO_RUN: _FIRST_RUN,
    Kind.NO_RUN_THERE: "check out that commit, then train: ciplug run -- COMMAND",
    Kind.NO_RUN_ON_BRANCH: lambda n: (
        "the first run there with this metric becomes the baseline" if n.metrics else _FIRST_RUN
    ),
    Kind.NO_ANCESTOR: _LATER,
    Kind.HISTORY_UNKNOWN: _LATER,
    Kind.NO_HOLDER: lambda n: f"the first promotion to {n.name} adds one",
    Kind.STALE: "record the baseline's commit again",
    Kind.OTHER_EVALUATION: _of_evaluation,
    Kind.NO_EVALUATION: _of_evaluation,
    Kind.UNREADABLE: "see the problem in detail: ciplug fsck",
    Kind.SKIPPED_EVENT: "upgrade ciplug",
    Kind.NO_BASE_POLICY: "merge the policy first, in a pull request of its own",
    Kind.RENAMED: lambda n: _OF_RENAME[n.hindrance],
    Kind.NOT_JUDGED: lambda n: n.advice,
}
