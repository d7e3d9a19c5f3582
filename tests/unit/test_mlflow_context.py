"""The tags by which MLflow's runs say where they come from; without MLflow."""

from __future__ import annotations

from pathlib import Path

import pytest

from ciplug.mlflow.context import RunContext
from tests.project import Project

PULL_REQUEST = {
    "CI": "true",
    "GITLAB_CI": "true",
    "CI_SERVER_URL": "https://gitlab.example",
    "CI_PROJECT_PATH": "acme/wine",
    "CI_PIPELINE_SOURCE": "merge_request_event",
    "CI_MERGE_REQUEST_IID": "7",
    "CI_MERGE_REQUEST_SOURCE_BRANCH_NAME": "deeper",
    "CI_MERGE_REQUEST_TARGET_BRANCH_NAME": "main",
    "CI_PIPELINE_URL": "https://gitlab.example/acme/wine/-/pipelines/9",
    "CI_JOB_NAME": "train",
    "GITLAB_USER_LOGIN": "ada",
}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    project = Project.create(tmp_path / "work", config="version: 1\n")
    monkeypatch.chdir(project.folder)
    return project


def test_a_job(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {**PULL_REQUEST, "CI_COMMIT_SHA": project.head}.items():
        monkeypatch.setenv(name, value)

    assert RunContext().in_context()
    assert RunContext().tags() == {
        "mlflow.source.git.commit": project.head,
        "mlflow.source.git.branch": "deeper",
        "mlflow.source.git.repoURL": "https://gitlab.example/acme/wine",
        "ci.host": "gitlab_ci",
        "ci.event": "merge_request_event",
        "ci.pull_request": "7",
        "ci.target_branch": "main",
        "ci.job": "train",
        "ci.run_url": PULL_REQUEST["CI_PIPELINE_URL"],
        "ci.actor": "ada",
    }


def test_a_checkout_without_a_job_and_a_folder_without_a_checkout(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert RunContext().tags() == {"mlflow.source.git.commit": project.head, "mlflow.source.git.branch": "main"}
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    assert RunContext().tags() == {}


def test_under_ciplug_run_the_record_has_all_that(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CIPLUG_RUN_DIR", "/somewhere")
    assert not RunContext().in_context()
