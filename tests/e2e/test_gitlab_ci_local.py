"""The GitLab components and the pipelines of their page, by gitlab-ci-local against our git server and our GitLab."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
import textwrap
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.e2e.conftest import ROOT
from tests.e2e.project import MARKER, TOKEN, Project, clean_environment, git, real_installation
from tests.servers.git_http import GitServer
from tests.servers.gitlab_api import GitLabApi

pytestmark = pytest.mark.e2e

COMPONENTS = ("ciplug", "promote", "setup", "site")
FILES = {f"templates/{name}/template.yml": (ROOT / f"templates/{name}/template.yml").read_text() for name in COMPONENTS}
PAGE = (ROOT / "docs/gitlab-ci.md").read_text(encoding="utf-8")
OURS, PARENT, FORK = "git+https://gitlab.example.com/your-group/ciplug.git@v1.0.0", "7", "8"
REPORT = {"report.html", "report.json", "report.md", "junit.xml", "metrics.txt"}

PIPELINE = """\
include:
  - component: $CI_SERVER_FQDN/your-group/ciplug/ciplug@v1.0.0
    inputs:
      ciplug-source: git+https://gitlab.example.com/your-group/ciplug.git@v1.0.0
      name: $CI_MERGE_REQUEST_TITLE
      tags: ["pipeline=$CI_PIPELINE_SOURCE", "branch=$CI_MERGE_REQUEST_SOURCE_BRANCH_NAME"]
      command:
        - |
          set -u
          test "$HOME" != '$HOME'
        - python3 train.py
"""
TRAIN = """\
import json, pathlib, sys

model = sys.argv[2] if len(sys.argv) > 2 else "wine"
quality = json.loads(pathlib.Path("params.json").read_text())["quality"]
quality += {"wine": 0, "ridge": 0, "forest": 0.01, "boosting": 0.02}[model]
pathlib.Path("metrics.json").write_text(json.dumps({"accuracy": round(quality, 4)}))
pathlib.Path("model.bin").write_text(f"the model {quality}")
"""
CONFIG = """\
version: 1
metrics: metrics.json
params: params.json
artifacts: model.bin
gates:
  accuracy: {higher_is_better: true, min: 0.5, max_regression: 0.01}
"""


def documented() -> dict[str, str]:
    """Heading → the pipeline below it, of docs/gitlab-ci.md; what stands in a list is found as well."""
    found = {}
    for section in re.split(r"^#+ ", PAGE, flags=re.MULTILINE)[1:]:
        for block in re.findall(r"^ *```yaml\n(.*?)^ *```$", section, re.MULTILINE | re.DOTALL):
            if "include:" in block:
                found[section.partition("\n")[0]] = textwrap.dedent(block)
    return found


def here(pipeline: str, source: Path | str) -> str:
    """A pipeline of the page with components of the project itself, and ciplug from this place."""
    assert OURS in pipeline
    own = re.sub(
        r"\$CI_SERVER_FQDN/your-group/ciplug/(\w+)@v1\.0\.0",
        r"$CI_SERVER_FQDN/$CI_PROJECT_PATH/\1@$CI_COMMIT_SHA",
        pipeline,
    )
    return own.replace(OURS, str(source))


class GitLab:
    """GitLab's part, by gitlab-ci-local with a shell: it checks out, sets variables, and runs jobs."""

    def __init__(self, program: str, project: Project, api: GitLabApi, env: dict[str, str]) -> None:
        self.project, self.api = project, api
        self._program, self._env = program, env

    def checkout(self, folder: Path, ref: str, *, depth: int = 20) -> Path:
        """As a runner makes it: shallow, detached, the job's token in the address."""
        folder.mkdir(parents=True)
        git("init", "--quiet", cwd=folder)
        address = self.project.url.replace("://", f"://gitlab-ci-token:{TOKEN}@")
        git("remote", "add", "origin", address, cwd=folder)
        git("fetch", "--quiet", f"--depth={depth}", "--no-tags", "origin", f"+{ref}:refs/pipelines/1", cwd=folder)
        git("checkout", "--quiet", "--detach", "refs/pipelines/1", cwd=folder)
        return folder

    def command(self, variables: dict[str, str], *extra: str) -> list[str]:
        given = {
            "GITLAB_CI": "true",
            "CI_API_V4_URL": self.api.api_url,
            "CI_PROJECT_ID": PARENT,
            "CI_PROJECT_PATH": "acme/demo",
            "CI_DEFAULT_BRANCH": "main",
            "CI_JOB_TOKEN": TOKEN,
            "GITLAB_USER_LOGIN": "maria",
            **variables,
        }
        options = [f"--variable={name}={value}" for name, value in given.items()]
        if "CI_MERGE_REQUEST_IID" in given or "CI_COMMIT_TAG" in given:
            options.append("--unset-variable=CI_COMMIT_BRANCH")
        return [self._program, "--force-shell-executor", "--shell-isolation", *options, *extra]

    def run(self, folder: Path, variables: dict[str, str], *extra: str) -> tuple[int, str]:
        done = subprocess.run(
            self.command(variables, *extra),
            cwd=folder,
            env=self._env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=900,
        )
        return done.returncode, done.stdout

    def preview(self, folder: Path, variables: dict[str, str]) -> str:
        """The pipeline with everything in it that it includes."""
        code, said = self.run(folder, variables, "--preview")
        assert code == 0, said
        return "---" + said.partition("---")[2]

    def jobs(self, folder: Path, variables: dict[str, str]) -> set[str]:
        """Names of the jobs that this pipeline has."""
        command = self.command(variables, "--list-json")
        done = subprocess.run(command, cwd=folder, env=self._env, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        listed = re.search(r"^\[.*\Z", done.stdout, re.MULTILINE | re.DOTALL)
        assert listed, done.stdout
        return {job["name"] for job in json.loads(listed[0]) if job["when"] != "never"}


def merge_request(iid: int, branch: str, head: str, **more: str) -> dict[str, str]:
    """The variables of a detached pipeline; `CI_MERGE_REQUEST_SOURCE_BRANCH_SHA` makes it one of merged results."""
    return {
        "CI_PIPELINE_SOURCE": "merge_request_event",
        "CI_MERGE_REQUEST_IID": str(iid),
        "CI_MERGE_REQUEST_TITLE": "A better wine",
        "CI_MERGE_REQUEST_PROJECT_ID": PARENT,
        "CI_MERGE_REQUEST_PROJECT_PATH": "acme/demo",
        "CI_MERGE_REQUEST_SOURCE_PROJECT_ID": PARENT,
        "CI_MERGE_REQUEST_SOURCE_BRANCH_NAME": branch,
        "CI_MERGE_REQUEST_TARGET_BRANCH_NAME": "main",
        "CI_COMMIT_SHA": head,
        "CIPLUG_GITLAB_TOKEN": "user-token",
        **more,
    }


def on_main(commit: str, event: str = "push", **more: str) -> dict[str, str]:
    return {
        "CI_PIPELINE_SOURCE": event,
        "CI_COMMIT_BRANCH": "main",
        "CI_COMMIT_SHA": commit,
        "CIPLUG_GITLAB_TOKEN": "user-token",
        **more,
    }


def events(project: Project) -> list[tuple[str, str, str | None]]:
    """(type, stage, …) of the registry's events."""
    found = [json.loads(line) for text in project.stored("registry/") for line in text.splitlines()]
    return [(e["type"], e["payload"].get("stage"), e.get("actor")) for e in sorted(found, key=lambda e: e["seq"])]


@pytest.fixture
def pipeline() -> str:
    return PIPELINE


@pytest.fixture
def files() -> dict[str, str]:
    """Files of the project beside those of every project."""
    return {}


@pytest.fixture
def project(git_server: GitServer, tmp_path: Path, wheel: Path, pipeline: str, files: dict[str, str]) -> Project:
    ci = {".gitlab-ci.yml": here(pipeline, wheel), **FILES}
    return Project(git_server, tmp_path / "project", {**ci, **files})


@pytest.fixture
def gitlab(
    tool: Callable[[str], str],
    project: Project,
    gitlab_api: GitLabApi,
    job_path: str,
    pip_settings: dict[str, str],
) -> GitLab:
    program = tool("gitlab-ci-local")
    tool("rsync")
    return GitLab(program, project, gitlab_api, {**clean_environment(), "PATH": job_path, **pip_settings})


@pytest.fixture
def valid(tool: Callable[[str], str], tmp_path: Path) -> Callable[..., None]:
    """Holds pipelines against GitLab's own schema."""

    def check(*texts: str) -> None:
        files = [tmp_path / f"pipeline-{number}.yml" for number in range(len(texts))]
        for file, text in zip(files, texts, strict=True):
            file.write_text(text)
        # GitLab takes variables in the address of an environment.
        command = [
            tool("check-jsonschema"),
            "--disable-formats",
            "uri",
            "--builtin-schema",
            "vendor.gitlab-ci",
            *map(str, files),
        ]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr

    return check


def test_a_merge_request_is_recorded_compared_and_commented_on_once(
    gitlab: GitLab, project: Project, gitlab_api: GitLabApi, tmp_path: Path
) -> None:
    code, log = gitlab.run(gitlab.checkout(tmp_path / "main", "main"), on_main(project.main))
    assert code == 0, log
    head = project.commit("topic", 0.92)
    gitlab_api.add_merge_request(12, branch="topic", commit=head)
    folder = gitlab.checkout(tmp_path / "topic", "topic", depth=1)
    for _ in range(2):
        code, log = gitlab.run(folder, merge_request(12, "topic", head))
        assert code == 0, log
    [note] = gitlab_api.comments[12]
    assert MARKER in note["body"].splitlines() and "0.92" in note["body"] and "0.9" in note["body"]
    assert [status["status"] for status in gitlab_api.statuses[head]] == ["success"]
    assert {f.name for f in (folder / "ciplug-report").iterdir()} == REPORT
    assert 'accuracy{model="wine"} 0.92' in (folder / "ciplug-report/metrics.txt").read_text()
    assert any('"pipeline":"merge_request_event"' in text for text in project.stored("runs/"))
    assert TOKEN not in log and "user-token" not in log


@real_installation
def test_a_failing_gate_fails_the_job_and_says_so(
    gitlab: GitLab, project: Project, gitlab_api: GitLabApi, tmp_path: Path
) -> None:
    project.record_main(tmp_path / "main")
    head = project.commit("worse", 0.7)
    gitlab_api.add_merge_request(13, branch="worse", commit=head)
    folder = gitlab.checkout(tmp_path / "worse", "worse")
    code, log = gitlab.run(folder, merge_request(13, "worse", head))
    assert code != 0, log
    assert len(gitlab_api.comments[13]) == 1
    assert gitlab_api.statuses[head][-1]["status"] == "failed"
    assert "<failure" in (folder / "ciplug-report/junit.xml").read_text()


class TestBelowAPath:
    """A self-managed GitLab at https://example.com/gitlab."""

    @pytest.fixture
    def gitlab_api(self) -> Iterator[GitLabApi]:
        with GitLabApi(sub_path="/gitlab") as server:
            server.add_token("user-token", "tanuki")
            yield server

    def test_merged_results_belong_to_the_head_and_no_name_runs_as_shell(
        self, gitlab: GitLab, project: Project, gitlab_api: GitLabApi, tmp_path: Path
    ) -> None:
        branch = "topic;id>pwned;$(id>pwned)`id>pwned`\"'"
        title = "\"; touch pwned; $(touch pwned) `touch pwned` ' \\"
        project.record_main(tmp_path / "main")
        head = project.pull_request(14, branch, 0.93)
        merged = git("rev-parse", "refs/pull/14/merge", cwd=project.bare)
        gitlab_api.add_merge_request(14, branch=branch, commit=head)
        folder = gitlab.checkout(tmp_path / "merged", "refs/pull/14/merge")
        file = folder / ".gitlab-ci.yml"
        file.write_text(re.sub(', "branch=[^"]*"', "", file.read_text()))
        more = {"CI_MERGE_REQUEST_SOURCE_BRANCH_SHA": head, "CI_MERGE_REQUEST_TITLE": title, "CI_COMMIT_SHA": merged}
        code, log = gitlab.run(folder, {**merge_request(14, branch, head), **more})
        assert code == 0, log
        [note] = gitlab_api.comments[14]
        assert note["body"].count("0.93")
        assert list(gitlab_api.statuses) == [head]
        [run] = [json.loads(text) for text in project.stored(f"runs/{head}")]
        assert (run["name"], run["provenance"]["context"]["merge_commit"]) == (title, merged)
        assert run["provenance"]["context"]["branch"] == branch
        assert not [*tmp_path.rglob("pwned"), *Path.cwd().glob("pwned")]


class TestForms:
    """However the component is included, it is the same job."""

    def test_every_documented_way(
        self, gitlab: GitLab, project: Project, git_server: GitServer, tmp_path: Path, valid: Callable[..., None]
    ) -> None:
        ciplug = Project(git_server, tmp_path / "ciplug", FILES, name="your-group/ciplug")
        git("push", "--quiet", "origin", "main:refs/tags/v1.0.0", cwd=ciplug.folder)
        git_server.token = None
        ways = dict(
            re.findall(
                r"^\| ([^|`]+) \| (.*?) \|$",
                PAGE.partition("## Ways to include the component")[2].partition("##")[0],
                re.M,
            )
        )
        assert len(ways) == 4
        pipelines = {}
        for number, (way, keys) in enumerate(ways.items()):
            written = "{" + ", ".join(re.findall("`([^`]+)`", keys)) + "}"
            include = yaml.safe_load(written.replace("https://gitlab.example.com", git_server.origin))
            folder = gitlab.checkout(tmp_path / str(number), "main")
            inputs = yaml.safe_load(PIPELINE)["include"][0]["inputs"]
            (folder / ".gitlab-ci.yml").write_text(yaml.safe_dump({"include": [{**include, "inputs": inputs}]}))
            pipelines[way] = gitlab.preview(folder, on_main(project.main))
        assert len(set(pipelines.values())) == 1
        job = yaml.safe_load(pipelines[way])["ciplug"]
        assert job["variables"]["CIPLUG_SOURCE"] == OURS
        valid(pipelines[way])

    def test_what_stands_under_its_name_is_merged(self, gitlab: GitLab, project: Project, tmp_path: Path) -> None:
        folder = gitlab.checkout(tmp_path / "main", "main")
        [more] = re.findall(r"^```yaml\n(ciplug-train:\n  tags.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
        with (folder / ".gitlab-ci.yml").open("a") as file:
            file.write(more)
        job = yaml.safe_load(gitlab.preview(folder, on_main(project.main)))["ciplug-train"]
        assert (job["tags"], job["timeout"]) == (["gpu"], "6 hours")
        assert job["script"] and job["rules"] and job["artifacts"]

    def test_an_input_that_the_component_does_not_have_is_refused(
        self, gitlab: GitLab, project: Project, tmp_path: Path
    ) -> None:
        folder = gitlab.checkout(tmp_path / "main", "main")
        file = folder / ".gitlab-ci.yml"
        file.write_text(file.read_text().replace("tags: [", "fail-on: perhaps\n      tags: ["))
        code, log = gitlab.run(folder, on_main(project.main))
        assert code != 0
        assert "perhaps" in log


def test_documented_pipelines_are_valid(gitlab: GitLab, project: Project, valid: Callable[..., None]) -> None:
    texts = []
    for heading, text in documented().items():
        (project.folder / ".gitlab-ci.yml").write_text(here(text, "ciplug"))
        print(f"{len(texts)}, {len(texts) + 1}: {heading}, as it stands and with what it includes")
        texts += [text, gitlab.preview(project.folder, on_main(project.main))]
    assert len(texts) > 10
    valid(*texts)


class TestPromotion:
    @pytest.fixture
    def pipeline(self) -> str:
        return documented()["Promotion"]

    @pytest.fixture
    def files(self) -> dict[str, str]:
        [stages] = re.findall(r"^```yaml\nversion: 1\n(stages:.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
        return {"train.py": TRAIN, "ciplug.yaml": f"{CONFIG}model: wine\n{stages}"}

    @real_installation
    def test_staging_by_itself_and_production_by_hand(
        self, gitlab: GitLab, project: Project, git_server: GitServer, source: Path, tmp_path: Path
    ) -> None:
        # ciplug from a project that not everybody may read.
        git_server.create("your-group/ciplug")
        git("init", "--quiet", cwd=source)
        git("add", "--all", cwd=source)
        git("commit", "--quiet", "--allow-empty", "--message", "ciplug", cwd=source)
        git("config", f"http.{git_server.origin}/.extraheader", project.header, cwd=source)
        refs = ("HEAD:refs/heads/main", "HEAD:refs/tags/v1.0.0")
        git("push", "--quiet", git_server.url("your-group/ciplug"), *refs, cwd=source)
        private = f"git+{git_server.url('your-group/ciplug')}@v1.0.0"
        (project.folder / ".gitlab-ci.yml").write_text(here(documented()["Promotion"], private))
        project.main = project.commit("main", 0.91)

        folder = gitlab.checkout(tmp_path / "main", "main")
        variables = on_main(project.main)
        code, log = gitlab.run(folder, variables)
        assert code == 0, log
        assert [e[:2] for e in events(project)] == [("register", None), ("promote", "Staging")]
        again = {**variables, "GITLAB_USER_LOGIN": "omar", "CIPLUG_PROMOTE_REASON": 'she said "go"; $(id)'}
        gitlab.api.start_job(TOKEN, "omar", "production")
        gitlab.api.add_token("user-token", "tanuki", role="maintainer")
        gitlab.api.protected_environments.add("production")
        code, log = gitlab.run(folder, again, "production")
        assert code == 0, log
        assert events(project)[-1] == ("promote", "Production", "omar")
        [reason] = [r for text in project.stored("registry/") for r in re.findall('"reason":("she.*?id\\)")', text)]
        assert json.loads(reason) == 'she said "go"; $(id)'
        assert any('"environment production, which GitLab protects"' in text for text in project.stored("registry/"))

    def test_no_merge_request_has_the_jobs(self, gitlab: GitLab, project: Project, tmp_path: Path) -> None:
        folder = gitlab.checkout(tmp_path / "main", "main")
        assert gitlab.jobs(folder, on_main(project.main)) == {"ciplug-train", "ciplug", "staging", "production"}
        assert gitlab.jobs(folder, merge_request(3, "topic", project.main)) == {"ciplug-train", "ciplug"}
        assert gitlab.jobs(folder, {**on_main(project.main, CI_COMMIT_TAG="v1"), "CI_COMMIT_BRANCH": ""}) == set()
        assert gitlab.jobs(folder, on_main(project.main, CI_COMMIT_BRANCH="other")) == set()


class TestSite:
    @pytest.fixture
    def pipeline(self) -> str:
        page = (ROOT / "docs/site.md").read_text(encoding="utf-8")
        (block,) = re.findall(r"^```yaml\ninclude:\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
        return f"{PIPELINE}{block}"

    @pytest.fixture
    def files(self) -> dict[str, str]:
        return {"train.py": TRAIN, "ciplug.yaml": f"{CONFIG}model: wine\n", "public/old.html": "of the repository"}

    def test_the_default_branch_publishes_what_was_trained(
        self, gitlab: GitLab, project: Project, tmp_path: Path
    ) -> None:
        folder = gitlab.checkout(tmp_path / "main", "main")
        code, log = gitlab.run(folder, on_main(project.main))
        assert code == 0, log
        (index,) = (folder / ".gitlab-ci-local" / "artifacts" / "pages").glob("public/index.html")
        assert ">wine</a>" in index.read_text(encoding="utf-8")
        assert not (index.parent / "old.html").exists()
        assert "pages" not in gitlab.jobs(folder, merge_request(3, "topic", project.main))


class TestStages:
    @pytest.fixture
    def pipeline(self) -> str:
        return documented()["Train in another job"]

    @pytest.fixture
    def files(self) -> dict[str, str]:
        prepare = "import pathlib\npathlib.Path('data').mkdir()\npathlib.Path('data/rows').write_text('1 2')\n"
        return {"train.py": TRAIN, "prepare.py": prepare, "ciplug.yaml": f"{CONFIG}model: wine\n"}

    def test_what_other_jobs_leave_is_recorded_and_promoted(
        self, gitlab: GitLab, project: Project, tmp_path: Path
    ) -> None:
        folder = gitlab.checkout(tmp_path / "main", "main")
        code, log = gitlab.run(folder, on_main(project.main), "--manual", "promote")
        assert code == 0, log
        [run] = [json.loads(text) for text in project.stored(f"runs/{project.main}")]
        assert run["metrics"] == {"accuracy": 0.9}
        assert [file["path"] for file in run["artifacts"]] == ["model.bin"]
        assert [file["path"] for file in run["datasets"]] == ["data"]
        assert [e[:2] for e in events(project)] == [("register", None), ("promote", "Staging")]
        assert gitlab.jobs(folder, merge_request(3, "topic", project.main)) == {
            "prepare",
            "train",
            "ciplug-train",
            "ciplug",
        }


class TestMatrix:
    @pytest.fixture
    def pipeline(self) -> str:
        return documented()["A matrix"]

    @pytest.fixture
    def files(self) -> dict[str, str]:
        return {"train.py": TRAIN, "ciplug.yaml": CONFIG}

    def test_all_legs_are_in_one_note(
        self, gitlab: GitLab, project: Project, gitlab_api: GitLabApi, tmp_path: Path
    ) -> None:
        head = project.commit("topic", 0.485)
        gitlab_api.add_merge_request(15, branch="topic", commit=head)
        folder = gitlab.checkout(tmp_path / "topic", "topic")
        code, log = gitlab.run(folder, merge_request(15, "topic", head))
        # One leg fails its gate, and is recorded like the others.
        assert code != 0, log
        runs = [json.loads(text) for text in project.stored(f"runs/{head}")]
        assert {run["model"]: run["metrics"]["accuracy"] for run in runs} == {
            "ridge": 0.485,
            "forest": 0.495,
            "boosting": 0.505,
        }
        [note] = gitlab_api.comments[15]
        assert all(model in note["body"] for model in ("ridge", "forest", "boosting"))
        assert gitlab_api.statuses[head][-1]["status"] == "failed"


class TestMonitoring:
    @pytest.fixture
    def pipeline(self) -> str:
        return documented()["Monitoring"]

    @pytest.fixture
    def files(self) -> dict[str, str]:
        evaluate = (
            "import json, pathlib, sys\n"
            "assert pathlib.Path(sys.argv[1], 'model.bin').read_text() == 'the model 0.9'\n"
            "pathlib.Path('metrics.json').write_text(json.dumps({'accuracy': 0.88}))\n"
        )
        wine = CONFIG.replace("version: 1\n", "").replace("0.01", "0.05")
        nightly = wine.replace("artifacts: model.bin\n", "")
        sections = (("wine", wine), ("wine-nightly", nightly))
        models = "".join(f"  {name}:\n{textwrap.indent(section, '    ')}" for name, section in sections)
        return {"train.py": TRAIN, "evaluate.py": evaluate, "ciplug.yaml": f"version: 1\nmodels:\n{models}"}

    def test_a_schedule_evaluates_what_is_in_production(
        self, gitlab: GitLab, project: Project, gitlab_api: GitLabApi, tmp_path: Path
    ) -> None:
        folder = project.checkout(tmp_path / "training", "main")
        ciplug = [sys.executable, "-m", "ciplug"]
        env = {**os.environ, "PYTHONPATH": str(ROOT)}
        for command in (
            ["ci", "--no-comment", "--model", "wine", "--artifact", "model.bin", "--", sys.executable, "train.py"],
            ["promote", "wine", "--to", "staging"],
            ["promote", "wine", "--to", "production"],
        ):
            done = subprocess.run([*ciplug, *command], cwd=folder, env=env, capture_output=True, text=True)
            assert done.returncode == 0, done.stdout + done.stderr
        variables = on_main(project.main, "schedule")
        folder = gitlab.checkout(tmp_path / "nightly", "main")
        assert gitlab.jobs(folder, variables) == {"evaluate", "monitor"}
        assert gitlab.jobs(folder, on_main(project.main)) == {"ciplug-train", "ciplug"}
        code, log = gitlab.run(folder, variables)
        assert code == 0, log
        [run] = [run for text in project.stored("runs/") if (run := json.loads(text))["model"] == "wine-nightly"]
        assert run["metrics"] == {"accuracy": 0.88}
        assert not gitlab_api.statuses and not gitlab_api.comments


class TestForks:
    @pytest.fixture
    def pipeline(self) -> str:
        return documented()["Forks"]

    @pytest.mark.parametrize(
        ("where", "named"), [(FORK, "fork/demo:99"), (PARENT, "99")], ids=["in the fork", "in the parent, by a member"]
    )
    def test_a_fork_writes_nothing_and_the_parent_collects(
        self, gitlab: GitLab, project: Project, gitlab_api: GitLabApi, tmp_path: Path, where: str, named: str
    ) -> None:
        project.record_main(tmp_path / "recorded")
        before = project.refs()
        head = project.commit("topic", 0.94)
        git("push", "--quiet", "origin", ":refs/heads/topic", f"{head}:refs/merge-requests/16/head", cwd=project.folder)
        gitlab_api.add_merge_request(16, branch="topic", commit=head, source=int(FORK))
        folder = gitlab.checkout(tmp_path / "fork", "refs/merge-requests/16/head")
        variables = merge_request(16, "topic", head, CI_PROJECT_ID=where, CI_MERGE_REQUEST_SOURCE_PROJECT_ID=FORK)
        if where == FORK:
            # None of the parent's variables is there.
            variables.pop("CIPLUG_GITLAB_TOKEN")
        code, log = gitlab.run(folder, variables)
        assert code == 0, log
        [report] = (folder / "ciplug-handed-over").iterdir()
        assert not (folder / "ciplug-report").exists()
        assert {f.name for f in report.iterdir()} == {*REPORT, "bundle.ndjson"}
        assert set(project.refs()) == {*before, "refs/merge-requests/16/head"}
        assert not gitlab_api.comments[16] and not gitlab_api.statuses

        archive = io.BytesIO()
        with zipfile.ZipFile(archive, "w") as zipped:
            for file in report.iterdir():
                zipped.write(file, f"ciplug-handed-over/77/{file.name}")
        place: dict[str, Any] = {"project": "fork/demo"} if where == FORK else {"ref": "refs/merge-requests/16/head"}
        gitlab_api.add_pipeline(99, commit=head, source="merge_request_event", **place)
        gitlab_api.add_job(99, "ciplug-train", archive.getvalue())
        parent = gitlab.checkout(tmp_path / "parent", "main")
        started = on_main(project.main, "web", FORK_PIPELINE=named, FORK_COMMIT=head)
        assert gitlab.jobs(parent, started) == {"collect-fork"}
        code, log = gitlab.run(parent, started)
        assert code == 0, log
        [run] = [json.loads(text) for text in project.stored(f"runs/{head}")]
        assert run["provenance"]["context"]["trusted"] is False
        [note] = gitlab_api.comments[16]
        assert "0.94" in note["body"]
        assert [status["status"] for status in gitlab_api.statuses[head]] == ["success"]
