"""Each forge behind a company's network: through its proxy, and with a certificate of its own authority."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import trustme

from ciplug.errors import ForgeError
from ciplug.forges import Forge, open_forge
from ciplug.records.provenance import Context
from tests.servers.bitbucket_api import BitbucketApi
from tests.servers.gitea_api import GiteaApi
from tests.servers.github_api import GitHubApi
from tests.servers.gitlab_api import GitLabApi
from tests.servers.loopback import JsonApi

MARKER = "<!-- ciplug:report -->"
BODY = f"{MARKER}\n## Accuracy 0.9\n"
COMMIT = "c" * 40
FORGES = ("github", "gitlab", "gitea", "bitbucket")


@pytest.fixture(params=FORGES)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def api(kind: str) -> Iterator[JsonApi]:
    with ExitStack() as stack:
        found: JsonApi
        if kind == "github":
            found = github = stack.enter_context(GitHubApi())
            github.add_token("t", "octocat")
            github.add_pull(7, commit=COMMIT)
        elif kind == "gitlab":
            found = gitlab = stack.enter_context(GitLabApi())
            gitlab.add_token("t", "tanuki")
            gitlab.add_merge_request(7, commit=COMMIT)
        elif kind == "gitea":
            found = gitea = stack.enter_context(GiteaApi())
            gitea.add_token("t", "ada")
            gitea.add_pull(7, commit=COMMIT)
        else:
            found = bitbucket = stack.enter_context(BitbucketApi())
            bitbucket.add_token("t", "ada", scopes=("pullrequest:write", "account"))
            bitbucket.add_pull(7, commit=COMMIT)
        yield found


def known_as(kind: str, api: JsonApi, origin: str) -> Forge:
    """The forge under another address; what it says of itself has that address, too."""
    for name in ("origin", "url", "api_url"):
        if hasattr(api, name):
            setattr(api, name, getattr(api, name).replace(api_origin(api), origin))
    if isinstance(api, GitHubApi):
        api.add_pull(7, commit=COMMIT)
    address = origin + api.prefix
    variables = {"bitbucket": {"CIPLUG_BITBUCKET_URL": address}}.get(kind, {})
    host = {"github": "github_actions", "gitlab": "gitlab_ci"}.get(kind, kind)
    context = Context(host=host, repository="acme/demo", api_url=address)
    found = open_forge(context, {f"CIPLUG_{kind.upper()}_TOKEN": "t", **variables}, None)
    assert found is not None and found.name == kind
    return found


def api_origin(api: JsonApi) -> str:
    return f"http://127.0.0.1:{api.port}"


def bodies(api: JsonApi) -> list[str]:
    if isinstance(api, BitbucketApi):
        return api.alive(7)
    return [comment["body"] for comment in api.comments[7]]  # type: ignore[attr-defined]


def test_through_a_proxy(kind: str, api: JsonApi, monkeypatch: pytest.MonkeyPatch) -> None:
    # The server takes what is sent to a proxy as it takes what is sent to itself.
    monkeypatch.setenv("http_proxy", api_origin(api))
    forge = known_as(kind, api, f"http://{kind}.invalid")
    forge.upsert_comment(7, MARKER, BODY)
    assert bodies(api) == [BODY]
    # Of which Bitbucket tells twelve digits.
    assert COMMIT.startswith(forge.head_of(7)) and len(forge.head_of(7)) >= 12


def test_with_a_certificate_of_ones_own(
    kind: str, api: JsonApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ciplug.forges.retries.RETRIES", 0)
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    api.encrypt(context)
    forge = known_as(kind, api, f"https://127.0.0.1:{api.port}")
    with pytest.raises(ForgeError, match="a certificate that this machine does not trust") as caught:
        forge.upsert_comment(7, MARKER, BODY)
    assert "REQUESTS_CA_BUNDLE" in (caught.value.hint or "")

    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "ca.pem"))
    forge.upsert_comment(7, MARKER, BODY)
    assert bodies(api) == [BODY]
