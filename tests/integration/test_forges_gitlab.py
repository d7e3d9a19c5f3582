"""Notes and statuses on a GitLab that keeps state, pages its answers and refuses as the real one does."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from ciplug.errors import ForgeError, ForgeKind, InputError, PermissionDenied
from ciplug.forges import Forge, open_forge
from ciplug.forges.base import OpenPullRequest
from ciplug.forges.sticky_comment import AUTHORS
from ciplug.records.provenance import Context
from tests.servers.gitlab_api import GitLabApi

MARKER = "<!-- ciplug: wine-quality -->"
BODY = f"{MARKER}\n## Accuracy 0.9\n"
COMMIT = "c" * 40


def forge(api: GitLabApi, token: str = "user-token", **env: str) -> Forge:
    context = Context(host="gitlab_ci", repository=api.project, server_url=api.url, api_url=api.api_url)
    found = open_forge(context, {"CIPLUG_GITLAB_TOKEN": token, "CI_JOB_TOKEN": "job", **env}, None)
    assert found is not None and found.name == "gitlab"
    return found


@pytest.fixture(params=["", "/gitlab"])
def any_api(request: pytest.FixtureRequest) -> object:
    with GitLabApi(sub_path=request.param) as api:
        api.add_token("user-token", "tanuki")
        api.add_merge_request(7, commit=COMMIT)
        yield api


@pytest.fixture
def api(gitlab_api: GitLabApi) -> GitLabApi:
    gitlab_api.add_merge_request(7, commit=COMMIT)
    return gitlab_api


def bodies(api: GitLabApi, iid: int = 7) -> list[str]:
    return [c["body"] for c in api.comments[iid]]


def test_one_note_among_300(any_api: GitLabApi) -> None:
    any_api.add_comments(7, 150)
    url = forge(any_api).upsert_comment(7, MARKER, BODY)
    any_api.add_comments(7, 150)
    note = any_api.comments[7][150]["id"]
    assert url == f"{any_api.url}/acme/demo/-/merge_requests/7#note_{note}"
    assert forge(any_api).upsert_comment(7, MARKER, BODY + "More.\n") == url
    assert [b for b in bodies(any_api) if MARKER in b] == [BODY + "More.\n"]
    assert [c.method for c in any_api.wrote()] == ["POST", "PUT"]


def test_the_same_body_is_not_written_again(api: GitLabApi) -> None:
    forge(api).upsert_comment(7, MARKER, BODY)
    forge(api).upsert_comment(7, MARKER, BODY.strip())
    assert len(api.wrote()) == 1


def test_other_notes_are_left_alone(api: GitLabApi) -> None:
    api.add_comments(7, body=BODY, login="mallory")
    api.add_comments(7, body=f"> {MARKER}\nQuoted.", login="tanuki")
    api.add_comments(7, body=f"The marker is {MARKER}.", login="tanuki")
    api.add_comments(7, body=MARKER, login="tanuki", system=True)
    before = bodies(api)
    forge(api).upsert_comment(7, MARKER, BODY)
    assert bodies(api) == [*before, BODY]


def test_own_duplicates_go_and_the_oldest_stays(api: GitLabApi) -> None:
    oldest, *_ = api.add_comments(7, 3, body=BODY, login="tanuki")
    assert forge(api).upsert_comment(7, MARKER, BODY).endswith(f"#note_{oldest['id']}")
    assert bodies(api) == [BODY]


def test_racing_jobs_end_with_one_note(api: GitLabApi) -> None:
    api.latency = 0.01
    with ThreadPoolExecutor(4) as pool:
        urls = set(pool.map(lambda i: forge(api).upsert_comment(7, MARKER, f"{BODY}{i}"), range(4)))
    (note,) = api.comments[7]
    assert any(url.endswith(f"#note_{note['id']}") for url in urls)


def test_no_permission_names_the_token(api: GitLabApi) -> None:
    api.add_token("reader", "reader", scopes=("read_api",))
    with pytest.raises(PermissionDenied) as caught:
        forge(api, "reader").upsert_comment(7, MARKER, BODY)
    assert caught.value.message == "cannot comment on merge request !7: GitLab refuses: insufficient_scope"
    assert "CIPLUG_GITLAB_TOKEN" in (caught.value.hint or "")
    api.add_token("reporter", "reporter", role="reporter")
    with pytest.raises(PermissionDenied) as caught:
        forge(api, "reporter").set_status(COMMIT, "success", name="ciplug", description="", url=None)
    assert "Developer" in (caught.value.hint or "")


def test_a_job_token_is_refused_by_the_server_as_well(api: GitLabApi) -> None:
    api.add_token("job", "tanuki", job=True)
    with pytest.raises(PermissionDenied, match="does not accept the token: 401 Unauthorized"):
        forge(api, "job").upsert_comment(7, MARKER, BODY)


def test_bad_token_and_unknown_things(api: GitLabApi) -> None:
    with pytest.raises(PermissionDenied) as caught:
        forge(api, "glpat-wrong").upsert_comment(7, MARKER, BODY)
    assert "glpat-wrong" not in f"{caught.value.message} {caught.value.hint}"
    with pytest.raises(PermissionDenied, match=r"!99.*not found"):
        forge(api).upsert_comment(99, MARKER, BODY)


def test_find_merge_request(api: GitLabApi) -> None:
    api.add_merge_request(8, branch="old", commit="d" * 40, state="merged")
    gitlab = forge(api)
    assert gitlab.find_pull_request(COMMIT, "topic") == OpenPullRequest(7, COMMIT, "main")
    assert gitlab.find_pull_request(COMMIT, None) == OpenPullRequest(7, COMMIT, "main")
    assert gitlab.find_pull_request("d" * 40, "old") is None
    assert gitlab.find_pull_request("d" * 40, None) is None


def test_status(api: GitLabApi) -> None:
    gitlab = forge(api, CI_PIPELINE_ID="42", CI_COMMIT_SHA=COMMIT)
    gitlab.set_status(COMMIT, "pending", name="ciplug", description="Comparing", url=None)
    gitlab.set_status(COMMIT, "pending", name="ciplug", description="Comparing", url=None)
    gitlab.set_status(COMMIT, "failure", name="ciplug", description="x" * 300, url="https://ci/1")
    gitlab.set_status("e" * 40, "error", name="ciplug", description="", url=None)
    first, second = api.statuses[COMMIT]
    assert (first["status"], first["name"], first["pipeline_id"]) == ("pending", "ciplug", "42")
    assert (second["status"], second["target_url"]) == ("failed", "https://ci/1")
    (other,) = api.statuses["e" * 40]
    assert (other["status"], other["pipeline_id"]) == ("failed", None)


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("status", [502, None])
def test_trouble_is_retried_and_leaves_one_note(api: GitLabApi, status: int | None, after: bool) -> None:
    api.fail_next(status, method="POST", body="<html>Bad gateway</html>", after=after)
    forge(api).upsert_comment(7, MARKER, BODY)
    assert bodies(api) == [BODY]


def test_lasting_trouble_is_one_line(api: GitLabApi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ciplug.forges.retries.RETRIES", 1)
    api.fail_next(502, times=5, body="<html>Whoops</html>")
    with pytest.raises(ForgeError) as caught:
        forge(api).upsert_comment(7, MARKER, BODY)
    assert caught.value.message == "cannot comment on merge request !7: GitLab answers 502"


def test_a_web_page_is_not_an_answer(api: GitLabApi) -> None:
    for page in ("/user", "/merge_requests/7", "/notes"):
        api.fail_next(200, path=page, body="<html>Please log in</html>")
        with pytest.raises(ForgeError) as caught:
            forge(api).upsert_comment(7, MARKER, BODY)
        assert "\n" not in caught.value.message and "<" not in caught.value.message
    assert api.wrote() == []


def test_too_long_is_refused_before_the_request(api: GitLabApi) -> None:
    with pytest.raises(InputError, match="999,500"):
        forge(api).upsert_comment(7, MARKER, BODY + "x" * 1_000_000)
    assert api.calls == []


def test_from_jenkins_by_the_remote_below_a_path() -> None:
    with GitLabApi(sub_path="/gitlab") as api:
        api.add_token("t", "tanuki")
        api.add_merge_request(3, commit=COMMIT)
        env = {"CIPLUG_GITLAB_URL": api.url, "CIPLUG_GITLAB_TOKEN": "t"}
        gitlab = open_forge(Context(host="jenkins"), env, f"{api.url}/acme/demo.git")
        assert gitlab is not None
        assert gitlab.find_pull_request(COMMIT, "topic") == OpenPullRequest(3, COMMIT, "main")


def test_another_token_takes_the_note_over(api: GitLabApi) -> None:
    api.add_token("new", "project_1_bot", role="maintainer")
    url = forge(api).upsert_comment(7, MARKER, BODY)
    api.add_comments(7, 150)
    assert forge(api, "new").upsert_comment(7, MARKER, BODY + "failed") == url
    assert [b for b in bodies(api) if MARKER in b] == [BODY + "failed"]


def test_a_note_that_another_token_may_not_edit_is_named(api: GitLabApi) -> None:
    api.add_token("new", "project_1_bot", role="developer")
    old = forge(api).upsert_comment(7, MARKER, BODY)
    for text in ("failed", "failed again"):
        assert forge(api, "new").upsert_comment(7, MARKER, BODY + text) != old
        assert len(bodies(api)) == 2 and f"outdated: [1]({old})" in bodies(api)[1]


def test_strangers_with_our_marker_are_not_in_the_way(api: GitLabApi) -> None:
    for number in range(30):
        api.add_comments(7, body=BODY, login=f"mallory-{number}")
    api.add_token("guest", "mallory-guest", role="guest")
    api.add_comments(7, body=BODY, login="mallory-guest")
    before = bodies(api)
    url = forge(api).upsert_comment(7, MARKER, BODY + "New.")
    assert forge(api).upsert_comment(7, MARKER, BODY + "Newer.") == url
    assert bodies(api) == [*before, BODY + "Newer."]
    # Nobody makes us ask about everybody.
    assert len([call for call in api.calls if "/members/" in call.path]) == 2 * AUTHORS


def test_the_hint_fits_the_refusal(api: GitLabApi) -> None:
    api.add_token("guest", "visitor", role="guest")
    api.merge_requests[7]["discussion_locked"] = True
    with pytest.raises(PermissionDenied, match="the conversation is locked") as caught:
        forge(api, "guest").upsert_comment(7, MARKER, BODY)
    assert caught.value.kind is ForgeKind.LOCKED and "unlock" in (caught.value.hint or "")
    api.merge_requests[7]["discussion_locked"] = False
    api.archived = True
    with pytest.raises(PermissionDenied, match="archived") as caught:
        forge(api).upsert_comment(7, MARKER, BODY)
    assert caught.value.kind is ForgeKind.ARCHIVED and "scope" not in (caught.value.hint or "")
    api.archived = False
    api.fail_next(403, method="POST", body={"message": "403 Forbidden"})
    with pytest.raises(PermissionDenied) as caught:
        forge(api).upsert_comment(7, MARKER, BODY)
    assert caught.value.kind is ForgeKind.PERMISSION and "scope `api`" in (caught.value.hint or "")
