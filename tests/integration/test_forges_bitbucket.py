"""Comments and statuses on a Bitbucket that keeps state, pages by `next`, and refuses as the real one does."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from ciplug.errors import ForgeError, ForgeKind, InputError, PermissionDenied
from ciplug.forges import Forge, open_forge
from ciplug.forges.base import OpenPullRequest
from ciplug.records.provenance import Context
from tests.servers.bitbucket_api import BitbucketApi

MARKER = "[//]: # (ciplug:report)"
BODY = f"{MARKER}\n\n## Accuracy 0.9\n"
COMMIT = "c" * 40


def forge(api: BitbucketApi, token: str = "access-token") -> Forge:
    context = Context(host="bitbucket", repository=api.repository, server_url="https://bitbucket.org")
    found = open_forge(context, {"CIPLUG_BITBUCKET_TOKEN": token, "CIPLUG_BITBUCKET_URL": api.url}, None)
    assert found is not None and found.name == "bitbucket"
    return found


@pytest.fixture
def api(bitbucket_api: BitbucketApi) -> BitbucketApi:
    bitbucket_api.add_pull(7, commit=COMMIT)
    bitbucket_api.add_token("user-token", "ada", scopes=("pullrequest:write", "account"))
    return bitbucket_api


@pytest.mark.parametrize("token", ["user-token", "access-token"])
def test_one_comment_among_300(api: BitbucketApi, token: str) -> None:
    api.add_comments(7, 150)
    url = forge(api, token).upsert_comment(7, MARKER, BODY)
    api.add_comments(7, 150)
    assert url.endswith(f"#comment-{api.comments[7][150]['id']}")
    assert forge(api, token).upsert_comment(7, MARKER, BODY + "More.\n") == url
    assert [b for b in api.alive(7) if MARKER in b] == [BODY + "More.\n"]
    assert [c.method for c in api.wrote()] == ["POST", "PUT"]


@pytest.mark.parametrize(("token", "login"), [("user-token", "ada"), ("access-token", "ciplug")])
def test_other_comments_are_left_alone_and_own_duplicates_go(api: BitbucketApi, token: str, login: str) -> None:
    app = token == "access-token"
    api.add_comments(7, body=BODY, login="mallory")
    api.add_comments(7, body=f"> {MARKER}\nQuoted.", login=login, app=app)
    api.add_comments(7)[0]["user"] = None
    before = api.alive(7)
    oldest, *_ = api.add_comments(7, 3, body=BODY, login=login, app=app)
    assert forge(api, token).upsert_comment(7, MARKER, BODY).endswith(f"#comment-{oldest['id']}")
    assert api.alive(7) == [*before, BODY]


def test_a_person_s_token_that_may_not_ask_whose_it_is_keeps_one_comment(api: BitbucketApi) -> None:
    api.add_token("no-account", "ada")
    url = forge(api, "no-account").upsert_comment(7, MARKER, BODY)
    assert forge(api, "no-account").upsert_comment(7, MARKER, BODY + "More.\n") == url
    assert api.alive(7) == [BODY + "More.\n"]


def test_a_deleted_comment_is_gone(api: BitbucketApi) -> None:
    (gone,) = api.add_comments(7, body=BODY, login="ciplug", app=True)
    gone["deleted"] = True
    forge(api).upsert_comment(7, MARKER, BODY)
    assert api.alive(7) == [BODY]


def test_racing_jobs_end_with_one_comment(api: BitbucketApi) -> None:
    api.latency = 0.01
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda i: forge(api).upsert_comment(7, MARKER, f"{BODY}{i}"), range(4)))
    assert len(api.alive(7)) == 1


def test_find_pull_request_among_many(api: BitbucketApi) -> None:
    for number in range(100, 220):
        api.add_pull(number, branch=f"b{number}", commit=f"{number:040x}"[::-1])
    api.add_pull(8, branch="old", commit="d" * 40, state="MERGED")
    api.add_pull(9, branch="gone", commit=None)
    api.add_pull(10, branch='say "hi"', commit="e" * 40)
    bitbucket = forge(api)
    assert bitbucket.find_pull_request(COMMIT, "topic") == OpenPullRequest(7, COMMIT, "main")
    assert bitbucket.find_pull_request(COMMIT, "stranger:topic") == OpenPullRequest(7, COMMIT, "main")
    assert bitbucket.find_pull_request(COMMIT, None) == OpenPullRequest(7, COMMIT, "main")
    assert bitbucket.find_pull_request("e" * 40, 'say "hi"') == OpenPullRequest(10, "e" * 40, "main")
    assert bitbucket.find_pull_request(f"{219:040x}"[::-1], None) == OpenPullRequest(219, f"{219:040x}"[::-1], "main")
    assert bitbucket.find_pull_request("d" * 40, "old") is None
    assert bitbucket.find_pull_request("f" * 40, "gone") is None


def test_status(api: BitbucketApi) -> None:
    bitbucket = forge(api)
    bitbucket.set_status(COMMIT, "pending", name="ciplug", description="Comparing", url=None)
    status = api.statuses[COMMIT]["ciplug"]
    assert (status["state"], status["url"]) == ("INPROGRESS", f"https://bitbucket.org/acme/demo/commits/{COMMIT}")
    bitbucket.set_status(COMMIT, "failure", name="ciplug", description="x" * 300, url="https://ci/1")
    status = api.statuses[COMMIT]["ciplug"]
    assert (status["state"], status["url"], len(status["description"])) == ("FAILED", "https://ci/1", 255)


def test_a_missing_scope_names_the_token(api: BitbucketApi) -> None:
    api.add_token("less", "ciplug", scopes=("pullrequest",), app=True)
    with pytest.raises(PermissionDenied) as caught:
        forge(api, "less").upsert_comment(7, MARKER, BODY)
    assert "lack one or more required privilege scopes" in caught.value.message
    assert "CIPLUG_BITBUCKET_TOKEN" in (caught.value.hint or "")
    with pytest.raises(PermissionDenied, match="does not accept the token") as caught:
        forge(api, "wrong-token").upsert_comment(7, MARKER, BODY)
    assert "wrong-token" not in f"{caught.value.message} {caught.value.hint}"
    with pytest.raises(PermissionDenied, match=r"#99.*not found"):
        forge(api).upsert_comment(99, MARKER, BODY)


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("status", [502, None])
def test_trouble_is_retried_and_leaves_one_comment(api: BitbucketApi, status: int | None, after: bool) -> None:
    api.fail_next(status, method="POST", body="<html>Bad gateway</html>", after=after)
    forge(api).upsert_comment(7, MARKER, BODY)
    assert api.alive(7) == [BODY]


def test_a_web_page_is_not_an_answer(api: BitbucketApi) -> None:
    for page in ("/user", "/comments"):
        api.fail_next(200, path=page, body="<html>Please log in</html>")
        with pytest.raises(ForgeError, match="does not understand"):
            forge(api).upsert_comment(7, MARKER, BODY)
    assert api.wrote() == []


def test_too_long_is_refused_before_the_request(api: BitbucketApi) -> None:
    with pytest.raises(InputError, match="32,200"):
        forge(api).upsert_comment(7, MARKER, BODY + "x" * 32_768)
    assert api.calls == []


def test_an_older_comment_of_another_token_is_named(api: BitbucketApi) -> None:
    api.add_token("other-token", "other", app=True)
    old = forge(api).upsert_comment(7, MARKER, BODY)
    for text in ("failed", "failed again"):
        url = forge(api, "other-token").upsert_comment(7, MARKER, BODY + text)
        assert url != old and len(api.alive(7)) == 2
        assert f"outdated: [1]({old})" in api.alive(7)[1] and api.alive(7)[1].endswith(text)


@pytest.mark.parametrize("member", [True, False])
def test_only_members_of_the_workspace_count(api: BitbucketApi, member: bool) -> None:
    (theirs,) = api.add_comments(7, body=BODY, login="bob")
    if member:
        api.members.add(theirs["user"]["uuid"])
    forge(api, "user-token").upsert_comment(7, MARKER, BODY + "New.")
    assert api.alive(7)[0] == BODY
    assert ("outdated" in api.alive(7)[1]) is member


def test_strangers_with_our_marker_are_not_in_the_way(api: BitbucketApi) -> None:
    for number in range(30):
        api.add_comments(7, body=BODY, login="mallory" + "x" * number)
    before = api.alive(7)
    url = forge(api).upsert_comment(7, MARKER, BODY + "New.")
    assert forge(api).upsert_comment(7, MARKER, BODY + "Newer.") == url
    assert api.alive(7) == [*before, BODY + "Newer."]


def test_the_hint_fits_the_refusal(api: BitbucketApi) -> None:
    said = "To access this repository, an admin must whitelist your IP address."
    api.fail_next(403, method="POST", body={"type": "error", "error": {"message": said}})
    with pytest.raises(PermissionDenied, match="IP allow list") as caught:
        forge(api).upsert_comment(7, MARKER, BODY)
    assert caught.value.kind is ForgeKind.IP_ALLOW_LIST and "scope" not in (caught.value.hint or "")
