"""A merged pull request approves a promotion: the whole way on a GitHub that keeps state, and what approves nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from ciplug.errors import ConfigError, GitError, Refusal
from ciplug.records.keys import run_key
from ciplug.records.registry_event import Promote
from ciplug.records.run import Run
from ciplug.registry import ledger
from ciplug.registry.events import payload_of
from ciplug.steps.evidence.verify import Request, verify
from ciplug.steps.promotion.moves import demote
from ciplug.steps.promotion.promote import PromotionRequest
from ciplug.steps.promotion.proposals import proposals
from ciplug.steps.promotion.proposed import Proposal, every_proposed
from ciplug.steps.promotion.registration import registration_of
from ciplug.steps.promotion.rollback import roll_back
from ciplug.steps.session import Session
from tests.project import git
from tests.servers.github_api import GitHubApi
from tests.team import Team, team_in

FILE = "promotions.yaml"
NUMBER = 7
RULES = "stages: {staging: {approvals: {pull_request: promotions.yaml, not_author: true}}}\n"


@dataclass
class Proposed:
    """A run that a merged pull request of ann has proposed for staging, and that bob has approved."""

    team: Team
    api: GitHubApi
    run: Run
    start: str
    """The commit that the pull request left main at."""
    head: str
    merge: str

    @property
    def session(self) -> Session:
        session = self.team.with_context(
            host="github_actions", repository="acme/demo", actor="whoever", api_url=self.api.url,
            server_url="https://github.com", run_url="https://github.com/acme/demo/actions/runs/42", trusted=True,
        )  # fmt: skip
        return replace(session, env={**session.env, "GITHUB_TOKEN": "job", "GITHUB_API_URL": self.api.url})

    def refusal(self, **request: object) -> tuple[Refusal, str]:
        refused = self.team.refused(run=self.run.id, session=self.session, **request)
        return refused.reason, f"{refused.message} -> {refused.hint}"

    def promotion(self, **request: object) -> Promote:
        self.team.promote(run=self.run.id, session=self.session, **request)
        event = payload_of(ledger.read(self.team.session.refreshed().log, "wine").events[-1])
        assert isinstance(event, Promote)
        return event


def propose(team: Team, text: str, branch: str) -> tuple[str, str, str]:
    """Write the file on a branch, and merge it; returns where it left main, its last commit, and the merge."""
    folder = team.project.folder
    start = team.project.head
    git(folder, "switch", "-qc", branch)
    (folder / FILE).write_text(text)
    head = team.project.commit("propose")
    git(folder, "switch", "-q", "main")
    git(folder, "merge", "-q", "--no-ff", "-m", "merge", branch)
    team.session = team.session.refreshed()
    return start, head, team.project.head


@pytest.fixture
def proposed(tmp_path: Path, github_api: GitHubApi) -> Proposed:
    team = team_in(tmp_path)
    team.policy(RULES)
    run = team.judged()
    start, head, merge = propose(team, f"wine: {{Staging: '{run.id}'}}\n", "topic")
    github_api.private = True
    read = {"contents": "read", "pull-requests": "read", "actions": "read"}
    github_api.add_token("job", "github-actions[bot]", app=True, permissions=read)
    github_api.start_run(42, "cyd")
    github_api.writers |= {"ann", "bob", "eve", "octocat"}
    github_api.add_pull(NUMBER, commit=head)["user"] = {"login": "ann", "type": "User"}
    github_api.merge_pull(NUMBER, merge, start=start, by="eve")
    github_api.pushes.append(("topic", head, "ann", "branch_creation"))
    github_api.review(NUMBER, "bob", head)
    return Proposed(team, github_api, run, start, head, merge)


def test_the_whole_way(proposed: Proposed) -> None:
    """It is recorded with who approved what, `verify` shows it, and it approves no second promotion."""
    (found,) = proposals(proposed.session).open
    assert found == PromotionRequest("wine", "Staging", run=proposed.run.id)
    event = proposed.promotion()
    url = f"{proposed.api.origin}/acme/demo/pull/{NUMBER}"
    assert event.pull_request == url
    assert event.approvals == (
        "clean tree",
        f"pull request #{NUMBER} ({url}) brought `wine: {{staging: {proposed.run.id}}}` into {FILE} as "
        f"{proposed.merge[:12]}: approved by bob at {proposed.head[:12]}, merged by eve, as GitHub confirms",
    )
    last = ledger.read(proposed.team.session.refreshed().log, "wine").events[-1]
    assert (last.actor, last.actor_confirmed, last.actor_source) == ("cyd", True, "GitHub")
    chain = verify(proposed.team.session.refreshed(), Request("wine@staging"))
    assert chain.broken is None and url in str(chain.findings[-1].facts["approvals"])
    # The version before it comes back, and the same pull request does not undo that.
    second = proposed.team.judged()
    start, head, merge = propose(proposed.team, f"wine: {{staging: '{second.id}'}}\n", "second")
    proposed.api.add_pull(8, branch="second", commit=head)["user"] = {"login": "ann"}
    proposed.api.merge_pull(8, merge, start=start)
    proposed.api.pushes.append(("second", head, "ann", "branch_creation"))
    proposed.api.review(8, "bob", head)
    proposed.run = second
    proposed.promotion()
    assert not proposals(proposed.session).open
    roll_back(proposed.team.session.refreshed(), "wine", "staging", reason="slow")
    assert proposed.refusal()[0] is Refusal.APPROVAL_USED
    # A repository that was renamed since then, and a copy of the same run as a new version.
    proposed.api.pulls[8]["html_url"] = "https://github.com/acme/renamed/pull/8"
    proposed.api.pulls[8]["merged_at"] = "2999-11-23T12:00:00Z"
    assert proposed.refusal()[0] is Refusal.APPROVAL_USED
    # One with the same line that was merged beside it, before the promotion.
    proposed.api.pulls[9] = {**proposed.api.pulls[8], "number": 9, "merged_at": "2026-11-23T12:00:00Z"}
    proposed.api.pulls[9]["html_url"] = f"{proposed.api.origin}/acme/demo/pull/9"
    proposed.api.review(9, "bob", head)
    assert proposed.refusal(pull_request=9)[0] is Refusal.APPROVAL_USED
    record = proposed.session.runs().digests([second])[run_key(second).key]
    copy = replace(registration_of(second, 3, record), source="models:/wine/2")
    assert proposed.refusal(registration=copy)[0] is Refusal.APPROVAL_USED


def test_a_promotion_that_needed_no_approval_has_used_none(proposed: Proposed) -> None:
    team = proposed.team
    team.policy("stages: {staging: {}}\n")
    team.verdict(proposed.run)
    assert team.promote(run=proposed.run.id).version == 1
    demote(team.session.refreshed(), "wine", version=1, to="none")
    team.policy(RULES)
    assert proposed.promotion(pull_request=NUMBER).pull_request


def _direct_push(p: Proposed) -> None:
    (p.team.project.folder / FILE).write_text(f"wine: {{staging: '{p.run.id}'}} # by hand\n")
    p.team.project.commit("direct")
    p.team.session = p.team.session.refreshed()


def _taken_back(p: Proposed) -> None:
    (p.team.project.folder / FILE).write_text("wine: {staging: 1}\n")
    p.team.project.commit("take it back")
    p.team.session = p.team.session.refreshed()


def _no_new_line(p: Proposed) -> None:
    # Another pull request, whose author only had main with the line in it, is merged by hand with another content.
    p.api.parents[p.merge] = p.head


def _unreadable_before(p: Proposed) -> None:
    """The line was there before, and the pull request only made the file valid."""
    folder = p.team.project.folder
    git(folder, "switch", "-qc", "broken", p.start)
    (folder / FILE).write_text(f"wine: {{Staging: '{p.run.id}'}}\nwine: {{}}\n")
    p.api.parents[p.merge] = p.team.project.commit("broken")
    git(folder, "switch", "-q", "main")


def _line_in_main(p: Proposed) -> None:
    """What bob approved did not show the line, since main had it then."""
    p.api.pull_reviews[NUMBER][0]["commit_id"] = p.merge
    p.api.starts[p.merge] = p.head


def _reviews(*reviews: tuple[str, str]) -> Callable[[Proposed], None]:
    def change(p: Proposed) -> None:
        p.api.pull_reviews.clear()
        for login, how in reviews:
            commit = p.start if how == "before the line" else p.head
            at, kind = ("13:00" if how == "late" else "11:00"), ("Bot" if how == "bot" else "User")
            p.api.review(NUMBER, login, commit, at=at, kind=kind, state="DISMISSED" if how == "gone" else "APPROVED")

    return change


def _pushed_by_the_approver(p: Proposed) -> None:
    p.api.pushes[:] = [("topic", "0" * 40, "ann", "branch_creation"), ("topic", p.head, "Bob", "push")]


NOBODY: dict[str, Callable[[Proposed], object]] = {
    "nobody": _reviews(),
    "only who opened it": _reviews(("ann", "")),
    "only who made the run": _reviews(("octocat", "")),
    "the author, by an address of no account": lambda p: p.api.names.update(
        bob=git(p.team.project.folder, "show", "-s", "--format=%an", p.run.commit or "")
    ),
    "who may not write": _reviews(("stranger", "")),
    "a bot": _reviews(("eve", "bot")),
    "after the merge": _reviews(("bob", "late")),
    "withdrawn": _reviews(("bob", "gone")),
    "another line": _reviews(("bob", "before the line")),
    "who pushed to it": _pushed_by_the_approver,
    "by a person unknown, as a bot": lambda p: p.api.pushes.append(("topic", p.head, "ci[bot]", "push")),
    "before the base was changed": lambda p: p.api.timelines[NUMBER].append(
        {"event": "base_ref_changed", "created_at": "2026-11-23T11:30:00Z"}
    ),
    "when main had the line": _line_in_main,
    "nobody knows who pushed": lambda p: setattr(p.api, "tells_pushes", False),
}


@pytest.mark.parametrize("case", NOBODY)
def test_approvals_that_do_not_count(proposed: Proposed, case: str) -> None:
    NOBODY[case](proposed)
    reason, words = proposed.refusal()
    assert reason is Refusal.NOT_APPROVED and "in another pull request" in words
    is_unknown = case in ("nobody knows who pushed", "by a person unknown, as a bot")
    people = "2 people" if is_unknown else "one person"
    assert f"staging requires {people} to approve pull request #{NUMBER}" in words
    assert ("(one more, as the forge does not say which person pushed to it)" in words) == is_unknown
    if case == "nobody knows who pushed":
        assert "only bob did" in words
        proposed.api.review(NUMBER, "eve", proposed.head)
        assert "approved by bob" in proposed.promotion().approvals[-1]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (_direct_push, Refusal.PULL_REQUEST_UNKNOWN),
        (_taken_back, Refusal.NOT_PROPOSED),
        (_no_new_line, Refusal.NOT_PROPOSED),
        (_unreadable_before, Refusal.NOT_PROPOSED),
        (lambda p: p.api.pulls[NUMBER]["base"].update(ref="side"), Refusal.NOT_PROPOSED),
        (lambda p: p.api.pulls[NUMBER].update(merged_at=None), Refusal.PULL_REQUEST_UNKNOWN),
        (lambda p: p.api.pulls[NUMBER].update(merge_commit_sha=p.start), Refusal.PULL_REQUEST_UNKNOWN),
    ],
)
def test_what_no_pull_request_has_proposed(
    proposed: Proposed, change: Callable[[Proposed], object], reason: Refusal
) -> None:
    change(proposed)
    assert proposed.refusal()[0] is reason
    if change is _direct_push:
        # A later commit of the branch: the pull request has to be named.
        assert "--pull-request N" in proposed.refusal()[1]
        assert proposed.promotion(pull_request=NUMBER).pull_request


def test_one_that_is_refused_stops_no_other(tmp_path: Path) -> None:
    team = team_in(tmp_path)
    (team.project.folder / "ciplug.yaml").write_text(
        "version: 1\nmodels:\n"
        "  other: {metrics: m.json, gates: {accuracy: {min: 0.1}},"
        " stages: {staging: {approvals: {pull_request: promotions.yaml}}}}\n"
        "  wine: {metrics: m.json, gates: {accuracy: {min: 0.1}}}\n"
    )
    team.project.commit("policy")
    team.session = team.session.refreshed()
    other, wine = team.judged(model="other"), team.judged()
    propose(team, f"other: {{staging: '{other.id}'}}\nwine: {{staging: '{wine.id}'}}\n", "both")
    env = {name: team.session.env[name] for name in ("CIPLUG_STORE", "CIPLUG_SPOOL")}
    done = team.project.ciplug("promote", "--proposed", env=env, code=1)
    assert "other to Staging: staging requires a merged pull request" in done.stderr
    assert "wine version 1 is in Staging" in done.stderr


@pytest.mark.parametrize("start", ["9" * 40, "topic~1"])
def test_no_commit_to_compare_with(proposed: Proposed, start: str) -> None:
    """What the file said before is not known: that is not the same as nothing."""
    proposed.api.starts[proposed.head] = start
    with pytest.raises(GitError):
        proposed.promotion()


@pytest.mark.parametrize(
    "text",
    [
        "# see the docs\u2028wine: {staging: 3}\n",
        "# see the docs\x85wine: {staging: 3}\n",
        "# see the docs\rwine: {staging: 3}\n",
        "# \u202ewine\nwine: {staging: 3}\n",
        "wine: {staging: 3, Staging: 4}\n",
        "wine: {staging: 3}\nwine: {staging: 3}\n",
        "x: &a {staging: 3}\nwine: *a\n",
        "x: {staging: 3}\nwine: {<<: {staging: 3}}\n",
    ],
)
def test_what_a_diff_does_not_show_is_not_proposed(text: str) -> None:
    assert not Proposal("wine", "staging", 3, "r").is_in(text.encode())
    assert Proposal("wine", "staging", 3, "r").is_in(b"\xef\xbb\xbfwine:\r\n  Staging: 3 # \xc3\xa9\r\n")


def test_no_forge_says_who_approved(proposed: Proposed) -> None:
    session = proposed.team.session.refreshed()
    assert proposed.team.refused(run=proposed.run.id, session=session).reason is Refusal.PULL_REQUEST_UNKNOWN


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("wine: {staging: true}", "wine: staging: the number of a version or the id of a run is expected"),
        ("wine: {staging: [1]}", "wine: staging: the number of a version or the id of a run is expected"),
        ("wine: {staging: 1.5}", "wine: staging: the number of a version or the id of a run is expected"),
        ("wine: {staging: 1, Staging: 1}", "wine: a stage is named twice, in upper and lower case"),
        ("wine: 3", "wine: a mapping of stages is expected"),
        ("- wine", "a mapping of models is expected"),
        ("wine: {staging: 1}\n# a\u2028b", ":2: the character U\\+2028 cannot be seen"),
        (None, "there is no file p.yaml"),
    ],
)
def test_what_proposes_nothing(text: str | None, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        every_proposed(None if text is None else text.encode(), "p.yaml")


def test_what_a_file_proposes() -> None:
    text = "\ufeffwine: {Staging: 1}\r\nbeer: {production: ab12}\t# approved\n"
    assert every_proposed(text.encode(), "p.yaml") == {"wine": {"staging": 1}, "beer": {"production": "ab12"}}
    assert every_proposed(b"# nothing\n", "p.yaml") == {}
