"""The chain from the bytes of a version to the approvals of its promotion, as typed facts: one finding a link. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Literal, NamedTuple

from ciplug.errors import BrokenLog, PromotionRefused, UsageError
from ciplug.records.canonical import digest
from ciplug.records.registry_event import Promote, Register
from ciplug.records.registry_moves import Rollback
from ciplug.records.run import Run
from ciplug.records.verdict import EFFECTS, Verdict, worst
from ciplug.registry.events import EVENT_TYPES
from ciplug.registry.files import has_files
from ciplug.registry.ladder import ARCHIVED, NO_STAGE, Ladder
from ciplug.registry.model import Version


class Link(Enum):
    """The links, in their order."""

    BYTES = "bytes"
    VERSION = "version"
    RUN = "run"
    COMMIT = "commit"
    VERDICT = "verdict"
    POLICY = "policy"
    APPROVALS = "approvals"
    TAGS = "tags"
    DOCUMENTS = "documents"


_DAMAGED, _REFUSED, _UNNAMED = BrokenLog.exit_code, PromotionRefused.exit_code, UsageError.exit_code


class Fault(Enum):
    """What breaks a link: its name in JSON, and the exit code of its class."""

    NO_BYTES = ("no_bytes", _DAMAGED)
    """The bytes are not in this clone: nothing is known of them."""
    FILE_MISSING = ("file_missing", _DAMAGED)
    OTHER_BYTES = ("other_bytes", _DAMAGED)
    BAD_SIGNATURE = ("bad_signature", _DAMAGED)
    """The signature of the model's files does not hold."""
    NOT_COVERED = ("not_covered", _DAMAGED)
    """The signature is of other files than the version has: of more, of fewer, or under other names."""
    EXTRA_FILE = ("extra_file", _DAMAGED)
    """The folder has a file that is not of the version, and that its signature does not cover."""
    BROKEN_LOG = ("broken_log", _DAMAGED)
    LOST_EVENTS = ("lost_events", _DAMAGED)
    """The log was moved back: the store keeps events that it lacks."""
    BROKEN_RULE = ("broken_rule", _DAMAGED)
    """An event that no ciplug would have appended."""
    NEVER_THERE = ("never_there", _REFUSED)
    """It is in a stage that versions reach by a promotion alone, and none brought it there."""
    YANKED = ("yanked", _REFUSED)
    NO_RUN = ("no_run", _DAMAGED)
    WITHOUT_RUN = ("without_run", _REFUSED)
    """It was registered without a run, so nothing has judged it."""
    NO_FILES = ("no_files", _REFUSED)
    """It was registered with an address, and with no file of its run."""
    OTHER_RECORD = ("other_record", _DAMAGED)
    OTHER_FILES = ("other_files", _DAMAGED)
    FORK_RUN = ("fork_run", _REFUSED)
    WITHDRAWN = ("withdrawn", _REFUSED)
    UNSIGNED = ("unsigned", _REFUSED)
    """The policy names signers, and none of them signed it."""
    NO_COMMIT = ("no_commit", _REFUSED)
    OTHER_COMMIT = ("other_commit", _DAMAGED)
    COMMIT_NOT_HERE = ("commit_not_here", _DAMAGED)
    DAMAGED_COMMIT = ("damaged_commit", _DAMAGED)
    DIRTY = ("dirty", _REFUSED)
    NOT_PROMOTED = ("not_promoted", _REFUSED)
    NO_VERDICT = ("no_verdict", _REFUSED)
    VERDICT_MISSING = ("verdict_missing", _DAMAGED)
    OTHER_VERDICT = ("other_verdict", _DAMAGED)
    OTHER_OUTCOME = ("other_outcome", _DAMAGED)
    """The event names another outcome than its verdict has."""
    VERDICT_OF_OTHER_RUN = ("verdict_of_other_run", _DAMAGED)
    NOT_PASSED = ("not_passed", _REFUSED)
    OTHER_NUMBERS = ("other_numbers", _DAMAGED)
    """The verdict was made from other bytes of the run's record, or of what was added to it."""
    OTHER_POLICY = ("other_policy", _DAMAGED)
    POLICY_NOT_HERE = ("policy_not_here", _DAMAGED)
    POLICY_CHANGED = ("policy_changed", _DAMAGED)
    POLICY_NOT_COMMITTED = ("policy_not_committed", _REFUSED)
    NOT_APPROVED = ("not_approved", _REFUSED)
    NOT_CONFIRMED = ("not_confirmed", _REFUSED)
    """Somebody other than the author had to promote, and no forge confirmed who did."""
    COMMIT_UNSIGNED = ("commit_unsigned", _REFUSED)
    DOCUMENT_MISSING = ("document_missing", _DAMAGED)
    DOCUMENT_UNSIGNED = ("document_unsigned", _REFUSED)
    """No allowed signer has signed it, as it is."""
    NO_SIGNERS = ("no_signers", _REFUSED)
    """The policy names nobody whose signature would count."""
    OTHER_SUBJECT = ("other_subject", _DAMAGED)
    """It states something of other files than the version has."""
    TAG_MISSING = ("tag_missing", _DAMAGED)
    TAG_ELSEWHERE = ("tag_elsewhere", _DAMAGED)
    TAG_OF_NO_EVENT = ("tag_of_no_event", _DAMAGED)
    TAG_OTHER_TEXT = ("tag_other_text", _DAMAGED)
    """It names the event that the log has, or none, and was not made by ciplug as it is."""
    TAG_OTHER_EVENT = ("tag_other_event", _DAMAGED)
    """It has the digest of an event that the log has not: one of them was rewritten."""
    TAG_BEYOND_LOG = ("tag_beyond_log", _DAMAGED)
    """It was made with an event after the last one of the log, which may have lost it."""

    def __init__(self, code: str, exit_code: int) -> None:
        self.code = code
        self.exit_code = exit_code


State = Literal["sound", "broken", "note", "unknown", "left out"]


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What was found at one link."""

    link: Link
    fault: Fault | None = None
    note: bool = False
    """Whether its fault is only told: the version is what the registry says all the same."""
    left_out: bool = False
    """Whether nobody asked for this link, or the registry does not have it."""
    after_break: bool = False
    """Whether it hangs on a broken link, so that nothing can be said of it."""
    facts: Mapping[str, str | int | bool | None] = field(default_factory=dict)

    @property
    def state(self) -> State:
        if self.fault:
            return "note" if self.note else "broken"
        return "unknown" if self.after_break else "left out" if self.left_out else "sound"


@dataclass(frozen=True, kw_only=True)
class Chain:
    """All findings on a version, in the order of the links."""

    model: str
    version: int
    stage: str
    findings: Sequence[Finding]

    @property
    def broken(self) -> Finding | None:
        """The first broken link; None: the chain is whole."""
        return next((finding for finding in self.findings if finding.fault and not finding.note), None)

    @property
    def notes(self) -> Sequence[Finding]:
        """What is wrong, and breaks no link."""
        return [finding for finding in self.findings if finding.note]

    @property
    def exit_code(self) -> int:
        broken = self.broken
        return broken.fault.exit_code if broken and broken.fault else 0

    def to_json(self) -> dict[str, object]:
        broken = self.broken
        return {
            "model": self.model,
            "version": self.version,
            "stage": self.stage,
            "whole": broken is None,
            "broken": broken.link.value if broken else None,
            "links": [
                {
                    "link": finding.link.value,
                    "state": finding.state,
                    "fault": finding.fault.code if finding.fault else None,
                    "facts": dict(finding.facts),
                }
                for finding in self.findings
            ],
        }


def run_faults(version: Version, record: bytes | None, run: Run | None) -> Iterator[Fault]:
    """Yield what is wrong with the record of a version's run, given its bytes in the store."""
    if version.run is None:
        yield Fault.WITHOUT_RUN
        return
    if record is None or run is None:
        yield Fault.NO_RUN
        return
    if version.record not in (None, digest(record)):
        yield Fault.OTHER_RECORD
    if not version.files:
        yield Fault.NO_FILES
    elif not has_files(run, version):
        yield Fault.OTHER_FILES
    if not run.provenance.context.trusted:
        yield Fault.FORK_RUN


def commit_faults(version: Version, run: Run, promotion: Promote | None) -> Iterator[Fault]:
    """Yield what is wrong with the commit by the records alone."""
    if run.commit is None:
        yield Fault.NO_COMMIT
        return
    if len({version.commit, run.commit, promotion.commit if promotion else run.commit}) > 1:
        yield Fault.OTHER_COMMIT
    exempt = promotion is not None and "clean_tree" in promotion.exemptions
    if run.provenance.dirty is not False and not exempt:
        yield Fault.DIRTY


def verdict_faults(
    promotion: Promote,
    data: bytes | None,
    verdict: Verdict | None,
    judged_now: Mapping[str, str],
    gates: Sequence[str] | None,
) -> Iterator[Fault]:
    """Yield what is wrong with the verdict that a promotion names.

    Args:
        data: its bytes in the store; None: they are not there.
        verdict: what they hold; None: no verdict.
        judged_now: key → digest of the record and the amendments of the run, as the store has them.
        gates: those that the stage takes; None: all.
    """
    if promotion.verdict is None or promotion.verdict_digest is None:
        yield Fault.NO_VERDICT
        return
    if data is None:
        yield Fault.VERDICT_MISSING
        return
    if digest(data) != promotion.verdict_digest or verdict is None:
        yield Fault.OTHER_VERDICT
        return
    if (verdict.run, verdict.commit) != (promotion.run, promotion.commit):
        yield Fault.VERDICT_OF_OTHER_RUN
    if not _passed(verdict, gates):
        yield Fault.NOT_PASSED
    if promotion.outcome not in (None, verdict.outcome):
        yield Fault.OTHER_OUTCOME
    if any(judged_now.get(key) not in (None, one) for key, one in verdict.judged.items()):
        yield Fault.OTHER_NUMBERS


def _passed(verdict: Verdict, gates: Sequence[str] | None) -> bool:
    if verdict.passed or verdict.dry_run or gates is None:
        return verdict.passed
    outcomes = [gate.outcome for gate in verdict.gates if gate.gate in (*gates, "run", "policy")]
    return bool(outcomes) and EFFECTS[worst(outcomes)].promotes


def policy_faults(promotion: Promote, verdict: Verdict, found: str | None) -> Iterator[Fault]:
    """Yield what is wrong with the policy that the verdict of a promotion was made by.

    Args:
        found: the digest of the policy that this repository has in the commit of the verdict; None: it has none.
    """
    if verdict.policy_digest != promotion.policy_digest:
        yield Fault.OTHER_POLICY
    if not verdict.policy_as_committed:
        yield Fault.POLICY_NOT_COMMITTED
    if found is None:
        yield Fault.POLICY_NOT_HERE
    elif found != verdict.policy_digest:
        yield Fault.POLICY_CHANGED


class Scan(NamedTuple):
    """What a look at every event of a log has found, without reading them as records."""

    about: Sequence[tuple[str, int | None]]
    """Of each event its type, and the version that it is about; None: none."""
    broken: int | None = None
    """The number of the first event that does not follow from the one before."""


def scan(entries: Sequence[bytes]) -> Scan:
    """Verify the chain of a log. Only what every schema of an event has is read, which takes microseconds an event."""
    about: list[tuple[str, int | None]] = []
    before: str | None = None
    for number, data in enumerate(entries, start=1):
        try:
            event = json.loads(data)
            follows = (event["seq"], event.get("previous")) == (number, before)
            payload = event.get("payload")
            version = payload.get("version") if isinstance(payload, dict) else None
            about.append((str(event["type"]), version if isinstance(version, int) else None))
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            follows = False
        if not follows:
            return Scan(about, number)
        before = digest(data)
    return Scan(about)


def broken_moves(version: Version, own: Sequence[tuple[int, Any]], today: Ladder) -> Iterator[tuple[int, str]]:
    """Yield the events on a version that no ciplug would have made, as far as they show by themselves.

    What other versions did meanwhile is not looked at: `replayed_rules.broken_rules` replays a whole log.

    Args:
        own: number and payload of the events on the version that count, first to last.
        today: the stages in force, for events that do not name theirs.
    """
    stage: str | None = None
    for seq, payload in own:
        if isinstance(payload, Register):
            if stage is not None:
                yield seq, f"registers version {version.number} again"
            stage = NO_STAGE
            continue
        row = EVENT_TYPES.get(payload.type)
        if row is None or row.moves_to is None:
            continue
        # Another version that came into its stage has archived it.
        came_from = {stage, ARCHIVED} if stage not in (None, NO_STAGE) else {stage}
        if payload.from_stage not in came_from:
            yield seq, f"moves version {version.number} from {payload.from_stage}, and it was in {stage or 'no log'}"
        if isinstance(payload, Promote | Rollback) and (payload.run, payload.commit) != (version.run, version.commit):
            yield seq, f"is about another run than version {version.number} was registered with"
        if isinstance(payload, Promote):
            try:
                ladder = Ladder(payload.ladder or today.stages)
                ladder.check_promotion("", version.number, payload.from_stage or NO_STAGE, ladder.stage(payload.stage))
            except (PromotionRefused, UsageError) as refused:
                yield seq, f"breaks the order of the stages: {refused.message}"
        stage = row.moves_to(payload)
    last = own[-1][0] if own else 0
    if version.stage not in (stage, ARCHIVED):
        yield last, f"left version {version.number} in {stage or 'no log'}, and it is in {version.stage}"
