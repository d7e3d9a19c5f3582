"""The findings of a chain in words. Pure: nothing is decided by them."""

from __future__ import annotations

from collections.abc import Mapping

from ciplug.registry.evidence_chain import Fault, Finding, Link

_FAULTS: Mapping[Fault, tuple[str, str]] = {
    Fault.NO_BYTES: (
        "the bytes of {path} are not in this clone",
        "name the folder that has them (--files DIR), fetch them (--fetch), or leave them out (--no-files)",
    ),
    Fault.FILE_MISSING: ("{path} is not in {where}", "ciplug pull fetches the files of a version"),
    Fault.OTHER_BYTES: ("{path} has {found}, and was registered with {expected}", "do not use it"),
    Fault.BAD_SIGNATURE: ("{detail}", "do not use it"),
    Fault.NOT_COVERED: ("{detail}", "do not use it; or sign the files of the version: ciplug attest --sign-files DIR"),
    Fault.EXTRA_FILE: (
        "{extra} in {where}: no file of the version, and the signature does not cover it",
        "fetch the version into an empty folder: ciplug pull; or accept what lies beside it: --extra-files",
    ),
    Fault.BROKEN_LOG: ("{detail}", "compare the registry with another clone: ciplug registry history"),
    Fault.LOST_EVENTS: (
        "events of the log are missing or were replaced, as the store itself shows",
        "see them: ciplug fsck",
    ),
    Fault.BROKEN_RULE: ("event {event} {detail}", "find out who wrote it: ciplug registry history"),
    Fault.NEVER_THERE: (
        "it is in {stage}, and no promotion brought it there: event {event}",
        "find out who moved it: ciplug registry history {model}; then promote it, or ciplug demote",
    ),
    Fault.YANKED: ("it was yanked: {reason}", "use another version"),
    Fault.NO_RUN: ("the record of run {run} cannot be read", "see: ciplug fsck"),
    Fault.WITHOUT_RUN: (
        "it was registered without a run, so nothing has judged it",
        "record a run that makes it: ciplug run -- COMMAND; and promote that run",
    ),
    Fault.NO_FILES: (
        "it was registered with no file of run {run}",
        "promote the run itself: ciplug promote {model} --to STAGE --run {run}",
    ),
    Fault.OTHER_RECORD: ("the record of run {run} has changed since it was registered", "see: ciplug fsck"),
    Fault.OTHER_FILES: ("run {run} names other files than the version was registered with", "see: ciplug fsck"),
    Fault.FORK_RUN: ("run {run} was recorded by a fork's job", "train it in a pipeline of this repository"),
    Fault.WITHDRAWN: ("run {run} was {detail}", "use another version"),
    Fault.UNSIGNED: ("no allowed signer has signed run {run}, or its verdict", "see docs/trust.md"),
    Fault.NO_COMMIT: ("run {run} does not belong to a commit", "train a commit"),
    Fault.OTHER_COMMIT: ("the registry and run {run} name different commits", "see: ciplug fsck"),
    Fault.COMMIT_NOT_HERE: ("commit {commit} is not in this clone", "fetch it: git fetch origin {commit}"),
    Fault.DAMAGED_COMMIT: ("commit {commit} is damaged in this clone", "see: git fsck"),
    Fault.DIRTY: (
        "run {run} was made from changed files, not from the commit as it is",
        "train the commit in a clean checkout",
    ),
    Fault.NOT_PROMOTED: ("version {version} was never promoted, so nothing allowed it", "ciplug promote"),
    Fault.NO_VERDICT: ("event {event} names no verdict", "find out who wrote it: ciplug registry history"),
    Fault.VERDICT_MISSING: ("{verdict} is not in the store", "see: ciplug fsck"),
    Fault.OTHER_VERDICT: ("{verdict} differs from what event {event} recorded", "see: ciplug fsck"),
    Fault.VERDICT_OF_OTHER_RUN: ("{verdict} is of another run", "see: ciplug fsck"),
    Fault.OTHER_OUTCOME: (
        "event {event} names another outcome than {verdict}, which is {outcome}",
        "find out who wrote it: ciplug registry history",
    ),
    Fault.NOT_PASSED: ("{verdict} is {outcome}", "find out who promoted it: ciplug registry history"),
    Fault.OTHER_NUMBERS: ("the numbers of run {run} are not those that {verdict} was made from", "see: ciplug fsck"),
    Fault.OTHER_POLICY: ("event {event} and {verdict} name different policies", "ciplug registry history"),
    Fault.POLICY_NOT_HERE: (
        "no commit in this clone has the policy {policy} of the verdict: it was {file} of {commit}",
        "fetch the history: git fetch --unshallow",
    ),
    Fault.POLICY_CHANGED: ("{file} of {commit} is not the policy of the verdict", "find out who changed it"),
    Fault.POLICY_NOT_COMMITTED: ("the policy of the verdict, {file}, was not committed", "commit it, and judge again"),
    Fault.NOT_APPROVED: ("{stage} requires an approval, and event {event} records none", "promote it again"),
    Fault.NOT_CONFIRMED: ("{stage} requires another person, and no forge confirmed {actor}", "promote it again"),
    Fault.COMMIT_UNSIGNED: (
        "{stage} requires a signed commit, and git does not verify {commit}",
        "git decides which keys count: gpg.ssh.allowedSignersFile",
    ),
    Fault.DOCUMENT_MISSING: ("{path} does not exist, or is not a statement", "write it: ciplug attest"),
    Fault.DOCUMENT_UNSIGNED: ("no allowed signer has signed {path} as it is", "see docs/evidence.md"),
    Fault.NO_SIGNERS: (
        "the policy names no signers, so no signature of {path} counts",
        "name them in ciplug.yaml: signers:, as docs/trust.md says",
    ),
    Fault.OTHER_SUBJECT: ("{path} is about other files than the version has", "do not use it"),
    Fault.TAG_MISSING: ("the tag {tag} is missing", "put it back: ciplug verify {model} --restore-tags"),
    Fault.TAG_ELSEWHERE: (
        "the tag {tag} is at {found}, and the registry says {expected}",
        "tags decide nothing; find out who moved it, and put it back: ciplug verify {model} --restore-tags",
    ),
    Fault.TAG_OF_NO_EVENT: (
        "the tag {tag} has the form of the registry's, and no event made it",
        "tags decide nothing; find out who made it, and delete it: git push origin ':refs/tags/{tag}'",
    ),
    Fault.TAG_OTHER_TEXT: (
        "the tag {tag} was not made with its event as the log has it: its text is another",
        "tags decide nothing; put it back: ciplug verify {model} --restore-tags",
    ),
    Fault.TAG_OTHER_EVENT: (
        "the tag {tag} was not made with its event as the log has it: event {tag_event}, or the tag, was rewritten",
        "compare with another clone: ciplug registry history {model}; if the log is right, ciplug fsck "
        "--accept-registry, and delete the tag: git push origin ':refs/tags/{tag}'",
    ),
    Fault.TAG_BEYOND_LOG: (
        "the tag {tag} was made with event {tag_event}, and the log ends with event {events}: it may have lost events",
        "see ciplug fsck, and compare with another clone: ciplug registry history {model}; if the log is right, "
        "delete the tag: git push origin ':refs/tags/{tag}'",
    ),
}
_SOUND: Mapping[Link, str] = {
    Link.BYTES: "files: {files}, {where}{beside}",
    Link.VERSION: "{version} in {stage}, event {event} of {events}{of_log}",
    Link.RUN: "{run}, its record as registered",
    Link.COMMIT: "{commit}",
    Link.VERDICT: "{outcome}, gates: {gates}, {verdict}",
    Link.POLICY: "{file} of {commit}",
    Link.APPROVALS: "{approvals}",
    Link.TAGS: "tags that agree: {tags}",
    Link.DOCUMENTS: "{path}, signed by {signer}",
}
_LEFT_OUT: Mapping[Link, str] = {
    Link.BYTES: "not asked for",
    Link.TAGS: "no tags",
}


def words(finding: Finding) -> str:
    """One line on a finding."""
    facts = _Facts(finding.facts)
    if finding.fault:
        return _FAULTS[finding.fault][0].format_map(facts)
    if finding.after_break:
        return "not known: a link before it is broken"
    return (_LEFT_OUT.get(finding.link, "nothing") if finding.left_out else _SOUND[finding.link]).format_map(facts)


def remedy(finding: Finding) -> str | None:
    """What to do about a broken link."""
    return _FAULTS[finding.fault][1].format_map(_Facts(finding.facts)) if finding.fault else None


class _Facts(dict[str, object]):
    def __missing__(self, key: str) -> str:
        return "?"
