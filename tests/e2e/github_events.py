"""The payloads that GitHub sends with its events, in the shapes of its own documentation: what jobs are given."""

from __future__ import annotations

from typing import Any

Payload = dict[str, Any]

WHEN = "2026-11-25T03:04:05Z"


def user(login: str) -> Payload:
    return {
        "login": login,
        "id": sum(login.encode()),
        "node_id": "MDQ6VXNlcjE=",
        "avatar_url": "https://avatars.githubusercontent.com/u/1?v=4",
        "url": f"https://api.github.com/users/{login}",
        "html_url": f"https://github.com/{login}",
        "type": "User",
        "site_admin": False,
    }


def repository(name: str = "acme/demo", *, fork: bool = False) -> Payload:
    owner, short = name.split("/")
    return {
        "id": sum(name.encode()),
        "node_id": "R_kgDO",
        "name": short,
        "full_name": name,
        "private": False,
        "owner": {**user(owner), "type": "Organization"},
        "html_url": f"https://github.com/{name}",
        "description": None,
        "fork": fork,
        "url": f"https://api.github.com/repos/{name}",
        "clone_url": f"https://github.com/{name}.git",
        "ssh_url": f"git@github.com:{name}.git",
        "created_at": WHEN,
        "pushed_at": WHEN,
        "default_branch": "main",
        "visibility": "public",
        "topics": [],
        "archived": False,
    }


def _common(actor: str) -> Payload:
    return {"repository": repository(), "organization": {"login": "acme", "id": 1}, "sender": user(actor)}


def push(commit: str, *, before: str = "0" * 40, actor: str = "ada", branch: str = "main") -> Payload:
    person = {"name": actor, "email": f"{actor}@example.com", "username": actor}
    head = {
        "id": commit,
        "tree_id": "4" * 40,
        "distinct": True,
        "message": "Better features",
        "timestamp": WHEN,
        "url": f"https://github.com/acme/demo/commit/{commit}",
        "author": person,
        "committer": person,
        "added": [],
        "removed": [],
        "modified": ["params.json"],
    }
    return {
        **_common(actor),
        "ref": f"refs/heads/{branch}",
        "before": before,
        "after": commit,
        "base_ref": None,
        "created": False,
        "deleted": False,
        "forced": False,
        "compare": f"https://github.com/acme/demo/compare/{before[:12]}...{commit[:12]}",
        "commits": [head],
        "head_commit": head,
        "pusher": {"name": actor, "email": f"{actor}@example.com"},
    }


def pull_request(number: int, branch: str, commit: str, base: str, *, of: str = "acme/demo") -> Payload:
    """`of` is the repository of the branch: another one is a fork."""
    fork = of != "acme/demo"
    actor = of.split("/")[0] if fork else "ada"
    url = f"https://api.github.com/repos/acme/demo/pulls/{number}"

    def side(name: str, ref: str, sha: str) -> Payload:
        owner = name.split("/")[0]
        return {
            "label": f"{owner}:{ref}",
            "ref": ref,
            "sha": sha,
            "user": user(owner),
            "repo": repository(name, fork=name != "acme/demo"),
        }

    return {
        **_common(actor),
        "action": "synchronize",
        "number": number,
        "before": base,
        "after": commit,
        "pull_request": {
            "url": url,
            "id": number + 1000,
            "html_url": f"https://github.com/acme/demo/pull/{number}",
            "issue_url": url.replace("/pulls/", "/issues/"),
            "number": number,
            "state": "open",
            "locked": False,
            "title": "Better features",
            "user": user(actor),
            "body": None,
            "created_at": WHEN,
            "updated_at": WHEN,
            "closed_at": None,
            "merged_at": None,
            "merge_commit_sha": "5" * 40,
            "assignee": None,
            "assignees": [],
            "requested_reviewers": [],
            "labels": [],
            "milestone": None,
            "draft": False,
            "head": side(of, branch, commit),
            "base": side("acme/demo", "main", base),
            "author_association": "NONE" if fork else "MEMBER",
            "merged": False,
            "mergeable": None,
            "comments": 0,
            "commits": 1,
            "additions": 1,
            "deletions": 1,
            "changed_files": 1,
            "maintainer_can_modify": True,
        },
    }


def merge_group(number: int, commit: str, base: str) -> Payload:
    return {
        **_common("github-merge-queue[bot]"),
        "action": "checks_requested",
        "merge_group": {
            "head_sha": commit,
            "head_ref": f"refs/heads/gh-readonly-queue/main/pr-{number}-{base}",
            "base_sha": base,
            "base_ref": "refs/heads/main",
            "head_commit": push(commit)["head_commit"],
        },
    }


def schedule(cron: str, workflow: str) -> Payload:
    return {**_common("ada"), "schedule": cron, "workflow": f".github/workflows/{workflow}"}


def workflow_dispatch(workflow: str, inputs: dict[str, str], *, actor: str = "ada") -> Payload:
    """`inputs` as GitHub gives them: what was left empty on the form is an empty text."""
    return {**_common(actor), "ref": "refs/heads/main", "inputs": inputs, "workflow": f".github/workflows/{workflow}"}
