"""What to do about the state that a notice names."""

from __future__ import annotations

from collections.abc import Callable

from ciplug.records.notice_facts import Facts, Kind
from ciplug.records.selection import Reason


def remedy(notice: Facts) -> str | None:
    """What to do, as a clause; None where there is nothing to do."""
    remedy = _OF_KIND.get(notice.kind)
    return remedy(notice) if callable(remedy) else remedy


_TRAINING = "look at the log of the training"


def _of_withdrawal(notice: Facts) -> str:
    if notice.of == "production":
        return f"promote another version of '{notice.model}'"
    if notice.kind is Kind.UNREAD_AMENDMENT:
        return "record another run; `ciplug fsck` names what cannot be read"
    restored = notice.parent or notice.run or ""
    return f"record another run; or, if this run is correct after all: ciplug runs restore {restored[:12]}"


def _of_variation(notice: Facts) -> str:
    if notice.seed is None:
        return "set a seed, and record it: ciplug run --seed 1 -- COMMAND"
    return "make what differs the same, and run it again"


def _of_evaluation(notice: Facts) -> str:
    if notice.of == "baseline" or notice.kind is Kind.OTHER_EVALUATION:
        return "record the baseline's commit again, with this evaluation set among its datasets"
    return "name the file among the datasets of the run"


def _of_failure(notice: Facts) -> str:
    if notice.detail is not None:
        return f"find in the training why it ends its run in MLflow as {notice.detail}"
    if notice.seed is None:
        return _TRAINING
    return (
        f"{_TRAINING}, and run this seed again; or withdraw the run if it must not count: "
        f"ciplug runs withdraw {(notice.run or '')[:12]} --reason WHY"
    )


_CHECK_OUT_FIRST = "check out the commit first, then train: ciplug run -- COMMAND"
_KNOWN_END = "run the program with ciplug run -- COMMAND; or start its run using 'with', or end it with sys.exit(…)"
_OF_PASSED_OVER = {
    Reason.DIRTY: "commit the changes, and record the run again",
    Reason.SET_ASIDE: "commit the changes, and record the run again; or merge that 'clean:' first",
    Reason.STATE_UNKNOWN: "record it again, in a clone of the repository",
    Reason.NOT_FINISHED: _TRAINING,
    Reason.END_UNKNOWN: _KNOWN_END,
    Reason.CHILD: "log the metrics that gates use in the parent run, too: other runs are compared with that one",
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
_OF_KIND: dict[Kind, str | Callable[[Facts], str | None]] = {
    Kind.FAILED: _of_failure,
    Kind.KILLED: _of_failure,
    Kind.END_UNKNOWN: _KNOWN_END,
    Kind.FORK: "to have verified numbers, train that code in a pipeline of this repository",
    Kind.DIRTY: "commit the changes, and record the run again",
    Kind.HEAD_MOVED: _CHECK_OUT_FIRST,
    Kind.SET_ASIDE: "if the training reads them, commit them, and record the run again",
    Kind.BESIDE: "run it again while no other run uses this folder",
    Kind.OLDER: "train this commit again: ciplug run -- COMMAND",
    Kind.UNWRITTEN: "make the command write these files",
    Kind.LEFT_OUT: lambda n: n.advice or "make the training write a number for each of them",
    Kind.NOT_MADE: "correct the log calls of these files: no gate looks at them",
    Kind.NOT_RECORDED: lambda n: n.advice or "make the training write a file that can be read",
    Kind.NOT_KEPT: lambda n: n.advice or "make the training write a file that can be read",
    Kind.TWO_VALUES: "make the training log the number that it writes, or only one of the two",
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
    Kind.FAILED_WITHDRAWN: "see who withdrew it, and why: ciplug runs show RUN",
    Kind.SHALLOW: "check out with the whole history (fetch-depth: 0)",
    Kind.NOT_FETCHED: _WHOLE,
    Kind.NOT_PUSHED: "push the commit, or fetch the whole history first",
    Kind.TARGET_UNKNOWN: "name the branch to compare with as 'baseline:' in ciplug.yaml",
    Kind.NO_BRANCH: _OTHER_NAME,
    Kind.NO_TAG: _OTHER_NAME,
    Kind.NO_COMMIT: "correct the id in 'baseline:', or fetch the whole history",
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
    Kind.UNSIGNED_EVENTS: "look at them: ciplug registry history; if they are right: ciplug registry vouch",
    Kind.BROKEN_LOG: "see the problem in detail: ciplug fsck",
    Kind.SKIPPED_EVENT: "upgrade ciplug",
    Kind.LOOKS: "measure what you promote on data that no run was chosen by, or renew the evaluation set",
    Kind.GATED_NOT_RUN: "record one; or, if not every pull request trains it, merge 'optional: true' for it first",
    Kind.GATED_DROPPED: "keep its gates; or merge 'optional: true' for it first, by itself",
    Kind.NO_BASE_POLICY: "merge the policy first, in a pull request of its own",
    Kind.RENAMED: lambda n: _OF_RENAME[n.hindrance],
    Kind.READ_OTHERWISE: "check that the gates still judge the same number; the policy of the target branch decides",
    Kind.NOT_JUDGED: lambda n: n.advice,
}
