"""Which forge is picked, with which token; what counts as our comment; what errors say."""

from __future__ import annotations

import itertools
import re
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest
import requests
import responses

from ciplug import ci
from ciplug.config import Config
from ciplug.errors import CiplugError, ConfigError, ForgeError, PermissionDenied
from ciplug.forges import Lack, NoForge, Place, find_place, open_forge
from ciplug.forges.bitbucket import Bitbucket
from ciplug.forges.failures import cut, words
from ciplug.forges.gitea import Gitea
from ciplug.forges.github import GitHub
from ciplug.forges.gitlab import GitLab
from ciplug.forges.sticky_comment import NOTE_ROOM, Comment, carries, superseding, upsert
from ciplug.health import forge as health
from ciplug.health.base import Trouble
from ciplug.records.provenance import Context
from ciplug.steps.session import Session

MARKER = "<!-- ciplug -->"
ACTIONS = Context(
    host="github_actions",
    repository="acme/demo",
    server_url="https://github.com",
    api_url="https://api.github.com",
)
IN_GITLAB = Context(host="gitlab_ci", repository="group/sub/demo", server_url="https://gitlab.com")
IN_GITEA = Context(
    host="gitea",
    repository="acme/demo",
    server_url="https://code.corp/git",
    api_url="https://code.corp/git/api/v1",
)
IN_BITBUCKET = Context(host="bitbucket", repository="acme/demo", server_url="https://bitbucket.org")
JENKINS = Context(host="jenkins")
TOKENS = {f"CIPLUG_{forge}_TOKEN": "t" for forge in ("GITHUB", "GITLAB", "GITEA", "BITBUCKET")}


def place(context: Context, env: dict[str, str], remote: str | None = None) -> Place:
    forge = open_forge(context, env, remote)
    assert not isinstance(forge, NoForge), forge.reason
    found = find_place(context, env, remote)
    assert forge.name == found.kind
    return found


def why(context: Context, env: dict[str, str], remote: str | None = None) -> str:
    forge = open_forge(context, env, remote)
    assert isinstance(forge, NoForge)
    return forge.reason


# -- which forge


def test_actions() -> None:
    assert place(ACTIONS, {"GITHUB_TOKEN": "t"}) == Place("github", "https://api.github.com", "acme/demo", "t")


def test_actions_on_enterprise() -> None:
    env = {"GITHUB_TOKEN": "t", "GITHUB_API_URL": "https://ghe.example.com/api/v3/"}
    assert place(Context(host="github_actions", repository="a/b"), env).api_url == "https://ghe.example.com/api/v3"


def test_the_token_meant_for_us_comes_first() -> None:
    env = {"GH_TOKEN": "gh"}
    assert place(ACTIONS, env).token == "gh"
    assert place(ACTIONS, env | {"GITHUB_TOKEN": "job"}).token == "job"
    assert place(ACTIONS, env | {"GITHUB_TOKEN": "job", "CIPLUG_GITHUB_TOKEN": " own\n"}).token == "own"
    env = {"GITLAB_TOKEN": "gl"}
    assert place(IN_GITLAB, env).token == "gl"
    assert place(IN_GITLAB, env | {"CIPLUG_GITLAB_TOKEN": "own"}).token == "own"
    env = {"GITHUB_TOKEN": "job"}
    assert place(IN_GITEA, env).token == "job"
    assert place(IN_GITEA, env | {"GITEA_TOKEN": "gitea"}).token == "gitea"
    assert place(IN_GITEA, env | {"GITEA_TOKEN": "gitea", "CIPLUG_GITEA_TOKEN": "own"}).token == "own"


@pytest.mark.parametrize(
    ("env", "api"),
    [
        ({}, "https://gitlab.com/api/v4"),
        ({"CI_API_V4_URL": "https://code.corp/gitlab/api/v4"}, "https://code.corp/gitlab/api/v4"),
        ({"CIPLUG_GITLAB_URL": "https://code.corp/gitlab/"}, "https://code.corp/gitlab/api/v4"),
        ({"CIPLUG_GITLAB_URL": "http://code.corp:8080/api/v4"}, "http://code.corp:8080/api/v4"),
        ({"CIPLUG_GITLAB_URL": "https://a.corp", "CI_API_V4_URL": "https://b.corp/api/v4"}, "https://a.corp/api/v4"),
    ],
)
def test_gitlab_ci(env: dict[str, str], api: str) -> None:
    found = place(IN_GITLAB, {"CIPLUG_GITLAB_TOKEN": "t", **env})
    assert found == Place("gitlab", api, "group/sub/demo", "t")


def test_gitea_actions() -> None:
    found = place(IN_GITEA, {"CIPLUG_GITEA_TOKEN": "t", "GITHUB_API_URL": "https://code.corp/git/api/v1"})
    assert found == Place("gitea", "https://code.corp/git/api/v1", "acme/demo", "t")
    within = {"CIPLUG_GITEA_TOKEN": "t", "CIPLUG_GITEA_URL": "http://gitea:3000/"}
    assert place(IN_GITEA, within).api_url == "http://gitea:3000/api/v1"


def test_bitbucket_pipelines() -> None:
    found = place(IN_BITBUCKET, {"CIPLUG_BITBUCKET_TOKEN": "t"}, "http://bitbucket.org/acme/demo")
    assert found == Place("bitbucket", "https://api.bitbucket.org/2.0", "acme/demo", "t")
    behind = {"CIPLUG_BITBUCKET_TOKEN": "t", "CIPLUG_BITBUCKET_URL": "https://gateway.corp/bitbucket/2.0/"}
    assert place(IN_BITBUCKET, behind).api_url == "https://gateway.corp/bitbucket/2.0"


@pytest.mark.parametrize(
    ("remote", "kind", "api", "repository"),
    [
        ("https://github.com/acme/demo.git", "github", "https://api.github.com", "acme/demo"),
        ("https://x:secret@github.com/acme/demo", "github", "https://api.github.com", "acme/demo"),
        ("git@github.com:acme/demo.git", "github", "https://api.github.com", "acme/demo"),
        ("ssh://git@ssh.github.com:443/acme/demo.git", "github", "https://api.github.com", "acme/demo"),
        ("git@github.corp.com:acme/demo.git", "github", "https://github.corp.com/api/v3", "acme/demo"),
        ("git@gitlab.com:group/sub/demo.git", "gitlab", "https://gitlab.com/api/v4", "group/sub/demo"),
        ("https://gitlab.corp:8443/g/demo.git", "gitlab", "https://gitlab.corp:8443/api/v4", "g/demo"),
        ("ssh://git@gitlab.corp:2222/g/demo.git", "gitlab", "https://gitlab.corp/api/v4", "g/demo"),
        ("https://codeberg.org/acme/demo.git", "gitea", "https://codeberg.org/api/v1", "acme/demo"),
        ("git@gitea.corp:acme/demo.git", "gitea", "https://gitea.corp/api/v1", "acme/demo"),
        ("https://forgejo.corp:3000/acme/demo", "gitea", "https://forgejo.corp:3000/api/v1", "acme/demo"),
        ("git@bitbucket.org:acme/demo.git", "bitbucket", "https://api.bitbucket.org/2.0", "acme/demo"),
        ("https://ada@bitbucket.org/acme/demo.git", "bitbucket", "https://api.bitbucket.org/2.0", "acme/demo"),
    ],
)
def test_jenkins_goes_where_the_remote_is(remote: str, kind: str, api: str, repository: str) -> None:
    expected = Place(kind, api, repository, "t")  # type: ignore[arg-type]
    assert place(JENKINS, TOKENS, remote) == expected


def test_a_named_server_need_not_have_a_telling_name() -> None:
    env = {"CIPLUG_GITLAB_TOKEN": "t", "CIPLUG_GITLAB_URL": "https://code.corp/gitlab"}
    for remote in ("https://code.corp/gitlab/acme/demo.git", "git@code.corp:acme/demo.git"):
        assert place(JENKINS, env, remote) == Place("gitlab", "https://code.corp/gitlab/api/v4", "acme/demo", "t")
    env = {"CIPLUG_GITEA_TOKEN": "t", "CIPLUG_GITEA_URL": "https://code.corp/git/"}
    for remote in ("https://code.corp/git/acme/demo.git", "git@code.corp:acme/demo.git"):
        assert place(JENKINS, env, remote) == Place("gitea", "https://code.corp/git/api/v1", "acme/demo", "t")
    env = {"GITHUB_TOKEN": "t", "GITHUB_API_URL": "https://code.corp/api/v3"}
    found = place(JENKINS, env, "git@code.corp:acme/demo.git")
    assert found == Place("github", "https://code.corp/api/v3", "acme/demo", "t")


def test_jenkins_reads_the_repository_of_a_server_below_a_path_from_the_pull_request() -> None:
    env = {**TOKENS, "CIPLUG_GITLAB_URL": "https://code.corp/gitlab"}
    change = "https://code.corp/gitlab/ml/team/wine/-/merge_requests/5"
    context = ci.detect({"JENKINS_URL": "https://ci.corp/", "CHANGE_ID": "5", "CHANGE_URL": change})
    assert place(context, env) == Place("gitlab", "https://code.corp/gitlab/api/v4", "ml/team/wine", "t")
    env = {**TOKENS, "CIPLUG_GITEA_URL": "https://code.corp/git"}
    change = "https://code.corp/git/acme/wine/pulls/5"
    context = ci.detect({"JENKINS_URL": "https://ci.corp/", "CHANGE_ID": "5", "CHANGE_URL": change})
    assert place(context, env) == Place("gitea", "https://code.corp/git/api/v1", "acme/wine", "t")


def test_a_group_may_be_called_as_the_path_of_its_server() -> None:
    context = Context(host="gitlab_ci", repository="gitlab/demo", server_url="https://code.corp/gitlab")
    env = {"CIPLUG_GITLAB_TOKEN": "t", "CI_API_V4_URL": "https://code.corp/gitlab/api/v4"}
    assert place(context, env).repository == "gitlab/demo"


def test_a_common_token_goes_to_no_guessed_server() -> None:
    assert "CIPLUG_GITHUB_TOKEN" in why(JENKINS, {"GITHUB_TOKEN": "t", "GH_TOKEN": "t"}, "git@github.evil.com:a/b.git")
    assert "CIPLUG_GITLAB_TOKEN" in why(JENKINS, {"GITLAB_TOKEN": "t"}, "git@gitlab.evil.com:a/b.git")
    assert place(JENKINS, {"GITLAB_TOKEN": "t"}, "git@gitlab.com:a/b.git").token == "t"
    assert "CIPLUG_GITEA_TOKEN" in why(JENKINS, {"GITEA_TOKEN": "t", "GITHUB_TOKEN": "t"}, "git@gitea.evil.com:a/b.git")
    assert "CIPLUG_GITEA_TOKEN" in why(JENKINS, {"GITHUB_TOKEN": "t"}, "git@codeberg.org:a/b.git")
    assert place(JENKINS, {"GITEA_TOKEN": "t"}, "git@codeberg.org:a/b.git").token == "t"
    assert "CIPLUG_BITBUCKET_TOKEN" in why(JENKINS, {**TOKENS, "CIPLUG_BITBUCKET_TOKEN": ""}, "git@bitbucket.org:a/b")


def test_azure_pipelines_goes_where_the_code_is() -> None:
    on_github = Context(host="azure", repository="acme/demo", server_url="https://github.com")
    assert place(on_github, {"GITHUB_TOKEN": "t"}).kind == "github"
    enterprise = Context(host="azure", repository="acme/demo", server_url="https://github.corp")
    assert place(enterprise, TOKENS).api_url == "https://github.corp/api/v3"
    on_bitbucket = Context(host="azure", repository="acme/demo", server_url="https://bitbucket.org")
    assert place(on_bitbucket, TOKENS).kind == "bitbucket"


# -- why none


def test_the_job_token_is_never_used() -> None:
    said = why(IN_GITLAB, {"CI_JOB_TOKEN": "job"})
    assert "CI_JOB_TOKEN" in said and "set CIPLUG_GITLAB_TOKEN" in said


@pytest.mark.parametrize(
    ("context", "env", "remote", "says"),
    [
        (ACTIONS, {}, None, "GITHUB_TOKEN"),
        (ACTIONS, {"GITHUB_TOKEN": "  "}, None, "GITHUB_TOKEN"),
        (IN_GITLAB, {}, None, "CIPLUG_GITLAB_TOKEN"),
        (JENKINS, {"GITHUB_TOKEN": "t"}, "git@example.com:a/b.git", "example.com is not known"),
        (JENKINS, {"GITHUB_TOKEN": "t"}, None, "no git remote"),
        (JENKINS, {"GITHUB_TOKEN": "t"}, "/srv/git/demo.git", "no git remote"),
        (JENKINS, {"GITHUB_TOKEN": "t"}, r"C:\git\demo", "no git remote"),
        (JENKINS, {"GITHUB_TOKEN": "t"}, "https://github.com/", "owner/name"),
        (JENKINS, {"GITLAB_TOKEN": "t"}, "https://gitlab.com/demo", "project"),
        (IN_GITEA, {}, None, "CIPLUG_GITEA_TOKEN"),
        (Context(host="gitea", repository="a/b"), {"GITHUB_TOKEN": "t"}, None, "CIPLUG_GITEA_URL"),
        (JENKINS, {"CIPLUG_GITEA_TOKEN": "t"}, "https://codeberg.org/demo", "owner/name"),
        (IN_BITBUCKET, {}, None, "CIPLUG_BITBUCKET_TOKEN"),
        (JENKINS, TOKENS, "https://bitbucket.org/demo", "workspace/name"),
        (JENKINS, TOKENS, "https://bitbucket.corp/scm/a/b.git", "bitbucket.corp is not known"),
        (Context(host="azure", server_url="https://dev.azure.com"), TOKENS, None, "Azure Repos"),
        (Context(host="azure", server_url="https://acme.visualstudio.com"), TOKENS, None, "Azure Repos"),
        (JENKINS, TOKENS, "git@ssh.dev.azure.com:v3/acme/ML/wine", "Azure Repos"),
    ],
)
def test_the_reason_is_one_line(context: Context, env: dict[str, str], remote: str | None, says: str) -> None:
    said = why(context, env, remote)
    assert says in said and "\n" not in said


@pytest.mark.parametrize(
    "context, env, remote, lacks",
    [
        (ACTIONS, {}, None, Lack.TOKEN),
        (IN_GITLAB, {"CI_JOB_TOKEN": "t"}, None, Lack.TOKEN),
        (replace(IN_GITLAB, repository=None), {"CIPLUG_GITLAB_TOKEN": "t"}, None, Lack.REPOSITORY),
        (replace(IN_BITBUCKET, repository=None), TOKENS, None, Lack.REPOSITORY),
        (JENKINS, TOKENS, "https://code.corp/acme/demo", Lack.ADDRESS),
        (JENKINS, TOKENS, "https://dev.azure.com/acme/demo/_git/demo", Lack.SUPPORT),
    ],
)
def test_what_is_missing_is_a_fact(context: Context, env: dict[str, str], remote: str | None, lacks: Lack) -> None:
    forge = open_forge(context, env, remote)
    assert isinstance(forge, NoForge) and forge.lacks is lacks


@pytest.mark.parametrize(
    "repository, env, remedy",
    [("acme/demo", {}, "CIPLUG_GITLAB_TOKEN"), (None, {"CIPLUG_GITLAB_TOKEN": "t"}, "")],
)
def test_doctor_asks_for_a_token_only_where_it_is_missing(
    repository: str | None, env: dict[str, str], remedy: str
) -> None:
    context = replace(IN_GITLAB, repository=repository)
    with pytest.raises(Trouble) as found:
        health.forge(Session(Path(), env, None, Config(), context, "git:"), {})
    assert (found.value.state, remedy in found.value.remedy) == ("warning", True)
    assert bool(found.value.remedy) == bool(remedy)


@pytest.mark.parametrize("token", ["two words", "line\nbreak", "naïve", "\x1b[0m"])
def test_a_malformed_token_is_refused_unseen(token: str) -> None:
    with pytest.raises(ConfigError) as caught:
        open_forge(ACTIONS, {"GITHUB_TOKEN": token}, None)
    assert "GITHUB_TOKEN" in caught.value.message and token not in caught.value.message


@pytest.mark.parametrize("address", ["code.corp", "ftp://code.corp", "https://me:secret@code.corp", "https://"])
def test_a_malformed_address_is_refused(address: str) -> None:
    with pytest.raises(ConfigError) as caught:
        open_forge(IN_GITLAB, {"CIPLUG_GITLAB_URL": address, "GITLAB_TOKEN": "t"}, None)
    assert "CIPLUG_GITLAB_URL" in caught.value.message and "secret" not in caught.value.message


@pytest.mark.parametrize("value", ["soon", "-1", "nan", "inf", "1m"])
def test_a_malformed_wait_is_refused(value: str) -> None:
    with pytest.raises(ConfigError, match="CIPLUG_FORGE_WAIT is not a number of seconds"):
        open_forge(ACTIONS, {"GITHUB_TOKEN": "t", "CIPLUG_FORGE_WAIT": value}, None)


def test_the_wait_is_the_job_s() -> None:
    assert place(ACTIONS, {"GITHUB_TOKEN": "t"}).wait == 120
    assert place(ACTIONS, {"GITHUB_TOKEN": "t", "CIPLUG_FORGE_WAIT": " 600 "}).wait == 600


def test_the_token_is_not_in_any_repr() -> None:
    assert "hush" not in repr(place(ACTIONS, {"GITHUB_TOKEN": "hush"}))


# -- the sticky comment


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (MARKER, True),
        (f"\r\n{MARKER}  \r\nText", True),
        (f"{MARKER}\nText", True),
        (f"Text\n{MARKER}\nText", False),
        (f"> {MARKER}", False),
        (f"    {MARKER}", False),
        (f"see {MARKER}", False),
        (f"{MARKER} and more", False),
        ("", False),
    ],
)
def test_the_marker_is_the_first_line(body: str, expected: bool) -> None:
    assert carries(body, MARKER) is expected


class Thread:
    """Comments in memory, by `me`, by others of the project, and by strangers.

    Args:
        racer: what another job adds just after we create ours.
        lags: the list does not show what was written.
        editable: the authors, besides `me`, whose comments we may edit.
    """

    def __init__(
        self,
        *comments: Comment,
        racer: Comment | None = None,
        lags: bool = False,
        editable: tuple[str, ...] = ("bot", "member"),
    ) -> None:
        self.listed = {c.id: c for c in comments}
        self.racer = racer
        self.lags = lags
        self.editable = editable
        self.log: list[str] = []

    def comments(self) -> Iterable[Comment]:
        return [] if self.lags else list(self.listed.values())

    def is_mine(self, comment: Comment) -> bool:
        return comment.author == "me"

    def trusts(self, comment: Comment) -> bool:
        return comment.author in ("bot", "member")

    def create(self, body: str) -> Comment:
        self.log.append("create")
        created = self.listed[50] = comment(50, body)
        if self.racer:
            self.listed[self.racer.id] = self.racer
        return created

    def edit(self, comment: Comment, body: str) -> None:
        assert comment.author == "me"
        self._set(comment, body)

    def try_edit(self, comment: Comment, body: str) -> bool:
        assert comment.author != "stranger"
        if comment.author in self.editable:
            self._set(comment, body)
        return comment.author in self.editable

    def delete(self, comment: Comment) -> None:
        assert comment.author == "me"
        self.log.append(f"delete {comment.id}")
        del self.listed[comment.id]

    def hide(self, comment: Comment) -> None:
        self.log.append(f"hide {comment.id}")

    def show(self, comment: Comment) -> None:
        self.log.append(f"show {comment.id}")

    def _set(self, comment: Comment, body: str) -> None:
        self.log.append(f"edit {comment.id}")
        self.listed[comment.id] = replace(comment, body=body)


def comment(ident: int, body: str = MARKER, author: str = "me") -> Comment:
    return Comment(ident, body, f"https://forge/{ident}", author)


NEW = f"{MARKER}\nnew"


@pytest.mark.parametrize(
    ("thread", "log", "kept"),
    [
        (Thread(), ["create"], 50),
        (Thread(comment(1)), ["edit 1"], 1),
        (Thread(comment(1, f"{MARKER}\r\nnew\r\n")), [], 1),
        (Thread(comment(3), comment(1), comment(2)), ["delete 2", "delete 3", "edit 1"], 1),
        (Thread(comment(1, "another")), ["create"], 50),
        (Thread(racer=comment(49)), ["create", "delete 50", "edit 49"], 49),
        (Thread(racer=comment(51)), ["create", "delete 51"], 50),
        (Thread(lags=True), ["create"], 50),
        # Other accounts of the project.
        (Thread(comment(1, author="bot")), ["edit 1", "show 1"], 1),
        (Thread(comment(1, NEW, author="bot")), [], 1),
        (Thread(comment(1, author="bot"), comment(2)), ["edit 1", "show 1", "delete 2"], 1),
        (Thread(comment(1), comment(2, author="bot")), ["edit 2", "hide 2", "edit 1"], 1),
        (Thread(comment(1, author="bot"), editable=()), ["create", "hide 1"], 50),
        (Thread(comment(1, author="bot"), comment(2), editable=()), ["edit 2", "hide 1"], 2),
        (Thread(comment(1), comment(2, author="bot"), editable=()), ["edit 1", "hide 2"], 1),
        (
            Thread(comment(1, author="bot"), comment(2, author="member"), editable=("member",)),
            ["edit 2", "show 2", "edit 2", "hide 1"],
            2,
        ),
        (Thread(racer=comment(49, author="bot")), ["create", "edit 49", "show 49", "delete 50"], 49),
        (Thread(racer=comment(51, author="bot")), ["create", "edit 51", "hide 51"], 50),
        # Strangers.
        (Thread(comment(1, author="stranger")), ["create"], 50),
        (Thread(comment(1, NEW, author="stranger"), comment(2)), ["edit 2"], 2),
        (Thread(racer=comment(49, author="stranger")), ["create"], 50),
    ],
)
def test_upsert_converges(thread: Thread, log: list[str], kept: int) -> None:
    strangers = {c for c in thread.listed.values() if c.author == "stranger"}
    assert upsert(thread, MARKER, NEW) == f"https://forge/{kept}"
    assert thread.log == log
    assert strangers <= set(thread.listed.values())


@pytest.mark.parametrize("editable", [(), ("bot",), ("member",), ("bot", "member")])
def test_whoever_may_edit_what_no_current_comment_is_outdated(editable: tuple[str, ...]) -> None:
    authors = ("bot", "member", "me", "stranger")
    for order in itertools.permutations(authors):
        thread = Thread(*(comment(i, author=author) for i, author in enumerate(order, 1)), editable=editable)
        upsert(thread, MARKER, NEW)
        shown = [c for c in thread.listed.values() if carries(c.body, MARKER) and c.author != "stranger"]
        (current,) = [c for c in shown if "new" in c.body]
        for old in {c.id: c for c in shown if c != current}.values():
            assert f"({old.url})" in current.body and f"hide {old.id}" in thread.log
        thread.log.clear()
        assert upsert(thread, MARKER, NEW) == current.url
        assert not [entry for entry in thread.log if "create" in entry or "delete" in entry]


def test_the_note_on_older_comments() -> None:
    older = [comment(i) for i in range(1, 6)]
    assert superseding(NEW, MARKER, []) == NEW
    text = superseding(NEW, MARKER, older)
    assert carries(text, MARKER) and text.endswith("\nnew")
    assert "outdated: [1](https://forge/1), [2](https://forge/2), [3](https://forge/3) and 2 more\n" in text
    long = [replace(c, url=c.url + "x" * 400) for c in older]
    for some in (older, long):
        assert len(superseding(NEW, MARKER, some).encode()) <= len(NEW.encode()) + NOTE_ROOM


# -- what errors say


@pytest.mark.parametrize(
    ("message", "said"),
    [
        ("Not Found", ": Not Found"),
        (b"two\n lines", ": two lines"),
        ("colour \x1b stays out", ": colour stays out"),
        ("x" * 300, ": " + "x" * 199 + "…"),
        ("<html>", ""),
        (b"<!DOCTYPE html>", ""),
        ('{"a": 1}', ""),
        ({"a": 1}, ""),
        (None, ""),
        (" ", ""),
    ],
)
def test_words(message: object, said: str) -> None:
    assert words(message) == said


def test_cut() -> None:
    assert cut(" a \n b ", 10) == "a b"
    assert cut("abcdef", 4) == "abc…"


def test_limits_keep_below_the_forges_own() -> None:
    assert GitHub.comment_limit + NOTE_ROOM <= 65_536
    assert GitLab.comment_limit + NOTE_ROOM <= 1_000_000
    assert Bitbucket.comment_limit + NOTE_ROOM <= 32_768
    assert Gitea.comment_limit + NOTE_ROOM <= 65_536


# PyGithub writes the port into the address.
STATUS_URLS = (
    re.compile(r"https://api\.github\.com(:443)?/repos/acme/demo/statuses/c{40}"),
    re.compile(r"https://gitlab\.com/api/v4/projects/group%2Fsub%2Fdemo/statuses/c{40}"),
    re.compile(r"https://code\.corp/git/api/v1/repos/acme/demo/statuses/c{40}"),
    re.compile(r"https://api\.bitbucket\.org/2\.0/repositories/acme/demo/commit/c{40}/statuses/build"),
)
FORGES = (ACTIONS, IN_GITLAB, IN_GITEA, IN_BITBUCKET)
HUSH = {"GITHUB_TOKEN": "hush", "GITLAB_TOKEN": "hush", "CIPLUG_BITBUCKET_TOKEN": "hush"}
TROUBLE = [
    (requests.ConnectTimeout("x"), "did not answer"),
    (requests.ReadTimeout("x"), "did not answer"),
    (requests.ConnectionError("HTTPSConnectionPool(host='secret')\nmore"), "cannot be reached"),
    (requests.exceptions.SSLError("x"), "certificate"),
    (requests.exceptions.ProxyError("x"), "proxy"),
    (requests.exceptions.RetryError("x"), "kept failing"),
    (requests.exceptions.InvalidURL("x"), "does not understand"),
]


@pytest.mark.parametrize(("error", "says"), TROUBLE)
def test_network_trouble_is_one_line(error: Exception, says: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ciplug.forges.retries.RETRIES", 0)
    for context in FORGES:
        forge = open_forge(context, HUSH, None)
        assert not isinstance(forge, NoForge)
        with responses.RequestsMock(assert_all_requests_are_fired=False) as http:
            for url in STATUS_URLS:
                http.post(url, body=error)
            with pytest.raises(ForgeError, match=says) as caught:
                forge.set_status("c" * 40, "success", name="n", description="d", url=None)
        assert_clean(caught.value)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 410, 422, 451])
@pytest.mark.parametrize(
    "answer",
    [
        {"json": {"message": "No,\nreally not"}},
        {"json": {"message": {"base": ["dump"]}, "errors": ["dump"]}},
        {"json": ["dump"]},
        {"body": "<html>dump</html>", "content_type": "text/html"},
        {"body": ""},
    ],
)
def test_refusals_are_one_line(status: int, answer: dict[str, object]) -> None:
    for context in FORGES:
        forge = open_forge(context, HUSH, None)
        assert not isinstance(forge, NoForge)
        with responses.RequestsMock(assert_all_requests_are_fired=False) as http:
            for url in STATUS_URLS:
                http.post(url, status=status, **answer)  # type: ignore[arg-type]
            usual = "json" not in answer or answer["json"] == {"message": "No,\nreally not"}
            expected = PermissionDenied if usual and status in (401, 403, 404) else ForgeError
            with pytest.raises(expected) as caught:
                forge.set_status("c" * 40, "success", name="n", description="d", url=None)
        assert_clean(caught.value)
        assert caught.value.__suppress_context__


def assert_clean(error: CiplugError) -> None:
    text = f"{error.message}{error.hint or ''}"
    assert not set(text) & set("\n<{["), text
    for word in ("hush", "dump", "Pool", "secret", "None"):
        assert word not in text


# -- start-up


def test_no_heavy_import() -> None:
    code = (
        "import sys, ciplug.forges.bitbucket, ciplug.forges.gitea, ciplug.forges.github, ciplug.forges.gitlab\n"
        "print([m for m in ('github', 'gitlab', 'requests', 'urllib3') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
