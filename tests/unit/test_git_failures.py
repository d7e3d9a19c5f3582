"""What git's words on a failure are about, and what a store makes of it."""

from __future__ import annotations

import copy
import pickle
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ciplug.errors import Cause, Conflict, GitKind, RemoteError, StoreError
from ciplug.git.failures import _WORDS as TABLE
from ciplug.git.failures import failure_of, read_failure
from ciplug.git.push import PushResult
from ciplug.stores.git.causes import cause_of

WORDS = (
    ("fatal: not a git repository (or any of the parent directories): .git", GitKind.NOT_A_REPOSITORY),
    ("fatal: detected dubious ownership in repository at '/x'", GitKind.DUBIOUS_OWNERSHIP),
    ("fatal: the receiving end does not support --atomic push", GitKind.NO_ATOMIC),
    ("fatal: couldn't find remote ref refs/heads/ciplug", GitKind.NO_REF),
    ("remote: error: unable to delete 'x': remote ref does not exist", GitKind.NO_REF),
    ("fatal: remote error: upload-pack: not our ref 0123", GitKind.UNKNOWN_OBJECT),
    ("missing necessary objects", GitKind.MISSING_OBJECTS),
    ("fatal: unable to read 0123", GitKind.UNREADABLE),
    ("error: inflate: data stream error", GitKind.DAMAGED),
    ("fatal: write error: No space left on device", GitKind.DISK_FULL),
    ("fatal: sha1 file 'objects/pack/tmp_idx_yxq76s' write error. Out of diskspace", GitKind.DISK_FULL),
    ("stale info", GitKind.STALE),
    ("incorrect old value provided", GitKind.MOVED),
    ("fetch first", GitKind.BEHIND),
    ("non-fast-forward", GitKind.BEHIND),
    ("failed to update ref", GitKind.LOCKED),
    ("already exists", GitKind.EXISTS),
    ("refname conflict", GitKind.NAME_CLASH),
    ("atomic transaction failed", GitKind.ROLLED_BACK),
    ("atomic push failed", GitKind.NOT_SENT),
    ("words of tomorrow", GitKind.UNKNOWN),
)
RACES = {
    *(GitKind.STALE, GitKind.MOVED, GitKind.BEHIND, GitKind.LOCKED, GitKind.EXISTS, GitKind.ROLLED_BACK),
    GitKind.NOT_SENT,
}


@pytest.mark.parametrize(("words", "kind"), WORDS)
def test_the_kind_of_a_failure(words: str, kind: GitKind) -> None:
    failure = failure_of(words)
    assert failure.kind == kind
    assert failure.lost_race is (kind in RACES)
    assert failure.error("git x failed").kind == kind


def test_every_kind_but_those_of_our_own_has_words() -> None:
    own = {GitKind.UNKNOWN, GitKind.NOT_INSTALLED, GitKind.PUSH_OFF, GitKind.SILENT}
    named = {kind for words, _ in WORDS for kind in failure_of(words).kinds} | own
    more = (
        "protected; could not read Username; Authentication failed; returned error: 403; hung up; not found; declined"
    )
    assert named | failure_of(more).kinds == set(GitKind)


def test_git_may_fail_without_a_word() -> None:
    assert read_failure(b"").kinds == {GitKind.SILENT}


def test_a_broken_connection_may_come_with_a_damaged_pack() -> None:
    failure = read_failure(b"remote: Counting objects\nerror: inflate: data stream error\nfatal: early EOF\n")
    assert failure.network and failure.damaged and not failure.access
    assert read_failure(b"fatal: early EOF").network and not read_failure(b"fatal: early EOF").damaged


def test_a_hint_is_given_where_it_helps() -> None:
    assert "safe.directory" in (read_failure(b"fatal: detected dubious ownership in '/x'").hint or "")
    assert "CIPLUG_PUSH_TOKEN" in (read_failure(b"fatal: Authentication failed for 'https://x/'").hint or "")
    by_ssh = b"git@x: Permission denied (publickey).\nfatal: Could not read from remote repository.\n"
    assert read_failure(by_ssh).hint is None
    assert read_failure(b"fatal: bad object").hint is None


def test_a_push_lost_a_race_when_every_ref_did() -> None:
    lost, declined = failure_of("stale info"), failure_of("pre-receive hook declined")
    assert PushResult({"a": lost, "b": lost}).lost_race
    assert not PushResult({"a": lost, "b": declined}).lost_race
    assert not PushResult(failure=failure_of("Connection refused")).lost_race
    assert not PushResult().lost_race and PushResult().ok
    assert PushResult(failure=failure_of("Connection refused")).network
    assert not PushResult({"a": failure_of("Connection refused")}).network


def test_the_reason_of_a_push_holds_the_servers_words() -> None:
    result = PushResult(
        {"a": failure_of("hook declined"), "b": failure_of("hook declined")}, None, failure_of("GH006: Protected")
    )
    assert result.reason.words == "hook declined: GH006: Protected"
    assert cause_of(result.reason) == Cause.PROTECTED
    assert result.refuses("a", GitKind.DECLINED) and not result.refuses("c", GitKind.DECLINED)


def test_the_reason_of_a_push_is_what_each_of_its_words_is_about() -> None:
    apart = PushResult({"a": failure_of("Permission to write: x"), "b": failure_of("y denied")})
    assert apart.reason.words == "Permission to write: x; y denied"
    assert apart.reason.kinds == failure_of("y denied").kinds


NAMES = [*sorted({word for _, pattern in TABLE for word in re.findall(r"\w{3,}", pattern)}), "GH006", "503", "403"]
SENTENCES = (
    "fatal: unable to access 'https://git.example/{0}/{0}.git/': Could not resolve host: git.example",
    "fatal: unable to access 'https://{0}.example/x.git/': Could not resolve host: {0}.example",
    "fatal: unable to access 'https://{0}/x.git/': Failed to connect to {0} port 443: Connection refused",
    "ssh: Could not resolve hostname {0}: Name or service not known",
    "ssh: connect to host {0} port 22: Connection timed out",
    "fatal: unable to access 'https://x/{0}.git/': The requested URL returned error: 403",
    "remote: Permission to acme/{0}.git denied to {0}.",
    "git@{0}.example: Permission denied (publickey).",
    "fatal: could not read Username for 'https://x/{0}': terminal prompts disabled",
    "remote: Repository not found.; fatal: repository 'https://x/{0}/' not found",
    "fatal: '/srv/a {0}/{0}.git' does not appear to be a git repository",
    "fatal: couldn't find remote ref refs/heads/{0}",
    "fatal: couldn't find remote ref {0}",
    "error: cannot lock ref 'refs/heads/{0}': is at 0123 but expected 4567",
    " ! [rejected] {0} -> {0} (non-fast-forward)",
    " ! [remote rejected] {0} -> {0} (stale info)",
    "remote: error: GH006: Protected branch update failed for refs/heads/{0}.",
    "remote: error: branch {0} is not of this server: pre-receive hook declined",
    "error: failed to push some refs to 'https://x/{0}.git'; fatal: early EOF",
)


@pytest.mark.parametrize("sentence", SENTENCES)
@given(words=st.lists(st.sampled_from(NAMES), min_size=1, max_size=3))
def test_a_name_never_changes_what_a_failure_is_about(sentence: str, words: list[str]) -> None:
    name = "-".join((*words, "x"))
    assert failure_of(sentence.format(name)).kinds == failure_of(sentence.format("plain")).kinds


@pytest.mark.parametrize("sentence", SENTENCES)
def test_a_failure_without_a_telling_name_is_known(sentence: str) -> None:
    assert failure_of(sentence.format("plain")).kind != GitKind.UNKNOWN


def test_an_error_in_other_words_keeps_its_facts() -> None:
    error = RemoteError("refused", hint="a", cause=Cause.PROTECTED)
    other = error.reworded("not sent: refused", "b")
    assert (other.args[0], other.message, other.hint, other.cause) == (
        *("not sent: refused", "not sent: refused", "b", Cause.PROTECTED),
    )
    assert isinstance(other, RemoteError) and error.message == "refused"
    lost = Conflict("moved on", head=3).reworded("x", None)
    assert isinstance(lost, Conflict) and lost.head == 3 and lost.cause == Cause.CONFLICT
    assert pickle.loads(pickle.dumps(copy.copy(lost))).head == 3
    assert StoreError("x").cause == Cause.UNKNOWN
