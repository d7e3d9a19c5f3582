"""What follows a promotion: outputs, a release, a signed webhook. The promotion stands whatever comes of them."""

from __future__ import annotations

import base64
import hashlib
import json
import sys
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from ciplug._version import __version__
from ciplug.console import Nobody, Note
from ciplug.errors import ConfigError, ForgeError, NotFound
from ciplug.forges import Forge, NoForge, open_forge
from ciplug.forges.base import StoredFile
from ciplug.git.tags import is_tag_name
from ciplug.records.provenance import Context
from ciplug.steps.promotion.after import Followers, follow_up, notify
from ciplug.steps.promotion.deployment import Unrecorded, record_deployment
from ciplug.steps.promotion.moves import demote
from ciplug.steps.promotion.release import publish_release
from ciplug.steps.promotion.stage_change import StageChange
from ciplug.steps.webhook import NotDelivered, Webhook, message_of, send, signed_headers, webhook_of
from tests import team as teams
from tests.project import MODEL, Project
from tests.servers.bitbucket_api import BitbucketApi
from tests.servers.gitea_api import GiteaApi
from tests.servers.github_api import GitHubApi
from tests.servers.gitlab_api import GitLabApi
from tests.servers.webhook import WebhookReceiver
from tests.team import Team, team_in

KEY = b"0123456789abcdef0123456789abcdef"
SECRET = "whsec_" + base64.b64encode(KEY).decode()
COMMIT = "c" * 40
CHANGE = StageChange(
    model="wine", version=3, stage="Production", event=7, run="a" * 32, commit=COMMIT, replaced=2, from_stage="Staging",
    run_url="https://ci/1",
)  # fmt: skip


@pytest.fixture
def receiver() -> Iterator[WebhookReceiver]:
    with WebhookReceiver() as server:
        yield server


@pytest.fixture
def team(tmp_path: Path) -> Team:
    return team_in(tmp_path)


def hook(receiver: WebhookReceiver) -> Webhook:
    return Webhook(f"{receiver.origin}/hooks/ciplug", KEY)


# The webhook


def test_a_message_is_signed_as_the_standard_says(team: Team, receiver: WebhookReceiver) -> None:
    pytest.importorskip("standardwebhooks")
    session = team.with_context(run_url="https://ci/2", repository="acme/wine")
    send(session, hook(receiver), CHANGE)
    send(session, hook(receiver), CHANGE)
    (first, second) = receiver.verified(SECRET)
    assert first["type"] == "model.promoted" and first["data"] == second["data"] == {
        "model": "wine", "version": 3, "stage": "Production", "replaced": 2, "event": 7, "run": "a" * 32,
        "commit": COMMIT, "run_url": "https://ci/1", "repository": "acme/wine", "from_stage": "Staging",
    }  # fmt: skip
    identities = {headers["webhook-id"] for _, headers, _ in receiver.requests}
    assert len(identities) == 1, "the same event is the same message"
    assert receiver.requests[0][0] == "/hooks/ciplug"


def test_another_body_or_time_has_another_signature() -> None:
    webhook = Webhook("https://deploy.example.com", KEY)
    given = [
        signed_headers(webhook, one, body, at) for one in ("msg_1", "msg_2") for body in (b"a", b"b") for at in (1, 2)
    ]
    assert len({headers["webhook-signature"] for headers in given}) == 8


def test_trouble_is_tried_again(team: Team, receiver: WebhookReceiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ciplug.forges.retries.BACKOFF", 0)
    receiver.answers = [503, None, 429]
    send(team.session, hook(receiver), CHANGE)
    assert len(receiver.requests) == 4


@pytest.mark.parametrize(("answer", "words"), [(400, "answered 400"), (302, "redirects"), (307, "redirects")])
def test_a_refusal_and_a_redirect_are_final(team: Team, receiver: WebhookReceiver, answer: int, words: str) -> None:
    with WebhookReceiver() as other:
        receiver.answers, receiver.elsewhere = [answer], f"{other.origin}/stolen"
        with pytest.raises(NotDelivered, match=words):
            send(team.session, hook(receiver), CHANGE)
        assert len(receiver.requests) == 1 and not other.requests


def test_a_message_that_was_not_delivered_is_sent_again(team: Team, receiver: WebhookReceiver) -> None:
    run = team.judged()
    team.promote(run=run.id, session=team.with_context(run_url="https://ci/1"))
    session = replace(
        team.with_context(run_url="https://ci/2").refreshed(),
        env={**team.session.env, "CIPLUG_WEBHOOK_URL": receiver.origin, "CIPLUG_WEBHOOK_SECRET": SECRET},
    )
    for event in (None, 2):
        assert notify(session, "wine", event).event == 2
    (first, second) = [headers["webhook-id"] for _, headers, _ in receiver.requests]
    assert first == second
    assert {json.loads(body)["data"]["run_url"] for _, _, body in receiver.requests} == {"https://ci/1"}
    with pytest.raises(NotFound, match="no such event: 1"):
        notify(session, "wine", 1)
    # The event of a demotion does not name the run, and the message does.
    demote(team.session.refreshed(), "wine", version=1)
    change = notify(session.refreshed(), "wine")
    assert (change.kind, change.event, change.from_stage, change.stage) == ("demoted", 3, "Staging", "None")
    assert (change.run, change.commit, change.replaced) == (run.id, run.commit, None)
    with pytest.raises(ConfigError, match="no webhook is named"):
        notify(team.session.refreshed(), "wine")


def test_no_credential_of_netrc_goes_along(team: Team, receiver: WebhookReceiver, tmp_path: Path) -> None:
    (Path.home() / ".netrc").write_text("machine 127.0.0.1 login me password secret\n")
    send(team.session, hook(receiver), CHANGE)
    assert "Authorization" not in receiver.requests[0][1]


def test_a_secret_of_a_webhook_has_24_bytes_or_more() -> None:
    env = {
        n: {
            "CIPLUG_WEBHOOK_URL": "https://deploy.example.com",
            "CIPLUG_WEBHOOK_SECRET": base64.b64encode(b"k" * n).decode(),
        }
        for n in (23, 24)
    }
    assert webhook_of(env[24]) == Webhook("https://deploy.example.com", b"k" * 24)
    with pytest.raises(ConfigError, match="24 random bytes or more"):
        webhook_of(env[23])


@pytest.mark.parametrize(
    ("env", "words"),
    [
        ({"CIPLUG_WEBHOOK_URL": "http://deploy.example.com/x", "CIPLUG_WEBHOOK_SECRET": SECRET}, "https://"),
        ({"CIPLUG_WEBHOOK_URL": "https://me:pw@deploy.example.com", "CIPLUG_WEBHOOK_SECRET": SECRET}, "credential"),
        ({"CIPLUG_WEBHOOK_URL": "https://", "CIPLUG_WEBHOOK_SECRET": SECRET}, "not an address"),
        ({"CIPLUG_WEBHOOK_URL": "https://[x/", "CIPLUG_WEBHOOK_SECRET": SECRET}, "not an address"),
        ({"CIPLUG_WEBHOOK_URL": "https://a\nb", "CIPLUG_WEBHOOK_SECRET": SECRET}, "not an address"),
        ({"CIPLUG_WEBHOOK_URL": "https://deploy.example.com"}, "CIPLUG_WEBHOOK_SECRET"),
        ({"CIPLUG_WEBHOOK_URL": "https://deploy.example.com", "CIPLUG_WEBHOOK_SECRET": "hunter2"}, "random bytes"),
    ],
)
def test_a_webhook_that_cannot_be_used_is_found_before_the_promotion(env: dict[str, str], words: str) -> None:
    with pytest.raises(ConfigError, match=words) as caught:
        webhook_of(env)
    assert SECRET not in str(caught.value) and "hunter2" not in str(caught.value)


def test_without_an_address_there_is_none() -> None:
    assert webhook_of({}) is None and webhook_of({"CIPLUG_WEBHOOK_SECRET": SECRET}) is None
    found = webhook_of({"CIPLUG_WEBHOOK_URL": "https://deploy.example.com", "CIPLUG_WEBHOOK_SECRET": SECRET})
    assert found is not None and found.secret == KEY and "0123" not in repr(found)


def test_hostile_names_stay_values(team: Team) -> None:
    name = 'x"},"type":"forged","a":{"\u2028::set-output name=x::y'
    change = StageChange(model=name, version=1, stage="Staging", event=1, run="r")
    message = json.loads(message_of(team.session, change))
    assert message["type"] == "model.promoted" and message["data"]["model"] == name


# Releases


def published(forge: Forge) -> str:
    first = forge.publish_release("wine@v3", COMMIT, title="wine version 3", body="| accuracy | 0.9 |")
    assert forge.publish_release("wine@v3", COMMIT, title="another", body="another") == first
    return first


def opened(host: str, api_url: str, env: dict[str, str]) -> Forge:
    forge = open_forge(Context(host=host, repository="acme/demo", api_url=api_url), env, None)
    assert not isinstance(forge, NoForge)
    return forge


def test_a_release_on_github(github_api: GitHubApi) -> None:
    url = published(opened("github_actions", github_api.url, {"GITHUB_TOKEN": "user-token"}))
    (release,) = github_api.releases.values()
    assert (release["tag_name"], release["target_commitish"], release["name"]) == ("wine@v3", COMMIT, "wine version 3")
    assert url == release["html_url"]
    github_api.add_token("reader", "github-actions[bot]", app=True, permissions={"contents": "read"})
    with pytest.raises(ForgeError, match="publish the release") as caught:
        opened("github_actions", github_api.url, {"GITHUB_TOKEN": "reader"}).publish_release(
            "wine@v4", COMMIT, title="", body=""
        )
    assert "contents: write" in (caught.value.hint or "")


def test_a_release_on_gitlab(gitlab_api: GitLabApi) -> None:
    url = published(opened("gitlab_ci", gitlab_api.api_url, {"CIPLUG_GITLAB_TOKEN": "user-token"}))
    (release,) = gitlab_api.releases.values()
    assert (release["tag_name"], release["ref"], release["description"]) == ("wine@v3", COMMIT, "| accuracy | 0.9 |")
    assert url.endswith("/releases/wine@v3")


def test_a_release_on_gitea(gitea_api: GiteaApi) -> None:
    url = published(opened("gitea", gitea_api.api_url, {"CIPLUG_GITEA_TOKEN": "user-token"}))
    (release,) = gitea_api.releases.values()
    assert (release["tag_name"], release["target_commitish"]) == ("wine@v3", COMMIT) and url == release["html_url"]


# Linked artifacts


FILES = [
    StoredFile("wine", "3", "model/a.bin", f"sha256:{'a' * 64}"),
    StoredFile("wine", "3", "b", f"sha256:{'b' * 64}"),
]


def test_linked_artifacts_on_github(github_api: GitHubApi) -> None:
    forge = opened("github_actions", github_api.url, {"GITHUB_TOKEN": "user-token"})
    forge.link_artifacts(FILES)
    assert [(one["name"], one["version"], one["digest"]) for one in github_api.storage_records] == [
        ("wine/model/a.bin", "3", f"sha256:{'a' * 64}"), ("wine/b", "3", f"sha256:{'b' * 64}"),
    ]  # fmt: skip
    assert github_api.storage_records[0]["registry_url"] == f"{github_api.origin}/acme/demo"
    github_api.add_token("reader", "github-actions[bot]", app=True, permissions={"contents": "write"})
    with pytest.raises(ForgeError, match="link artifacts with acme") as caught:
        opened("github_actions", github_api.url, {"GITHUB_TOKEN": "reader"}).link_artifacts(FILES)
    assert "artifact-metadata: write" in (caught.value.hint or "")
    github_api.of_organization = False
    with pytest.raises(ForgeError) as of_user:
        forge.link_artifacts(FILES)
    assert "only organizations have them" in (of_user.value.hint or "")


def test_other_forges_have_no_linked_artifacts(gitlab_api: GitLabApi) -> None:
    with pytest.raises(ForgeError, match="GitLab has no list of linked artifacts"):
        opened("gitlab_ci", gitlab_api.api_url, {"CIPLUG_GITLAB_TOKEN": "user-token"}).link_artifacts(FILES)


def test_bitbucket_has_no_releases(bitbucket_api: BitbucketApi) -> None:
    env = {"CIPLUG_BITBUCKET_TOKEN": "t", "CIPLUG_BITBUCKET_URL": bitbucket_api.url}
    with pytest.raises(ForgeError, match="no releases"):
        opened("bitbucket", bitbucket_api.url, env).publish_release("wine@v3", COMMIT, title="", body="")


@pytest.mark.parametrize(
    "name",
    [
        "",
        "a b",
        "a..b",
        "a~1",
        "a^",
        "a:b",
        "a?",
        "a*",
        "a[b",
        "a\\b",
        "a.lock",
        "-a",
        "a@{b",
        "a\n",
        "é" * 200,
        "a.",
        "a/.b",
    ],
)
def test_names_that_no_tag_can_have(name: str) -> None:
    assert not is_tag_name(name)
    assert is_tag_name("wine@v3") and is_tag_name("wine#production#7") and is_tag_name("größe@v1")


def test_what_fails_after_a_promotion_is_told_and_stops_nothing_else(tmp_path: Path) -> None:
    team = team_in(tmp_path)
    run = team.judged()
    change = StageChange.of(team.promote(run=run.id))
    told: list[str] = []

    class Listener(Nobody):
        def tell(self, notes: Iterable[Note], /) -> None:
            told.extend(note.message for note in notes)

    session = replace(team.session.refreshed(), listener=Listener())
    file = tmp_path / "checksums"
    assert follow_up(session, change, Followers(subjects=file), run) and told == []
    assert file.read_text().split() == [teams.MODEL.digest.removeprefix("sha256:"), teams.MODEL.path]
    all_fail = Followers(release=True, linked_artifacts=True, subjects=tmp_path)
    assert not follow_up(session, change, all_fail, run)
    for words, start in zip(told, ("no checksums of the version", "no release", "no artifacts linked"), strict=True):
        assert words.startswith(start)
    told.clear()
    assert follow_up(session, change, Followers()) and told == []


def test_everybody_is_told_of_a_change(
    tmp_path: Path, github_api: GitHubApi, receiver: WebhookReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    team = team_in(tmp_path)
    run = team.judged()
    change = StageChange.of(team.promote(run=run.id))
    told: list[str] = []

    class Listener(Nobody):
        def tell(self, notes: Iterable[Note], /) -> None:
            told.extend(note.message for note in notes)

    session = team.with_context(
        host="github_actions", repository="acme/demo", api_url=github_api.url, server_url=github_api.origin,
        run_url="https://ci/7",
    )  # fmt: skip
    env = {**session.env, "GITHUB_TOKEN": "user-token", "GITHUB_OUTPUT": str(tmp_path / "outputs")}
    session = replace(session, env=env, listener=Listener())
    followers = Followers("", release=True, linked_artifacts=True, webhook=hook(receiver))
    assert follow_up(session, change, followers, run)
    (release,) = github_api.releases.values()
    assert told == [
        f"deployment of {str(run.commit)[:8]} to staging recorded",
        f"release published: {release['html_url']}",
        "1 artifact linked with their build",
        "webhook delivered",
    ]
    (deployment,) = github_api.deployments.values()
    assert (deployment["environment"], deployment["ref"]) == ("staging", run.commit)
    assert (release["tag_name"], release["name"], release["target_commitish"]) == (
        "wine@v1", "wine version 1", run.commit,
    )  # fmt: skip
    assert "| Version | 1 (Staging) |" in release["body"] and f"ciplug {__version__}" in release["body"]
    assert [one["name"] for one in github_api.storage_records] == [f"wine/{teams.MODEL.path}"]
    assert json.loads(receiver.requests[0][2])["data"]["run_url"] == "https://ci/7"
    written = (tmp_path / "outputs").read_text().splitlines()
    assert change.outputs == {
        "promoted-model": "wine", "promoted-version": "1", "promoted-stage": "Staging", "promoted-event": "2",
        "promoted-run": run.id, "promoted-commit": run.commit, "promoted-replaced": "",
    }  # fmt: skip
    assert [line for line in written if "ciplug_" not in line] == [*change.outputs.values()]
    # Each that fails says what to do, and the others are told all the same.
    monkeypatch.setattr("ciplug.forges.retries.BACKOFF", 0)
    told.clear()
    receiver.answers = [400]
    other = replace(change, commit=None)
    assert not follow_up(session, other, Followers("live", release=True, webhook=hook(receiver)), run)
    assert told[:2] == [
        "no deployment recorded: the version has no commit",
        "no release published: the version has no commit",
    ]
    assert told[-1] == f"the webhook can be sent again: ciplug registry notify 'wine' --event {change.event}"
    assert record_deployment(team.session, change, "live").unrecorded is Unrecorded.NO_FORGE
    with pytest.raises(ForgeError, match=r"'a b@v1' cannot be the name of a tag"):
        publish_release(session, replace(change, model="a b"))


# From the command line


def on_github(project: Project, api: GitHubApi, tmp_path: Path) -> dict[str, str]:
    (tmp_path / "event").write_text('{"repository": {"full_name": "acme/demo", "default_branch": "main"}}')
    return {
        "GITHUB_ACTIONS": "true", "GITHUB_REPOSITORY": "acme/demo", "GITHUB_API_URL": api.url,
        "GITHUB_SERVER_URL": api.origin, "GITHUB_TOKEN": "user-token", "GITHUB_EVENT_PATH": str(tmp_path / "event"),
        "GITHUB_EVENT_NAME": "push", "GITHUB_REF": "refs/heads/main", "GITHUB_SHA": project.head,
        "GITHUB_OUTPUT": str(tmp_path / "outputs"),
    }  # fmt: skip


def outputs_in(file: Path) -> dict[str, str]:
    """The outputs of a step, as GitHub reads them."""
    lines = iter(file.read_text().splitlines())
    return {line.partition("<<")[0]: next(lines) for line in lines if "<<" in line}


@pytest.mark.slow
def test_everything_at_once_on_github(tmp_path: Path, github_api: GitHubApi, receiver: WebhookReceiver) -> None:
    pytest.importorskip("standardwebhooks")
    project = Project.create(tmp_path / "work")
    env = on_github(project, github_api, tmp_path)
    env |= {"CIPLUG_WEBHOOK_URL": f"{receiver.origin}/x", "CIPLUG_WEBHOOK_SECRET": SECRET}
    project.ciplug(
        "ci",
        "--no-comment",
        *MODEL,
        "--promote-to",
        "staging",
        "--output-dir",
        "r",
        "--",
        sys.executable,
        "train.py",
        env=env,
    )
    outputs = outputs_in(tmp_path / "outputs")
    assert outputs["promoted-model"] == "wine" and outputs["promoted-version"] == "1"
    subjects = (project.folder / outputs["subjects"]).read_text()
    assert subjects == f"{hashlib.sha256((project.folder / 'model.txt').read_bytes()).hexdigest()}  model.txt\n"
    assert outputs["promoted-stage"] == "Staging" and outputs["promoted-commit"] == project.head
    assert receiver.verified(SECRET)[0]["data"]["stage"] == "Staging"
    said = project.ciplug(
        "promote",
        "wine",
        "--to",
        "production",
        "--version",
        "1",
        "--release",
        "--linked-artifacts",
        "--deployment",
        "live",
        env=env,
    ).stderr
    assert github_api.storage_records[0]["digest"] == f"sha256:{subjects.split()[0]}"
    assert (
        "1 artifact linked" in said
        and "release published" in said
        and "webhook delivered" in said
        and "to live recorded" in said
    )
    assert "| `accuracy` | `0.85` |" in github_api.releases["wine@v1"]["body"]
    assert [one["data"]["event"] for one in receiver.verified(SECRET)] == [2, 3]
    said = project.ciplug("demote", "wine", "--from", "production", "--reason", "it is slow", env=env).stderr
    assert "webhook delivered" in said
    project.ciplug(
        "rollback", "wine", "--to", "production", "--version", "1", "--reason", "it is not", "--deployment", env=env
    )
    told = [(one["type"], one["data"]["stage"]) for one in receiver.verified(SECRET)[2:]]
    assert told == [("model.demoted", "Staging"), ("model.rolled_back", "Production")]
    messages = receiver.verified(SECRET)
    assert {one["data"]["run"] for one in messages} == {outputs["promoted-run"]}
    assert {one["data"]["commit"] for one in messages} == {project.head}
    assert [one["data"]["from_stage"] for one in messages] == ["None", "Staging", "Production", "Staging"]
    later = env | {"GITHUB_RUN_ID": "4711"}
    for sent in messages[2:]:
        project.ciplug("registry", "notify", "wine", "--event", str(sent["data"]["event"]), env=later)
    again = receiver.verified(SECRET)[len(messages) :]
    assert [(one["type"], one["data"]) for one in again] == [(one["type"], one["data"]) for one in messages[2:]]
    assert [one["environment"] for one in github_api.deployments.values()] == ["live", "production"]


@pytest.mark.slow
def test_a_promotion_stands_though_nobody_could_be_told(
    tmp_path: Path, github_api: GitHubApi, receiver: WebhookReceiver
) -> None:
    project = Project.create(tmp_path / "work")
    github_api.add_token("reader", "github-actions[bot]", app=True, permissions={"contents": "read"})
    receiver.answers = [403]
    env = on_github(project, github_api, tmp_path) | {"GITHUB_TOKEN": "reader"}
    env |= {"CIPLUG_WEBHOOK_URL": f"{receiver.origin}/x", "CIPLUG_WEBHOOK_SECRET": SECRET}
    project.train(env=env)
    project.ciplug("gate", env=env)
    said = project.ciplug("promote", "wine", "--to", "staging", "--release", "--deployment", env=env).stderr
    assert "no release published" in said and "no deployment recorded" in said and "answered 403" in said
    assert project.json("registry", "show", "wine", "--json")["versions"][0]["stage"] == "Staging"
    wrong = project.ciplug(
        "promote", "wine", "--to", "production", "--version", "1", env=env | {"CIPLUG_WEBHOOK_SECRET": "x"}, code=2
    )
    assert "CIPLUG_WEBHOOK_SECRET" in wrong.stderr
    assert project.json("registry", "show", "wine", "--json")["versions"][0]["stage"] == "Staging"


def test_gitlab_and_jenkins_take_the_outputs_from_a_file(tmp_path: Path) -> None:
    """GitLab reports it as `dotenv`: one line a variable, whatever a stranger named his model."""
    from ciplug.ci import HOSTS

    change = StageChange(model="a\nFORGED=1 $(id)", version=3, stage="Production", event=7, run="a" * 32)
    for host in ("gitlab_ci", "jenkins"):
        file = tmp_path / host
        assert HOSTS[host].write_outputs({"CIPLUG_OUTPUTS": str(file)}, change.outputs)
        lines = file.read_text().splitlines()
        assert "promoted_model=a FORGED=1 $(id)" in lines and "promoted_version=3" in lines
        assert len(lines) == len(change.outputs)
        assert not HOSTS[host].write_outputs({}, change.outputs)
