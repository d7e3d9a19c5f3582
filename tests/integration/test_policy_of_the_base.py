"""A pull request is judged by the policy of the branch that it wants to go into."""

from __future__ import annotations

import base64
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from ciplug.errors import GitError
from ciplug.git.branch_files import tree_of_branch
from ciplug.git.history import default_branch
from ciplug.git.names import tagged
from ciplug.git.workspace import discover
from tests.project import CONFIG, Project, git
from tests.servers.git_http import GitServer

pytestmark = pytest.mark.slow

PULL_REQUEST = {
    "GITLAB_CI": "true",
    "CI_MERGE_REQUEST_IID": "7",
    "CI_MERGE_REQUEST_TARGET_BRANCH_NAME": "main",
    "CI_MERGE_REQUEST_SOURCE_BRANCH_NAME": "topic",
    "CI_PROJECT_ID": "1",
    "CI_MERGE_REQUEST_PROJECT_ID": "1",
    "CI_MERGE_REQUEST_SOURCE_PROJECT_ID": "1",
    "CI_PIPELINE_SOURCE": "merge_request_event",
}


def job(project: Project) -> dict[str, str]:
    return {**PULL_REQUEST, "CI_COMMIT_SHA": project.head}


def verdict(project: Project, code: int) -> dict[str, Any]:
    found: dict[str, Any] = project.json("gate", "--json", env=job(project), code=code)["verdicts"][0]
    return found


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("template")
    Project.with_remote(folder).train()
    return folder


@pytest.fixture
def project(tmp_path: Path, template: Path) -> Project:
    return Project.copy(template, tmp_path)


def write(project: Project, config: str) -> None:
    (project.folder / "ciplug.yaml").write_text(config)


def test_another_way_to_read_the_metrics_is_announced(project: Project) -> None:
    """By `take`, a pull request could choose the best of many values where the target branch takes the last."""
    write(project, CONFIG.replace("metrics: metrics.json", "metrics: [{file: metrics.json, take: max}, extra.json]"))
    git(project.folder, "checkout", "-q", "-b", "topic")
    (project.folder / "extra.json").write_text('{"loss": 1}')
    project.commit("topic")
    project.push()
    project.train("--allow-unchanged", "extra.json", env=job(project))
    compared = project.json("compare", "--format", "json", env=job(project))["comparisons"][0]
    (notice,) = [one for one in compared["notices"] if one["kind"] == "read_otherwise"]
    assert (notice["name"], notice["files"]) == ("main", ["metrics.json", "extra.json"])
    assert (notice["before"], notice["now"]) == (["read by default", "not read"], ["take: max", "read by default"])
    words = "metrics.json (read by default → take: max); extra.json (not read → read by default)"
    assert words in project.ciplug("compare", env=job(project)).stdout.replace("\n", " ").replace("  ", " ")
    assert "take: max" in project.ciplug("report", env=job(project)).stdout
    assert verdict(project, code=0)["policy_branch"] == "main"


def test_thresholds_of_its_own_do_not_help(project: Project) -> None:
    base = project.head
    write(project, CONFIG.replace("min: 0.8", "min: 0.5").replace("max_regression: 0.01", "max_regression: 0.9"))
    project.branch("topic", {"accuracy": 0.7})
    project.push()
    project.train(env=job(project))
    found = verdict(project, 1)
    assert (found["outcome"], found["policy_branch"], found["policy_commit"]) == ("FAIL", "main", base)
    report = project.ciplug("report", env=job(project)).stdout
    assert "this pull request changes the policy" in report
    assert "counts: FAIL. With the proposed policy: PASS (accuracy FAIL → PASS)" in report
    # Where it is no pull request, the checkout's counts, as it does once this one is merged.
    assert project.json("gate", "--json")["verdicts"][0]["outcome"] == "PASS"


def test_setting_its_own_changes_aside_does_not_help(project: Project) -> None:
    write(project, f"{CONFIG}clean: {{ignore: ['*']}}\n")
    project.branch("topic", {"accuracy": 0.86})
    project.push()
    with (project.folder / "train.py").open("a") as file:
        file.write("# an experiment\n")
    project.train(env=job(project))
    found = verdict(project, 0)
    assert (found["outcome"], found["gates"][0]["gate"]) == ("INCONCLUSIVE", "run")
    assert "and the policy in force does not ignore them: train.py" in found["gates"][0]["reason"]
    report = project.json("report", "--format", "json", env=job(project))["sections"][0]["comparison"]
    assert ("set_aside", ["train.py"]) in [(one["kind"], one.get("files")) for one in report["notices"]]
    # Once it is merged, it is the policy in force, and the report names the files.
    assert project.json("gate", "--json")["verdicts"][0]["outcome"] == "PASS"
    assert "because 'clean: ignore' names them: train.py" in project.ciplug("compare").stdout
    # Where the target branch sets the same files aside, the run counts.
    git(project.folder, "checkout", "-q", "train.py")
    git(project.folder, "push", "-q", "origin", "HEAD:main")
    assert verdict(project, 0)["outcome"] == "PASS"


def test_a_policy_that_it_does_not_change_is_not_spoken_of(project: Project) -> None:
    write(project, f"# said otherwise\n{CONFIG}")
    project.branch("topic", {"accuracy": 0.86})
    project.push()
    project.train(env=job(project))
    assert verdict(project, 0)["outcome"] == "PASS"
    assert "policy" not in project.ciplug("report", env=job(project)).stdout


def test_a_branch_that_is_only_behind_changes_no_policy(project: Project) -> None:
    project.branch("topic", {"accuracy": 0.86})
    git(project.folder, "checkout", "-q", "main")
    write(project, CONFIG.replace("min: 0.8", "min: 0.7"))
    project.commit("another policy on main")
    project.push()
    git(project.folder, "checkout", "-q", "topic")
    project.push()
    project.train(env=job(project))
    assert verdict(project, 0)["policy_commit"] == git(project.folder, "rev-parse", "main")
    assert "changes the policy" not in project.ciplug("report", env=job(project)).stdout
    write(project, CONFIG.replace("min: 0.8", "min: 0.6"))
    project.commit("and its own")
    project.push()
    project.train(env=job(project))
    verdict(project, 0)
    assert "changes the policy" in project.ciplug("report", env=job(project)).stdout


def test_taking_the_file_away_does_not_help(project: Project) -> None:
    git(project.folder, "rm", "-q", "ciplug.yaml")
    project.branch("topic", {"accuracy": 0.7})
    project.push()
    project.train("--metrics", "metrics.json", "--model", "wine", env=job(project))
    assert verdict(project, 1)["outcome"] == "FAIL"
    assert "With the proposed policy, no gate would judge 'wine'" in project.ciplug("report", env=job(project)).stdout


def test_a_nearer_file_does_not_help(project: Project) -> None:
    nearer = project.folder / "part"
    nearer.mkdir()
    (nearer / "ciplug.yaml").write_text("model: wine\ngates: {accuracy: {min: 0.1}}\n")
    project.branch("topic", {"accuracy": 0.7})
    project.push()
    project.train(env=job(project))
    done = project.ciplug("gate", "--json", env=job(project), code=1, cwd=nearer)
    assert json.loads(done.stdout)["verdicts"][0]["policy_branch"] == "main"


def test_a_newer_policy_of_the_base_counts(project: Project, tmp_path: Path) -> None:
    """The branch has left main before main became stricter; this clone has not seen it."""
    project.branch("topic", {"accuracy": 0.86})
    project.push()
    project.train(env=job(project))
    git(tmp_path, "clone", "-q", "remote.git", "other")
    other = Project(tmp_path / "other")
    write(other, CONFIG.replace("min: 0.8", "min: 0.9"))
    tip = other.commit("stricter")
    other.push()
    found = verdict(project, 1)
    assert (found["policy_branch"], found["policy_commit"]) == ("main", tip)
    assert git(project.folder, "rev-parse", "origin/main") != tip, "nothing of the user's clone is moved"


def test_what_the_base_extends_is_the_bases_too(project: Project) -> None:
    (project.folder / "shared").mkdir()
    (project.folder / "shared" / "base.yaml").write_text("gates: {accuracy: {min: 0.8}}\n")
    write(project, "model: wine\nmetrics: metrics.json\nextends: shared/base.yaml\ngates: {accuracy: {max: 1}}\n")
    project.commit("extend")
    project.push()
    (project.folder / "shared" / "base.yaml").write_text("gates: {accuracy: {min: 0.1}}\n")
    project.branch("topic", {"accuracy": 0.7})
    project.push()
    project.train(env=job(project))
    assert verdict(project, 1)["outcome"] == "FAIL"


def test_a_base_without_a_policy_has_a_named_outcome(project: Project) -> None:
    for config, why in (
        (None, "main has no ciplug.yaml"),
        ("model: wine\nmetrics: metrics.json\n", "of main"),
    ):
        git(project.folder, "checkout", "-q", "main")
        if config is None:
            git(project.folder, "rm", "-q", "ciplug.yaml")
        else:
            write(project, config)
        project.commit("no gates")
        project.push()
        write(project, CONFIG)
        project.branch("topic" if config is None else "topic2", {"accuracy": 0.86})
        project.push()
        project.train(env=job(project))
        found = verdict(project, 0)
        assert found["outcome"] == "WARN"
        first = found["gates"][0]
        assert (first["gate"], first["outcome"]) == ("policy", "WARN")
        assert why in first["reason"]
        assert "judged by its own gates" in first["reason"]


LENIENT = "model: {}\nmetrics: metrics.json\ngates: {{accuracy: {{min: 0.1}}}}\n"


def test_another_name_for_the_model_is_no_way_around_its_gates(project: Project) -> None:
    write(project, LENIENT.format("beer"))
    project.branch("topic", {"accuracy": 0.2})
    project.push()
    done = project.ciplug("ci", "--no-comment", "--", sys.executable, "train.py", env=job(project), code=1)
    words = f"no run of 'wine' on this commit: ciplug.yaml of main ({git(project.folder, 'rev-parse', 'main')[:8]})"
    assert f"{words} has gates for it, and this pull request takes them away" in done.stdout.replace("\n", " ")
    found = verdict(project, 1)
    assert found["outcome"] == "FAIL"
    assert [(gate["rule"], gate["outcome"]) for gate in found["gates"] if gate["gate"] == "policy"] == [
        ("the base branch has the policy", "WARN"),
        ("the models that the base branch gates have runs", "FAIL"),
    ]
    report = project.json("report", "--format", "json", env=job(project))
    assert [(one["kind"], one["model"]) for one in report["unrun"]] == [("gated_dropped", "wine")]
    markdown = project.ciplug("report", "--format", "markdown", env=job(project)).stdout
    assert "\n## ❌ 1 model: 1 failed, 1 without a run\n" in markdown
    junit = project.folder / "gates.xml"
    project.ciplug("gate", "--junit", str(junit), env=job(project), code=1)
    assert 'name="it has a run on this commit"' in junit.read_text()
    # With a run of the model, its own gates judge that one, and the other is a model that the pull request adds.
    project.train("--model", "wine", env=job(project))
    assert "below 0.8" in project.ciplug("gate", "--model", "wine", env=job(project), code=1).stdout
    assert project.json("gate", "--model", "beer", "--json", env=job(project))["verdicts"][0]["outcome"] == "WARN"


def test_gates_without_a_name_are_for_the_models_of_the_target_branch(project: Project) -> None:
    write(project, CONFIG.replace("model: wine\n", ""))
    project.commit("no name")
    project.push()
    project.train()
    # Nothing else has been trained under this name: it is compared with nothing.
    project.branch("topic", {"accuracy": 0.81})
    train = ("ci", "--no-comment", "--", sys.executable, "train.py")
    project.ciplug(train[0], "--model", "beer", *train[1:], env=job(project))
    assert [(gate["gate"], gate["outcome"]) for gate in verdict(project, 1)["gates"]][:1] == [
        ("policy", "INCONCLUSIVE")
    ]
    write(project, f"model: beer\n{CONFIG.replace('model: wine', '')}")
    project.commit("another name")
    project.ciplug(*train, env=job(project), code=1)
    assert [(gate["rule"], gate["outcome"]) for gate in verdict(project, 1)["gates"]][:1] == [
        ("the models that the base branch gates have runs", "FAIL")
    ]
    report = project.json("report", "--format", "json", env=job(project))
    assert [(one["kind"], one["model"]) for one in report["unrun"]] == [("gated_dropped", "default")]
    # With a run of what the target branch has, another one is a model that the pull request adds.
    project.train("--model", "default", env=job(project))
    assert "unrun" not in project.json("report", "--format", "json", env=job(project))
    assert project.json("gate", "--model", "beer", "--json", env=job(project))["verdicts"][0]["outcome"] == "WARN"
    project.ciplug("gate", "--model", "default", env=job(project), code=1)


def test_a_model_without_a_run_leaves_a_pull_request_open(project: Project) -> None:
    """A job of a matrix passes by its own model; the whole does not before every gated model has a run."""
    both = "models:\n  wine: {metrics: metrics.json, gates: {accuracy: {min: 0.1}}}\n"
    more = "  beer: {metrics: metrics.json, gates: {accuracy: {min: 0.1}}}\n"
    write(project, both + more)
    project.commit("two models")
    project.push()
    project.branch("topic", {"accuracy": 0.6})
    project.push()
    train = ("--no-comment", "--", sys.executable, "train.py")
    project.ciplug("ci", "--model", "wine", *train, env=job(project))
    report = project.json("report", "--format", "json", env=job(project))
    assert [(one["kind"], one["model"]) for one in report["unrun"]] == [("gated_not_run", "beer")]
    assert "\n## ❓ 1 model: 1 passed, 1 without a run\n" in project.ciplug("report", env=job(project)).stdout
    done = project.ciplug("gate", env=job(project), code=1)
    assert "INCONCLUSIVE: No run of 'beer' on this commit" in done.stdout
    project.ciplug("gate", "--model", "wine", env=job(project))
    # A model of the pull request's own does not pass while another one that is gated has no run.
    write(project, f"{both}{more}  cider: {{metrics: metrics.json, gates: {{accuracy: {{min: 0.1}}}}}}\n")
    project.commit("a third model")
    project.ciplug("ci", "--model", "cider", *train, env=job(project))
    found = project.json("gate", "--model", "cider", "--json", env=job(project))["verdicts"][0]
    assert found["outcome"] == "INCONCLUSIVE"
    for model in ("wine", "beer"):
        project.ciplug("ci", "--model", model, *train, env=job(project))
    assert "unrun" not in project.json("report", "--format", "json", env=job(project))
    project.ciplug("gate", env=job(project))
    # Outside of a pull request, and for a model that not every pull request trains, nothing is asked.
    git(project.folder, "checkout", "-q", "main")
    write(project, f"{both}{more}".replace("beer: {", "beer: {optional: true, "))
    project.commit("optional")
    project.push()
    git(project.folder, "checkout", "-q", "-b", "other")
    project.push()
    project.ciplug("ci", "--model", "wine", *train, env=job(project))
    assert "unrun" not in project.json("report", "--format", "json", env=job(project))


def test_a_base_whose_policy_is_wrong_is_not_a_pass(project: Project) -> None:
    write(project, CONFIG.replace("min: 0.8", "mim: 0.8"))
    project.commit("a slip")
    project.push()
    write(project, CONFIG)
    project.branch("topic", {"accuracy": 0.86})
    project.push()
    project.train(env=job(project))
    done = project.ciplug("gate", env=job(project), code=2)
    assert "main (" in done.stderr
    assert "ciplug.yaml:5: gates.accuracy.mim: unknown key" in done.stderr
    git(project.folder.parent / "remote.git", "update-ref", "-d", "refs/heads/main")
    git(project.folder, "update-ref", "-d", "refs/remotes/origin/main")
    git(project.folder, "branch", "-q", "-D", "main")
    done = project.ciplug("gate", env=job(project), code=3)
    assert "no branch named 'main', on the remote or in this clone" in done.stderr


def test_a_shallow_clone_of_the_head_alone(tmp_path: Path, git_server: GitServer) -> None:
    """As a CI host makes it, over HTTP: the base's files are not there, and only the policy is fetched."""
    git_server.create("demo")
    url = git_server.url("demo")
    project = Project.create(tmp_path / "work", remote=url)
    (project.folder / "data.bin").write_bytes(bytes(range(256)) * 4096)
    project.commit("data")
    project.push()
    project.train()
    base = project.head
    (project.folder / "data.bin").unlink()
    write(project, CONFIG.replace("min: 0.8", "min: 0.5").replace("max_regression: 0.01", "max_regression: 0.9"))
    project.branch("topic", {"accuracy": 0.7})
    project.push()
    git(tmp_path, "clone", "-q", "--depth=1", "--single-branch", "-b", "topic", url, "ci")
    ci = Project(tmp_path / "ci")
    ci.train(env=job(ci))
    found = verdict(ci, 1)
    assert (found["outcome"], found["policy_branch"], found["policy_commit"]) == ("FAIL", "main", base)
    assert "promisor" not in git(ci.folder, "config", "--list")
    (side,) = (ci.folder / ".git" / "ciplug").rglob("branches.git")
    size = sum(f.stat().st_size for f in side.rglob("*") if f.is_file())
    assert size < 100_000, "the other files of the base were fetched too"


def test_the_remote_is_asked_with_the_credential_that_the_checkout_keeps(tmp_path: Path, git_server: GitServer) -> None:
    """In the checkout itself it would be sent twice, and GitHub's answer to that is 400."""
    git_server.create("demo")
    project = Project.create(tmp_path / "work", remote=git_server.url("demo"))
    git(project.folder, "tag", "v1")
    git(project.folder, "push", "-q", "origin", "v1")
    git_server.token = "s3cret"
    login = base64.b64encode(b"x-access-token:s3cret").decode()
    clone = tmp_path / "clone"
    clone.mkdir()
    git(clone, "init", "-q", "-b", "other")
    git(clone, "config", f"http.{git_server.origin}/.extraheader", f"Authorization: Basic {login}")
    git(clone, "remote", "add", "origin", git_server.url("demo"))
    git(clone, "commit", "-q", "--allow-empty", "-m", "x")
    workspace = discover(clone)
    assert workspace
    assert tree_of_branch(workspace, "main", {}).read("ciplug.yaml")
    assert tagged(workspace, "v1", {}) == project.head
    assert default_branch(workspace, {}) == "main"
    git_server.token = "another"
    with pytest.raises(GitError, match="cannot be read from the remote"):
        tree_of_branch(workspace, "main", {})


def test_a_push_does_not_judge_another_project_of_the_pull_request(tmp_path: Path) -> None:
    """The report of one project takes the verdict of the other's job: of the pull request's, not of a push."""
    project = Project.with_remote(tmp_path)
    git(project.folder, "rm", "-q", "ciplug.yaml")
    for name in ("a", "b"):
        (project.folder / name).mkdir()
        (project.folder / name / "ciplug.yaml").write_text(f"model: {name}\ngates:\n  accuracy: {{min: 0.8}}\n")
    project.commit("two projects")
    project.push()
    (project.folder / "b/ciplug.yaml").write_text("model: b\ngates:\n  accuracy: {min: 0.1}\n")
    project.branch("topic", {"accuracy": 0.5})
    project.push()
    a, b = project.folder / "a", project.folder / "b"
    for folder in (a, b):
        project.ciplug(
            "run", "--metrics", "../metrics.json", "--", "sh", "-c", "cp ../numbers.json ../metrics.json", cwd=folder
        )

    def said_of_b() -> str:
        report = json.loads(project.ciplug("report", "--format", "json", env=job(project), cwd=a).stdout)
        (section,) = (s for s in report["sections"] if s["model"] == "b")
        return (section.get("verdict") or {"outcome": "none"})["outcome"]

    assert '"outcome":"PASS"' in project.ciplug("gate", "--json", cwd=b).stdout.replace(" ", "")
    assert said_of_b() == "none"
    project.ciplug("gate", env=job(project), cwd=b, code=1)
    assert said_of_b() == "FAIL"
