"""What must not pass by accident: each a way in which a bad model could reach production unseen."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest

from ciplug.capture.spool import read_bundle
from ciplug.records.keys import parse_runs
from tests.project import CONFIG, Project, git, measured

PYTHON = sys.executable
PULL_REQUEST = {
    "GITLAB_CI": "true",
    "CI_MERGE_REQUEST_IID": "7",
    "CI_PROJECT_ID": "1",
    "CI_MERGE_REQUEST_PROJECT_ID": "1",
    "CI_MERGE_REQUEST_SOURCE_PROJECT_ID": "1",
}
FORK = {**PULL_REQUEST, "CI_MERGE_REQUEST_SOURCE_PROJECT_ID": "2"}


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("template")
    project = Project.with_remote(folder)
    project.train()
    project.branch("good", {"accuracy": 0.86})
    project.push()
    return folder


@pytest.fixture
def project(tmp_path: Path, template: Path) -> Project:
    """On a branch whose run passes; main has a run of 0.85."""
    return Project.copy(template, tmp_path)


def at(project: Project, env: dict[str, str]) -> dict[str, str]:
    return {**env, "CI_COMMIT_SHA": project.head, "CI_COMMIT_BRANCH": git(project.folder, "branch", "--show-current")}


def refused(project: Project, *args: str, says: str, env: dict[str, str] | None = None) -> None:
    """A promotion to staging ends with exit code 1, these words, and nothing in the registry's staging."""
    done = project.ciplug("promote", "wine", "--to", "staging", *args, code=1, env=env)
    assert says in done.stderr, done.stderr
    models = project.json("registry", "list", "--json")
    assert all(v["stage"] == "None" for m in models for v in m["versions"])


# What allows a promotion


@pytest.mark.slow
def test_a_verdict_of_a_dry_run_allows_nothing(project: Project) -> None:
    project.train()
    project.ciplug("gate", "--dry-run")
    refused(project, says="was judged in dry runs only")


@pytest.mark.slow
def test_a_verdict_of_another_run_of_the_same_commit_allows_nothing(project: Project) -> None:
    first = project.train()
    project.ciplug("gate")
    second = project.train()
    refused(project, "--run", second, says="has no verdict")
    refused(project, says="has no verdict")
    project.ciplug("promote", "wine", "--to", "staging", "--run", first)


@pytest.mark.slow
def test_a_run_that_failed_is_not_promoted_though_its_numbers_are_good(project: Project) -> None:
    script = "exec(open('train.py').read()); sys.exit(3)"
    project.ciplug("run", "--", PYTHON, "-c", script, code=3)
    said = "The training failed (exit code 3): its numbers may be incomplete."
    assert said in project.ciplug("gate", code=1).stdout
    refused(project, says="is ERROR")


@pytest.mark.slow
def test_an_inconclusive_verdict_allows_nothing(project: Project) -> None:
    config = CONFIG.replace("min: 0.8, max_regression: 0.01", "max_regression: 10%")
    (project.folder / "ciplug.yaml").write_text(config)
    git(project.folder, "checkout", "-q", "main")
    project.numbers({"accuracy": 0.0})
    project.commit("zero")
    project.push()
    project.train()
    project.branch("next", {"accuracy": -0.5})
    project.train()
    project.ciplug("gate")
    refused(project, says="is INCONCLUSIVE")
    assert project.ciplug("ci", "--no-comment", "--fail-on", "warn", "--", PYTHON, "train.py", code=1)


@pytest.mark.slow
def test_what_passed_and_would_not_pass_today_is_refused(project: Project) -> None:
    """The baseline has become better since."""
    run = project.train()
    project.ciplug("gate")
    git(project.folder, "checkout", "-q", "main")
    project.train(env=measured({"accuracy": 0.95}))
    git(project.folder, "checkout", "-q", "good")
    refused(project, "--run", run, says="does not pass today")


@pytest.mark.slow
def test_another_name_is_no_way_around_the_gates_of_the_model(project: Project) -> None:
    run = project.train()
    promote = ("promote", "wine-classifier", "--to", "staging")
    assert "has no verdict" in project.ciplug(*promote, "--run", run, code=1).stderr
    project.ciplug("gate")
    none = project.ciplug(*promote, code=2)
    assert "no run of 'wine-classifier'" in none.stderr and "-> one of: wine; a run of another model" in none.stderr
    done = project.ciplug(*promote, "--run", run)
    words = f"run {run[:12]} is of the model 'wine', judged by the gates of 'wine'"
    assert words in done.stdout + done.stderr


def test_gates_of_one_model_judge_no_other(project: Project) -> None:
    project.train("--model", "beer")
    done = project.ciplug("gate", "--model", "beer", code=2)
    assert "its gates are for the model 'wine'" in done.stderr
    done = project.ciplug("promote", "beer", "--to", "staging", code=2)
    assert "its gates are for the model 'wine'" in done.stderr


@pytest.mark.slow
def test_a_pull_request_never_promotes(project: Project) -> None:
    """Its checkout holds its own thresholds."""
    project.train()
    project.ciplug("gate")
    refused(project, says="a job of a pull request or merge queue never promotes", env=at(project, PULL_REQUEST))
    refused(project, says="a fork's job must not promote", env=at(project, FORK))
    done = project.ciplug(
        *("ci", "--no-comment", "--promote-to", "staging", "--", PYTHON, "train.py"), env=at(project, PULL_REQUEST)
    )
    assert "a job of a pull request or merge queue never promotes" in done.stderr


# What `ciplug gate` and `ciplug ci` answer


@pytest.mark.slow
def test_with_several_models_one_that_fails_is_enough(project: Project) -> None:
    (project.folder / "ciplug.yaml").write_text(CONFIG.replace("model: wine\n", ""))
    project.commit("several models")
    for model, accuracy in (("a", 0.5), ("b", 0.86)):
        project.train("--model", model, env=measured({"accuracy": accuracy}))
    verdicts = project.json("gate", "--json", code=1)["verdicts"]
    assert {v["model"]: v["outcome"] for v in verdicts} == {"a": "FAIL", "b": "WARN"}
    project.ciplug("gate", "--model", "b")
    project.ciplug("gate", "--model", "a", code=1)


def test_ci_with_gates_does_not_go_green_unjudged(project: Project) -> None:
    """A mistyped model, or one that the training names itself, would be compared with nothing and judged by nothing."""
    done = project.ciplug("ci", "--no-comment", "--model", "wein", "--", PYTHON, "train.py", code=2)
    assert "its gates are for the model 'wine', and the run is of 'wein'" in done.stderr
    script = "import ciplug; ciplug.start_run(model='wein'); exec(open('train.py').read())"
    done = project.ciplug("ci", "--no-comment", "--", PYTHON, "-c", script, code=2)
    assert "the run is of 'wein'" in done.stderr


@pytest.mark.slow
def test_a_metrics_file_of_an_earlier_run_fails_also_where_another_model_passed(project: Project) -> None:
    (project.folder / "ciplug.yaml").write_text(CONFIG.replace("model: wine\n", ""))
    project.train("--model", "other")
    (project.folder / "metrics.json").write_text('{"accuracy": 0.99}')
    done = project.ciplug("ci", "--no-comment", "--", PYTHON, "-c", "", code=2)
    assert "did not write it" in done.stderr


@pytest.mark.slow
def test_an_artifact_that_the_training_did_not_write_is_not_its_own(project: Project) -> None:
    (project.folder / "model.bin").write_text("of last week")
    done = project.ciplug("run", "--artifact", "model.bin", "--", PYTHON, "train.py", code=2)
    assert "model.bin: the command did not write it" in done.stderr
    assert "artifacts" not in project.json("runs", "list", "--limit", "1", "--json")[0]


@pytest.mark.slow
def test_a_training_without_metrics_is_not_a_pass(project: Project) -> None:
    config = "version: 1\nmodel: wine\ndefaults: {on_missing: warn}\ngates: {accuracy: {min: 0.8}}\n"
    (project.folder / "ciplug.yaml").write_text(config)
    project.commit("one gate")
    done = project.ciplug("ci", "--no-comment", "--", PYTHON, "-c", "", code=1)
    assert "no metric at all" in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity"])
def test_what_is_not_a_number_fails(project: Project, value: str) -> None:
    env = {"MEASURED": f'{{"accuracy": {value}}}'}
    project.ciplug("ci", "--no-comment", "--", PYTHON, "train.py", env=env, code=1)
    refused(project, says="is ERROR")


@pytest.mark.slow
def test_an_unreachable_store_is_not_a_pass(project: Project) -> None:
    project.train()
    project.ciplug("gate")
    shutil.rmtree(project.folder.parent / "remote.git")
    for command in (
        ("gate",),
        ("promote", "wine", "--to", "staging"),
        ("compare",),
        ("report",),
        ("ci", "--no-comment", "--", PYTHON, "train.py"),
    ):
        done = project.ciplug(*command, code=3)
        assert "cannot read the store" in done.stderr or "which cannot be read" in done.stderr, command


@pytest.mark.slow
def test_a_fork_s_job_is_judged_like_any_and_writes_nothing(project: Project) -> None:
    env = at(project, FORK)
    before = git(project.folder, "ls-remote", "origin")
    worse = {**env, **measured({"accuracy": 0.5})}
    project.ciplug("ci", "--no-comment", "--", PYTHON, "train.py", env=worse, code=1)
    options = ("--no-comment", "--output-dir", "out")
    project.ciplug("ci", *options, "--", PYTHON, "train.py", env=env)
    assert git(project.folder, "ls-remote", "origin") == before
    # The next commit of the same folder: the file is handed over with the runs of that one alone.
    head = project.commit("next")
    project.ciplug("ci", *options, "--", PYTHON, "train.py", env=at(project, FORK))
    project.ciplug("ci", *options, "--", PYTHON, "train.py", env=at(project, FORK))
    runs = parse_runs(read_bundle(project.folder / "out" / "bundle.ndjson"))
    assert [run.commit for run in runs] == [head] * 2
    # Nor does the next trusted job in this checkout send it.
    project.ciplug("record", "--spooled")
    assert git(project.folder, "ls-remote", "origin") == before


def test_a_baseline_that_cannot_be_read_is_not_a_first_run(project: Project) -> None:
    """A newer ciplug wrote it, or it is damaged: the report says so."""
    from ciplug.steps.session import open_session

    store = open_session(cwd=project.folder).store
    (key,) = store.keys("runs/")
    store.add({key.replace(key[-37:-5], "f" * 32): b'{"schema": 99}'})
    project.train()
    notices = project.json("compare", "--format", "json")["comparisons"][0]["notices"]
    assert [n["kind"] for n in notices if "f" * 32 in n["message"]] == ["unreadable"]


# Which run is the baseline


def baseline(project: Project, *args: str) -> str:
    return str(project.json("gate", *args, "--json", code=None)["verdicts"][0].get("baseline_run"))


@pytest.mark.slow
def test_small_steps_down_add_up(project: Project) -> None:
    """Every commit of a pull request is compared with the merge base, wherever the question is asked."""
    main = project.json("runs", "list", "--json")[0]["id"]
    runs = []
    for number, accuracy in enumerate((0.845, 0.836, 0.827)):
        project.numbers({"accuracy": accuracy})
        project.commit(f"step {number}")
        runs.append(project.train())
    assert baseline(project) == main
    project.ciplug("gate", code=1)
    git(project.folder, "checkout", "-q", "main")
    assert [baseline(project, "--run", run) for run in runs] == [main] * 3
    project.ciplug("gate", "--run", runs[-1], code=1)


@pytest.mark.slow
@pytest.mark.parametrize("ahead", [0, 2], ids=["main stood still", "main went on"])
def test_a_pull_request_that_is_merged_is_compared_with_what_was_before_it(project: Project, ahead: int) -> None:
    main = project.json("runs", "list", "--json")[0]["id"]
    runs = []
    for number, accuracy in enumerate((0.845, 0.836)):
        project.numbers({"accuracy": accuracy})
        project.commit(f"step {number}")
        runs.append(project.train())
    git(project.folder, "checkout", "-q", "main")
    for number in range(ahead):
        project.commit(f"main goes on {number}")
    git(project.folder, "merge", "-q", "--no-ff", "-m", "merge", "good")
    project.push()
    project.commit("and on")
    project.push()
    assert [baseline(project, "--run", run) for run in runs] == [main] * 2
    project.ciplug("gate", "--run", runs[-1], code=1)


@pytest.mark.slow
def test_commits_of_main_that_are_not_pushed_are_compared_with_their_parents(project: Project) -> None:
    git(project.folder, "checkout", "-q", "main")
    project.numbers({"accuracy": 0.9})
    project.commit("better")
    better = project.train()
    project.numbers({"accuracy": 0.86})
    project.commit("worse than that")
    project.train()
    assert baseline(project) == better
    project.ciplug("gate", code=1)


@pytest.mark.slow
def test_a_second_run_of_a_commit_is_not_compared_with_the_first(project: Project) -> None:
    """Or a retry would make any regression a tie."""
    main = project.json("runs", "list", "--json")[0]["id"]
    for _ in range(2):
        project.train(env=measured({"accuracy": 0.82}))
    assert baseline(project) == main
    project.ciplug("gate", code=1)


# Where the command is called


@pytest.mark.slow
def test_from_a_folder_below_the_configuration(project: Project) -> None:
    """Paths of ciplug.yaml are relative to its folder, and what the training writes does not make the tree dirty."""
    inner = project.folder / "sub"
    inner.mkdir()
    (project.folder / ".gitignore").unlink()
    (project.folder / "metrics.json").write_text("{}")
    (inner / "metrics.json").write_text("{}")
    project.commit("metrics are tracked")
    script = "import pathlib; pathlib.Path('../metrics.json').write_text('{\"accuracy\": 0.86}')"
    project.ciplug("run", "--", PYTHON, "-c", script, cwd=inner)
    project.ciplug("run", "--", PYTHON, "-c", script + " # again", cwd=inner)
    runs = project.json("runs", "list", "--commit", "HEAD", "--json")
    assert [(r["metrics"], r["provenance"]["dirty"]) for r in runs] == [({"accuracy": 0.86}, False)] * 2
    # A file of the same name elsewhere is no output.
    (inner / "metrics.json").write_text('{"changed": 1}')
    project.ciplug("run", "--", PYTHON, "-c", script + " # and again", cwd=inner)
    assert project.json("runs", "list", "--commit", "HEAD", "--json")[0]["provenance"]["dirty"] is True


def test_where_the_spool_cannot_be_written_the_run_is_sent_all_the_same(project: Project, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "tmp").mkdir()
    env = {"CIPLUG_SPOOL": str(tmp_path / "file" / "spool"), "TMPDIR": str(tmp_path / "tmp")}
    project.train(env=env)
    said = project.ciplug("run", "--", sys.executable, "train.py", env=env).stderr
    warning = (
        f"warning: the spool {env['CIPLUG_SPOOL']} cannot be written (Not a directory): {tmp_path}/tmp/ciplug-spool-"
    )
    assert said.count(warning) == 1
    assert len(json.loads(project.ciplug("runs", "list", "--json").stdout)) == 3
    assert not list((tmp_path / "tmp").rglob("sealed.json"))


@pytest.mark.slow
def test_an_emptier_later_run_does_not_hide_the_baseline(tmp_path: Path) -> None:
    """A run that lost its metrics, or logged others, on the merge base is no reason to compare with nothing."""
    project = Project.with_remote(tmp_path)
    good = project.train()
    project.ciplug("run", "--", sys.executable, "-c", "pass", code=2)
    script = "import ciplug; ciplug.log_metric('loss', 1)"
    project.ciplug("run", "--metrics", "numbers.json", "--", sys.executable, "-c", script, code=None)
    project.branch("worse", {"accuracy": 0.81, "loss": 1})
    project.train()
    verdict = project.json("gate", "--json", code=1)["verdicts"][0]
    assert (verdict["outcome"], verdict["baseline_run"]) == ("FAIL", good)


@pytest.mark.slow
def test_a_clone_of_one_branch_is_compared_with_the_default_branch(tmp_path: Path) -> None:
    """It knows no other branch, and small steps down on its own must not pass."""
    project = Project.with_remote(tmp_path)
    project.train()
    base = project.head
    project.branch("topic", {"accuracy": 0.845})
    project.push()
    project.train()
    git(tmp_path, "clone", "-q", "--single-branch", "-b", "topic", "remote.git", "ci")
    ci = Project(tmp_path / "ci")
    ci.numbers({"accuracy": 0.838})
    ci.commit("another small step")
    ci.train()
    verdict = ci.json("gate", "--json", code=1)["verdicts"][0]
    assert verdict["outcome"] == "FAIL"
    assert ci.json("compare", "--format", "json")["comparisons"][0]["baseline"]["commit"] == base


@pytest.mark.slow
def test_a_training_that_crashes_half_way_gets_its_report(tmp_path: Path) -> None:
    project = Project.create(tmp_path / "work")
    script = "import ciplug, sys; ciplug.log_metric('loss', 1); sys.exit(7)"
    done = project.ciplug("ci", "--output-dir", "rep", "--", sys.executable, "-c", script, code=7)
    assert "no gate matches" not in done.stderr
    assert "ERROR" in done.stdout
    assert "exit code 7" in (project.folder / "rep/report.md").read_text()


def test_gates_that_match_nothing_fail_and_the_comparison_is_shown(tmp_path: Path) -> None:
    project = Project.create(tmp_path / "work")
    project.numbers({"acuracy": 0.9})
    project.commit("a typo")
    done = project.ciplug("ci", "--output-dir", "rep", "--", sys.executable, "train.py", code=2)
    assert "no gate matches a metric" in done.stderr
    assert "Not judged" in (project.folder / "rep/report.md").read_text()
    assert "acuracy" in done.stdout


def test_a_mistake_in_the_gates_is_said_before_the_training(tmp_path: Path) -> None:
    project = Project.create(tmp_path / "work", config="gates: {accuracy: 0.8}\n")
    done = project.ciplug("run", "--", sys.executable, "-c", "open('ran', 'w')", code=2)
    assert "a mapping is expected, like {min: 0.9}" in done.stderr
    assert not (project.folder / "ran").exists()


@pytest.mark.slow
def test_a_branch_that_is_not_there_is_no_baseline(project: Project) -> None:
    (project.folder / "ciplug.yaml").write_text(f"{CONFIG}baseline: mian\n")
    project.commit("a typo")
    git(project.folder, "push", "-q", "origin", "HEAD:main")
    project.train()
    (verdict,) = project.json("gate", "--json", code=1)["verdicts"]
    assert verdict["outcome"] == "ERROR"
    assert any("there is no branch 'mian'" in gate["reason"] for gate in verdict["gates"])
    refused = project.ciplug("promote", "wine", "--to", "staging", code=1).stderr
    assert "is ERROR: accuracy: there is no branch 'mian'" in refused
    found = {check["check"]: check for check in project.json("doctor", "--json", code=None)["checks"]}
    assert found["history"]["state"] == "failure"
    assert "there is no branch 'mian'" in found["history"]["message"]


def test_a_fork_s_job_sends_nothing_that_waits(project: Project, tmp_path: Path) -> None:
    moved = tmp_path / "remote.git"
    moved.rename(tmp_path / "away.git")
    project.ciplug("run", "--", PYTHON, "train.py", code=3)
    (tmp_path / "away.git").rename(moved)
    refused = project.ciplug("record", "--spooled", env=at(project, FORK), code=2)
    assert "a fork's job must not write the store" in refused.stderr
    assert "sent 1" in project.ciplug("record", "--spooled").stderr


UNSEEN = """\
version: 1
model: wine
metrics: metrics.json
baseline: main
gates:
  base: {metric: accuracy, higher_is_better: true, max_regression: 0.01}
  tip: {metric: accuracy, higher_is_better: true, max_regression: 0.01, baseline: {ref: target, branch: main}}
  best: {metric: accuracy, higher_is_better: true, max_regression: 0.01, baseline: {ref: best, branch: main}}
  named: {metric: accuracy, higher_is_better: true, max_regression: 0.01, baseline: "commit:9d98364199"}
  whole:
    {metric: accuracy, higher_is_better: true, max_regression: 0.01, baseline: "commit:WHOLE"}
""".replace("WHOLE", "9d98364199" * 4)


@pytest.mark.slow
def test_a_branch_that_cannot_be_seen_decides_nothing(tmp_path: Path) -> None:
    """What this clone knows is the branch itself, and beside its own last run nothing is ever worse."""
    project = Project.with_remote(tmp_path, config=UNSEEN)
    env = {"CIPLUG_STORE": (tmp_path / "store").as_uri()}
    project.train(env=env)
    project.branch("feat", {"accuracy": 0.5})
    project.train(env=env)
    project.commit("again")
    project.train(env=env)
    project.push()
    seen = {
        gate["gate"]: gate["outcome"]
        for gate in project.json("gate", "--json", env=env, code=1)["verdicts"][0]["gates"]
    }
    assert seen == {"base": "FAIL", "tip": "FAIL", "best": "FAIL", "named": "ERROR", "whole": "ERROR"}
    git(tmp_path, "clone", "-q", "--single-branch", "-b", "feat", str(tmp_path / "remote.git"), "clone")
    (tmp_path / "remote.git").rename(tmp_path / "away.git")
    (verdict,) = Project(tmp_path / "clone").json("gate", "--json", env=env, code=1)["verdicts"]
    unseen = {**dict.fromkeys(seen, "INCONCLUSIVE"), "named": "ERROR", "whole": "ERROR"}
    assert {gate["gate"]: gate["outcome"] for gate in verdict["gates"]} == unseen
    git(tmp_path, "clone", "-q", "--depth=1", (tmp_path / "away.git").as_uri(), "-b", "feat", "shallow")
    git(tmp_path / "shallow", "remote", "set-url", "origin", (tmp_path / "remote.git").as_uri())
    report = Project(tmp_path / "shallow").ciplug("report", env=env).stdout
    assert "is compared with nothing: the history could not be fetched" in report


# What a run is compared with


def handed_over_by_a_fork(project: Project, tmp_path: Path, metrics: dict[str, float]) -> None:
    """Record a run of the checkout's commit as that of a fork's job."""
    bundle = str(tmp_path / "fork.ndjson")
    env = {**at(project, FORK), **measured(metrics)}
    project.ciplug("run", "--bundle", bundle, "--", PYTHON, "train.py", env=env)
    project.ciplug("collect", "--untrusted", bundle)


@pytest.mark.slow
@pytest.mark.parametrize("metrics", [{"accuracy": 0.5}, {"accuracy": 0.99}])
def test_a_fork_s_run_is_not_a_baseline(project: Project, tmp_path: Path, metrics: dict[str, float]) -> None:
    """Neither a low number lets a worse model pass, nor does a high one keep a good model out."""
    git(project.folder, "checkout", "-q", "main")
    handed_over_by_a_fork(project, tmp_path, metrics)
    git(project.folder, "checkout", "-q", "good")
    project.train()
    (comparison,) = project.json("compare", "--format", "json")["comparisons"]
    for side in ("baseline", "target"):
        assert comparison[side]["metrics"] == {"accuracy": 0.85}
    (verdict,) = project.json("gate", "--json")["verdicts"]
    assert {gate["baseline"] for gate in verdict["gates"] if "baseline" in gate} == {0.85}


@pytest.mark.slow
def test_a_fork_s_run_alone_on_the_base_is_not_a_baseline(tmp_path: Path) -> None:
    project = Project.create(tmp_path / "work")
    handed_over_by_a_fork(project, tmp_path, {"accuracy": 0.99})
    project.branch("topic", {"accuracy": 0.86})
    project.train()
    (comparison,) = project.json("compare", "--format", "json")["comparisons"]
    assert "run" not in comparison["baseline"] and "run" not in comparison["target"]


@pytest.mark.slow
@pytest.mark.parametrize("baseline", ["target", "{ref: mean, last: 1}", "best", "main"])
def test_a_run_is_not_compared_with_its_own_children(tmp_path: Path, baseline: str) -> None:
    git(tmp_path, "init", "-q", "--bare", "-b", "main", "remote.git")
    config = (
        "version: 1\nmodel: wine\ngates:\n  accuracy: {higher_is_better: true, max_regression: 0.01, "
        f"baseline: {baseline}, on_no_baseline: fail}}\n"
    )
    project = Project.create(tmp_path / "work", remote=tmp_path / "remote.git", config=config)
    good = "import ciplug; ciplug.log_metric('accuracy', 0.9)"
    project.ciplug("run", "--", sys.executable, "-c", good)
    project.commit("worse")
    sweep = (
        "import ciplug\n"
        "with ciplug.start_run():\n"
        "    ciplug.log_metric('accuracy', 0.6)\n"
        "    for n in range(2):\n"
        "        with ciplug.start_run(nested=True): ciplug.log_metric('accuracy', 0.6)\n"
    )
    project.ciplug("run", "--", sys.executable, "-c", sweep)
    assert "0.3 worse than the baseline's 0.9" in project.ciplug("gate", code=1).stdout


@pytest.mark.slow
def test_a_stage_decides_whether_a_gate_that_only_warns_stops_a_promotion(project: Project) -> None:
    """A gate of severity warning blocks nothing, decided or not; a stage of severity error makes it block."""
    stages = "stages: {staging: {severity: error, on_inconclusive: fail}}\n"
    rule = "{higher_is_better: true, max_regression: 1%, severity: warning}"
    gates = f"gates:\n  accuracy: {rule}\n  loss: {{max: 1}}\n"
    git(project.folder, "checkout", "-q", "main")
    (project.folder / "ciplug.yaml").write_text(f"model: wine\nmetrics: metrics.json\n{gates}{stages}")
    project.numbers({"accuracy": 0.9, "loss": 0.5})
    project.commit("good")
    project.train()
    project.numbers({"accuracy": 0.1, "loss": 0.5})
    project.commit("80 points lost")
    git(project.folder, "push", "-q", "origin", "HEAD:main")
    project.train()
    assert "WARN" in project.ciplug("gate").stdout
    explained = project.ciplug("policy", "explain").stdout
    assert "To staging, all gates are asked (each of them can fail; undecided: fail)" in explained
    assert "by the rules of staging: accuracy" in project.ciplug("promote", "wine", "--to", "staging", code=1).stderr
