"""Comments and statuses on a Gitea that keeps state, pages as the real one does, and refuses by scope."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from ciplug.errors import ForgeError, ForgeKind, InputError, PermissionDenied
from ciplug.forges import Forge, open_forge
from ciplug.forges.base import OpenPullRequest
from ciplug.records.provenance import Context
from tests.servers.gitea_api import GiteaApi

MARKER = "<!-- ciplug: wine-quality -->"
BODY = f"{MARKER}\n## Accuracy 0.9\n"
COMMIT = "c" * 40


def forge(api: GiteaApi, token: str = "user-token") -> Forge:
    context = Context(host="gitea", repository=api.repository, server_url=api.url, api_url=api.api_url)
    found = open_forge(context, {"CIPLUG_GITEA_TOKEN": token}, None)
    assert found is not None and found.name == "gitea"
    return found


@pytest.fixture(params=["", "/git"])
def any_api(request: pytest.FixtureRequest) -> Iterator[GiteaApi]:
    with GiteaApi(sub_path=request.param) as api:
        api.add_token("user-token", "ada")
        api.add_token("job-token", "gitea-actions", scopes=None)
        api.add_pull(7, commit=COMMIT)
        yield api


@pytest.fixture
def api(gitea_api: GiteaApi) -> GiteaApi:
    gitea_api.add_pull(7, commit=COMMIT)
    return gitea_api


def bodies(api: GiteaApi, number: int = 7) -> list[str]:
    return [c["body"] for c in api.comments[number]]


@pytest.mark.parametrize("token", ["user-token", "job-token"])
def test_one_comment_among_300(any_api: GiteaApi, token: str) -> None:
    any_api.add_comments(7, 150)
    url = forge(any_api, token).upsert_comment(7, MARKER, BODY)
    any_api.add_comments(7, 150)
    assert url == f"{any_api.url}/acme/demo/pulls/7#issuecomment-{any_api.comments[7][150]['id']}"
    assert forge(any_api, token).upsert_comment(7, MARKER, BODY + "More.\n") == url
    assert [b for b in bodies(any_api) if MARKER in b] == [BODY + "More.\n"]
    assert [c.method for c in any_api.wrote()] == ["POST", "PATCH"]


def test_the_same_body_is_not_written_again(api: GiteaApi) -> None:
    forge(api).upsert_comment(7, MARKER, BODY)
    forge(api).upsert_comment(7, MARKER, BODY.strip())
    assert len(api.wrote()) == 1


def test_other_comments_are_left_alone_and_own_duplicates_go(api: GiteaApi) -> None:
    api.add_comments(7, body=BODY, login="mallory")
    api.add_comments(7, body=f"> {MARKER}\nQuoted.", login="ada")
    before = bodies(api)
    oldest, *_ = api.add_comments(7, 3, body=BODY, login="ada")
    assert forge(api).upsert_comment(7, MARKER, BODY).endswith(f"#issuecomment-{oldest['id']}")
    assert bodies(api) == [*before, BODY]


def test_racing_jobs_end_with_one_comment(api: GiteaApi) -> None:
    api.latency = 0.01
    with ThreadPoolExecutor(4) as pool:
        urls = set(pool.map(lambda i: forge(api).upsert_comment(7, MARKER, f"{BODY}{i}"), range(4)))
    (comment,) = api.comments[7]
    assert comment["html_url"] in urls


@pytest.mark.parametrize("most", [50, 7])
def test_find_pull_request_among_many(api: GiteaApi, most: int) -> None:
    api.most = most
    for number in range(100, 220):
        api.add_pull(number, branch=f"b{number}", commit=f"{number:040d}")
    api.add_pull(8, branch="old", commit="d" * 40, state="closed")
    gitea = forge(api)
    assert gitea.find_pull_request(COMMIT, "topic") == OpenPullRequest(7, COMMIT, "main")
    assert gitea.find_pull_request(COMMIT, None) == OpenPullRequest(7, COMMIT, "main")
    assert gitea.find_pull_request("d" * 40, "old") is None


def test_status(api: GiteaApi) -> None:
    gitea = forge(api)
    gitea.set_status(COMMIT, "pending", name="ciplug", description="Comparing", url=None)
    gitea.set_status(COMMIT, "failure", name="ciplug", description="x" * 300, url="https://ci/1")
    first, second = api.statuses[COMMIT]
    assert (first["status"], first["context"], first["target_url"]) == ("pending", "ciplug", "")
    assert (second["status"], second["target_url"], len(second["description"])) == ("failure", "https://ci/1", 255)


@pytest.mark.parametrize("scopes", [("read:issue", "read:user"), ("write:issue", "write:repository")])
def test_a_missing_scope_names_the_token(api: GiteaApi, scopes: tuple[str, ...]) -> None:
    api.add_token("less", "ada", scopes=scopes)
    with pytest.raises(PermissionDenied) as caught:
        forge(api, "less").upsert_comment(7, MARKER, BODY)
    assert caught.value.message == "cannot comment on pull request #7: Gitea refuses"
    assert "CIPLUG_GITEA_TOKEN" in (caught.value.hint or "") and "read:user" in (caught.value.hint or "")
    assert bodies(api) == []


def test_no_right_to_write_bad_token_and_unknown_things(api: GiteaApi) -> None:
    api.add_token("reader", "reader", writer=False)
    with pytest.raises(PermissionDenied, match="write access"):
        forge(api, "reader").set_status(COMMIT, "success", name="ciplug", description="", url=None)
    with pytest.raises(PermissionDenied, match="does not accept the token") as caught:
        forge(api, "wrong-token").upsert_comment(7, MARKER, BODY)
    assert "wrong-token" not in f"{caught.value.message} {caught.value.hint}"
    with pytest.raises(PermissionDenied, match=r"#99.*not found"):
        forge(api).upsert_comment(99, MARKER, BODY)


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("status", [502, None])
def test_trouble_is_retried_and_leaves_one_comment(api: GiteaApi, status: int | None, after: bool) -> None:
    api.fail_next(status, method="POST", body="<html>Bad gateway</html>", after=after)
    forge(api).upsert_comment(7, MARKER, BODY)
    assert bodies(api) == [BODY]


def test_lasting_trouble_is_one_line(api: GiteaApi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ciplug.forges.retries.RETRIES", 1)
    api.fail_next(502, times=5, body="<html>Whoops</html>")
    with pytest.raises(ForgeError) as caught:
        forge(api).upsert_comment(7, MARKER, BODY)
    assert caught.value.message == "cannot comment on pull request #7: Gitea answers 502"


def test_a_web_page_is_not_an_answer(api: GiteaApi) -> None:
    for page in ("/user", "/comments"):
        api.fail_next(200, path=page, body="<html>Please log in</html>")
        with pytest.raises(ForgeError, match="does not understand"):
            forge(api).upsert_comment(7, MARKER, BODY)
    assert api.wrote() == []


def test_a_write_is_not_redirected_into_a_read(api: GiteaApi) -> None:
    api.fail_next(301, method="POST", headers={"Location": f"{api.api_url}/user"})
    with pytest.raises(ForgeError, match="redirects write requests"):
        forge(api).set_status(COMMIT, "success", name="ciplug", description="", url=None)


def test_too_long_is_refused_before_the_request(api: GiteaApi) -> None:
    with pytest.raises(InputError, match="65,000"):
        forge(api).upsert_comment(7, MARKER, BODY + "x" * 65_000)
    assert api.calls == []


def test_a_netrc_does_not_come_before_the_token(
    api: GiteaApi, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path_factory.mktemp("netrc") / "netrc"
    netrc.write_text("machine 127.0.0.1 login someone password else\n")
    monkeypatch.setenv("NETRC", str(netrc))
    forge(api).upsert_comment(7, MARKER, BODY)
    assert bodies(api) == [BODY]


def test_from_jenkins_by_the_remote_below_a_path() -> None:
    with GiteaApi(sub_path="/git") as api:
        api.add_token("t", "ada")
        api.add_pull(3, commit=COMMIT)
        env = {"CIPLUG_GITEA_URL": api.url, "CIPLUG_GITEA_TOKEN": "t"}
        gitea = open_forge(Context(host="jenkins"), env, f"{api.url}/acme/demo.git")
        assert gitea is not None
        assert gitea.find_pull_request(COMMIT, "topic") == OpenPullRequest(3, COMMIT, "main")


@pytest.mark.parametrize("writer", [True, False])
@pytest.mark.parametrize("known", ["collaborators", "members", "owner", "jobs"])
def test_another_token_takes_the_comment_over_or_names_it(any_api: GiteaApi, known: str, writer: bool) -> None:
    login = "acme" if known == "owner" else "bob"
    any_api.add_token("old", login, **({"scopes": None} if known == "jobs" else {}))
    any_api.add_token("new", "carl", writer=writer)
    if known in ("collaborators", "members"):
        getattr(any_api, known).add(login)
    old = forge(any_api, "old").upsert_comment(7, MARKER, BODY)
    url = forge(any_api, "new").upsert_comment(7, MARKER, BODY + "failed")
    if writer:
        assert url == old and bodies(any_api) == [BODY + "failed"]
    else:
        assert url != old and f"outdated: [1]({old})" in bodies(any_api)[1]


def test_strangers_with_our_marker_are_not_in_the_way(api: GiteaApi) -> None:
    for number in range(30):
        api.add_comments(7, body=BODY, login=f"mallory/{number}")
    before = bodies(api)
    url = forge(api).upsert_comment(7, MARKER, BODY + "New.")
    assert forge(api).upsert_comment(7, MARKER, BODY + "Newer.") == url
    assert bodies(api) == [*before, BODY + "Newer."]


def test_the_hint_fits_the_refusal(api: GiteaApi) -> None:
    api.add_token("reader", "eve", writer=False)
    api.locked.add(7)
    with pytest.raises(PermissionDenied, match="the conversation is locked") as caught:
        forge(api, "reader").upsert_comment(7, MARKER, BODY)
    assert caught.value.kind is ForgeKind.LOCKED and "scope" not in (caught.value.hint or "")
    api.archived = True
    with pytest.raises(PermissionDenied, match="archived") as caught:
        forge(api).upsert_comment(7, MARKER, BODY)
    assert caught.value.kind is ForgeKind.ARCHIVED and "unarchive" in (caught.value.hint or "")
