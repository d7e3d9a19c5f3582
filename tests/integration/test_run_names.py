"""Every command takes a run by any of its names."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.project import Project, git, measured


@pytest.mark.slow
def test_every_command_takes_every_name(tmp_path: Path) -> None:
    project = Project.create(tmp_path / "work")
    store = ("--store", (tmp_path / "store").as_uri())
    env = {"CIPLUG_STORE": store[1]}
    first = project.train(env={**env, **measured({"accuracy": 0.85})})
    best = project.train(env={**env, **measured({"accuracy": 0.95})})
    last = project.train(env={**env, **measured({"accuracy": 0.90})})
    assert len({first, best, last}) == 3

    def ids(*args: str) -> list[str | None]:
        (one,) = project.json("compare", *args, "--format", "json", env=env)["comparisons"]
        return [one[role].get("run") for role in ("baseline", "candidate")]

    assert ids(first[:12], "best:accuracy") == [first, best], "two runs of one commit"
    assert ids("best:accuracy", "last") == [best, last]
    assert ids("best:accuracy") == [best, last], "with the run that counts for this commit"
    assert ids("HEAD", first)[1] == first
    said = project.ciplug("compare", "last", "last", env=env, code=2).stderr
    assert f"'last' is run {last[:12]}, which would be compared with itself" in said
    for same in (last[:12], "last"):
        said = project.ciplug("compare", "HEAD", same, env=env, code=2).stderr
        assert f"'HEAD' is run {last[:12]}, which would be compared with itself" in said
    assert "are one commit" in project.ciplug("compare", "HEAD", "HEAD", env=env, code=2).stderr

    (verdict,) = project.json("gate", "--run", "best:accuracy", "--json", env=env)["verdicts"]
    assert verdict["run"] == best
    assert project.json("report", "--run", first[:9], "--format", "json", env=env)["sections"][0]["run"]["id"] == first
    project.ciplug("promote", "wine", "--to", "staging", "--run", "best:accuracy", env=env)
    shown = {name: project.json("runs", "show", name, "--json", env=env)["id"] for name in ("wine@staging", "wine@v1")}
    assert shown == {"wine@staging": best, "wine@v1": best}

    project.ciplug("runs", "tag", "wine@v1", "last", "team=red", env=env)
    project.ciplug("runs", "rename", "best:accuracy", "champion", env=env)
    project.ciplug("runs", "withdraw", "last", "--reason", "wrong labels", env=env)
    assert project.json("runs", "show", "last", "--json", env=env)["name"] == "champion", "the withdrawn one is no more"
    project.ciplug("runs", "delete", first[:12], env=env)
    project.ciplug("runs", "restore", first[:12], env=env)
    red = project.json("runs", "list", "--where", "tags.team = 'red'", "--json", env=env)
    assert {run["id"]: run.get("lifecycle", "active") for run in red} == {best: "active", last: "withdrawn"}
    pulled = project.ciplug("pull", "best:accuracy", "--to", "out", env=env).stdout
    assert pulled.split() == ["out/model.txt"]

    # A commit without a run stands for its nearest ancestor with one, on either side.
    project.commit("Not trained")
    assert (ids("HEAD", first), ids(first, "HEAD")) == ([best, first], [first, best])
    said = project.ciplug("compare", first, "HEAD", env=env).stderr
    assert "the nearest recorded ancestor, 1 commit before it" in said
    alone = git(project.folder, "commit-tree", "HEAD^{tree}", "-m", "Without a parent")
    for one, words in (("HEAD~1", "would be compared with itself"), (alone, f"no run of 'wine' on {alone}")):
        for names in (("HEAD", one), (one, "HEAD")):
            assert words in project.ciplug("compare", *names, env=env, code=2).stderr, names
