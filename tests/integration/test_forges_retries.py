"""What each forge may ask for before it answers, over real connections: to wait, to come back, or nothing at all."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from email.utils import formatdate
from typing import Any, NamedTuple

import pytest

from ciplug.errors import ForgeError, ForgeKind
from ciplug.forges import Forge, NoForge, open_forge
from ciplug.records.provenance import Context
from tests.servers.bitbucket_api import BitbucketApi
from tests.servers.gitea_api import GiteaApi
from tests.servers.github_api import GitHubApi
from tests.servers.gitlab_api import GitLabApi

COMMIT = "c" * 40
APIS = {"github": GitHubApi, "gitlab": GitLabApi, "gitea": GiteaApi, "bitbucket": BitbucketApi}
PRIMARY = {"message": "API rate limit exceeded for installation ID 42."}
SECONDARY = {"message": "You have exceeded a secondary rate limit. Please wait a few minutes before you try again."}


class Asked(NamedTuple):
    """What the forge answers first."""

    status: int
    headers: Callable[[], dict[str, str]] = dict
    body: Any = None


def after(seconds: int) -> Callable[[], dict[str, str]]:
    return lambda: {"Retry-After": str(seconds)}


def at(seconds: int) -> Callable[[], dict[str, str]]:
    return lambda: {"Retry-After": formatdate(time.time() + seconds, usegmt=True)}


def reset(name: str, seconds: int) -> Callable[[], dict[str, str]]:
    return lambda: {name: str(int(time.time()) + seconds)}


EVERYWHERE = [
    (Asked(429, after(7)), 7),
    (Asked(429, at(20)), 20),
    (Asked(429, after(3600)), None),
    (Asked(429, at(3600)), None),
    (Asked(503, after(7)), 7),
    (Asked(503, at(20)), 20),
    (Asked(503, after(3600)), None),
    (Asked(502), 0),
]
ONLY = {
    "github": [
        (Asked(403, after(7), SECONDARY), 7),
        (Asked(403, dict, SECONDARY), 60),
        (Asked(403, reset("X-RateLimit-Reset", 20), PRIMARY), 20),
        (Asked(403, reset("X-RateLimit-Reset", 3600), PRIMARY), None),
        (Asked(429, reset("X-RateLimit-Reset", 20), PRIMARY), 20),
        (Asked(429, reset("X-RateLimit-Reset", 3600), PRIMARY), None),
        (Asked(429, lambda: {"X-RateLimit-Remaining": "12", **reset("X-RateLimit-Reset", 3600)()}, SECONDARY), 0),
    ],
    "gitlab": [
        (Asked(429, reset("RateLimit-Reset", 20)), 20),
        (Asked(429, reset("RateLimit-Reset", 3600)), None),
    ],
    "gitea": [],
    "bitbucket": [],
}
CASES = [(kind, *case) for kind in APIS for case in [*EVERYWHERE, *ONLY[kind]]]


def opened(kind: str, say: Callable[[str], None] | None = None, **env: str) -> Iterator[tuple[Any, Forge]]:
    with APIS[kind]() as api:
        if kind == "bitbucket":
            api.add_token("t", "ada", scopes=("pullrequest:write", "account"))
        else:
            api.add_token("t", "ada")
        address = getattr(api, "api_url", api.url)
        variables = {"CIPLUG_BITBUCKET_URL": address} if kind == "bitbucket" else {}
        host = {"github": "github_actions", "gitlab": "gitlab_ci"}.get(kind, kind)
        context = Context(host=host, repository="acme/demo", api_url=address)
        forge = open_forge(context, {f"CIPLUG_{kind.upper()}_TOKEN": "t", **variables, **env}, None, say)
        assert not isinstance(forge, NoForge) and forge.name == kind
        yield api, forge


def set_status(forge: Forge) -> None:
    forge.set_status(COMMIT, "success", name="ciplug", description="", url=None)


@pytest.mark.parametrize(("kind", "asked", "seconds"), CASES)
def test_what_is_asked_for_is_waited_within_bounds(
    kind: str, asked: Asked, seconds: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []
    monkeypatch.setattr(time, "sleep", waits.append)
    for api, forge in opened(kind):
        asked_at = time.time()
        api.fail_next(asked.status, method="POST", headers=asked.headers(), body=asked.body)
        if seconds is None:
            with pytest.raises(
                ForgeError, match=r"asks to wait 3[56]\d\d s, until 20\d\d-.* UTC; ciplug waits 120 s at"
            ):
                set_status(forge)
            assert waits == [] and len(api.wrote()) == 1
        else:
            set_status(forge)
            # A date is in whole seconds, and the library takes one more to be sure.
            passed = time.time() - asked_at
            assert seconds - 2 - passed <= sum(waits) <= seconds + 2
            assert len(api.wrote()) == 2


@pytest.mark.parametrize("kind", APIS)
def test_a_limit_that_lasts_is_named(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    monkeypatch.setattr(time, "sleep", waits.append)
    for api, forge in opened(kind):
        api.fail_next(429, times=9, headers={"Retry-After": "1"}, body={"message": "Too many requests"})
        with pytest.raises(ForgeError, match="rate limit is reached") as caught:
            set_status(forge)
        assert caught.value.kind is ForgeKind.RATE_LIMIT
        assert "after 4 retries and 4 s of waiting" in caught.value.message
        assert caught.value.hint == "run the job again later"
        assert sum(waits) == len(waits) == 4


@pytest.mark.parametrize("kind", APIS)
def test_the_whole_wait_is_bounded_and_said(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    said: list[str] = []
    monkeypatch.setattr(time, "sleep", waits.append)
    for api, forge in opened(kind, said.append):
        for _ in range(2):
            api.fail_next(429, method="POST", headers={"Retry-After": "50"})
            set_status(forge)
        api.fail_next(429, method="POST", headers={"Retry-After": "50"})
        with pytest.raises(ForgeError, match=r"wait 50 s, until .* UTC, after 100 s already; .* 120 s") as caught:
            set_status(forge)
        assert sum(waits) == 100
        assert "CIPLUG_FORGE_WAIT=151" in (caught.value.hint or "") and "UTC" in (caught.value.hint or "")
        assert len(said) == 2 and "asks to wait 50 s, until 20" in said[0] and "CIPLUG_FORGE_WAIT" in said[0]


@pytest.mark.parametrize("kind", APIS)
def test_the_job_sets_how_long_it_waits(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    monkeypatch.setattr(time, "sleep", waits.append)
    for api, forge in opened(kind, CIPLUG_FORGE_WAIT="3700"):
        api.fail_next(429, method="POST", headers=at(3600)())
        set_status(forge)
        assert 3500 < sum(waits) <= 3601
    for api, forge in opened(kind, CIPLUG_FORGE_WAIT="0"):
        api.fail_next(502, method="POST")
        set_status(forge)
        api.fail_next(429, method="POST", headers={"Retry-After": "2"})
        with pytest.raises(ForgeError, match="ciplug waits 0 s"):
            set_status(forge)


@pytest.mark.parametrize("kind", APIS)
@pytest.mark.parametrize("said", ["soon", "1.5", "-1", ""])
def test_nonsense_about_waiting_does_no_harm(kind: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    for api, forge in opened(kind):
        api.fail_next(429, headers={"Retry-After": said})
        try:
            set_status(forge)
        except ForgeError as problem:
            assert "\n" not in problem.message


@pytest.mark.parametrize("kind", APIS)
def test_no_answer_in_time(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # GitHub's library takes whole seconds only.
    timeout = 1 if kind == "github" else 0.05
    monkeypatch.setattr("ciplug.forges.retries.RETRIES", 0)
    monkeypatch.setattr("ciplug.forges.retries.TIMEOUT", timeout)
    for api, forge in opened(kind):
        api.latency = timeout + 0.2
        with pytest.raises(ForgeError, match="did not answer within") as caught:
            set_status(forge)
        assert caught.value.hint == "try again later"
