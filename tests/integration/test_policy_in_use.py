"""The policy as a user meets it: named baselines, seeds, examples, waivers, stages, tests of the policy."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from tests.project import MODEL, Project, git
from tests.servers.github_api import GitHubApi
from tests.servers.gitlab_api import GitLabApi

HEAD = "version: 1\nmodel: wine\nmetrics: metrics.json\n"
GATE = "{higher_is_better: true, max_regression: 0.01"


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project.create(tmp_path / "work", config=f"{HEAD}gates:\n  accuracy: {GATE}}}\n")


def write(project: Project, gates: str, more: str = "") -> None:
    (project.folder / "ciplug.yaml").write_text(f"{HEAD}{more}gates:\n{gates}")


def verdict(project: Project, code: int | None = None) -> dict[str, Any]:
    found: dict[str, Any] = project.json("gate", "--json", code=code)["verdicts"][0]
    return found


@pytest.mark.slow
def test_every_baseline_that_can_be_named(project: Project) -> None:
    ids = {}
    for number, accuracy in enumerate((0.95, 0.90, 0.85, 0.80)):
        project.numbers({"accuracy": accuracy})
        commit = project.commit(f"run {number}")
        ids[accuracy] = (project.train(), commit)
    git(project.folder, "tag", "-a", "-m", "first", "v1", ids[0.95][1])
    write(
        project,
        "".join(
            f"  {name}: {{metric: accuracy, higher_is_better: true, max_regression: 0.01, baseline: {ref}}}\n"
            for name, ref in {
                "base": "main",
                "tip": "target",
                "tagged": "'tag:v1'",
                "named": f"'commit:{ids[0.90][1][:10]}'",
                "best": "best",
                "best2": "{ref: best, last: 2}",
                "mean": "{ref: mean, last: 3}",
                "live": "production",
                "untagged": "'tag:none'",
            }.items()
        ),
    )
    project.branch("topic", {"accuracy": 0.845})
    project.train()
    found = {gate["gate"]: gate for gate in verdict(project, 1)["gates"]}
    assert {name: gate.get("baseline") for name, gate in found.items()} == {
        "base": 0.8,
        "tip": 0.8,
        "tagged": 0.95,
        "named": 0.9,
        "best": 0.95,
        "best2": 0.85,
        "mean": pytest.approx(0.85),
        "live": None,
        "untagged": None,
    }
    assert {name: gate["outcome"] for name, gate in found.items()} == {
        "base": "PASS",
        "tip": "PASS",
        "tagged": "FAIL",
        "named": "FAIL",
        "best": "INCONCLUSIVE",
        "best2": "INCONCLUSIVE",
        "mean": "PASS",
        "live": "WARN",
        "untagged": "ERROR",
    }
    assert found["best"]["baseline_run"] == ids[0.95][0]
    assert found["tagged"]["baseline_label"] == f"tag v1 {ids[0.95][1][:8]}"
    assert "there is no tag 'none'" in found["untagged"]["reason"]
    assert "no version of 'wine' is in production" in found["live"]["reason"]


@pytest.mark.slow
def test_stale_and_incomparable_baselines_decide_nothing(project: Project) -> None:
    (project.folder / "test.csv").write_text("id\n1\n")
    write(project, f"  accuracy: {GATE}}}\n", "evaluation: test.csv\n")
    project.commit("an evaluation set")
    project.train()
    project.branch("same", {"accuracy": 0.85})
    project.train()
    assert verdict(project, 0)["outcome"] == "PASS"
    (project.folder / "test.csv").write_text("id\n1\n2\n")
    project.branch("other", {"accuracy": 0.7})
    project.train()
    found = verdict(project, 0)
    assert found["outcome"] == "INCONCLUSIVE"
    assert found["gates"][0]["reason"] == (
        "the baseline was measured on another version of 'test.csv': the numbers cannot be compared"
    )
    assert "measured on another" in project.ciplug("report").stdout
    write(project, f"  accuracy: {GATE}, baseline: {{max_age_days: 0.0000001}}}}\n")
    project.branch("late", {"accuracy": 0.7})
    project.train()
    found = verdict(project, 0)
    assert (found["outcome"], "days of age are allowed" in found["gates"][0]["reason"]) == ("INCONCLUSIVE", True)


@pytest.mark.slow
def test_a_matrix_of_seeds_is_one_candidate(project: Project) -> None:
    train = "import json, os, pathlib\nn = json.loads(pathlib.Path('numbers.json').read_text())\n"
    train += "n['accuracy'] += int(os.environ['CIPLUG_SEED']) / 1000\n"
    train += "pathlib.Path('metrics.json').write_text(json.dumps(n))\n"
    (project.folder / "train.py").write_text(train)
    write(project, f"  accuracy: {GATE}}}\n", "seeds: {min_runs: 3}\n")
    project.commit("seeds")
    for seed in (1, 2, 3):
        project.train("--seed", str(seed))
    project.branch("topic", {"accuracy": 0.80})
    runs = [project.train("--seed", "1")]
    early = verdict(project, 0)
    assert early["outcome"] == "INCONCLUSIVE"
    assert early["gates"][0]["reason"].startswith("1 of 3 runs so far")
    runs += [project.train("--seed", str(seed)) for seed in (2, 3)]
    found = verdict(project, 1)
    assert sorted(found["runs"]) == sorted(runs)
    (gate,) = found["gates"]
    assert (gate["candidate"], gate["baseline"]) == (pytest.approx(0.802), pytest.approx(0.852))
    assert gate["method"] == "Welch's t-test on seed means"
    assert "3 runs of this commit, which differ in their seed, are judged as one." in project.ciplug("report").stdout


SAMPLES = """\
import json, pathlib
numbers = json.loads(pathlib.Path("numbers.json").read_text())
right = numbers.pop("right")
with open("predictions.jsonl", "w") as file:
    for n in range(400):
        row = {"id": n, "label": "yes", "prediction": "yes" if n % 100 < right else "no", "country": "fi"[n % 2]}
        file.write(json.dumps(row) + chr(10))
pathlib.Path("metrics.json").write_text(json.dumps(numbers))
"""


@pytest.mark.slow
def test_examples_are_kept_with_the_run_and_compared_with_later(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q", "--bare", "-b", "main", "remote.git")
    gates = f"  accuracy: {GATE}, slices: {{by: country, min_samples: 100, max_regression: 0.02}}}}\n"
    config = f"{HEAD}samples: predictions.jsonl\ngates:\n{gates}"
    project = Project.create(tmp_path / "work", remote=tmp_path / "remote.git", config=config)
    (project.folder / "train.py").write_text(SAMPLES)
    (project.folder / ".gitignore").write_text("metrics.json\npredictions.jsonl\n")
    project.numbers({"right": 90, "loss": 1})
    project.commit("samples")
    project.push()
    project.train()
    # Another machine, which has never seen the baseline's file.
    git(tmp_path, "clone", "-q", "remote.git", "ci")
    ci = Project(tmp_path / "ci")
    ci.branch("topic", {"right": 80, "loss": 1})
    ci.train()
    found = verdict(ci, 1)
    whole = found["gates"][0]
    # The metric is the mean of the examples, though no file says it.
    assert (whole["candidate"], whole["baseline"], whole["n"]) == (0.8, 0.9, 400)
    assert whole["method"] == "Tango's score interval for paired proportions"
    assert {gate.get("slice") for gate in found["gates"]} == {None, "country = f", "country = i"}
    # A file that this run did not write is an earlier run's.
    (ci.folder / "train.py").write_text("open('metrics.json', 'w').write('{\"loss\": 1}')\n")
    ci.commit("no samples")
    done = ci.ciplug("run", "--", sys.executable, "train.py", code=2)
    assert "predictions.jsonl: the command did not write it" in done.stderr
    drift = "  data: {kind: drift, reference: old.jsonl, columns: [country]}\n"
    (ci.folder / "ciplug.yaml").write_text(f"{HEAD}samples: predictions.jsonl\ngates:\n{drift}")
    (ci.folder / "old.jsonl").write_text((ci.folder / "predictions.jsonl").read_text())
    (stale,) = verdict(ci, 1)["gates"]
    assert "the run recorded no examples: the file predictions.jsonl is not from this run" in stale["reason"]


@pytest.mark.slow
def test_budgets_are_facts_of_the_run(project: Project) -> None:
    (project.folder / "model.bin").write_bytes(b"\0" * 2_500_000)
    write(
        project,
        "  memory: {metric: run.peak_memory_mb, max: 100000}\n  size: {metric: artifacts.model.bin.mb, max: 2}\n"
        "  time: {metric: run.wall_seconds, higher_is_better: false, max_regression: 3600}\n",
    )
    project.commit("policy")
    project.train("--artifact", "model.bin", "--allow-unchanged", "model.bin")
    found = {gate["gate"]: gate for gate in verdict(project, 1)["gates"]}
    assert (found["size"]["outcome"], found["size"]["candidate"]) == ("FAIL", 2.5)
    assert (found["memory"]["outcome"], found["time"]["outcome"]) == ("PASS", "WARN")


@pytest.mark.slow
def test_drift_of_files(project: Project) -> None:
    (project.folder / "train.csv").write_text("age\n" + "".join(f"{n % 50}\n" for n in range(1000)))
    write(project, "  accuracy: {min: 0.1}\n  data: {kind: drift, reference: train.csv, current: now.csv}\n")
    project.commit("policy")
    project.train()
    missing = verdict(project, 1)["gates"][1]
    assert (missing["outcome"], "there is no such file" in missing["reason"]) == ("FAIL", True)
    (project.folder / "now.csv").write_text("age\n" + "".join(f"{(n * 7) % 50}\n" for n in range(1000)))
    assert verdict(project, 0)["outcome"] == "PASS"
    project.train("--dataset", "now.csv")
    (project.folder / "now.csv").write_text("age\n" + "".join(f"{n % 50 + 20}\n" for n in range(1000)))
    assert "is not the one that the run recorded" in verdict(project, 1)["gates"][1]["reason"]
    project.train()
    assert verdict(project, 1)["gates"][1]["reason"].startswith("1 of 1 column has drifted: age (PSI")


@pytest.mark.slow
def test_a_promotion_takes_the_recorded_word_on_drift(project: Project) -> None:
    table = "age\n" + "".join(f"{n % 50}\n" for n in range(1000))
    for name in ("train.csv", "now.csv"):
        (project.folder / name).write_text(table)
    write(project, "  accuracy: {min: 0.1}\n  data: {kind: drift, reference: train.csv, current: now.csv}\n")
    project.commit("policy")
    project.train()
    assert verdict(project, 0)["outcome"] == "PASS"
    (project.folder / "now.csv").unlink()
    project.ciplug("promote", "wine", "--to", "staging")


def test_a_ci_host_shows_what_did_not_pass(project: Project) -> None:
    write(project, "  accuracy: {min: 0.9}\n  loss: {max: 1, severity: warning, on_missing: warn}\n")
    project.commit("policy")
    project.train()
    job = {"GITHUB_ACTIONS": "true", "GITHUB_EVENT_NAME": "push", "GITHUB_SHA": project.head}
    done = project.ciplug("gate", "--json", env=job, code=1)
    assert "::error::wine: accuracy: FAIL: 0.85 is below 0.9 (one number per run: no uncertainty)" in done.stderr
    assert "::warning::wine: loss: WARN: the run has no metric 'loss'" in done.stderr
    assert json.loads(done.stdout)["verdicts"][0]["outcome"] == "FAIL"


@pytest.mark.slow
def test_several_models(project: Project) -> None:
    (project.folder / "ciplug.yaml").write_text(
        "version: 1\nmodels:\n"
        "  wine: {metrics: metrics.json, gates: {accuracy: {min: 0.8}}}\n"
        "  beer: {metrics: metrics.json, gates: {accuracy: {min: 0.9}}}\n"
    )
    project.commit("two models")
    assert "name one with --model: wine, beer" in project.ciplug("run", "--", "python", "train.py", code=2).stderr
    project.train("--model", "wine")
    project.train("--model", "beer")
    verdicts = project.json("gate", "--json", code=1)["verdicts"]
    assert {v["model"]: v["outcome"] for v in verdicts} == {"wine": "PASS", "beer": "FAIL"}
    assert "gin" in project.ciplug("policy", "explain", "--model", "gin", code=2).stderr


# --- waivers and stages


@pytest.mark.slow
def test_a_waiver_reaches_the_audit_trail(project: Project) -> None:
    project.train()
    project.numbers({"accuracy": 0.83})
    commit = project.commit("worse, and agreed to")
    day = (datetime.now(timezone.utc) + timedelta(days=2)).date()
    run = project.train()
    assert verdict(project, 1)["outcome"] == "FAIL"
    waiver = f"{{gate: accuracy, limit: 0.05, commit: '{commit[:10]}', expires: {day}, reason: new labels,"
    write(project, f"  accuracy: {GATE}}}\n", f"waivers:\n  - {waiver} approved_by: alice}}\n")
    found = verdict(project, 0)
    assert (found["outcome"], found["gates"][0]["waived"]["approved_by"]) == ("WARN", "alice")
    assert "waived up to 0.05" in project.ciplug("report").stdout
    project.commit("the waiver")  # a promotion goes by the committed policy
    project.ciplug("promote", "wine", "--to", "staging", "--run", run)
    event = project.json("registry", "history", "wine", "--json")[-1]
    assert event["payload"]["waived"] == [f"accuracy up to 0.05 until {day} by alice: new labels"]


@pytest.mark.slow
def test_a_stage_takes_what_the_policy_says(project: Project, gitlab_api: GitLabApi) -> None:
    write(
        project,
        f"  accuracy: {GATE}, min: 0.8}}\n  loss: {{max: 1}}\n",
        "stages:\n  staging: {gates: [accuracy], clean_tree: false}\n"
        "  production: {on_no_baseline: fail, approvals: {not_author: true}}\n",
    )
    project.numbers({"accuracy": 0.85, "loss": 2})
    project.commit("policy")
    run = project.train()
    project.ciplug("gate", code=1)
    # Staging does not ask for the gate that fails.
    project.ciplug("promote", "wine", "--to", "staging")
    refused = project.ciplug("promote", "wine", "--to", "production", "--run", run, code=1)
    assert "the verdict of run" in refused.stderr
    project.numbers({"accuracy": 0.85, "loss": 0.5})
    project.commit("better")
    second = project.train()
    project.ciplug("gate")
    project.ciplug("promote", "wine", "--to", "staging")
    author = {"GITLAB_CI": "true", "CI_COMMIT_BRANCH": "main", "CI_COMMIT_SHA": project.head}
    done = project.ciplug("promote", "wine", "--to", "production", "--run", second, code=1)
    assert "test@example.com wrote the commit or trained the run" in done.stderr
    gitlab_api.add_token("of-project", "project_bot")
    gitlab_api.start_job("of-job", "bob")
    other = {
        **author, "GITLAB_USER_LOGIN": "bob", "CI_API_V4_URL": gitlab_api.api_url, "CI_PROJECT_PATH": "acme/demo",
        "CI_JOB_TOKEN": "of-job", "CIPLUG_GITLAB_TOKEN": "of-project",
    }  # fmt: skip
    project.ciplug("promote", "wine", "--to", "production", "--run", second, env=other)
    event = project.json("registry", "history", "wine", "--json")[-1]
    assert event["payload"]["approvals"] == ["clean tree", "bob is not the author, by GitLab's account"]
    assert event["payload"]["stage"] == "Production"
    (project.folder / "train.py").write_text((project.folder / "train.py").read_text() + "# changed\n")
    dirty = project.train(*MODEL)
    project.ciplug("gate", "--run", dirty)
    said = project.ciplug("promote", "wine", "--to", "staging", "--run", dirty).stderr
    assert "warning: the policy does not require this of Staging: clean_tree; the registry records it" in said
    assert "not required" in project.ciplug("registry", "show", "wine").stdout
    assert project.ciplug("registry", "history", "wine").stdout.rstrip().endswith("clean_tree")
    done = project.ciplug("promote", "wine", "--to", "production", "--run", dirty, env=other, code=1)
    assert "production requires a clean tree" in done.stderr


@pytest.mark.slow
def test_an_environment_is_the_jobs_or_none(project: Project, gitlab_api: GitLabApi) -> None:
    write(
        project,
        "  accuracy: {min: 0.8}\n",
        "stages: {staging: {approvals: {environment: live}}}\n",
    )
    project.commit("policy")
    project.train()
    project.ciplug("gate")
    gitlab = {"GITLAB_CI": "true", "CI_COMMIT_BRANCH": "main", "CI_COMMIT_SHA": project.head}
    promote = ("promote", "wine", "--to", "staging")
    assert "says who approved it to run there" in project.ciplug(*promote, code=1).stderr
    wrong = project.ciplug(*promote, env={**gitlab, "CI_ENVIRONMENT_NAME": "test"}, code=1)
    assert "this job runs in 'test'" in wrong.stderr
    claimed = {**gitlab, "CI_ENVIRONMENT_NAME": "live"}
    assert "says who approved it to run there" in project.ciplug(*promote, env=claimed, code=1).stderr
    gitlab_api.add_token("of-project", "project_bot", role="maintainer")
    gitlab_api.protected_environments.add("live")
    gitlab_api.start_job("of-job", "bob", "live")
    tokens = {"CI_JOB_TOKEN": "of-job", "CIPLUG_GITLAB_TOKEN": "of-project"}
    address = {"CI_API_V4_URL": gitlab_api.api_url, "CI_PROJECT_PATH": "acme/demo"}
    project.ciplug(*promote, env={**claimed, **tokens, **address})


@pytest.mark.slow
def test_an_environment_that_somebody_else_has_approved_on_github(project: Project, github_api: GitHubApi) -> None:
    approvals = "{environment: live, not_author: true}"
    write(project, "  accuracy: {min: 0.8}\n", f"stages: {{staging: {{approvals: {approvals}}}}}\n")
    project.commit("policy")
    project.train()
    project.ciplug("gate")
    github_api.add_token("reader", "github-actions[bot]", app=True, permissions={"actions": "read"})
    github_api.authors[project.head] = "octocat"
    job = {
        "GITHUB_ACTIONS": "true", "GITHUB_EVENT_NAME": "push", "GITHUB_SHA": project.head, "GITHUB_TOKEN": "reader",
        "GITHUB_REPOSITORY": "acme/demo", "GITHUB_SERVER_URL": "https://github.com", "GITHUB_API_URL": github_api.url,
        "GITHUB_RUN_ID": "42", "GITHUB_ACTOR": "octocat",
    }  # fmt: skip
    promote = ("promote", "wine", "--to", "staging")
    assert "in this pipeline run, and nobody has" in project.ciplug(*promote, env=job, code=1).stderr
    github_api.reviews[42] += [
        ("octocat", "approved", "live"),
        ("eve", "rejected", "live"),
        ("bob", "approved", "test"),
    ]
    assert "only its author has given one (octocat)" in project.ciplug(*promote, env=job, code=1).stderr
    github_api.reviews[42].append(("bob", "approved", "live"))
    project.ciplug(*promote, env=job)
    event = project.json("registry", "history", "wine", "--json")[-1]
    assert event["payload"]["approvals"] == ["clean tree", "environment live, approved by bob"]


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="ssh-keygen makes the key that signs")
def test_a_commit_that_git_verifies(project: Project, tmp_path: Path) -> None:
    write(project, "  accuracy: {min: 0.8}\n", "stages: {staging: {require: [signature]}}\n")
    project.commit("policy")
    project.train()
    project.ciplug("gate")
    done = project.ciplug("promote", "wine", "--to", "staging", code=1)
    assert "staging requires a signed commit, and git does not verify" in done.stderr
    key = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    (tmp_path / "signers").write_text(f"test@example.com {key.with_suffix('.pub').read_text()}")
    for name, value in (
        ("gpg.format", "ssh"),
        ("user.signingkey", key),
        ("gpg.ssh.allowedSignersFile", tmp_path / "signers"),
    ):
        git(project.folder, "config", name, str(value))
    git(project.folder, "commit", "-q", "--allow-empty", "-S", "-m", "signed")
    project.train()
    project.ciplug("gate")
    project.ciplug("promote", "wine", "--to", "staging")
    event = project.json("registry", "history", "wine", "--json")[-1]
    assert event["payload"]["approvals"] == ["clean tree", f"git verifies the signature of {project.head[:12]}"]


# --- tests of a policy

CASES = """\
- name: a small loss passes
  metrics: {accuracy: 0.845}
  baseline: {accuracy: 0.85}
  expect: PASS
- name: a first run warns, and production does not take it
  metrics: {accuracy: 0.9}
  expect: {verdict: WARN, accuracy: WARN}
- {name: production, stage: production, metrics: {accuracy: 0.9}, expect: FAIL}
- name: by mistake
  metrics: {accuracy: 0.7}
  baseline: {accuracy: 0.85}
  expect: PASS
"""


def test_tests_of_the_policy(project: Project) -> None:
    write(
        project,
        f"  accuracy: {GATE}}}\n",
        "policy_tests: tests/*.yaml\nstages: {production: {on_no_baseline: fail}}\n",
    )
    assert "no file matches tests/*.yaml" in project.ciplug("policy", "test", code=2).stderr
    (project.folder / "tests").mkdir()
    cases = project.folder / "tests" / "cases.yaml"
    cases.write_text(CASES)
    done = project.ciplug("policy", "test", code=1)
    assert "3 of 4 cases get the expected verdict" in done.stderr
    assert "FAIL by mistake" in done.stdout
    assert "cases.yaml:9: verdict: PASS is expected, but it is FAIL: 0.7 is 0.15 worse than" in done.stdout
    cases.write_text(CASES.rpartition("- name: by mistake")[0])
    project.ciplug("policy", "test", "tests/cases.yaml")
    for text, says in (
        ("{}", "a list of cases is expected"),
        ("- {metrics: {accuracy: 1}, expect: GREEN}", "cases.yaml:1: expect: one of PASS, WARN"),
        ("- {metrics: {accuracy: x}, expect: PASS}", "cases.yaml:1: metrics.accuracy: a number, or one for each"),
        ("- {metrics: {accuracy: 1}, expect: {recall: PASS}}", "cases.yaml:1: there is no gate 'recall'"),
        ("- {metrics: {accuracy: 1}, stage: staging, expect: PASS}", "the policy has no rules for stage 'staging'"),
        ("- {metric: {accuracy: 1}, expect: PASS}", "cases.yaml:1: metric: unknown key"),
    ):
        cases.write_text(text)
        assert says in project.ciplug("policy", "test", code=2).stderr


def test_the_json_of_a_verdict_is_one_line_of_facts(project: Project) -> None:
    project.train()
    (first, *_) = json.loads(project.ciplug("gate", "--json").stdout)["verdicts"]
    assert set(first) >= {"outcome", "gates", "policy_digest", "policy_file", "run", "model"}


@pytest.mark.slow
def test_a_tag_that_this_clone_does_not_have_is_asked_of_the_remote(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q", "--bare", "-b", "main", "remote.git")
    gate = "  accuracy: {higher_is_better: true, max_regression: 0.01, baseline: 'tag:v1'}\n"
    project = Project.create(tmp_path / "work", remote=tmp_path / "remote.git", config=f"{HEAD}gates:\n{gate}")
    released = project.train()
    git(project.folder, "tag", "-a", "-m", "first", "v1")
    git(project.folder, "push", "-q", "origin", "v1")
    project.numbers({"accuracy": 0.5})
    project.commit("worse")
    project.push()
    git(tmp_path, "clone", "-q", "--depth=1", "--no-tags", f"file://{tmp_path}/remote.git", "ci")
    ci = Project(tmp_path / "ci")
    ci.train()
    (gate_result,) = verdict(ci, 1)["gates"]
    assert (gate_result["outcome"], gate_result["baseline_run"]) == ("FAIL", released)


def test_outside_of_a_repository_a_policy_can_be_checked_and_tested(tmp_path: Path) -> None:
    (tmp_path / "ciplug.yaml").write_text("gates: {accuracy: {min: 0.8}}\n")
    (tmp_path / "cases.yaml").write_text("- {metrics: {accuracy: 0.9}, expect: PASS}\n")
    folder = Project(tmp_path)
    assert "default: 1 gate, digest " in folder.ciplug("policy", "check").stdout
    assert folder.ciplug("policy", "test", "cases.yaml").stdout == "ok   case 1\n"
    assert "it is at least 0.8" in folder.ciplug("policy", "explain").stdout
    (tmp_path / "ciplug.yaml").write_text("metrics: a.json\n")
    assert "there is no gate" in folder.ciplug("policy", "check", code=2).stderr


def test_without_a_file_there_is_no_gate_and_the_file_is_not_named_as_if_it_were_there(tmp_path: Path) -> None:
    project = Project.create(tmp_path / "work")
    (project.folder / "ciplug.yaml").unlink()
    project.commit("no ciplug.yaml")
    project.ciplug("run", "--metrics", "metrics.json", "--", sys.executable, "train.py")
    said = project.ciplug("gate", code=2).stderr
    assert "there is no ciplug.yaml, and so no gate\n  -> ciplug init" in said


@pytest.mark.slow
def test_a_decay_of_many_small_steps_fails_and_names_the_commit(project: Project) -> None:
    """Eight commits of −0.9 points under an allowance of 1 point: each passes, and all together do not."""
    limits = "higher_is_better: true, max_regression: 0.01"
    trend = "trend: {{since: {}, max_total: 0.02}}"
    gates = f"  accuracy: {{{limits}}}\n" + "".join(
        f"  {name}: {{metric: accuracy, higher_is_better: true, {trend.format(since)}}}\n"
        for name, since in (("release", "'tag:v1'"), ("lately", 5), ("promoted", "last-promotion"))
    )
    write(project, gates)
    project.numbers({"accuracy": 0.9})
    project.commit("policy")
    project.train()
    git(project.folder, "tag", "v1")
    project.ciplug("gate")
    project.ciplug("promote", "wine", "--to", "staging")
    project.ciplug("promote", "wine", "--to", "production")
    commits = []
    for step in range(1, 9):
        project.numbers({"accuracy": round(0.9 - 0.009 * step, 4)})
        commits.append(project.commit(f"step {step}"))
        project.train()
    found = {gate["gate"]: gate for gate in verdict(project, 1)["gates"]}
    assert {name: gate["outcome"] for name, gate in found.items()} == {
        "accuracy": "PASS",
        "release": "FAIL",
        "lately": "FAIL",
        "promoted": "FAIL",
    }
    assert found["release"]["reason"].startswith("0.828 is 0.072 worse than the baseline's 0.9, allowed 0.02")
    assert found["promoted"]["baseline_label"] == "production (v1)"
    assert found["lately"]["baseline"] == pytest.approx(0.9 - 0.009 * 3)
    assert any(one[:8] in found["release"]["notes"][0] for one in commits)
    assert "steady change of −0.009 a run over 9 runs" in project.ciplug("report").stdout


@pytest.mark.slow
def test_how_often_an_evaluation_set_was_looked_at_is_said(project: Project) -> None:
    (project.folder / "test.csv").write_text("id,label\n1,a\n")
    write(project, f"  accuracy: {GATE}, n: rows}}\n", "evaluation: test.csv\n")
    for number in range(10):
        project.numbers({"accuracy": 0.85 + number / 1000, "rows": 500})
        project.commit(f"run {number}")
        project.train()
        if number == 8:
            assert "were measured on this content" not in project.ciplug("report").stdout
    words = (
        "10 runs of 'wine' were measured on this content of test.csv: by chance, the best of them may look up to 0.024 "
        "better in"
    )
    assert words in project.ciplug("report").stdout
    (notice,) = [one for one in project.json("gate", "--json")["notices"]["wine"] if one["kind"] == "looks"]
    assert (notice["count"], notice["metrics"], notice["luck"]) == (10, ["accuracy"], pytest.approx(0.0241, abs=3e-4))
    # Other content is another evaluation set.
    (project.folder / "test.csv").write_text("id,label\n1,b\n")
    project.commit("another set")
    project.train()
    assert "were measured on this content" not in project.ciplug("report").stdout
