"""The walk of a team: record on main, open a branch, compare, gate, promote. Real git, the real command line."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from ciplug.cli import main
from ciplug.errors import StoreError
from ciplug.git.workspace import discover
from ciplug.steps.send import store_objects
from ciplug.steps.session import open_session
from ciplug.stores import open_store
from ciplug.tracking.runs import Runs
from tests.project import CONFIG, Project, git
from tests.servers.git_http import GitServer

PYTHON = sys.executable
FORK = {"GITHUB_ACTIONS": "true", "GITHUB_HEAD_REF": "topic", "GITHUB_EVENT_NAME": "pull_request"}


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project.with_remote(tmp_path)


def test_better_is_promoted_and_worse_refused(project: Project) -> None:
    project.train()
    project.branch("better", {"accuracy": 0.86})
    run = project.train()
    verdict = project.json("gate", "--json")["verdicts"][0]
    assert (verdict["outcome"], verdict["run"]) == ("PASS", run)
    done = project.ciplug("promote", "wine", "--to", "staging", "--reason", "it is better")
    assert "version 1 is in Staging" in done.stderr

    project.branch("worse", {"accuracy": 0.7})
    project.train()
    assert "FAIL" in project.ciplug("gate", code=1).stdout
    refused = project.ciplug("promote", "wine", "--to", "staging", code=1)
    assert "0.7 is below 0.8" in refused.stderr
    versions = project.json("registry", "show", "wine", "--json")["versions"]
    assert [(v["number"], v["stage"], v["run"]) for v in versions] == [(1, "Staging", run)]
    history = project.json("registry", "history", "wine", "--json")
    assert [e["type"] for e in history] == ["register", "promote"]
    assert history[1]["payload"]["reason"] == "it is better"
    assert history[1]["actor"] == "test@example.com"
    assert history[1]["payload"]["verdict_digest"].startswith("sha256:")
    assert project.json("registry", "list", "--json")[0]["name"] == "wine"


def test_promotion_needs_a_verdict_of_that_very_run(project: Project) -> None:
    project.train()
    refused = project.ciplug("promote", "wine", "--to", "staging", code=1)
    assert "has no verdict" in refused.stderr
    project.ciplug("gate", "--dry-run")
    assert "dry run" in project.ciplug("promote", "wine", "--to", "staging", code=1).stderr
    project.ciplug("gate")
    # Another run of the same commit is another run.
    project.train()
    assert "has no verdict" in project.ciplug("promote", "wine", "--to", "staging", code=1).stderr
    project.ciplug("gate")
    project.ciplug("promote", "wine", "--to", "staging")


def test_what_a_job_does_asks_for_no_list_of_all_runs(
    project: Project, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def all_runs(runs: Runs) -> None:
        raise AssertionError("the catalog of all runs is made")

    monkeypatch.setattr(Runs, "catalog", property(all_runs))
    monkeypatch.setattr(Runs, "recorded", all_runs)
    monkeypatch.chdir(project.folder)
    training = ("--", sys.executable, "train.py")
    assert main(["ci", "--no-comment", "--artifact", "model.txt", "--promote-to", "staging", *training]) == 0
    run = open_session().runs().of_commits([project.head])[project.head][0].id
    for command in (
        ["run", *training],
        ["record", "--metrics", "metrics.json"],
        ["compare"],
        ["gate"],
        ["gate", "--run", run],
        ["report"],
        ["promote", "wine", "--to", "production", "--run", run],
        ["pull", "wine@production", "--to", str(tmp_path / "pulled")],
    ):
        assert main(command) == 0, command
    assert (tmp_path / "pulled" / "model.txt").read_text().startswith("the model of")


def test_a_baseline_that_the_pipeline_names_is_shown_and_never_judged_by(
    project: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.chdir(project.folder)
    training = ("--", sys.executable, "train.py")
    assert main(["run", *training]) == 0
    old = project.head
    git(project.folder, "push", "-q", "origin", "HEAD:refs/tags/v1")
    project.numbers({"accuracy": 0.95})
    project.commit("much better")
    project.push()
    assert main(["run", *training]) == 0
    project.branch("worse", {"accuracy": 0.86})
    (project.folder / "metrics.json").unlink()

    assert main(["ci", "--no-comment", "--baseline", "v2", *training]) == 2
    assert "no commit, branch or tag named 'v2'" in capsys.readouterr().err
    assert not (project.folder / "metrics.json").exists()

    # Better than the tag, which only the remote has; worse than the merge base, which the policy compares with.
    report = tmp_path / "report"
    assert main(["ci", "--no-comment", "--baseline", "v1", "--output-dir", str(report), *training]) == 1
    [section] = json.loads((report / "report.json").read_text())["sections"]
    baseline = section["comparison"]["baseline"]
    assert (baseline["label"], baseline["commit"]) == ("v1", old)
    [gate] = [gate for gate in section["verdict"]["gates"] if gate["outcome"] == "FAIL"]
    assert (gate["gate"], gate["baseline"]) == ("accuracy", 0.95)
    assert (
        "Compared with 'v1' as asked for; the gates keep the baseline of the policy"
        in (report / "report.md").read_text()
    )


def test_a_verdict_of_another_policy_does_not_count(project: Project) -> None:
    project.train()
    project.ciplug("gate")
    (project.folder / "ciplug.yaml").write_text(CONFIG.replace("min: 0.8", "min: 0.5"))
    project.commit("another policy")
    git(project.folder, "push", "-q", "origin", "HEAD:main")
    run = project.json("runs", "list", "--json")[0]["id"]
    refused = project.ciplug("promote", "wine", "--to", "staging", "--run", run, code=1)
    assert "only by other policies" in refused.stderr


@pytest.mark.slow
def test_stages_are_climbed_one_by_one_and_the_old_holder_is_archived(project: Project) -> None:
    project.train()
    project.ciplug("gate")
    assert "takes only versions from Staging" in project.ciplug("promote", "wine", "--to", "production", code=1).stderr
    project.ciplug("promote", "wine", "--to", "staging")
    project.ciplug("promote", "wine", "--to", "production")
    assert "already" in project.ciplug("promote", "wine", "--to", "production", code=1).stderr
    project.branch("better", {"accuracy": 0.9})
    project.train()
    project.ciplug("gate")
    project.ciplug("promote", "wine", "--to", "staging")
    done = project.ciplug("promote", "wine", "--version", "2", "--to", "production")
    assert "in place of version 1" in done.stderr
    stages = {v["number"]: v["stage"] for v in project.json("registry", "show", "wine", "--json")["versions"]}
    assert stages == {1: "Archived", 2: "Production"}
    comparison = project.json("compare", "--format", "json")["comparisons"][0]
    assert comparison["production"]["version"] == 2
    assert comparison["production"]["metrics"] == {"accuracy": 0.9}


def test_two_promotions_race_and_the_log_decides(project: Project) -> None:
    project.train()
    project.ciplug("gate")
    command = [PYTHON, "-m", "ciplug", "promote", "wine", "--to", "staging"]
    racers = [subprocess.Popen(command, cwd=project.folder, stderr=subprocess.PIPE, text=True) for _ in range(3)]
    codes = sorted((racer.wait(), racer.stderr.read() if racer.stderr else "") for racer in racers)
    assert [code for code, _ in codes] == [0, 1, 1], codes
    history = project.json("registry", "history", "wine", "--json")
    assert [(e["seq"], e["type"], e["payload"]["version"]) for e in history] == [(1, "register", 1), (2, "promote", 1)]


def test_the_baseline_is_the_merge_base_not_the_tip_of_main(project: Project) -> None:
    base = project.head
    project.train()
    project.branch("topic", {"accuracy": 0.86})
    project.train()
    git(project.folder, "checkout", "-q", "main")
    project.numbers({"accuracy": 0.95})
    tip = project.commit("main moved on")
    project.push()
    project.train()
    git(project.folder, "checkout", "-q", "topic")
    comparison = project.json("compare", "--format", "json")["comparisons"][0]
    assert comparison["baseline"]["commit"] == base
    assert comparison["baseline"]["how"] == "merge base with main"
    assert comparison["target"]["commit"] == tip
    assert comparison["baseline"]["age_days"] >= 0
    assert comparison["metrics"][0]["trend"] == "better"
    named = project.json("compare", "main", "--format", "json")["comparisons"][0]
    assert named["baseline"]["commit"] == tip
    assert named["metrics"][0]["trend"] == "worse"
    table = project.ciplug("compare", "--format", "markdown").stdout
    assert table.startswith("|")
    assert project.ciplug("compare", "--format", "csv").stdout.startswith("metric,candidate,baseline")


def test_without_a_run_on_the_merge_base_the_nearest_ancestor_counts(project: Project) -> None:
    project.train()
    recorded = project.head
    project.commit("not recorded")
    project.commit("not recorded either")
    project.push()
    project.branch("topic", {"accuracy": 0.86})
    project.train()
    baseline = project.json("compare", "--format", "json")["comparisons"][0]["baseline"]
    assert baseline["commit"] == recorded
    assert baseline["how"] == "nearest recorded ancestor, 2 commits before the merge base"


def test_a_first_run_is_not_a_silent_pass(project: Project) -> None:
    project.train()
    verdict = project.json("gate", "--json")["verdicts"][0]
    assert verdict["outcome"] == "WARN"
    assert "no baseline" in json.dumps(verdict)
    assert "no run of 'wine'" in project.ciplug("compare", "HEAD~0", code=2).stderr


def test_a_shallow_detached_checkout_finds_the_merge_base(tmp_path: Path, git_server: GitServer) -> None:
    git_server.create("remote")
    project = Project.create(tmp_path / "work", remote=git_server.url("remote"))
    base = project.head
    project.train()
    head = project.branch("topic", {"accuracy": 0.86})
    project.push()
    folder = tmp_path / "ci"
    folder.mkdir()
    git(folder, "init", "-q")
    git(folder, "remote", "add", "origin", git_server.url("remote"))
    git(folder, "fetch", "-q", "--depth=1", "--no-tags", "origin", head)
    git(folder, "checkout", "-q", "--detach", "FETCH_HEAD")
    ci = Project(folder)
    env = {"GITLAB_CI": "true", "CI_COMMIT_SHA": head, "CI_COMMIT_BRANCH": "topic", "CI_DEFAULT_BRANCH": "main"}
    ci.train(env=env)
    comparison = ci.json("compare", "--format", "json", env=env)["comparisons"][0]
    assert comparison["baseline"]["commit"] == base
    assert comparison["baseline"]["how"] == "merge base with main"
    blobs = git(folder, "cat-file", "--batch-all-objects", "--batch-check")
    side = next((folder / ".git" / "ciplug" / "git").glob("history-*.git"))
    fetched = git(side, "cat-file", "--batch-all-objects", "--batch-check", "--unordered")
    assert " blob " in blobs
    assert {line.split()[1] for line in fetched.splitlines()} == {"commit"}


def test_the_requests_of_a_pull_request_s_job(
    tmp_path: Path, git_server: GitServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As docs/performance.md has them."""
    git_server.create("demo")
    project = Project.create(tmp_path / "work", remote=git_server.url("demo"))
    project.train()
    store = open_session(cwd=project.folder).store
    store.compact()
    head = project.branch("topic", {"accuracy": 0.9})
    project.push()
    here = {"full_name": "o/demo"}
    payload = {
        "number": 1,
        "pull_request": {"head": {"sha": head, "ref": "topic", "repo": here}, "base": {"ref": "main", "repo": here}},
        "repository": {**here, "default_branch": "main"},
    }
    (tmp_path / "event.json").write_text(json.dumps(payload))
    job = {
        "GITHUB_ACTIONS": "true",
        "GITHUB_EVENT_NAME": "pull_request",
        "GITHUB_EVENT_PATH": str(tmp_path / "event.json"),
        "GITHUB_REPOSITORY": "o/demo",
        "GITHUB_REF": "refs/pull/1/merge",
        "GITHUB_BASE_REF": "main",
        "GITHUB_HEAD_REF": "topic",
        "GITHUB_SHA": head,
    }

    def services_of_a_job(name: str) -> list[str | None]:
        git(tmp_path, "clone", "-q", "--depth=1", "-b", "topic", git_server.url("demo"), name)
        git_server.requests.clear()
        clone = Project(tmp_path / name)
        clone.ciplug("ci", "--no-comment", "--", sys.executable, "train.py", env=job)
        return [request.service for request in git_server.requests]

    policy, pushed = ["upload-pack"] * 3, ["receive-pack"] * 2
    assert services_of_a_job("young") == [*policy, *pushed, *["upload-pack"] * 8, *pushed]
    monkeypatch.setattr("ciplug.stores.git.folding.SEGMENT_AT", 1)
    store.compact()
    assert store.segments()
    assert services_of_a_job("grown") == [*policy, *pushed, *["upload-pack"] * 10, *pushed]


def test_the_training_does_not_see_the_tokens_that_ciplug_was_given(project: Project) -> None:
    forges = [f"CIPLUG_{forge}_TOKEN" for forge in ("GITHUB", "GITLAB", "GITEA", "BITBUCKET")]
    names = ("CIPLUG_PUSH_TOKEN", *forges, "CIPLUG_INPUT_COMMAND")
    script = f"import os; assert 'PATH' in os.environ; print(*[n for n in {names} if n in os.environ], 'end')"
    done = project.ciplug(
        "run", "--metrics", "numbers.json", "--", PYTHON, "-c", script, env=dict.fromkeys(names, "x"), code=None
    )
    assert done.stdout == "end\n"


def test_the_exit_code_of_a_failing_training_comes_through_and_it_is_recorded(project: Project) -> None:
    project.ciplug("run", "--", PYTHON, "-c", "import sys; print('out'); sys.exit(7)", code=7)
    run = project.json("runs", "list", "--json")[0]
    assert (run["status"], run["provenance"]["exit_code"]) == ("failed", 7)
    project.ciplug("ci", "--", PYTHON, "-c", "import sys; sys.exit(9)", code=9)
    assert "ERROR" in project.ciplug("gate", code=1).stdout


def test_a_killed_training_is_recorded_as_killed(project: Project) -> None:
    script = "import ciplug, os, signal; ciplug.log_metric('loss', 0.5); os.kill(os.getpid(), signal.SIGKILL)"
    project.ciplug("run", "--", PYTHON, "-c", script, code=137)
    run = project.json("runs", "list", "--json")[0]
    assert (run["status"], run["metrics"], run["provenance"]["signal"]) == ("killed", {"loss": 0.5}, "SIGKILL")


def test_when_ciplug_itself_is_killed_the_next_command_sends_the_run(project: Project) -> None:
    script = "import ciplug, time; ciplug.log_metric('loss', 0.5); print('logged', flush=True); time.sleep(60)"
    command = [PYTHON, "-m", "ciplug", "run", "--model", "lost", "--", PYTHON, "-c", script]
    with subprocess.Popen(command, cwd=project.folder, stdout=subprocess.PIPE, start_new_session=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"logged\n"
        os.killpg(process.pid, signal.SIGKILL)
    while "recovered run" not in (said := project.ciplug("record", "--spooled").stderr):
        assert "nothing waits" in said, "the training, killed too, ends a moment after"
    run = project.json("runs", "list", "--model", "lost", "--json")[0]
    assert (run["status"], run["metrics"]) == ("killed", {"loss": 0.5})


@pytest.mark.skipif(os.name == "nt", reason="no lock is inherited there")
def test_a_training_that_outlives_ciplug_goes_on_logging(project: Project) -> None:
    """`kill -9` of ciplug alone: its run is the training's until that ends, whatever commands come meanwhile."""
    script = (
        "import ciplug, sys\nciplug.log_metric('first', 1)\nprint('logged', flush=True)\n"
        "sys.stdin.readline()\nciplug.log_metric('last', 2)\nprint('done', flush=True)"
    )
    command = [PYTHON, "-m", "ciplug", "run", "--model", "lost", "--", PYTHON, "-c", script]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=project.folder, stdin=pipe, stdout=pipe) as process:
        assert process.stdout is not None and process.stdin is not None
        assert process.stdout.readline() == b"logged\n"
        process.kill()
        process.wait()
        assert "recovered" not in project.ciplug("runs", "list").stderr
        assert "recovered" not in project.ciplug("record", "--spooled").stderr
        process.stdin.write(b"go on\n")
        process.stdin.flush()
        assert process.stdout.read() == b"done\n", "it can log, and has ended"
    while "recovered" not in (said := project.ciplug("record", "--spooled").stderr):
        assert "nothing waits" in said, "its pipe is closed a moment before its lock"
    run = project.json("runs", "list", "--model", "lost", "--json")[0]
    assert (run["status"], run["metrics"]) == ("killed", {"first": 1, "last": 2})


@pytest.mark.skipif(os.name == "nt", reason="no lock is inherited there")
def test_a_daemon_that_a_training_leaves_holds_no_run_back(project: Project) -> None:
    script = "cp numbers.json metrics.json; sleep 60 </dev/null >/dev/null 2>&1 & echo $! > daemon"
    project.ciplug("run", "--", "sh", "-c", script)
    try:
        assert [run["status"] for run in project.json("runs", "list", "--json")] == ["finished"]
        assert not list((project.folder / ".git/ciplug/spool").iterdir())
    finally:
        os.kill(int((project.folder / "daemon").read_text()), signal.SIGKILL)


def test_a_push_that_fails_loses_nothing(tmp_path: Path, git_server: GitServer) -> None:
    git_server.create("remote")
    project = Project.create(tmp_path / "work", remote=git_server.url("remote"))
    git_server.token = "needed-now"
    done = project.ciplug("run", "--", PYTHON, "train.py", code=3)
    assert "ciplug record --spooled" in done.stderr
    assert "not sent" in done.stderr
    assert len(list((project.folder / ".git/ciplug/spool").glob("*/sealed.json"))) == 1
    git_server.token = None
    assert "sent 1" in project.ciplug("record", "--spooled").stderr
    assert len(project.json("runs", "list", "--json")) == 1
    assert "nothing waits" in project.ciplug("record", "--spooled").stderr


def test_the_next_command_sends_what_waits(tmp_path: Path, git_server: GitServer) -> None:
    git_server.create("remote")
    project = Project.create(tmp_path / "work", remote=git_server.url("remote"))
    git_server.token = "needed-now"
    project.ciplug("run", "--", PYTHON, "train.py", code=3)
    git_server.token = None
    assert "sent 1 from the spool" in project.ciplug("compare").stderr
    assert not list((project.folder / ".git/ciplug/spool").glob("*/sealed.json"))


def test_a_forks_job_folds_nothing(project: Project) -> None:
    project.train()
    fork = {"GITHUB_ACTIONS": "true", "GITHUB_HEAD_REF": "topic", "GITHUB_EVENT_NAME": "pull_request"}
    before = git(project.folder, "ls-remote", "origin")
    assert "fork" in project.ciplug("compact", env=fork, code=2).stderr
    assert git(project.folder, "ls-remote", "origin") == before
    assert "folded 2" in project.ciplug("compact").stderr


def test_a_run_that_waits_for_another_store_is_not_forgotten(project: Project, tmp_path: Path) -> None:
    git(project.folder, "remote", "set-url", "origin", str(tmp_path / "gone.git"))
    done = project.ciplug("run", "--", PYTHON, "train.py", code=3)
    assert "CIPLUG_PUSH_TOKEN" not in done.stderr
    git(project.folder, "remote", "set-url", "origin", str(tmp_path / "remote.git"))
    gone = (tmp_path / "gone.git").as_uri()
    said = project.ciplug("record", "--spooled").stderr
    assert f"1 entry waits in the spool for {gone}#ciplug: send it there with --store git+{gone}, or to file://" in said
    git(tmp_path, "init", "-q", "--bare", "gone.git")
    assert "sent 1" in project.ciplug("record", "--spooled", "--store", f"git+{gone}").stderr


def test_what_waits_for_a_remote_that_is_gone_is_sent_to_the_one_in_use(project: Project, tmp_path: Path) -> None:
    remote, gone = tmp_path / "remote.git", (tmp_path / "gone.git").as_uri() + "#ciplug"
    git(project.folder, "remote", "set-url", "origin", str(tmp_path / "gone.git"))
    project.ciplug("run", "--", PYTHON, "train.py", code=3)
    project.ciplug("run", "--", PYTHON, "train.py", env=FORK)
    git(project.folder, "remote", "set-url", "origin", str(remote))
    said = project.ciplug("record", "--spooled").stderr
    assert f"ciplug record --spooled --from '{gone}'" in said
    assert f"1 entry waits in the spool for fork:{gone}: runs that a fork's job left are not sent by other jobs" in said
    for address in (f"fork:{gone}", "s3://elsewhere"):
        assert "--from" in project.ciplug("record", "--spooled", "--from", address, code=2).stderr
    fork = project.ciplug("record", "--spooled", "--from", gone, env=FORK, code=2)
    assert "a fork's job must not write the store" in fork.stderr
    assert "--spooled" in project.ciplug("record", "--from", gone, code=2).stderr
    assert "sent 1" in project.ciplug("record", "--spooled", "--from", gone).stderr
    assert len(project.json("runs", "list", "--json")) == 1


def test_a_refusal_names_this_run_and_how_many_wait(project: Project, tmp_path: Path) -> None:
    store = f"git+{(tmp_path / 'gone.git').as_uri()}"
    for number in range(1, 4):
        done = project.ciplug("run", "--store", store, "--", PYTHON, "train.py", code=3)
        run = done.stderr.partition("ciplug: run ")[2].partition(" ")[0]
        assert f"spool/{run}" in done.stderr
        assert (f"{number} wait in all; send them with" in done.stderr) == (number > 1)
        assert f"ciplug record --spooled --store {store}\n" in done.stderr
    again = project.ciplug("run", "--", PYTHON, "train.py", env={"CIPLUG_STORE": store}, code=3)
    git(tmp_path, "init", "-q", "--bare", "gone.git")
    command = again.stderr.partition("send them with: ciplug ")[2].splitlines()[0]
    assert "sent 4 from the spool" in project.ciplug(*shlex.split(command)).stderr


def test_a_refusal_of_another_run_is_not_taken_for_this_one_s(project: Project) -> None:
    session = open_session(cwd=project.folder)
    with pytest.raises(StoreError):
        store_objects(session, {"verdicts/" + "a/" * 99: b"1"})
    done = project.ciplug("run", "--", PYTHON, "train.py", code=3)
    assert (
        "not sent: a write of 1 objects is too large" in done.stderr
        and "recorded in branch 'ciplug' of " in done.stderr
    )


def test_an_old_metrics_file_is_not_taken_for_a_new_one(project: Project) -> None:
    subprocess.run([PYTHON, "train.py"], cwd=project.folder, check=True)
    done = project.ciplug("run", "--", PYTHON, "-c", "pass", code=2)
    assert "did not write it" in done.stderr
    run = project.json("runs", "list", "--json")[0]
    assert (run["status"], run.get("metrics", {})) == ("finished", {})
    assert "has no metric 'accuracy'" in project.ciplug("gate", code=1).stdout


def test_a_dirty_tree_is_flagged_with_the_digest_of_its_diff(project: Project) -> None:
    (project.folder / "train.py").write_text((project.folder / "train.py").read_text() + "# changed\n")
    project.train()
    provenance = project.json("runs", "list", "--json")[0]["provenance"]
    assert provenance["dirty"] is True
    assert provenance["diff_digest"].startswith("sha256:")
    assert "dirty tree" in project.ciplug("compare").stdout


def test_what_a_run_holds(project: Project) -> None:
    (project.folder / "params.yaml").write_text("depth: 6\nlr: 1e-3\nmodel: {kind: tree}\n")
    (project.folder / "data.csv").write_text("a,b\n1,2\n")
    (project.folder / "requirements.txt").write_text("numpy\n")
    run_id = project.train(
        "--params", "params.yaml", "--dataset", "data.csv", "--artifact", "train.py", "--tag", "team=wine",
        "--allow-unchanged", "train.py",
        "--seed", "7", "--name", "nightly",
    )  # fmt: skip
    run = project.json("runs", "show", run_id[:10], "--json")
    assert run["params"] == {"depth": 6, "lr": 0.001, "model/kind": "tree"}
    assert run["metrics"] == {"accuracy": 0.85}
    assert [f["path"] for f in run["datasets"]] == ["data.csv"]
    assert run["artifacts"][0]["digest"].startswith("sha256:")
    assert (run["name"], run["tags"], run["commit"]) == ("nightly", {"team": "wine"}, project.head)
    provenance = run["provenance"]
    assert provenance["seed"] == 7
    assert provenance["command"] == [PYTHON, "train.py"]
    assert provenance["packages"]["pytest"]
    assert list(provenance["lockfiles"]) == ["requirements.txt"]
    assert provenance["peak_memory_bytes"] > 1_000_000
    assert provenance["wall_seconds"] > 0
    assert provenance["hardware"]["cores"] >= 1
    assert provenance["context"]["branch"] == "main"
    shown = project.ciplug("runs", "show", run_id).stdout
    assert "accuracy: 0.85" in shown


def test_the_training_keeps_its_output_and_input(project: Project) -> None:
    done = subprocess.run(
        [PYTHON, "-m", "ciplug", "run", "--quiet", "--metrics", "none.json", "--", PYTHON, "-c",
         "import sys; sys.stdout.write(sys.stdin.read().upper()); sys.stderr.write('\\x1b[31mred'); sys.exit(3)"],
        cwd=project.folder, input=b"h\xc3\xa9llo\r\n\x00", capture_output=True, check=False,
    )  # fmt: skip
    assert done.returncode == 3
    assert done.stdout == "HÉLLO\r\n\0".encode()
    assert done.stderr == b"\x1b[31mred"


@pytest.mark.parametrize(
    ("args", "code", "words"),
    [
        ((), 2, "usage: ciplug COMMAND"),
        (("frobnicate",), 2, "unknown command 'frobnicate'"),
        (("comapre",), 2, "did you mean 'compare'?"),
        (("--store", "x", "runs"), 2, "must come after the command"),
        (("runs", "list", "--store", "s3://key:secret@bucket/x"), 2, "without credentials"),
        (("runs", "list", "--store", "file://x"), 2, "full path of a folder"),
        (("runs", "list", "--store", "nonsense"), 2, "unsupported store"),
        (("runs", "list", "--store", "git:?branch=a..b"), 2, "not a valid name of a branch"),
        (("runs", "list", "--store", "git:?brunch=a"), 2, "unknown option 'brunch'"),
        (("runs", "list", "--store", "git+file:///nowhere/at/all"), 3, "cannot read the store"),
        (("runs", "list", "--config", "none.yaml"), 2, "none.yaml: no such file"),
        (("runs", "show", "abc"), 2, "no run 'abc'"),
        (("runs", "withdraw", "abc"), 2, "ciplug runs withdraw abc --reason"),
        (("runs", "delete", "abc", "--reson", "x"), 2, "did you mean '--reason'?"),
        (("run", "--metric", "m.json", "--", "true"), 2, "did you mean '--metrics'?"),
        (("compare",), 2, "no run is recorded on commit"),
        (("compare", "no-such-branch"), 2, "no commit, branch or tag named"),
        (("gate", "--run", "zzz"), 2, "no run 'zzz'"),
        (("record",), 2, "metrics.json"),
        (("record", "--metrics", "none.json"), 2, "none.json"),
        (("record", "--tag", "x", "--metrics", "numbers.json"), 2, "write it as key=value"),
        (("record", "--model", "a/b", "--metrics", "numbers.json"), 2, "cannot be the name of a model"),
        (("record", "--model", "wine ", "--metrics", "numbers.json"), 2, "begins or ends with a space"),
        (("promote", "wine", "--to", "moon"), 2, "unknown stage 'moon'"),
        (("registry", "show", "none"), 2, "has no model 'none'"),
        (("run", "--"), 2, "no command to run"),
        (("run", "--", "no-such-program-here"), 127, "command not found"),
    ],
)  # fmt: skip
def test_mistakes_are_named_with_the_exit_code_of_their_class(
    project: Project, args: tuple[str, ...], code: int, words: str
) -> None:
    done = project.ciplug(*args, code=code)
    assert words in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


def test_a_store_that_is_refused_is_refused_before_the_training(project: Project) -> None:
    for command in ("run", "ci"):
        done = project.ciplug(command, "--store", "s3://", "--", PYTHON, "-c", "open('ran', 'w')", code=2)
        assert "a bucket is expected" in done.stderr
    assert not (project.folder / "ran").exists()


def test_where_log_and_file_disagree_the_file_counts_and_it_is_said(project: Project) -> None:
    script = "import ciplug, shutil; ciplug.log_metric('accuracy', 0.1); shutil.copy('numbers.json', 'metrics.json')"
    done = project.ciplug("run", "--", PYTHON, "-c", script)
    assert "the file counts" in done.stderr
    assert project.json("runs", "list", "--json")[0]["metrics"] == {"accuracy": 0.85}


def test_a_policy_that_is_not_committed_is_named_in_the_verdict(project: Project) -> None:
    project.train()
    assert project.json("gate", "--json")["verdicts"][0]["policy_as_committed"] is True
    (project.folder / "ciplug.yaml").write_text(CONFIG.replace("0.8", "0.1"))
    assert project.json("gate", "--json")["verdicts"][0]["policy_as_committed"] is False


def test_outside_a_repository(tmp_path: Path, git_server: GitServer) -> None:
    git_server.create("runs")
    folder = tmp_path / "nowhere"
    folder.mkdir()
    (folder / "m.json").write_text('{"accuracy": 1}')
    outside = Project(folder)
    assert "is in none" in outside.ciplug("record", "--metrics", "m.json", code=2).stderr
    store = "git+" + git_server.url("runs")
    outside.ciplug("record", "--metrics", "m.json", "--store", store + "?branch=elsewhere")
    run = outside.json("runs", "list", "--json", "--store", store + "?branch=elsewhere")[0]
    assert "commit" not in run
    assert outside.json("runs", "list", "--json", "--store", store) == []


def test_json_is_alone_on_stdout_and_colour_only_on_a_terminal(project: Project) -> None:
    project.train()
    for args in (
        ("gate", "--json"),
        ("compare", "--format", "json"),
        ("report", "--format", "json"),
        ("runs", "list", "--json"),
    ):
        done = project.ciplug(*args, "--verbose")
        json.loads(done.stdout)
    assert "\x1b" not in project.ciplug("compare").stdout


def test_the_python_api_without_ciplug_run(project: Project) -> None:
    script = (
        "import ciplug\n"
        "with ciplug.start_run(model='api', tags={'k': 'v'}) as run:\n"
        "    ciplug.log_params({'depth': 3, 'shape': (1, 2)})\n"
        "    for i in range(3): ciplug.log_metric('loss', 1 / (i + 1), step=i)\n"
        "    ciplug.log_metric('bad', float('nan'))\n"
        "    ciplug.log_artifact('train.py')\n"
        "print(run.id)\n"
    )
    done = subprocess.run([PYTHON, "-c", script], cwd=project.folder, capture_output=True, text=True, check=True)
    run = project.json("runs", "show", done.stdout.strip(), "--json")
    assert run["params"] == {"depth": 3, "shape": "(1, 2)"}
    assert run["metrics"] == {"bad": "NaN", "loss": pytest.approx(1 / 3)}
    assert run["tags"] == {"k": "v"}
    assert run["artifacts"][0]["path"] == "train.py"
    assert any(key.endswith(".series") for key in _store_keys(project))
    script = "import ciplug\nciplug.log_metric('x', 1)\nraise ValueError('no')\n"
    subprocess.run([PYTHON, "-c", script], cwd=project.folder, capture_output=True, check=False)
    assert project.json("runs", "list", "--json")[0]["status"] == "failed"


def _store_keys(project: Project) -> list[str]:
    from ciplug.steps.session import open_session

    return open_session(cwd=project.folder).store.keys("runs/")


def test_the_store_is_named_by_option_environment_or_file(project: Project, tmp_path: Path) -> None:
    def at(branch: str) -> str:
        return f"git+{(tmp_path / 'remote.git').as_uri()}?branch={branch}"

    (project.folder / "ciplug.yaml").write_text(CONFIG + f"store: {at('from-file')}\n")
    project.train()
    project.train(env={"CIPLUG_STORE": at("from-env")})
    project.ciplug("run", "--store", at("from-option"), "--", PYTHON, "train.py")
    counts = {
        branch: len(project.json("runs", "list", "--json", "--store", at(branch)))
        for branch in ("from-file", "from-env", "from-option", "ciplug")
    }
    assert counts == {"from-file": 1, "from-env": 1, "from-option": 1, "ciplug": 0}
    other = tmp_path / "other.yaml"
    other.write_text(f"store: {at('from-env')}\nmodel: other\n")
    assert len(project.json("runs", "list", "--json", "--config", str(other))) == 1


def test_commands_work_from_a_subfolder(project: Project) -> None:
    below = project.folder / "src" / "deep"
    below.mkdir(parents=True)
    project.ciplug(
        "run", "--", PYTHON, "-c", "import shutil; shutil.copy('../../numbers.json', '../../metrics.json')", cwd=below
    )
    run = json.loads(project.ciplug("runs", "list", "--json", cwd=below).stdout)[0]
    assert (run["model"], run["metrics"]) == ("wine", {"accuracy": 0.85})
    assert "accuracy" in project.ciplug("gate", cwd=below).stdout


@pytest.mark.skipif(sys.platform == "win32", reason="pseudo-terminals are a Unix thing")
@pytest.mark.parametrize(("env", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)])
def test_colour_is_for_terminals(project: Project, env: dict[str, str], coloured: bool) -> None:
    import pty

    project.train()
    leader, follower = pty.openpty()
    with subprocess.Popen(
        [PYTHON, "-m", "ciplug", "compare"],
        cwd=project.folder,
        stdout=follower,
        env={**os.environ, "TERM": "xterm", **env},
    ) as process:
        os.close(follower)
        seen = b""
        while True:
            try:
                chunk = os.read(leader, 65536)
            except OSError:
                break
            if not chunk:
                break
            seen += chunk
        process.wait()
    os.close(leader)
    assert (b"\x1b[" in seen) is coloured
    assert b"0.85" in seen


def test_a_command_that_did_not_start_leaves_no_numbers_of_an_earlier_run(project: Project) -> None:
    project.train()
    project.ciplug("run", "--", "no-such-program-here", code=127)
    project.ciplug("run", "--", code=2)
    project.ciplug("record", "--spooled")
    runs = project.json("runs", "list", "--json")
    assert [(run["status"], run.get("metrics")) for run in runs] == [("finished", {"accuracy": 0.85})]


def test_a_record_under_the_key_of_another_run_is_left_out_by_name(project: Project) -> None:
    """Whoever may push may put anything under any key; what it says must be what its key says."""
    run = project.train()
    record = project.json("runs", "show", run, "--json")
    store = open_store("git:", discover(project.folder), os.environ)
    forged = {
        f"runs/{project.head}-{'a' * 32}.json": record,
        f"runs/{project.head}-{'b' * 32}.json": {**record, "id": "b" * 32, "metrics": {"a\n::error::": 1.0}},
        f"runs/--all-{'c' * 32}.json": {**record, "id": "c" * 32, "commit": "--all"},
    }
    for key, value in forged.items():
        store.add({key: json.dumps(value).encode()})
    listed = project.ciplug("runs", "list", "--json")
    assert [found["id"] for found in json.loads(listed.stdout)] == [run]
    assert listed.stderr.count("warning: a record is left out: ") == len(forged)
    for name in "abc":
        project.ciplug("gate", "--run", name * 32, code=3)


def test_the_server_s_own_words_on_a_refusal_are_shown(tmp_path: Path) -> None:
    project = Project.with_remote(tmp_path)
    hook = tmp_path / "remote.git" / "hooks" / "pre-receive"
    hook.write_text("#!/bin/sh\necho 'ask the platform team at x1234'\nexit 1\n")
    hook.chmod(0o755)
    assert "ask the platform team at x1234" in project.ciplug("run", "--", PYTHON, "train.py", code=3).stderr


def test_the_api_ends_no_training_for_where_it_runs(tmp_path: Path) -> None:
    script = "import ciplug; ciplug.log_metric('mAP@[.5:.95]', 1); print('trained')"
    done = subprocess.run([PYTHON, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "trained\n")
    assert "this run is not recorded" in done.stderr


def test_a_repository_that_gets_a_remote_says_what_it_holds_itself(tmp_path: Path) -> None:
    project = Project.create(tmp_path / "young")
    run = project.train()
    git(tmp_path, "init", "-q", "--bare", "-b", "main", "remote.git")
    git(project.folder, "remote", "add", "origin", str(tmp_path / "remote.git"))
    project.push()
    listed = project.ciplug("runs", "list")
    assert "this repository itself holds runs" in listed.stderr
    git(project.folder, "push", "-q", "origin", "refs/ciplug/*", "refs/heads/ciplug*")
    deletions = git(project.folder, "for-each-ref", "--format=delete %(refname)", "refs/ciplug")
    subprocess.run(["git", "update-ref", "--stdin"], cwd=project.folder, input=f"{deletions}\n", text=True, check=True)
    listed = project.ciplug("runs", "list")
    assert run[:12] in listed.stdout
    assert "this repository itself" not in listed.stderr
