"""The words of notices: the terminal, the comment, the page and JSON name the same states by these."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ciplug.errors import counted, listed
from ciplug.records.notice_facts import Facts, Kind
from ciplug.records.selection import WORDS


def _quoted(names: Sequence[str]) -> str:
    return listed([f"'{name}'" for name in names])


def _which(notice: Facts) -> str:
    return f"run {(notice.run or '')[:12]}"


def clause(notice: Facts) -> str:
    """The state in words, to be a part of a sentence."""
    return _OF_KIND[notice.kind](notice)


def ended(notice: Facts) -> str:
    """How a run ended that did not finish: "the run of seed 3 failed (exit code 1)"."""
    started = f"was started by run {notice.parent[:12]}, which " if notice.parent else ""
    return f"the run{f' of {notice.seed}' if notice.seed else ''} {started}{_ended(notice)}"


def _ended(notice: Facts) -> str:
    if notice.detail is not None:
        return f"is {notice.detail} in MLflow, although its exit code is 0"
    if notice.kind is Kind.END_UNKNOWN:
        again = f", resumed by {notice.by}," if notice.resumed == "then" else ""
        return f"{again} ended by SystemExit, and its exit code is not known".strip(" ,")
    why = notice.signal or (f"exit code {notice.exit_code}" if notice.exit_code is not None else "")
    word = "was killed" if notice.kind is Kind.KILLED else "failed"
    if notice.resumed == "then":
        return f"was resumed by {notice.by} and then {word}"
    later = " before it was resumed" if notice.resumed else ""
    return (f"{word} ({why})" if why else word) + later


def _unfinished(notice: Facts) -> str:
    return f"{ended(notice) if notice.parent else f'the training {_ended(notice)}'}: its numbers may be incomplete"


def _dirty(notice: Facts) -> str:
    files = f": {listed(notice.files, notice.count)}" if notice.files else ""
    return f"the run was made from a dirty tree: tracked files differed from the commit{files}"


def _passed_over(notice: Facts) -> str:
    lead = "skipped" if notice.of == "candidate" else "not compared with"
    return f"{lead}: {_which(notice)} {notice.detail}"


def _state(notice: Facts) -> str:
    if notice.kind is Kind.UNREAD_AMENDMENT:
        state = f"left with an amendment that cannot be read: {notice.path}"
    else:
        state = f"{notice.kind.value} by {notice.by}" + (f": {notice.reason}" if notice.reason else "")
    return f"started by a run that was {state}" if notice.parent else state


def _withdrawn(notice: Facts) -> str:
    lead = "not compared with: " if notice.of == "baseline" else ""
    return f"{lead}{_which(notice)} was {_state(notice)}"


def _amended(notice: Facts) -> str:
    what = f"{_quoted(notice.metrics)} {'was' if len(notice.metrics) == 1 else 'were'} changed after the end of"
    whose = {"baseline": "the baseline's "}.get(notice.of, "")
    return f"{whose}{what} {_which(notice)}, by {notice.by}"


def _newer_amendment(notice: Facts) -> str:
    lead = "the baseline's " if notice.of == "baseline" else ""
    by = f"by a newer ciplug (schema {notice.schema})"
    return f"{lead}{_which(notice)} was amended {by}, and this ciplug understands only a part of it"


def _reruns(notice: Facts) -> str:
    counts = [f"{notice.outcomes.count(one)} {one}" for one in dict.fromkeys(notice.outcomes)]
    others = f"; the others: {', '.join(counts)}" if counts else ""
    more = f", and {counted(notice.more, 'earlier run')} not judged" if notice.more else ""
    each = [f"{run[:12]} {WORDS[why]}" for run, why in zip(notice.runs, notice.reasons, strict=True)]
    those = f" ({listed(each, notice.behind)})" if each else ""
    behind = f"; {counted(notice.behind, 'more run')} could not count{those}" if notice.behind else ""
    lead = f"{counted(notice.count or 0, 'run')} of this commit could count: {_which(notice)} counts"
    if notice.settled:
        lead = f"{_which(notice)} does not count for this commit, another run does"
    have = "has" if len(notice.commits) == 1 else "have"
    before = f"; some are of {listed([one[:8] for one in notice.commits])}, which {have} the same files"
    return f"{lead}{others}{more}{behind}{before if notice.commits else ''}"


def _ranges(notice: Facts) -> str:
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


def _flaky(notice: Facts) -> str:
    return (
        f"FLAKY: {counted(len(notice.runs), 'run')} of this commit with seed {notice.seed} gave different numbers: "
        f"{_ranges(notice)}"
    )


def _varies(notice: Facts) -> str:
    seed = "without a recorded seed" if notice.seed is None else f"with seed {notice.seed}"
    where = f"; they differ in {listed(notice.differs)}" if notice.differs else ""
    return f"{counted(len(notice.runs), 'run')} of this commit {seed} gave different numbers: {_ranges(notice)}{where}"


def _failed_before(notice: Facts) -> str:
    where = _others(notice)
    return f"{_quoted(notice.metrics)} failed on {where} of this commit, and did not fail on the judged run"


def _failed_withdrawn(notice: Facts) -> str:
    were = "was" if len(notice.runs) == 1 else "were"
    which = f"{_others(notice)} of this commit, which {were} withdrawn"
    return f"{_quoted(notice.metrics)} failed on {which}, and did not fail on the judged run"


def _no_number_before(notice: Facts) -> str:
    errors, them = ("was an error", "it") if len(notice.metrics) == 1 else ("were errors", "them")
    have = "has" if len(notice.runs) == 1 else "have"
    clause = (
        f"{_quoted(notice.metrics)} {errors} on {_others(notice)} of this commit, which {have} no number for {them}"
    )
    return f"{clause}, and did not fail on the judged run"


def _others(notice: Facts) -> str:
    runs = listed([run[:12] for run in notice.runs])
    return f"{'run' if len(notice.runs) == 1 else 'runs'} {runs}"


def _no_run(notice: Facts) -> str:
    beyond = f" or the {counted(notice.count, 'commit')} before it" if notice.count else ""
    return f"no run of '{notice.model}' to compare with on {notice.name}{beyond}"


def _no_run_on_branch(notice: Facts) -> str:
    with_metric = f" with '{notice.metrics[0]}'" if notice.metrics else ""
    apart = " apart from those of this commit" if notice.run else ""
    return f"no run of '{notice.model}'{with_metric} on {notice.name}{apart}"


def _stale(notice: Facts) -> str:
    allowed = f"at most {notice.max_age_days or 0:g} days of age are allowed"
    return f"the baseline is from {notice.day or 'an unknown day'}, and {allowed}"


def _no_evaluation(notice: Facts) -> str:
    if notice.of == "baseline":
        return f"the baseline has no digest of '{notice.path}': the numbers cannot be compared"
    return f"the run has no digest of the evaluation set '{notice.path}': is the file among the run's datasets?"


def _unreadable(notice: Facts) -> str:
    if notice.of == "production":
        return f"its run cannot be read: {notice.detail}"
    return f"a record cannot be read, and is left out: {notice.detail}"


def _skipped_event(notice: Facts) -> str:
    which = f"event {notice.event} of '{notice.model}'"
    if notice.schema is not None:
        return f"{which} was written by a newer ciplug (schema {notice.schema}) and is skipped"
    return f"{which} has type {(notice.type or '')[:60]!r}, which this ciplug does not know"


def _looks(notice: Facts) -> str:
    lead = f"{counted(notice.count or 0, 'run')} of '{notice.model}' were measured on this content of {notice.path}"
    if notice.luck is None:
        return f"{lead}: by chance, the best of them may look better than it is"
    name = notice.metrics[0] if notice.metrics else "the metric"
    return f"{lead}: by chance, the best of them may look up to {notice.luck:.2g} better in '{name}' than it is"


def _no_base_policy(notice: Facts) -> str:
    lacks = f"has no gate for the model '{notice.model}'" if notice.model else f"has no {notice.path}"
    return f"{notice.name} {lacks}: this pull request is judged by its own gates"


def _read_otherwise(notice: Facts) -> str:
    each = [
        f"{file} ({before} → {now})" for file, before, now in zip(notice.files, notice.before, notice.now, strict=True)
    ]
    return f"this pull request reads its metrics differently from {notice.name}: {listed(each, separator='; ')}"


def _renamed(notice: Facts) -> str:
    old, new = notice.metrics
    if notice.hindrance is None:
        return f"this pull request renames '{old}' to '{new}': gates, baseline and history follow"
    why = {"known": f"the target branch has a '{new}' already", "both": "the run has metrics of both names"}
    return f"the rename of '{old}' to '{new}' is not followed: {why[notice.hindrance]}"


_OF_KIND: dict[Kind, Callable[[Facts], str]] = {
    Kind.FAILED: _unfinished,
    Kind.KILLED: _unfinished,
    Kind.END_UNKNOWN: _unfinished,
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
    Kind.NOT_MADE: lambda n: f"of the files that the training logged, {n.detail}",
    Kind.NOT_RECORDED: lambda n: f"{listed(n.files)} is not recorded: {n.detail}",
    Kind.NOT_KEPT: lambda n: f"the artifact {listed(n.files)}: {n.detail}",
    Kind.TWO_VALUES: lambda n: f"metrics have another value in the log than in their file, which counts: {n.detail}",
    Kind.PASSED_OVER: _passed_over,
    Kind.MORE_PASSED_OVER: lambda n: f"{counted(n.count or 0, 'more run')} of this commit skipped",
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
    Kind.FAILED_WITHDRAWN: _failed_withdrawn,
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
    Kind.NO_COMMIT: lambda n: f"no commit '{n.name}' in this clone, and no run of it",
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
    Kind.UNSIGNED_EVENTS: lambda n: (
        f"{counted(n.count or 0, 'event')} of the registry of '{n.model}', the first is event {n.event}, "
        "have no signature of an allowed signer, and do not count"
    ),
    Kind.BROKEN_LOG: lambda n: f"the registry of '{n.model}' cannot be read: {n.detail}",
    Kind.SKIPPED_EVENT: _skipped_event,
    Kind.NO_BASE_POLICY: _no_base_policy,
    Kind.LOOKS: _looks,
    Kind.GATED_NOT_RUN: lambda n: f"no run of '{n.model}' on this commit, and {n.name} has gates for it",
    Kind.GATED_DROPPED: lambda n: (
        f"no run of '{n.model}' on this commit: {n.name} has gates for it, and this pull request takes them away"
    ),
    Kind.RENAMED: _renamed,
    Kind.READ_OTHERWISE: _read_otherwise,
    Kind.NOT_JUDGED: lambda n: n.detail or "no gate judges the model",
}
