"""One issue about a lasting state on GitHub, GitLab and Gitea: opened, updated in place, closed, never two."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
import responses

from ciplug.errors import ForgeError, PermissionDenied
from ciplug.forges import Forge, open_forge
from ciplug.records.provenance import Context
from tests.servers.gitea_api import GiteaApi

MARKER = "<!-- ciplug-monitor: 1234 -->"
BODY = f"{MARKER}\n\nIt fails.\n"


def gitea(api: GiteaApi, token: str = "user-token") -> Forge:
    context = Context(host="gitea", repository=api.repository, server_url=api.url, api_url=api.api_url)
    found = open_forge(context, {"CIPLUG_GITEA_TOKEN": token}, None)
    return found  # type: ignore[return-value]


def opened(api: GiteaApi) -> list[dict[str, Any]]:
    return [one for one in api.issues.values() if one["state"] == "open" and one["body"].startswith(MARKER)]


def test_it_lives_on_a_server_with_state(gitea_api: GiteaApi) -> None:
    """Among 120 others, beside a stranger's with our marker, and two of ours from a race that went wrong."""
    api = gitea_api
    for _ in range(60):
        api.add_issue(body="Please add a feature.")
    strange = api.add_issue(body=BODY, login="mallory")
    assert gitea(api).keep_issue(MARKER, "T", f"{MARKER}\n\nGreen.\n", is_open=False) is None
    url = gitea(api).keep_issue(MARKER, "T", BODY, is_open=True)
    for _ in range(60):
        api.add_issue(body=f"> {MARKER}")
    assert gitea(api).keep_issue(MARKER, "T", BODY.strip(), is_open=True) == url
    assert [call.method for call in api.wrote()] == ["POST"]
    api.add_issue(body=BODY, login="ada")
    assert gitea(api).keep_issue(MARKER, "T", f"{BODY}Still.\n", is_open=True) == url
    mine = [one for one in opened(api) if one is not strange]
    assert [one["body"] for one in mine] == [f"{BODY}Still.\n"] and mine[0]["html_url"] == url
    assert gitea(api).keep_issue(MARKER, "T", f"{MARKER}\n\nGreen.\n", is_open=False) == url
    assert opened(api) == [strange] and strange["body"] == BODY
    assert gitea(api).keep_issue(MARKER, "T", BODY, is_open=True) not in (None, url)


def test_racing_jobs_end_with_one(gitea_api: GiteaApi) -> None:
    gitea_api.latency = 0.01
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: gitea(gitea_api).keep_issue(MARKER, "T", BODY, is_open=True), range(4)))
    gitea(gitea_api).keep_issue(MARKER, "T", BODY, is_open=True)
    assert len(opened(gitea_api)) == 1


# GitHub and GitLab: the requests of their APIs

ME, STRANGER = 1, 2


class Stub:
    """Issues behind the paths of a forge, by `responses`."""

    def __init__(self, mock: responses.RequestsMock, kind: str) -> None:
        self.issues: list[dict[str, Any]] = []
        self.kind = kind
        host = "https://api.github.com/repos/acme/demo" if kind == "github" else "https://gitlab.com/api/v4/projects"
        base = f"{host}/issues" if kind == "github" else f"{host}/acme%2Fdemo/issues"
        self.base = base
        mock.add_callback("GET", _at(base), self._list, content_type="application/json")
        mock.add_callback("POST", _at(base), self._create, content_type="application/json")
        edit = "PATCH" if kind == "github" else "PUT"
        mock.add_callback(edit, _at(base, r"/\d+"), self._edit, content_type="application/json")
        if kind == "github":
            mock.get(_at(host), json={"url": host, "full_name": "acme/demo"})
            mock.get(_at("https://api.github.com/user"), json={"login": "ada"})
        else:
            mock.get("https://gitlab.com/api/v4/user", json={"id": ME, "username": "ada"})
            mock.get(_at(f"{host}/acme%2Fdemo/members/all", r"/\d+"), status=404, json={"message": "404 Not found"})
        token = {"CIPLUG_GITHUB_TOKEN": "t"} if kind == "github" else {"CIPLUG_GITLAB_TOKEN": "t"}
        server = "https://github.com" if kind == "github" else "https://gitlab.com"
        host_name = "github_actions" if kind == "github" else "gitlab_ci"
        found = open_forge(Context(host=host_name, repository="acme/demo", server_url=server), token, None)
        self.forge: Forge = found  # type: ignore[assignment]

    def add(self, body: str, account: int = ME, **more: Any) -> dict[str, Any]:
        number = len(self.issues) + 1
        login = "ada" if account == ME else "mallory"
        made = {
            **{"number": number, "iid": number, "id": number, "title": "T", "body": body, "description": body},
            **{"state": "open", "html_url": f"https://forge/{number}", "web_url": f"https://forge/{number}"},
            "user": {"login": login, "type": "User"},
            "author": {"id": account, "username": login},
            **more,
        }
        self.issues.append(made)
        return made

    def _list(self, request: requests.PreparedRequest) -> tuple[int, dict[str, str], str]:
        query = {name: value[0] for name, value in parse_qs(urlsplit(request.url or "").query).items()}
        assert query["state"] == ("open" if self.kind == "github" else "opened")
        page, size = int(query.get("page", 1)), 2
        found = [one for one in self.issues if one["state"] == "open"]
        following = page + 1 if len(found) > page * size else ""
        link = {"X-Next-Page": str(following), "X-Per-Page": str(size), "X-Page": str(page)}
        if following and self.kind == "gitlab":
            link["Link"] = f'<{self.base}?state=opened&page={following}>; rel="next"'
        return 200, link, json.dumps(found[(page - 1) * size : page * size])

    def _create(self, request: requests.PreparedRequest) -> tuple[int, dict[str, str], str]:
        made = self._body(request)
        return 201, {}, json.dumps(self.add(str(made.get("body", made.get("description")))))

    def _edit(self, request: requests.PreparedRequest) -> tuple[int, dict[str, str], str]:
        changed = self._body(request)
        issue = self.issues[int((request.url or "").rpartition("/")[2]) - 1]
        text = changed.get("body", changed.get("description"))
        closes = "closed" in (changed.get("state"), f"{changed.get('state_event')}d")
        issue |= {"body": text, "description": text, "state": "closed" if closes else "open"}
        return 200, {}, json.dumps(issue)

    @staticmethod
    def _body(request: requests.PreparedRequest) -> dict[str, Any]:
        return dict(json.loads(request.body or b"{}"))

    @property
    def state(self) -> list[tuple[int, str]]:
        return [(one["number"], one["state"]) for one in self.issues if MARKER in one["body"]]


def _at(address: str, below: str = "") -> re.Pattern[str]:
    """An address, with its port or without it, and any query."""
    return re.compile(re.escape(address).replace(r"\.com", r"\.com(?::443)?") + below + r"(?:\?.*)?$")


@pytest.fixture(params=["github", "gitlab"])
def stub(request: pytest.FixtureRequest) -> Iterator[Stub]:
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        yield Stub(mock, request.param)


def test_it_is_found_over_all_pages_by_its_marker_and_author(stub: Stub) -> None:
    keep: Callable[..., str | None] = stub.forge.keep_issue
    for _ in range(3):
        stub.add("Something else")
    stub.add(BODY, STRANGER)
    if stub.kind == "github":
        stub.add(BODY, pull_request={"url": "…"})
    assert keep(MARKER, "T", f"{MARKER}\nGreen", is_open=False) is None
    url = keep(MARKER, "T", BODY, is_open=True)
    number = len(stub.issues)
    assert url == f"https://forge/{number}"
    stub.add(BODY)
    assert keep(MARKER, "T", f"{BODY}More", is_open=True) == url
    own = [one for one in stub.state if one[0] >= number]
    assert own[0] == (number, "open") and stub.issues[number - 1]["body"] == f"{BODY}More"
    assert stub.issues[number]["state"] == "closed" and "The same as" in stub.issues[number]["body"]
    assert keep(MARKER, "T", f"{MARKER}\nGreen", is_open=False) == url
    assert stub.issues[number - 1]["state"] == "closed"
    assert stub.issues[3]["state"] == "open"


def test_who_may_not_is_told_what_to_grant() -> None:
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        stub = Stub(mock, "github")
        mock.remove("GET", _at(stub.base))
        mock.get(_at(stub.base), status=403, json={"message": "Resource not accessible by integration"})
        with pytest.raises(PermissionDenied) as refused:
            stub.forge.keep_issue(MARKER, "T", BODY, is_open=True)
    assert "issues: write" in str(refused.value.hint)
    bitbucket = open_forge(Context(host="bitbucket", repository="a/b"), {"CIPLUG_BITBUCKET_TOKEN": "t"}, None)
    with pytest.raises(ForgeError, match="Bitbucket has no issues"):
        bitbucket.keep_issue(MARKER, "T", BODY, is_open=True)  # type: ignore[union-attr]
