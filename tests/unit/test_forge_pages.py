"""Addresses on a forge's pages: of commits, folders and runs, and of the files that a job leaves."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from ciplug import ci
from ciplug.records import forge_pages
from ciplug.records.provenance import Context
from ciplug.reports.report import ModelSection
from ciplug.steps.judge import Judged
from ciplug.steps.reporting.report import report_of
from tests import report_samples as samples

SHA = "4be21f09" + "c" * 32


def of(host: str, server: str | None, repository: str | None = "acme/wine") -> Context:
    return Context(host=host, server_url=server, repository=repository)


GITHUB = of("github_actions", "https://github.com")


@pytest.mark.parametrize(
    ("context", "commit", "folder"),
    [
        (GITHUB, "https://github.com/acme/wine/commit/", "https://github.com/acme/wine/tree/ciplug/registry/a%20b"),
        (
            of("gitlab_ci", "https://git.acme.example/code/", "acme/ml/wine"),
            "https://git.acme.example/code/acme/ml/wine/-/commit/",
            "https://git.acme.example/code/acme/ml/wine/-/tree/ciplug/registry/a%20b",
        ),
        (
            of("gitea", "http://127.0.0.1:3000"),
            "http://127.0.0.1:3000/acme/wine/commit/",
            "/src/branch/ciplug/registry/",
        ),
        (of("bitbucket", "https://bitbucket.org"), "https://bitbucket.org/acme/wine/commits/", "/src/ciplug/registry/"),
        # Hosts without a forge of their own: by the name of the server.
        (of("jenkins", "https://github.acme.example"), "https://github.acme.example/acme/wine/commit/", "/tree/"),
        (of("azure", "https://gitlab.com"), "https://gitlab.com/acme/wine/-/commit/", "/-/tree/"),
        (of("local", "https://codeberg.org"), "https://codeberg.org/acme/wine/commit/", "/src/branch/"),
    ],
)
def test_pages(context: Context, commit: str, folder: str) -> None:
    assert forge_pages.commit_page(context, SHA) == commit + SHA
    assert folder in (forge_pages.folder_page(context, "ciplug", "registry/a b") or "")


@pytest.mark.parametrize(
    "context",
    [
        of("jenkins", "https://git.acme.example"),
        of("github_actions", None),
        of("github_actions", "https://github.com", None),
        of("github_actions", "javascript:alert(1)//github.com"),
        of("github_actions", "https://[github.com"),
    ],
)
def test_what_is_not_known_has_no_page(context: Context) -> None:
    assert forge_pages.commit_page(context, SHA) is None
    assert forge_pages.folder_page(context, "ciplug", "registry/m") is None


@pytest.mark.parametrize("commit", [None, "", "main", "../../evil", SHA + "\n", "4be21f0?x", "ABCDEF12"])
def test_only_the_id_of_a_commit_has_a_page(commit: str | None) -> None:
    assert forge_pages.commit_page(GITHUB, commit) is None


@pytest.mark.parametrize(
    ("remote", "same"),
    [
        ("https://github.com/acme/wine.git", True),
        ("https://github.com/acme/wine", True),
        ("https://token@github.com/Acme/wine.git", True),
        ("git@github.com:acme/wine.git", True),
        ("ssh://git@github.com:22/acme/wine.git", True),
        ("https://github.com/acme/wine-runs.git", False),
        ("https://gitlab.com/acme/wine.git", False),
        ("file:///srv/acme/wine.git", False),
        ("/srv/acme/wine.git", False),
        ("", False),
    ],
)
def test_whether_a_remote_is_the_repository(remote: str, same: bool) -> None:
    assert forge_pages.is_same_repository(remote, GITHUB) is same


@pytest.mark.parametrize(
    ("env", "url"),
    [
        (
            {
                "GITHUB_ACTIONS": "true", "GITHUB_SERVER_URL": "https://github.com", "GITHUB_REPOSITORY": "a/b",
                "GITHUB_RUN_ID": "9",
            },
            "https://github.com/a/b/actions/runs/9#artifacts",
        ),
        (
            {"GITLAB_CI": "true", "CI_JOB_URL": "https://gitlab.com/a/b/-/jobs/7", "CI_PROJECT_DIR": "/builds/a"},
            "https://gitlab.com/a/b/-/jobs/7/artifacts/file/out%20dir/report.html",
        ),
        ({"GITLAB_CI": "true", "CI_JOB_URL": "https://gitlab.com/a/b/-/jobs/7", "CI_PROJECT_DIR": "/elsewhere"}, None),
        ({"GITLAB_CI": "true"}, None),
        (
            {"JENKINS_URL": "https://j/", "BUILD_URL": "https://j/job/x/3/", "WORKSPACE": "/builds/a"},
            "https://j/job/x/3/artifact/out%20dir/report.html",
        ),
        (
            {
                "JENKINS_URL": "https://j/", "BUILD_URL": "https://j/job/x/3/", "WORKSPACE": "/builds",
                "CIPLUG_ARCHIVED_FROM": "/builds/a/out dir",
            },
            "https://j/job/x/3/artifact/report.html",
        ),
        (
            {
                "TF_BUILD": "True", "SYSTEM_COLLECTIONURI": "https://dev.azure.com/o/", "SYSTEM_TEAMPROJECT": "p",
                "BUILD_BUILDID": "5",
            },
            "https://dev.azure.com/o/p/_build/results?buildId=5&view=artifacts&type=publishedArtifacts",
        ),
        ({"BITBUCKET_BUILD_NUMBER": "3"}, None),
        ({"GITEA_ACTIONS": "true"}, None),
        ({}, None),
    ],
)  # fmt: skip
def test_where_the_report_of_a_job_is_going_to_be(env: dict[str, str], url: str | None) -> None:
    host = ci.host_module(ci.detect(env).host)
    assert host.report_url(env, Path("/builds/a/out dir/report.html")) == url


@pytest.mark.parametrize(
    ("address", "versions", "context", "url"),
    [
        ("https://github.com/acme/wine.git#ciplug", 2, GITHUB, "tree/ciplug/registry/m%2525x"),
        ("git@github.com:acme/wine.git#runs/of", 1, GITHUB, "tree/runs/of/registry/m%2525x"),
        ("https://github.com/acme/wine.git#ciplug", 0, GITHUB, None),
        ("https://github.com/acme/runs.git#ciplug", 2, GITHUB, None),
        ("https://github.com/acme/wine.git#ciplug", 2, replace(GITHUB, trusted=False), None),
        ("file:///srv/wine.git#ciplug", 2, GITHUB, None),
    ],
)
def test_the_registry_is_linked_where_the_forge_has_the_store(
    address: str, versions: int, context: Context, url: str | None
) -> None:
    run = samples.run("m%x", provenance=replace(samples.run().provenance, context=context))
    of = ModelSection(model=run.model, comparison=samples.comparison(), verdict=None, run=run, versions=versions)
    session = SimpleNamespace(store=SimpleNamespace(address=address), store_uri="git:", context=Context())
    (section,) = report_of(session, [Judged(of)]).sections  # type: ignore[arg-type]
    assert section.registry_url == (url and f"https://github.com/acme/wine/{url}")
