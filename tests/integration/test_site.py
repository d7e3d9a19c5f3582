"""The site as files: what is in them, that a second build writes only what is new, and the server on this machine."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from ciplug.records.columns import of as columns_of
from ciplug.reports.site import scripts
from ciplug.steps.session import open_session
from ciplug.tracking.run_objects import run_objects
from tests.project import Project, git
from tests.site_samples import HOSTILE, SiteProject, run_of, site_project


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> SiteProject:
    return site_project(tmp_path_factory.mktemp("site"))


@pytest.fixture
def project(shared: SiteProject, tmp_path: Path) -> Iterator[SiteProject]:
    """The project; what is recorded in it goes to a remote of its own."""
    for name in ("remote.git", "work"):
        shutil.copytree(shared.folder.parent / name, tmp_path / name, symlinks=True)
    copy = SiteProject(tmp_path / "work")
    copy.runs, copy.marked, copy.sweep, copy.trials = shared.runs, shared.marked, shared.sweep, shared.trials
    subprocess.run(["git", "remote", "set-url", "origin", str(tmp_path / "remote.git")], cwd=copy.folder, check=True)
    yield copy


def files_of(folder: Path) -> dict[str, bytes]:
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def record(folder: Path, name: str) -> Any:
    return scripts.parse((folder / name).read_text(encoding="utf-8"))


@pytest.mark.slow
def test_a_second_build_writes_only_what_is_new(project: SiteProject) -> None:
    site = project.folder / "out"
    project.ciplug("site", "--output", "out")
    first = files_of(site)
    assert "0 files written" in project.ciplug("site", "--output", "out").stderr
    assert files_of(site) == first
    session = open_session(cwd=project.folder, env=dict(os.environ))
    new = run_of(200, project.head)
    session.store.add(run_objects(new))
    project.ciplug("site", "--output", "out")
    second = files_of(site)
    assert first.keys() < second.keys()
    assert all(name.startswith("data/run/") for name in second.keys() - first.keys())
    same = [name for name in first if name.startswith(("assets/", "data/run/", "data/image/"))]
    assert {name: second[name] for name in same} == {name: first[name] for name in same}
    # It is what a new build writes, too.
    project.ciplug("site", "--output", "anew")
    assert files_of(project.folder / "anew") == second


@pytest.mark.slow
def test_a_closed_segment_is_written_once(project: SiteProject) -> None:
    site = project.folder / "out"
    session = open_session(cwd=project.folder, env=dict(os.environ))
    added = [run_of(number, project.head) for number in range(1000, 2000)]
    session.store.add({key: data for run in added for key, data in run_objects(run).items()})
    project.ciplug("compact")
    project.ciplug("site", "--output", "out", "--details", "0")
    pieces = record(site, "data/site.js")["pieces"]
    closed = [name for name, _ in pieces if name != "data/runs/loose.js"]
    assert closed
    assert sum(count for _, count in pieces) == 1031
    before = {name: (site / name).stat().st_mtime_ns for name in closed}

    def standings() -> Counter[str]:
        """Of the runs in closed pieces; which piece is the first is left to chance."""
        names = [name for name, _ in record(site, "data/site.js")["pieces"]]
        changes = record(site, "data/site.js")["changes"]
        return Counter(facts["standing"] for piece, _, facts in changes if names[piece] in closed)

    known = standings()
    session.refreshed().store.add(run_objects(run_of(3000, project.head)))
    project.ciplug("runs", "withdraw", run_of(1000, None).id, "--reason", "wrong labels")
    told = project.ciplug("site", "--output", "out", "--details", "0").stderr
    assert "1 new" in told
    assert {name: (site / name).stat().st_mtime_ns for name in closed} == before
    assert standings() - known == Counter(withdrawn=1)


@pytest.mark.slow
def test_what_a_folder_has_of_others_stays(project: SiteProject) -> None:
    other = project.folder / "docs"
    (other / "data").mkdir(parents=True)
    (other / "data" / "mine.csv").write_text("1")
    done = project.ciplug("site", "--output", "docs", code=2)
    assert "other files" in done.stderr
    assert files_of(other) == {"data/mine.csv": b"1"}
    assert "not of the site" not in project.ciplug("site", "--output", "out").stderr
    (project.folder / "out" / "mine.txt").write_text("1")
    assert "not of the site, and left in out: mine.txt" in project.ciplug("site", "--output", "out").stderr
    (project.folder / "out" / "mine.txt").unlink()
    absent = project.ciplug("site", "--output", "new", "--branch", "mian", code=2)
    assert "no branch named 'mian'" in absent.stderr and "did you mean 'main'?" in absent.stderr
    assert not (project.folder / "new").exists()
    listed = project.ciplug("log", "--branch", "mian")
    assert "no run was recorded on a branch named 'mian': did you mean 'main'?" in listed.stderr


@pytest.mark.slow
def test_a_history_is_of_the_metrics_that_the_branch_has(project: SiteProject) -> None:
    """A later run on another branch, with many metrics of other names, takes none of the places."""
    names = [f"class {number:02}/recall" for number in range(18)]
    alone = git(project.folder, "commit-tree", "HEAD^{tree}", "-m", "Elsewhere")
    other = run_of(300, alone, metrics=dict.fromkeys(names, 0.5))
    open_session(cwd=project.folder, env=dict(os.environ)).store.add(run_objects(other))
    project.ciplug("site", "--output", "out")
    histories = {model: metrics for model, _, metrics in record(project.folder / "out", "data/site.js")["histories"]}
    assert histories["wine"] == ["accuracy", "latency_ms", "loss"]
    git(project.folder, "branch", "elsewhere", alone)
    project.ciplug("site", "--output", "out", "--branch", "elsewhere")
    histories = {model: metrics for model, _, metrics in record(project.folder / "out", "data/site.js")["histories"]}
    assert histories["wine"] == names[:12]
    assert "6 more metrics of wine have no history here" in (project.folder / "out" / "history.html").read_text()
    assert "is not a port" in project.ciplug("ui", "--static", "--port", "99999", code=2).stderr


@pytest.mark.slow
def test_the_site_of_another_store_stays(project: SiteProject, tmp_path: Path) -> None:
    """The store is the same however it is reached."""
    project.ciplug("site", "--output", "out")
    before = files_of(project.folder / "out")
    subprocess.run(["git", "init", "-q", "--bare", str(tmp_path / "other.git")], check=True)
    other = f"git+{(tmp_path / 'other.git').as_uri()}"
    done = project.ciplug("site", "--store", other, "--output", "out", code=2)
    assert "has the site of another store, 'remote'" in done.stderr and "other.git" in done.stderr
    assert "name another folder: --output DIR" in done.stderr
    assert files_of(project.folder / "out") == before
    remote = (tmp_path / "remote.git").as_uri()
    subprocess.run(["git", "remote", "set-url", "origin", remote], cwd=project.folder, check=True)
    project.ciplug("site", "--output", "out")
    elsewhere = project.ciplug("site", "--store", "git:?branch=else", "--output", "out", code=2)
    assert "has the site of another store" in elsewhere.stderr


def test_a_name_is_never_a_key_or_markup(project: SiteProject) -> None:
    """Names of strangers are values in lists of pairs, in scripts that end where ciplug ends them."""
    project.ciplug("site", "--output", "out")
    for name, data in files_of(project.folder / "out").items():
        if name.startswith("data/"):
            text = data.decode("utf-8")
            assert not set("<>\u2028\u2029") & set(text), name
            assert text.count("\n") == 1

            def keys(pairs: list[tuple[str, Any]], name: str = name) -> dict[str, Any]:
                assert all(key.isidentifier() and not key.startswith("_") for key, _ in pairs), name
                return dict(pairs)

            json.loads(text.removeprefix("ciplug.push(").removesuffix(");\n"), object_pairs_hook=keys)
        elif name.endswith(".html"):
            assert b"<img" not in data
            assert b"http:" not in data
            assert b"https:" not in data


def test_columns_are_the_recorded_values() -> None:
    runs = [run_of(n, "a" * 40, params={"depth": n % 3, "mixed": ("1", 1)[n % 2]}) for n in range(30)]
    objects = {key: data for run in runs for key, data in run_objects(run).items()}
    piece = scripts.parse(scripts.runs_piece("x", columns_of(sorted(objects.items()))).decode())
    by_id = {run.id: run for run in runs}

    def full(coded: Any) -> list[Any]:
        if isinstance(coded, list):
            return coded
        return [coded["of"][at] for at in coded["at"]] if "at" in coded else coded["of"] * piece["count"]

    ids = full(dict(piece["attributes"])["id"])
    for name, rows, coded in [*piece["metrics"], *piece["params"]]:
        assert rows == 0
        expected = [{**by_id[one].metrics, **by_id[one].params}[name] for one in ids]
        assert [(type(v), v) for v in full(coded)] == [(type(v), v) for v in expected]


@pytest.mark.slow
def test_the_server_answers_this_machine_alone(project: SiteProject) -> None:
    """It serves the pages under its own names; a page elsewhere whose name points here reads nothing."""
    command = [sys.executable, "-m", "ciplug", "ui", "--static", "--port", "0"]
    with subprocess.Popen(command, cwd=project.folder, stderr=subprocess.PIPE, text=True) as server:
        try:
            assert server.stderr
            line = next(line for line in server.stderr if "http://127.0.0.1:" in line)
            port = int(line.split("http://127.0.0.1:")[1].split("/")[0])

            def get(path: str, host: str = "127.0.0.1") -> http.client.HTTPResponse:
                connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
                connection.request("GET", path, headers={"Host": f"{host}:{port}"})
                return connection.getresponse()

            assert get("/runs.html").getheader("Content-Type") == "text/html; charset=utf-8"
            assert b"ciplug.push" in get("/data/site.js", "localhost").read()
            assert get("/data/site.js", "evil.example").status == 403
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
            connection.request("HEAD", "/runs.html", headers={"Host": f"127.0.0.1:{port}"})
            head = connection.getresponse()
            assert (head.status, head.read()) == (200, b"") and int(head.getheader("Content-Length") or 0) > 1000
            outside = ("/data/", "/../../config", "/.ciplug-site", "/%2e%2e/x.js")
            assert [get(path).status for path in outside] == [404] * len(outside)
        finally:
            server.terminate()


@pytest.mark.slow
def test_the_job_of_the_site_publishes_all_projects_of_a_repository(tmp_path: Path) -> None:
    """`init --site` in two folders writes one workflow. Its line runs in a fresh clone, and shows both models."""
    project = Project.with_remote(tmp_path)
    git(project.folder, "rm", "-q", "ciplug.yaml")
    for model in ("wine", "beer model"):
        folder = project.folder / "services" / model
        folder.mkdir(parents=True)
        (folder / "train.py").write_text("open('metrics.json', 'w').write('{\"accuracy\": 0.9}')")
        (folder / ".gitignore").write_text("metrics.json\n")
        words = ("init", "--yes", "--run", "--ci", "github", "--site", "--source", "acme/ciplug@v1")
        said = project.ciplug(*words, "--command", "python train.py", cwd=folder).stdout
        assert ("site.yml unchanged" in said) == (model == "beer model")
    project.commit("Two projects")
    project.push()
    for model in ("wine", "beer model"):
        train = ("--metrics", "metrics.json", "--", sys.executable, "train.py")
        project.ciplug("run", *train, cwd=project.folder / "services" / model)
    git(tmp_path, "clone", "-q", "remote.git", "runner")
    job = yaml.safe_load((tmp_path / "runner/.github/workflows/site.yml").read_text())["jobs"]["build"]
    (line,) = [step["run"] for step in job["steps"] if "run" in step]
    (upload,) = [step["with"]["path"] for step in job["steps"] if "upload-pages" in step.get("uses", "")]
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "ciplug").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m ciplug "$@"\n')
    (programs / "ciplug").chmod(0o755)
    env = {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}"}
    subprocess.run(["bash", "-eo", "pipefail", "-c", line], cwd=tmp_path / "runner", env=env, check=True)
    site = tmp_path / "runner" / upload
    assert {model for model, _, _ in record(site, "data/site.js")["histories"]} == {"wine", "beer model"}
    index = (site / "index.html").read_text()
    assert ">wine</a>" in index and ">beer model</a>" in index


@pytest.mark.slow
def test_the_registry_has_the_story_of_a_model(tmp_path: Path) -> None:
    project = Project.with_remote(tmp_path)
    project.numbers({"accuracy": 0.9})
    project.commit("Better")
    project.push()
    run = project.train()
    project.ciplug("gate")
    project.ciplug("promote", "wine", "--to", "staging", "--reason", "a <b>good</b> one")
    project.ciplug("site", "--output", "out")
    page = (project.folder / "out" / "registry.html").read_text()
    assert f'<a href="runs.html#chosen={run}">' in page
    assert "None → Staging" in page
    assert "<th>reason</th>" in page, "an event has one"
    assert all(f"<th>{empty}</th>" not in page for empty in ("aliases", "notes", "not required"))
    assert "a &lt;b&gt;good&lt;/b&gt; one" in page
    assert "staging v1" in (project.folder / "out" / "index.html").read_text()
    assert run in dict(record(project.folder / "out", "data/site.js")["details"])


def test_hostile_names_are_shown_and_not_followed(project: SiteProject) -> None:
    spaced = run_of(60, None, model="wine ")
    open_session(cwd=project.folder, env=dict(os.environ)).store.add(run_objects(spaced))
    project.ciplug("site", "--output", "out")
    index = (project.folder / "out" / "index.html").read_text()
    assert "&lt;/script&gt;&lt;img src=x onerror" in index
    assert HOSTILE not in index
    # Later runs are dirty, a fork's, children, failed or withdrawn: the metrics are those of the last one that counts.
    last = project.sweep
    assert f'<a href="runs.html#chosen={last.id}"><code>{last.id[:12]}</code></a>' in index
    # An older run may be of a model with a space at its end: it is another model on every page.
    assert '<a href="runs.html#model=%22wine%20%22">&#34;wine &#34;</a>' in index
    models = dict(
        dict(
            record(project.folder / "out", record(project.folder / "out", "data/site.js")["pieces"][0][0])["attributes"]
        )["model"]
    )
    assert {"wine", '"wine "'} <= set(models["of"])
    assert f"<code>accuracy</code> {last.metrics['accuracy']:.3g}" in index
