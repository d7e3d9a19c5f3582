"""What each forge tells of a merged pull request: which approvals count, and who pushed to it."""

from __future__ import annotations

from typing import Any

import pytest
import responses

from ciplug.forges import Forge, open_forge
from ciplug.forges.base import NoForge
from ciplug.records.provenance import Context

HEAD, EARLIER, MERGED, START = "a" * 40, "e" * 40, "c" * 40, "5" * 40


def forge(kind: str, api: str) -> Forge:
    host = {"github": "github_actions", "gitlab": "gitlab_ci", "gitea": "gitea"}[kind]
    context = Context(host=host, repository="acme/demo", server_url="https://code.example", api_url=api)
    found = open_forge(context, {f"CIPLUG_{kind.upper()}_TOKEN": "t"}, None)
    assert not isinstance(found, NoForge)
    return found


def serve(mocked: responses.RequestsMock, base: str, answers: dict[str, Any]) -> None:
    for path, body in answers.items():
        count = {"X-Total-Count": str(len(body))} if isinstance(body, list) else {}
        mocked.get(base + path, json=body, headers=count)


def told(forge: Forge) -> dict[str, Any]:
    assert forge.merges_of(MERGED) == [7]
    found = forge.merged_pull_request(7)
    assert found is not None
    assert (found.base, found.start, found.head, found.commit) == ("main", START, HEAD, MERGED)
    assert (found.author, found.merged_by) == ("ann", "eve")
    assert found.merged_at.tzinfo is not None
    return {
        "approvals": [(one.by.login, one.commit[0], (one.start or "?")[0]) for one in found.approvals],
        "pushers": found.pushers,
        "independent": [one.by.login for one in found.independent()],
    }


def review(login: str, state: str = "APPROVED", commit: str = HEAD, hour: int = 11, **more: Any) -> dict[str, Any]:
    user = {"login": login, "type": "User", "id": more.pop("id", 1)}
    at = f"2026-11-23T{hour}:00:00Z"
    return {"id": hour, "user": user, "state": state, "commit_id": commit, "submitted_at": at, **more}


def day(hour: int) -> str:
    return f"2026-11-23T{hour:02}:00:00Z"


@pytest.mark.parametrize("pushes", ["known", "unknown", "by a bot"])
def test_github(pushes: str) -> None:
    base = "https://api.github.com:443/repos/acme/demo"
    bot = review("ci[bot]")
    bot["user"]["type"] = "Bot"
    pull = {
        "number": 7, "html_url": "https://github.com/acme/demo/pull/7", "merged_at": "2026-11-23T12:00:00Z",
        "merge_commit_sha": MERGED, "user": {"login": "ann"}, "merged_by": {"login": "eve"},
        "head": {"ref": "topic", "sha": HEAD, "repo": {"full_name": "acme/demo"}},
        # Of the time when it was opened, as GitHub leaves it.
        "base": {"ref": "main", "sha": "old"}, "created_at": "2026-11-23T09:00:00Z",
    }  # fmt: skip
    activity = [
        # Made again after the merge, and while it was open: that hides nobody who pushed before.
        {"after": HEAD, "actor": {"login": "zoe"}, "activity_type": "branch_creation", "timestamp": day(13)},
        {"after": HEAD, "actor": {"login": "ann"}, "activity_type": "branch_creation", "timestamp": day(11)},
        {"after": "0" * 40, "actor": {"login": "zoe"}, "activity_type": "branch_deletion", "timestamp": day(11)},
        {"after": HEAD, "actor": {"login": "Cyd"}, "activity_type": "force_push", "timestamp": day(10)},
        {"after": EARLIER, "actor": {"login": "ann"}, "activity_type": "branch_creation", "timestamp": day(9)},
        {"after": HEAD, "actor": {"login": "bob"}, "activity_type": "push", "timestamp": day(8)},
    ]
    if pushes == "by a bot":
        activity.insert(3, {**activity[2], "actor": {"login": "ci[bot]", "type": "Bot"}, "activity_type": "push"})
    reviews = [
        review("bob", commit=EARLIER), review("bob", "COMMENTED"), review("ann"), review("cyd"), bot,
        review("late", hour=13), review("stranger"), review("dan"), review("dan", "CHANGES_REQUESTED"),
        review("gone", "DISMISSED"), review("side", hour=10),
    ]  # fmt: skip
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mocked:
        mocked.get(
            "https://api.github.com/user", status=403, json={"message": "Resource not accessible by integration"}
        )
        serve(mocked, base, {
            f"/commits/{MERGED}/pulls": [{"number": 7, "merged_at": "x"}, {"number": 8, "merged_at": None}],
            "/pulls/7": pull,
            f"/git/commits/{MERGED}": {"parents": [{"sha": "b"}, {"sha": HEAD}]},
            f"/compare/b...{HEAD}": {"merge_base_commit": {"sha": START}},
            f"/compare/b...{EARLIER}": {"merge_base_commit": {"sha": "0" * 40}},
            "/issues/7/timeline": [
                {"event": "base_ref_changed", "created_at": day(10)}, {"event": "committed", "sha": HEAD},
                {"event": "base_ref_changed", "created_at": day(13)},
            ],
            "/pulls/7/reviews": reviews,
            **{
                f"/collaborators/{one}/permission": {"permission": "write"}
                for one in ("ann", "bob", "cyd", "late", "side")
            },
            "/collaborators/stranger/permission": {"permission": "read"},
        })  # fmt: skip
        for one in ("ann", "bob", "cyd"):
            mocked.get(f"https://api.github.com:443/users/{one}", json={"name": None, "email": f"{one}@code.example"})
        mocked.get(f"{base}/activity", json={"message": "Not Found"} if pushes == "unknown" else activity,
                   status=404 if pushes == "unknown" else 200)  # fmt: skip
        found = told(forge("github", "https://api.github.com"))
    assert found["approvals"] == [("bob", "e", "0"), ("ann", "a", "5"), ("cyd", "a", "5")]
    assert found["pushers"] == ({"Cyd", "ann"} if pushes == "known" else None)
    assert found["independent"] == (["bob"] if pushes == "known" else ["bob", "cyd"])


@pytest.mark.parametrize("author", ["ann", "bot"])
def test_gitlab(author: str) -> None:
    base = "https://code.example/api/v4"
    here = f"{base}/projects/acme%2Fdemo"
    ids = {"ann": 1, "bob": 2, "cyd": 3, "old": 4, "guest": 5, "bot": 6, "late": 7, "back": 8, "side": 9}

    def note(login: str, body: str, system: bool = True) -> dict[str, Any]:
        return {"author": {"username": login, "id": ids[login]}, "body": body, "system": system}

    notes = [
        note("old", "approved this merge request"),
        note("cyd", "added 1 commit\n\n<ul><li>abc - x</li></ul>"),
        note("side", "approved this merge request"),
        note("ann", "changed target branch from `side` to `main`"),
        *[note(one, "approved this merge request") for one in ("bob", "cyd", "guest", "bot", "back")],
        note("back", "unapproved this merge request"),
        note("guest", "added 2 commits", system=False),
        note("ann", "merged"),
        note("late", "approved this merge request"),
    ]
    request = {
        "iid": 7, "state": "merged", "web_url": "https://code.example/acme/demo/-/merge_requests/7", "sha": HEAD,
        "target_branch": "main", "diff_refs": {"base_sha": START}, "merge_commit_sha": None,
        "squash_commit_sha": MERGED, "author": {"username": "ann", "id": ids[author]},
        "merge_user": {"username": "eve"}, "merged_at": "2026-11-23T12:00:00.000Z",
    }  # fmt: skip
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mocked:
        serve(mocked, here, {
            f"/repository/commits/{MERGED}/merge_requests": [
                {"iid": 7, "state": "merged"}, {"iid": 8, "state": "closed"},
            ],
            "/merge_requests/7": request,
            "/merge_requests/7/notes": notes,
            "/merge_requests/7/approvals": {"approved_by": [
                {"user": {"id": at, "username": one, "name": one.title()}} for one, at in ids.items()
            ]},
            **{f"/members/all/{at}": {"access_level": 10 if one == "guest" else 30} for one, at in ids.items()},
        })  # fmt: skip
        serve(mocked, base, {f"/users/{at}": {"id": at, "bot": one == "bot"} for one, at in ids.items()})
        found = told(forge("gitlab", "https://code.example"))
    assert found["approvals"] == [("bob", "a", "5"), ("cyd", "a", "5")]
    assert (found["pushers"], found["independent"]) == (
        ({"cyd"}, ["bob"]) if author == "ann" else (None, ["bob", "cyd"])
    )


@pytest.mark.parametrize("gone", [False, True])
def test_gitea(gone: bool) -> None:
    base = "https://code.example/api/v1/repos/acme/demo"
    kept = {"official": True, "dismissed": False, "stale": False}
    reviews = [
        review("bob", commit=EARLIER, **kept), review("cyd", **kept), review("ann", **kept),
        review("outsider", **{**kept, "official": False}), review("gone", **{**kept, "dismissed": True}),
        review("old", **{**kept, "stale": True}), review("side", hour=10, **kept),
        review("late", hour=13, **kept), review("actions", id=-2, **kept),
        review("no", **kept), review("no", "REQUEST_CHANGES", hour=11, **kept),
    ]  # fmt: skip
    pull = {
        "number": 7, "html_url": "https://code.example/acme/demo/pulls/7", "merged": True, "merge_base": START,
        "merged_at": "2026-11-23T13:00:00+01:00", "merge_commit_sha": MERGED, "user": {"login": "ann", "id": 3},
        "merged_by": {"login": "eve"}, "head": {"sha": HEAD}, "base": {"ref": "main"},
    }  # fmt: skip
    pushes = [
        {"type": "pull_push", "user": {"login": "cyd", "id": 2}}, {"type": "comment", "user": {"login": "bob"}},
        {"type": "change_target_branch", "user": {"login": "ann"}, "created_at": "2026-11-23T11:00:00+01:00"},
        *([{"type": "pull_push", "user": {"login": "Ghost", "id": -1}}] if gone else []),
    ]  # fmt: skip
    with responses.RequestsMock() as mocked:
        serve(mocked, base, {f"/commits/{MERGED}/pull": pull, "/pulls/7": pull, "/pulls/7/reviews": reviews})
        mocked.get(f"{base}/issues/7/timeline", json=pushes)
        mocked.get(f"{base}/issues/7/timeline", json=[])
        found = told(forge("gitea", "https://code.example/api/v1"))
    assert found == {
        "approvals": [("bob", "e", "5"), ("cyd", "a", "5"), ("ann", "a", "5")],
        "pushers": None if gone else {"cyd"},
        "independent": ["bob", "cyd"] if gone else ["bob"],
    }
