"""What the git store pushes after each answer of a host: the next name, the same again, one by one, or nothing more."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from ciplug.errors import Cause, GitKind
from ciplug.git.bare import init_bare
from ciplug.git.failures import Failure
from ciplug.git.push import PushResult
from ciplug.stores.git import remote as remote_module
from ciplug.stores.git.cached_remote import CachedRemote
from ciplug.stores.git.causes import cause_of
from ciplug.stores.git.content import Content
from ciplug.stores.git.moves import Moves, move_refs
from ciplug.stores.git.objects import BLOB, LooseObjects
from ciplug.stores.git.refs import Refs
from ciplug.stores.git.view import View
from ciplug.stores.git.write_trial import try_writes
from tests.project import git

OK = PushResult()


def refused(*kinds: GitKind, refs: Iterable[str] = ("first",)) -> PushResult:
    return PushResult({ref: Failure(kinds[0].name, frozenset(kinds)) for ref in refs})


def broken(kind: GitKind) -> PushResult:
    return PushResult(failure=Failure(kind.name, frozenset({kind})))


class Scripted(CachedRemote):
    """A remote whose answers are given, one for each push; the last one stands for all that follow."""

    def __init__(self, folder: Path, *answers: PushResult, refusal: str | None = None) -> None:
        super().__init__("https://git.example/x.git", cache=folder, name="x", config=(), refusal=refusal)
        self.answers = list(answers)
        self.pushes: list[list[str]] = []
        self.options: list[list[str]] = []

    def in_the_way(self, *refs: str) -> list[str]:
        return []

    def push(self, repository: Path, refspecs: Sequence[str], options: Iterable[str] = ()) -> PushResult:
        self.pushes.append([spec.partition(":")[2] if spec[0] != ":" else spec for spec in refspecs])
        self.options.append(list(options))
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    slept: list[float] = []
    monkeypatch.setattr(remote_module.time, "sleep", slept.append)
    return slept


DECLINED, STALE, LOCKED = refused(GitKind.DECLINED), refused(GitKind.STALE), refused(GitKind.LOCKED)
NETWORK, UNKNOWN = broken(GitKind.NETWORK), broken(GitKind.NOT_FOUND)
ONE, TWO = ["first"], ["second"]


@pytest.mark.parametrize(
    ("answers", "pushes", "result"),
    [
        ([OK], [ONE], OK),
        ([DECLINED, OK], [ONE, TWO], OK),
        # Of two refusals, that of the better name is the one to report.
        ([DECLINED, refused(GitKind.PROTECTED, refs=TWO)], [ONE, TWO], DECLINED),
        ([DECLINED, refused(GitKind.STALE, refs=TWO)], [ONE, TWO], refused(GitKind.STALE, refs=TWO)),
        ([DECLINED, UNKNOWN], [ONE, TWO], DECLINED),
        ([STALE], [ONE], STALE),
        ([UNKNOWN], [ONE], UNKNOWN),
        # Only the next push shows whether a ref came up by the same objects.
        ([LOCKED, OK], [ONE, ONE], OK),
        ([LOCKED, STALE], [ONE, ONE], STALE),
        ([LOCKED], [ONE, ONE, ONE], LOCKED),
        ([NETWORK, OK], [ONE, ONE], OK),
        ([NETWORK], [ONE, ONE, ONE], NETWORK),
    ],
)
def test_a_new_ref(
    tmp_path: Path, pauses: list[float], answers: list[PushResult], pushes: list[list[str]], result: PushResult
) -> None:
    remote = Scripted(tmp_path, *answers)
    assert remote.create(tmp_path, "c0", "first", "second") == result
    assert remote.pushes == pushes
    # Each only where there is no such ref yet.
    assert remote.options == [[f"--force-with-lease={ref}:"] for (ref,) in pushes]
    repeated = sum(one == other for one, other in pairwise(pushes))
    assert len(pauses) == repeated
    assert all(0.3 * number <= pause <= 0.7 * number for number, pause in enumerate(pauses, 1))


def test_without_a_name_nothing_is_pushed(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no ref"):
        Scripted(tmp_path, OK).create(tmp_path, "c0")


def test_the_error_of_a_push(tmp_path: Path) -> None:
    remote = Scripted(tmp_path, OK)
    error = remote.refused(refused(GitKind.PROTECTED), "allow it")
    assert (error.hint, error.cause) == ("allow it", Cause.PROTECTED)
    assert error.message == "https://git.example/x.git did not take the push: PROTECTED"
    error = remote.refused(broken(GitKind.BAD_CREDENTIAL), "allow it")
    assert error.cause == Cause.BAD_CREDENTIAL
    assert "CIPLUG_PUSH_TOKEN" in (error.hint or "")


def test_a_configured_refusal_is_the_answer_to_every_push(tmp_path: Path) -> None:
    remote = CachedRemote("/nowhere", cache=tmp_path, name="x", config=(), refusal="pushes are off")
    result = remote.push(tmp_path, ["a:b"])
    assert not result.ok
    assert result.reason == Failure("pushes are off", frozenset({GitKind.PUSH_OFF}))


def test_each_url_name_and_format_has_a_cache_of_its_own(tmp_path: Path) -> None:
    def cache(url: str = "https://git.example/x", name: str = "a", object_format: str = "sha1") -> Path:
        return CachedRemote(url, cache=tmp_path, name=name, config=(), object_format=object_format).repository

    others = [cache(), cache(url="https://git.example/y"), cache(name="b"), cache(object_format="sha256")]
    assert len(set(others)) == 4
    assert cache() == others[0] == cache(url="https://bot:secret@git.example/x")
    assert all(path.parent == tmp_path and path.suffix == ".git" and len(path.stem) == 16 for path in others)


# Refs that are moved together


MOVES: Moves = {"keep": (None, "t1"), "tip": ("t0", "t1"), "gone": ("g0", None), "too": ("h0", None)}
MADE, ATOMIC = ["keep", "tip"], ["--atomic", "--force-with-lease=keep:", "--force-with-lease=tip:t0"]
NO_ATOMIC = broken(GitKind.NO_ATOMIC)
KEEP_DECLINED = PushResult(
    {
        "keep": Failure("declined", frozenset({GitKind.DECLINED})),
        "tip": Failure("not sent", frozenset({GitKind.NOT_SENT})),
    }
)
KEEP_STALE = PushResult({"keep": Failure("stale", frozenset({GitKind.STALE}))})
SPARE = ["spare", "tip"]
DELETED = [":gone", ":too"]


@pytest.mark.parametrize(
    ("answers", "pushes", "ok"),
    [
        ([OK], [MADE, DELETED], True),
        # What is deleted goes once the others have moved, and what becomes of it changes nothing.
        ([OK, STALE], [MADE, DELETED], True),
        ([refused(GitKind.STALE, refs=["tip"])], [MADE], False),
        ([NETWORK], [MADE], False),
        ([KEEP_DECLINED, OK], [MADE, SPARE, DELETED], True),
        ([KEEP_DECLINED], [MADE, SPARE], False),
        ([KEEP_DECLINED, NO_ATOMIC, OK], [MADE, SPARE, ["tip"], ["spare"], DELETED], True),
        ([KEEP_STALE], [MADE], False),
        ([NO_ATOMIC, OK], [MADE, ["tip"], ["keep"], DELETED], True),
        ([NO_ATOMIC, refused(GitKind.STALE, refs=["tip"])], [MADE, ["tip"]], False),
        ([NO_ATOMIC, OK, KEEP_STALE], [MADE, ["tip"], ["keep"]], False),
        (
            [NO_ATOMIC, OK, refused(GitKind.DECLINED, refs=["keep"]), OK],
            [MADE, ["tip"], ["keep"], ["spare"], DELETED],
            True,
        ),
    ],
)
def test_refs_move_together(tmp_path: Path, answers: list[PushResult], pushes: list[list[str]], ok: bool) -> None:
    remote = Scripted(tmp_path, *answers)
    assert move_refs(remote, MOVES, first=["tip"], spare={"keep": "spare"}).ok == ok
    assert remote.pushes == pushes
    assert remote.options[0] == ATOMIC
    if ok:
        assert remote.options[-1] == ["--force-with-lease=gone:g0", "--force-with-lease=too:h0"]
    if remote.pushes[1:2] == [SPARE]:
        assert remote.options[1] == ["--atomic", "--force-with-lease=spare:", "--force-with-lease=tip:t0"]
    if remote.pushes[1:2] == [["tip"]]:
        assert remote.options[1] == ["--force-with-lease=tip:t0"]


def test_without_a_spare_name_a_refusal_is_the_end(tmp_path: Path) -> None:
    remote = Scripted(tmp_path, KEEP_DECLINED)
    assert move_refs(remote, MOVES, first=["tip"]) == KEEP_DECLINED
    assert remote.pushes == [MADE]


def test_the_refs_named_first_go_first(tmp_path: Path) -> None:
    remote = Scripted(tmp_path, NO_ATOMIC, OK)
    assert move_refs(remote, {"b": (None, "1"), "a": (None, "1"), "c": (None, "1")}, first=["c", "a"]).ok
    assert remote.pushes[1:] == [["c"], ["a"], ["b"]]


# A trial of what the host takes


@pytest.fixture
def view() -> View:
    return View(None, ("refs/ciplug/keep/tip", None), Content(), {}, (), {})


IN_THE_WAY = PushResult({"refs/heads/ciplug": Failure("rolled back", frozenset({GitKind.ROLLED_BACK}))})


PROTECTED_IN_THE_WAY = PushResult(
    {
        "refs/heads/ciplug": Failure("protected", frozenset({GitKind.PROTECTED})),
        "refs/heads/ciplug/x": Failure("refname conflict", frozenset({GitKind.NAME_CLASH})),
    }
)


def rule(*kinds: GitKind) -> PushResult:
    return refused(*kinds, refs=["refs/heads/ciplug"])


@pytest.mark.parametrize(
    ("answers", "causes", "pushes"),
    [
        # Written, deleted, and the move of the branch refused for the ref that cannot exist.
        ([OK, OK, IN_THE_WAY], [None, None, None], 3),
        ([OK, OK, OK, OK], [None, None, None], 4),
        ([OK, OK, broken(GitKind.NO_ATOMIC)], [None, None, Cause.UNKNOWN], 3),
        ([OK, OK, rule(GitKind.PROTECTED)], [None, None, Cause.PROTECTED], 3),
        ([OK, OK, rule(GitKind.STALE)], [None, None, Cause.UNKNOWN], 3),
        # On a branch that is not there, a rule may be about the other ref.
        ([OK, OK, rule(GitKind.DECLINED)], [None, None, Cause.UNKNOWN], 3),
        ([OK, broken(GitKind.FORBIDDEN), IN_THE_WAY], [None, Cause.FORBIDDEN, None], 3),
        ([OK, broken(GitKind.NO_REF), IN_THE_WAY], [None, None, None], 3),
        ([DECLINED, OK, OK, IN_THE_WAY], [None, None, None], 4),
        ([OK, OK, PROTECTED_IN_THE_WAY], [None, None, Cause.PROTECTED], 3),
        ([OK, OK, UNKNOWN], [None, None, Cause.NOT_FOUND], 3),
        # Of two refusals of a write, the words of the last one are reported.
        ([DECLINED, refused(GitKind.PROTECTED)], [Cause.PROTECTED], 2),
        ([broken(GitKind.BAD_CREDENTIAL)], [Cause.BAD_CREDENTIAL], 1),
        # A connection that broke may have left the ref behind.
        ([NETWORK, NETWORK, NETWORK, OK], [Cause.NETWORK], 4),
    ],
)
def test_a_trial(
    tmp_path: Path,
    pauses: list[float],
    view: View,
    answers: list[PushResult],
    causes: list[Cause | None],
    pushes: int,
) -> None:
    remote = Scripted(tmp_path, *answers)
    (remote.repository / "objects").mkdir(parents=True)
    trials = try_writes(remote, Refs("ciplug"), view)
    assert [trial.what for trial in trials] == ["write", "delete", "branch"][: len(causes)]
    assert [trial.cause for trial in trials] == causes
    assert len(remote.pushes) == pushes
    assert trials[0].spare == (answers[0] is DECLINED and len(trials) > 1)
    (created,) = remote.pushes[0]
    assert created.startswith("refs/ciplug/trial/")
    if answers == [OK, OK, OK, OK]:
        assert "an empty commit is left" in trials[-1].words
        assert remote.pushes[-1][0].startswith(":refs/heads/ciplug/")
    if len(causes) == 3:
        move = remote.options[2 if answers[0] is not DECLINED else 3]
        assert move[:2] == ["--atomic", "--force-with-lease=refs/heads/ciplug:"]
    if len(causes) == 1 and answers[0] is NETWORK:
        assert remote.pushes[-1] == [f":{created}"]
    if answers[-1].failure and GitKind.NO_ATOMIC in answers[-1].failure.kinds:
        assert trials[-1].words.startswith("cannot be tested without leaving a commit")
    if trials[0].spare:
        assert trials[0].words.startswith("refs/heads/ciplug-trial/")
        assert trials[0].words.endswith("; DECLINED")
    if causes[1:2] == [Cause.FORBIDDEN]:
        assert "is left behind" in trials[1].words


def test_a_trial_of_the_branch_adds_a_commit_that_changes_nothing(tmp_path: Path, view: View) -> None:
    remote = Scripted(tmp_path, OK, OK, rule(GitKind.DECLINED), refused(GitKind.NAME_CLASH, refs=["never"]))
    init_bare(remote.repository, "sha1")
    written = LooseObjects(remote.repository, "sha1")
    tree = written.tree({"FORMAT": (BLOB, written.blob(b"x"))})
    tip = written.commit(tree, (), "before", 0)
    specs: list[str] = []
    push = remote.push

    def noted(repository: Path, refspecs: Sequence[str], options: Iterable[str] = ()) -> PushResult:
        specs.extend(refspecs)
        return push(repository, refspecs, options)

    remote.push = noted  # type: ignore[method-assign]
    trials = try_writes(remote, Refs("ciplug"), replace(view, tip=tip))
    assert trials[-1].cause == Cause.UNKNOWN
    assert remote.options[2][:2] == ["--atomic", f"--force-with-lease=refs/heads/ciplug:{tip}"]
    # A rule that refuses the other ref alone as well is not about the branch.
    assert len(remote.pushes[3]) == 1
    assert remote.options[3] == [f"--force-with-lease={remote.pushes[3][0]}:"]
    pushed = specs[2].partition(":")[0]
    git(remote.repository, "diff", "--exit-code", tip, pushed)
    assert git(remote.repository, "log", "-1", "--format=%P %B", pushed).split("\n\n") == [
        f"{tip} ciplug: a trial",
        "[skip ci]",
    ]


def test_a_rule_about_the_branch_is_the_reason(tmp_path: Path, view: View) -> None:
    class Ruled(Scripted):
        def push(self, repository: Path, refspecs: Sequence[str], options: Iterable[str] = ()) -> PushResult:
            super().push(repository, refspecs, options)
            names = self.pushes[-1]
            if "refs/heads/ciplug" in names:
                return rule(GitKind.DECLINED)
            return refused(GitKind.NAME_CLASH, refs=names) if names[0].startswith("refs/heads/ciplug/") else OK

    remote = Ruled(tmp_path, OK)
    init_bare(remote.repository, "sha1")
    written = LooseObjects(remote.repository, "sha1")
    tip = written.commit(written.tree({}), (), "before", 0)
    assert try_writes(remote, Refs("ciplug"), replace(view, tip=tip))[-1].cause == Cause.RULE


def test_a_trial_that_is_interrupted_takes_its_ref_away(tmp_path: Path, view: View) -> None:
    remote = Scripted(tmp_path, OK)

    def interrupted(side: Path, commit: str, *refs: str) -> PushResult:
        raise KeyboardInterrupt

    remote.create = interrupted  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        try_writes(remote, Refs("ciplug"), view)
    assert [push[0].startswith(":refs/ciplug/trial/") for push in remote.pushes] == [True]


def test_the_words_of_a_trial_are_one_short_line(tmp_path: Path, view: View) -> None:
    failure = Failure("not\n found " + "x" * 400, frozenset({GitKind.NOT_FOUND}))
    (trial,) = try_writes(Scripted(tmp_path, PushResult(failure=failure)), Refs("ciplug"), view)
    assert trial.words == ("not found " + "x" * 400)[:300]


# Causes


@pytest.mark.parametrize(
    ("kinds", "cause"),
    [
        ({GitKind.NETWORK}, Cause.NETWORK),
        ({GitKind.NETWORK, GitKind.DAMAGED}, Cause.NETWORK),
        ({GitKind.NETWORK, GitKind.DISK_FULL}, Cause.FULL),
        ({GitKind.NETWORK, GitKind.FORBIDDEN}, Cause.FORBIDDEN),
        ({GitKind.PROTECTED, GitKind.DECLINED}, Cause.PROTECTED),
        ({GitKind.DECLINED, GitKind.STALE}, Cause.RULE),
        ({GitKind.STALE}, Cause.CONFLICT),
        ({GitKind.MOVED}, Cause.CONFLICT),
        ({GitKind.LOCKED}, Cause.CONFLICT),
        ({GitKind.UNKNOWN_OBJECT}, Cause.LOST),
        ({GitKind.MISSING_OBJECTS, GitKind.DAMAGED}, Cause.LOST),
        ({GitKind.UNREADABLE}, Cause.DAMAGED),
        ({GitKind.NO_ATOMIC}, Cause.UNKNOWN),
        (set(), Cause.UNKNOWN),
    ],
)
def test_the_cause_of_a_failure(kinds: set[GitKind], cause: Cause) -> None:
    assert cause_of(Failure("x", frozenset(kinds))) == cause
