"""A forge that a stranger adds by the recipe 'a forge' of CONTRIBUTING.md."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

from ciplug.errors import ForgeError
from ciplug.forges.account import Account
from ciplug.forges.address import Job, address_in, below, token_in
from ciplug.forges.base import Forge, Lack, NoForge, OpenPullRequest, Place, Right, State, StoredFile, Token, preferred
from ciplug.forges.json_api import JsonApi
from ciplug.forges.merged_pull_request import MergedPullRequest
from ciplug.forges.sticky_comment import Comment, check_body, upsert
from ciplug.records.forge_pages import Pages

name = "plainforge"
address_variable = "CIPLUG_PLAINFORGE_URL"
protected_branch = "Settings > Locks: {names}: allow the account of the token"
token = Token(variable="CIPLUG_PLAINFORGE_TOKEN", needs="an access token with the scope write")
PAGES = Pages(None, ("plainforge",), "revision", "browse", r"jobs/\d+")
"""The row for `ciplug.records.forge_pages.FORGES`."""
_HINT = f"set {token.variable} to {token.needs}"


def find_place(job: Job) -> Place | NoForge:
    api = address_in(job.env, address_variable) or (job.server.origin if job.server else "")
    value = token_in(job.env, token.variable)
    if not value:
        return NoForge(Lack.TOKEN, "no token for Plainforge", _HINT)
    return Place(name, api.rstrip("/"), below(api, job.repository), value)


def connect(place: Place, job: Job) -> Forge:
    return Plainforge(place)


class Plainforge:
    name = name
    comment_limit = 10_000
    html = True

    def __init__(self, place: Place) -> None:
        self._api = JsonApi(place, "Plainforge", "Bearer")
        self._path = f"/{place.repository}"

    def find_pull_request(self, commit: str, branch: str | None, into: str | None = None) -> OpenPullRequest | None:
        with self._api.errors("look for the pull request", _HINT):
            pulls = self._api.get(f"{self._path}/pulls").json()
            ours = (OpenPullRequest(p["number"], p["head"], p["base"]) for p in pulls if p["head"] == commit)
            return preferred(ours, into)

    def head_of(self, number: int) -> str:
        with self._api.errors(f"read pull request #{number}", _HINT):
            pulls = self._api.get(f"{self._path}/pulls").json()
            return str(next(p["head"] for p in pulls if p["number"] == number))

    def upsert_comment(self, number: int, marker: str, body: str) -> str:
        check_body(body, marker, self.comment_limit)
        with self._api.errors(f"comment on pull request #{number}", _HINT):
            return upsert(_Comments(self._api, f"{self._path}/pulls/{number}/comments"), marker, body)

    def keep_issue(self, marker: str, title: str, body: str, *, is_open: bool) -> str | None:
        raise ForgeError("Plainforge has no issues that a job can keep")

    def set_status(self, commit: str, state: State, *, name: str, description: str, url: str | None) -> None:
        with self._api.errors(f"set the status of {commit[:10]}", _HINT):
            self._api.send("PUT", f"{self._path}/revisions/{commit}/status", {"state": state, "text": description})

    def keep_label(self, number: int, label: str, among: Collection[str]) -> None:
        raise ForgeError("Plainforge has no labels")

    def record_deployment(self, commit: str, environment: str, *, description: str, url: str | None) -> None:
        raise ForgeError("Plainforge has no deployments")

    def publish_release(self, tag: str, commit: str, *, title: str, body: str) -> str:
        raise ForgeError("Plainforge has no releases")

    def link_artifacts(self, files: Collection[StoredFile]) -> None:
        raise ForgeError("Plainforge has no list of linked artifacts")

    def approvers(self, run_url: str | None, environment: str) -> set[str] | None:
        return None

    def merges_of(self, commit: str) -> list[int] | None:
        return None

    def merged_pull_request(self, number: int) -> MergedPullRequest | None:
        return None

    def protects(self, branch: str) -> bool | None:
        return None

    def runs_in(self, environment: str) -> bool | None:
        return None

    def guards(self, environment: str) -> bool | None:
        return None

    def actor(self, run_url: str | None, *, in_job: bool) -> Account | None:
        return None

    def accounts(self, commit: str) -> set[str]:
        return set()

    def rights(self, commit: str | None, number: int | None) -> list[Right]:
        with self._api.errors("read the repository", _HINT):
            self._api.get(f"{self._path}/pulls")
        return [Right("comment", None, "Plainforge does not tell"), Right("status", None, "Plainforge does not tell")]


class _Comments:
    def __init__(self, api: JsonApi, path: str) -> None:
        self._api = api
        self._path = path

    def comments(self) -> Iterator[Comment]:
        return (_comment(shown) for shown in self._api.get(self._path).json())

    def is_mine(self, comment: Comment) -> bool:
        return comment.author == "me"

    def trusts(self, comment: Comment) -> bool:
        """Plainforge does not tell who else belongs to the project."""
        return False

    def create(self, body: str) -> Comment:
        return _comment(self._api.send("POST", self._path, {"body": body}).json())

    def edit(self, comment: Comment, body: str) -> None:
        self._api.send("PUT", f"{self._path}/{comment.id}", {"body": body})

    def try_edit(self, comment: Comment, body: str) -> bool:
        return self._api.allowed("PUT", f"{self._path}/{comment.id}", {"body": body})

    def delete(self, comment: Comment) -> None:
        self._api.delete(f"{self._path}/{comment.id}")

    def hide(self, comment: Comment) -> None:
        """Plainforge hides no comment."""

    def show(self, comment: Comment) -> None:
        """Plainforge hides no comment."""


def _comment(shown: dict[str, Any]) -> Comment:
    return Comment(shown["id"], shown["body"], shown["url"], shown["author"])
