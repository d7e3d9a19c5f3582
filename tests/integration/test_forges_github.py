"""Comments and statuses on a GitHub that keeps state, pages its answers and refuses as the real one does."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from ciplug.errors import CiplugError, ForgeError, ForgeKind, InputError, PermissionDenied
from ciplug.forges import Forge, open_forge
from ciplug.forges.base import OpenPullRequest
from ciplug.records.provenance import Context
from tests.servers.github_api import GitHubApi

MARKER = "<!-- ciplug: wine-quality -->"
BODY = f"{MARKER}\n## Accuracy 0.9\n"
COMMIT = "c" * 40


def forge(api: GitHubApi, token: str = "user-token") -> Forge:
    context = Context(
        host="github_actions", repository=api.repository, server_url="https://github.com", api_url=api.url
    )
    found = open_forge(context, {"GITHUB_TOKEN": token}, None)
    assert found is not None and found.name == "github"
    return found


@pytest.fixture
def api(github_api: GitHubApi) -> GitHubApi:
    github_api.add_pull(7, commit=COMMIT)
    github_api.add_token("job-token", "github-actions[bot]", app=True, permissions={"pull-requests": "write"})
    return github_api


def bodies(api: GitHubApi, number: int = 7) -> list[str]:
    return [c["body"] for c in api.comments[number]]


def shown(error: CiplugError) -> str:
    return f"{error.message} | {error.hint}"


@pytest.mark.parametrize("token", ["user-token", "job-token"])
def test_one_comment_among_300(api: GitHubApi, token: str) -> None:
    api.add_comments(7, 150)
    url = forge(api, token).upsert_comment(7, MARKER, BODY)
    api.add_comments(7, 150)
    assert url.endswith(f"/acme/demo/pull/7#issuecomment-{api.comments[7][150]['id']}")
    assert forge(api, token).upsert_comment(7, MARKER, BODY + "More.\n") == url
    assert [b for b in bodies(api) if MARKER in b] == [BODY + "More.\n"]
    assert len(bodies(api)) == 301
    assert [c.method for c in api.wrote()] == ["POST", "PATCH"]


def test_the_same_body_is_not_written_again(api: GitHubApi) -> None:
    forge(api).upsert_comment(7, MARKER, BODY)
    api.comments[7][0]["body"] = BODY.replace("\n", "\r\n").strip()
    forge(api).upsert_comment(7, MARKER, BODY)
    assert len(api.wrote()) == 1


@pytest.mark.parametrize("token", ["user-token", "job-token"])
def test_other_comments_are_left_alone(api: GitHubApi, token: str) -> None:
    own = {"login": "octocat"} if token == "user-token" else {"login": "github-actions[bot]", "app": True}
    api.add_comments(7, body=BODY, login="mallory")
    api.add_comments(7, body=f"> {MARKER}\nQuoted.", **own)
    api.add_comments(7, body=f"The marker is {MARKER}, they say.", **own)
    api.add_comments(7, body=f"{MARKER.replace('wine', 'beer')}\nAnother model.", **own)
    before = bodies(api)
    forge(api, token).upsert_comment(7, MARKER, BODY + "New.")
    assert bodies(api) == [*before, BODY + "New."]


def test_own_duplicates_go_and_the_oldest_stays(api: GitHubApi) -> None:
    oldest, *_ = api.add_comments(7, 3, body=BODY, login="octocat")
    api.add_comments(7, 1, body=BODY, login="mallory")
    url = forge(api).upsert_comment(7, MARKER, BODY)
    assert url.endswith(str(oldest["id"]))
    assert [c["user"]["login"] for c in api.comments[7]] == ["octocat", "mallory"]


@pytest.mark.parametrize("token", ["user-token", "job-token"])
@pytest.mark.parametrize("bodies_differ", [False, True])
def test_racing_jobs_end_with_one_comment(api: GitHubApi, token: str, bodies_differ: bool) -> None:
    api.latency = 0.01
    racers = [BODY + (f"Job {i}" if bodies_differ else "") for i in range(4)]
    with ThreadPoolExecutor(4) as pool:
        urls = set(pool.map(lambda body: forge(api, token).upsert_comment(7, MARKER, body), racers))
    assert len(api.comments[7]) == 1
    assert api.comments[7][0]["html_url"] in urls
    assert bodies(api)[0] in racers


def test_no_permission_names_the_permission(api: GitHubApi) -> None:
    api.add_token("weak", "github-actions[bot]", app=True, permissions={"contents": "write"})
    weak = forge(api, "weak")
    with pytest.raises(PermissionDenied) as caught:
        weak.upsert_comment(7, MARKER, BODY)
    assert caught.value.message == (
        "cannot comment on pull request #7: GitHub refuses: Resource not accessible by integration"
    )
    assert "pull-requests: write" in (caught.value.hint or "")
    with pytest.raises(PermissionDenied) as caught:
        weak.set_status(COMMIT, "success", name="ciplug", description="", url=None)
    assert "statuses: write" in (caught.value.hint or "")


def test_bad_token_and_unknown_things(api: GitHubApi) -> None:
    with pytest.raises(PermissionDenied, match="does not accept the token: Bad credentials") as caught:
        forge(api, "ghp_wrong").upsert_comment(7, MARKER, BODY)
    assert "ghp_wrong" not in shown(caught.value)
    with pytest.raises(PermissionDenied, match=r"#99.*not found"):
        forge(api).upsert_comment(99, MARKER, BODY)


def test_find_pull_request(api: GitHubApi) -> None:
    api.add_pull(8, branch="old", commit="d" * 40, state="closed")
    api.add_pull(9, branch="topic", commit="e" * 40, owner="fork")
    github = forge(api)
    assert github.find_pull_request(COMMIT, "topic") == OpenPullRequest(7, COMMIT, "main")
    assert github.find_pull_request(COMMIT, None) == OpenPullRequest(7, COMMIT, "main")
    assert github.find_pull_request("e" * 40, "fork:topic") == OpenPullRequest(9, "e" * 40, "main")
    assert github.find_pull_request("e" * 40, "topic") is None
    api.add_pull(10, commit=COMMIT, base="scratch")
    assert github.find_pull_request(COMMIT, "topic", into="main") == OpenPullRequest(7, COMMIT, "main")
    assert github.find_pull_request(COMMIT, "topic") == OpenPullRequest(10, COMMIT, "scratch")
    assert github.find_pull_request("d" * 40, "old") is None
    assert github.find_pull_request("f" * 40, None) is None


def test_status(api: GitHubApi) -> None:
    github = forge(api)
    github.set_status(COMMIT, "pending", name="ciplug / wine", description="Comparing", url=None)
    github.set_status(COMMIT, "failure", name="ciplug / wine", description="x" * 200, url="https://ci/1")
    first, second = api.statuses[COMMIT]
    assert (first["state"], first["context"], first["description"]) == ("pending", "ciplug / wine", "Comparing")
    assert (second["state"], second["target_url"]) == ("failure", "https://ci/1")
    assert len(second["description"]) == 140


@pytest.mark.slow
def test_rate_limit_is_obeyed(api: GitHubApi) -> None:
    api.rate_limit_next(1, method="POST")
    start = time.monotonic()
    forge(api).upsert_comment(7, MARKER, BODY)
    assert time.monotonic() - start >= 1
    assert bodies(api) == [BODY]


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("status", [502, None])
def test_trouble_is_retried_and_leaves_one_comment(api: GitHubApi, status: int | None, after: bool) -> None:
    api.fail_next(status, method="POST", body="<html>Bad gateway</html>", after=after)
    forge(api).upsert_comment(7, MARKER, BODY)
    assert bodies(api) == [BODY]


def test_lasting_trouble_is_one_line(api: GitHubApi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ciplug.forges.retries.RETRIES", 1)
    api.fail_next(500, times=5, body="<html>Internal error</html>")
    with pytest.raises(ForgeError) as caught:
        forge(api).upsert_comment(7, MARKER, BODY)
    assert caught.value.message == f"{api.url} kept failing"


def test_a_web_page_is_not_an_answer(api: GitHubApi) -> None:
    for page in ("/user", "/pulls/7", "/comments"):
        api.fail_next(200, path=page, body="<html>Please log in</html>")
        with pytest.raises(ForgeError) as caught:
            forge(api).upsert_comment(7, MARKER, BODY)
        assert "\n" not in caught.value.message and "<" not in caught.value.message
    assert api.wrote() == []


def test_too_long_or_without_marker_is_refused_before_the_request(api: GitHubApi) -> None:
    with pytest.raises(InputError, match="65,000"):
        forge(api).upsert_comment(7, MARKER, BODY + "é" * 32_500)
    with pytest.raises(InputError, match="marker"):
        forge(api).upsert_comment(7, MARKER, "Without.")
    assert api.calls == []


def test_the_longest_comment_is_taken(api: GitHubApi) -> None:
    forge(api).upsert_comment(7, MARKER, BODY + "x" * (65_000 - len(BODY)))
    assert len(bodies(api)[0]) == 65_000


def test_few_requests(api: GitHubApi) -> None:
    github = forge(api)
    github.upsert_comment(7, MARKER, BODY)
    api.calls.clear()
    github.upsert_comment(7, MARKER, BODY + "More.")
    assert [(c.method, c.path.removeprefix("/repos/acme/demo").rstrip("0123456789")) for c in api.calls] == [
        ("GET", "/user"),
        ("GET", "/pulls/"),
        ("GET", "/issues/7/comments"),
        ("PATCH", "/issues/comments/"),
    ]


def test_enterprise_below_its_path() -> None:
    with GitHubApi(prefix="/api/v3", private=True) as api:
        api.add_token("t", "octocat")
        api.add_pull(1, commit=COMMIT)
        github = forge(api, "t")
        assert github.find_pull_request(COMMIT, "topic") == OpenPullRequest(1, COMMIT, "main")
        github.upsert_comment(1, MARKER, BODY)
        assert bodies(api, 1) == [BODY]


def test_who_approved_a_run_and_who_wrote_a_commit(api: GitHubApi) -> None:
    api.private = True
    api.reviews[42] += [("bob", "approved", "live"), ("eve", "rejected", "live"), ("ann", "approved", "test")]
    api.authors[COMMIT] = "octocat"
    run = "https://github.com/acme/demo/actions/runs/42"
    assert forge(api).approvers(run, "live") == {"bob"}
    assert forge(api).approvers(None, "live") is None
    assert forge(api).accounts(COMMIT) == {"octocat"}
    assert forge(api).accounts("d" * 40) == set()
    with pytest.raises(PermissionDenied, match="who approved this run") as caught:
        forge(api, "job-token").approvers(run, "live")
    assert "actions: read" in (caught.value.hint or "")


@pytest.mark.parametrize(("first", "second"), [("job-token", "user-token"), ("user-token", "job-token")])
def test_another_token_takes_the_comment_over(api: GitHubApi, first: str, second: str) -> None:
    api.add_comments(7, 150)
    url = forge(api, first).upsert_comment(7, MARKER, BODY)
    api.add_comments(7, 150)
    assert forge(api, second).upsert_comment(7, MARKER, BODY + "failed") == url
    assert [b for b in bodies(api) if MARKER in b] == [BODY + "failed"]


@pytest.mark.parametrize(("first", "second"), [("job-token", "user-token"), ("user-token", "job-token")])
def test_a_comment_that_another_token_may_not_edit_is_hidden_and_named(api: GitHubApi, first: str, second: str) -> None:
    old = forge(api, first).upsert_comment(7, MARKER, BODY)
    api.own_only.add(second)
    for text in ("failed", "failed again"):
        new = forge(api, second).upsert_comment(7, MARKER, BODY + text)
        assert new != old and len(api.comments[7]) == 2
        assert f"outdated: [1]({old})" in bodies(api)[1] and bodies(api)[1].endswith(text)
    # Another's comment is hidden only where the token may.
    assert api.minimized == set()
    api.own_only.clear()
    assert forge(api, second).upsert_comment(7, MARKER, BODY + "passed") == old
    assert bodies(api) == [BODY + "passed"]


def test_an_old_comment_is_hidden_where_only_that_is_allowed(api: GitHubApi) -> None:
    old = forge(api, "job-token").upsert_comment(7, MARKER, BODY)
    api.fail_next(403, method="PATCH", body={"message": "Must have admin rights to Repository."})
    assert forge(api).upsert_comment(7, MARKER, BODY + "failed") != old
    assert api.minimized == {api.comments[7][0]["id"]}
    assert forge(api).upsert_comment(7, MARKER, BODY + "passed") == old
    assert api.minimized == set() and bodies(api) == [BODY + "passed"]


@pytest.mark.parametrize("token", ["user-token", "job-token"])
def test_a_stranger_with_our_marker_is_neither_ours_nor_in_the_way(api: GitHubApi, token: str) -> None:
    api.add_comments(7, 20, body=BODY, login="mallory")
    before = bodies(api)
    url = forge(api, token).upsert_comment(7, MARKER, BODY + "New.")
    assert forge(api, token).upsert_comment(7, MARKER, BODY + "Newer.") == url
    assert bodies(api) == [*before, BODY + "Newer."]
    assert "mallory" not in str([call.path for call in api.calls])


LOCKED = "unlock the conversation"


@pytest.mark.parametrize(
    ("state", "token", "kind", "hint"),
    [
        ({"locked": {7}}, "job-token", ForgeKind.LOCKED, LOCKED),
        ({"archived": True}, "job-token", ForgeKind.ARCHIVED, "unarchive"),
        ({"saml": True}, "user-token", ForgeKind.SSO, "single sign-on"),
        ({"allow_list": True}, "job-token", ForgeKind.IP_ALLOW_LIST, "allow list"),
    ],
)
def test_the_hint_fits_the_refusal(
    api: GitHubApi, state: dict[str, object], token: str, kind: ForgeKind, hint: str
) -> None:
    for name, value in state.items():
        setattr(api, name, value)
    with pytest.raises(PermissionDenied) as caught:
        forge(api, token).upsert_comment(7, MARKER, BODY)
    assert caught.value.kind is kind and hint in (caught.value.hint or "")
    assert "pull-requests: write" not in shown(caught.value) and "secret" not in shown(caught.value)


def test_a_comment_in_a_locked_conversation_is_still_edited(api: GitHubApi) -> None:
    url = forge(api, "job-token").upsert_comment(7, MARKER, BODY)
    api.locked.add(7)
    assert forge(api, "job-token").upsert_comment(7, MARKER, BODY + "New.") == url
    assert bodies(api) == [BODY + "New."]
