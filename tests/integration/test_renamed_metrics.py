"""A metric that gets another name keeps its baseline, its history and its gate."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ciplug.gates.digest import digest_of
from tests.integration.test_policy_of_the_base import job, write
from tests.policies import policy_of
from tests.project import Project, git

pytestmark = pytest.mark.slow

GATE = """\
gates:
  f1: {higher_is_better: true, min: 0.8, max_regression: 0.01}
"""
CONFIG = f"""\
version: 1
model: wine
metrics: metrics.json
{GATE}"""
RENAMED = f"""\
version: 1
model: wine
metrics: {{files: metrics.json, rename: {{f1: val/f1}}}}
{GATE}"""


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("template")
    project = Project.with_remote(folder, config=CONFIG)
    project.numbers({"f1": 0.9, "accuracy": 0.7})
    project.commit("numbers")
    project.push()
    project.train()
    return folder


@pytest.fixture
def project(tmp_path: Path, template: Path) -> Project:
    return Project.copy(template, tmp_path)


def judged(project: Project, code: int) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The section of the report of a pull request, and its notices on renames."""
    section = project.json("gate", "--json", env=job(project), code=code)
    verdict: dict[str, Any] = section["verdicts"][0]
    compared = project.json("compare", "--format", "json", env=job(project))
    return verdict, [one for one in compared["comparisons"][0].get("notices", ()) if one["kind"] == "renamed"]


def propose(project: Project, config: str, metrics: dict[str, float]) -> None:
    write(project, config)
    project.branch("topic", metrics)
    project.push()
    project.train(env=job(project))


@pytest.mark.parametrize(("f1", "code", "outcome"), [(0.9, 0, "PASS"), (0.85, 1, "FAIL")])
def test_a_rename_is_judged_by_the_gate_of_the_old_name(project: Project, f1: float, code: int, outcome: str) -> None:
    propose(project, RENAMED, {"val/f1": f1, "accuracy": 0.7})
    verdict, notices = judged(project, code)
    assert (verdict["outcome"], verdict["policy_branch"]) == (outcome, "main")
    assert [(one["gate"], one["metric"]) for one in verdict["gates"]] == [("f1", "val/f1")] * 2
    assert verdict["gates"][1]["baseline"] == 0.9
    assert [(one["metrics"], one.get("hindrance")) for one in notices] == [(["f1", "val/f1"], None)]
    report = project.ciplug("report", env=job(project)).stdout
    assert "This pull request renames 'f1' to 'val/f1': gates, baseline and history follow." in report
    assert "missing" not in report

    # Once it is merged, the branch has the rename, and a pull request from before it is judged as well.
    git(project.folder, "checkout", "-q", "main")
    git(project.folder, "merge", "-q", "topic")
    project.push()
    git(project.folder, "checkout", "-q", "-b", "older", "main~1")
    project.numbers({"f1": 0.89, "accuracy": 0.8})
    project.commit("older")
    project.push()
    project.train(env=job(project))
    older, notices = judged(project, 0)
    assert (older["outcome"], notices) == ("PASS", [])
    assert older["gates"][1]["metric"] == "val/f1"


@pytest.mark.parametrize(
    ("rename", "metrics", "hindrance"),
    [
        ("{f1: accuracy}", {"accuracy": 0.95}, "known"),
        ("{f1: new}", {"f1": 0.5, "new": 0.95, "accuracy": 0.7}, "both"),
        ("{accuracy: f1}", {"f1": 0.7}, "known"),
    ],
)
def test_a_rename_puts_no_other_number_under_a_gate(
    project: Project, rename: str, metrics: dict[str, float], hindrance: str
) -> None:
    propose(project, RENAMED.replace("{f1: val/f1}", rename), metrics)
    verdict, notices = judged(project, 1)
    assert verdict["outcome"] == "FAIL"
    assert {one["metric"] for one in verdict["gates"]} == {"f1"}
    assert [one["hindrance"] for one in notices] == [hindrance]


def test_names_between_the_first_and_the_last_are_followed(project: Project) -> None:
    project.ciplug("run", "--model", "wine", "--metrics", "metrics.json", "--", "true", code=2)
    write(project, CONFIG.replace("metrics: metrics.json", "metrics: {files: metrics.json, rename: {f1: b, b: c}}"))
    project.branch("topic", {"c": 0.899})
    project.train()
    compared = project.json("compare", "--format", "json")
    assert {one["metric"]: one["trend"] for one in compared["comparisons"][0]["metrics"]} == {
        "accuracy": "missing",
        "c": "worse",
    }


def test_the_digest_of_a_policy_is_that_of_what_its_gates_look_at() -> None:
    old, new = policy_of({"gates": {"f1": {"min": 0.8}}}), policy_of({"gates": {"f1": {"metric": "b", "min": 0.8}}})
    assert digest_of(old.renamed({"f1": "b"})) == digest_of(new)
    assert digest_of(old.renamed({"g1": "b"})) == digest_of(old)
