"""Odd histories of DVC, by hand: changes since dvc.lock, values that JSON has not, a damaged cache."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ciplug.errors import InputError
from ciplug.interop.dvc_project import fits, parse_project
from ciplug.interop.dvc_yaml import load
from ciplug.interop.import_runs import Choice, Imported, Importer
from ciplug.interop.import_systems import SYSTEMS
from ciplug.records.canonical import plain
from ciplug.steps.session import open_session
from tests.project import Project, git


def _md5(content: str | bytes) -> str:
    return hashlib.md5(content.encode() if isinstance(content, str) else content, usedforsecurity=False).hexdigest()


def _folder_md5(files: Mapping[str, str]) -> str:
    listing = [{"md5": _md5(content), "relpath": name} for name, content in sorted(files.items())]
    return _md5(json.dumps(listing, sort_keys=True)) + ".dir"


_DATA, _CLEAN = _md5("raw data"), _md5("clean data")
_YAML = """
stages:
  prepare: {cmd: "python src/a.py --rows ${rows}", deps: [src, data.csv], outs: [clean.csv]}
  train:
    cmd: [python train.py, "echo \\\\${HOME}"]
    deps: [clean.csv, train.py]
    params: [lr, {other.yaml: }]
    metrics: [m.json]
  report: {cmd: python report.py, deps: [report.py]}
"""
_FILES = {
    "dvc.yaml": _YAML,
    "dvc.lock": f"""
schema: '2.0'
stages:
  prepare:
    cmd: python src/a.py --rows 7
    deps:
    - {{path: data.csv, md5: {_DATA}}}
    - {{path: src, md5: {_folder_md5({"a.py": "a", "b/c.py": "c"})}}}
    outs: [{{path: clean.csv, md5: {_CLEAN}}}]
  train:
    cmd: [python train.py, 'echo ${{HOME}}']
    deps:
    - {{path: clean.csv, md5: {_CLEAN}}}
    - {{path: train.py, md5: {_md5("train")}}}
    params: {{params.yaml: {{lr: 0.001}}, other.yaml: {{depth: 6}}}}
    outs: [{{path: m.json, md5: {_md5('{"acc": 0.5}')}}}]
""",
    "data.csv.dvc": f"outs: [{{md5: {_DATA}, path: data.csv}}]\n",
    "src/a.py": "a",
    "src/b/c.py": "c",
    "train.py": "train",
    "params.yaml": "lr: 1e-3\nrows: 7\n",
    "other.yaml": "depth: 6\n",
    "m.json": '{"acc": 0.5}',
}


def _repository(folder: Path, branches: Mapping[str, Mapping[str, str | None]]) -> tuple[Project, dict[str, str]]:
    """A repository with a branch of one commit for each set of changed files; None: it is not there."""
    project = Project.create(folder, config="version: 1\n")
    commits = {}
    for name, changed in branches.items():
        git(folder, "checkout", "-q", "--orphan", name)
        git(folder, "rm", "-q", "-r", "-f", "--ignore-unmatch", ".")
        for path, content in {**_FILES, **changed}.items():
            if content is not None:
                (folder / path).parent.mkdir(exist_ok=True, parents=True)
                (folder / path).write_text(content)
        commits[name] = project.commit(name)
    return project, commits


def _take(project: Project, *revisions: str) -> Imported:
    importer = Importer(open_session(cwd=project.folder, env=os.environ), Choice(), lambda count: None)
    return importer.run(SYSTEMS["dvc"].open(importer, project.folder, revisions))


def _runs(project: Project) -> dict[str, Any]:
    """Commit → run."""
    runs = open_session(cwd=project.folder, env=os.environ).runs()
    found = [plain(runs.get(run["id"])) for run in project.json("runs", "list", "--json")]
    return {run["commit"]: run for run in found}


def _words(done: Imported) -> str:
    return "\n".join(f"{one.words} -> {one.hint}" for one in (*done.failed, *done.damaged))


_EACH = "  each: {foreach: [1, 2], do: {cmd: x, deps: [train.py], metrics: ['${item}.json']}}\n"
_ONE = f"  each@1: {{cmd: x, deps: [{{path: train.py, md5: {_md5('train')}}}], outs: [{{path: 1.json}}]}}\n"
_CHANGES: dict[str, tuple[dict[str, str | None], list[str] | None]] = {
    "same": ({}, []),
    "of_a_stage_behind": ({"report.py": "report"}, []),
    "data": ({"data.csv.dvc": f"outs: [{{md5: {_md5('other')}, path: data.csv}}]\n"}, ["data.csv"]),
    "code_before": ({"src/b/c.py": "other"}, ["src"]),
    "code_added": ({"src/d.py": "d"}, ["src"]),
    "command": ({"dvc.yaml": _YAML.replace("train.py,", "train.py --fast,")}, ["dvc.yaml"]),
    "command_before": ({"dvc.yaml": _YAML.replace("--rows", "--lines")}, ["dvc.yaml"]),
    "dependency": ({"dvc.yaml": _YAML.replace("[clean.csv, train.py]", "[clean.csv, train.py, x.py]")}, ["dvc.yaml"]),
    "parameter": ({"params.yaml": "lr: 0.01\nrows: 7\n"}, ["params.yaml"]),
    "parameter_named": ({"dvc.yaml": _YAML.replace("[lr,", "[lr, rows,")}, ["dvc.yaml"]),
    "parameter_added": ({"other.yaml": "depth: 6\nwidth: 2\n"}, ["other.yaml"]),
    "item": ({"dvc.yaml": _YAML + _EACH, "dvc.lock": _FILES["dvc.lock"] + _ONE}, ["dvc.yaml"]),
    "stage": ({"dvc.yaml": _YAML + "  more: {cmd: x, metrics: [more.json]}\n"}, ["dvc.yaml"]),
    "unknown_data": ({"data.csv.dvc": None}, None),
    "unknown_parameters": ({"other.yaml": None}, None),
    "no_lock": ({"dvc.lock": None}, None),
}


def test_a_run_is_clean_only_if_nothing_has_changed_since_dvc_lock(tmp_path: Path) -> None:
    project, commits = _repository(tmp_path / "project", {name: files for name, (files, _) in _CHANGES.items()})
    done = _take(project)
    assert done.new == len(_CHANGES), _words(done)
    runs = _runs(project)
    found = {name: runs[commit]["provenance"] for name, commit in commits.items()}
    assert {
        name: one.get("dirty_files", []) if one.get("dirty") is not None else None for name, one in found.items()
    } == {name: files for name, (_, files) in _CHANGES.items()}
    assert all(one.get("dirty") is (None if files is None else bool(files)) for one, (_, files) in zip(
        found.values(), _CHANGES.values(), strict=True
    ))  # fmt: skip


def test_values_that_json_has_not(tmp_path: Path) -> None:
    odd = "day: 2026-01-02\nat: 2026-01-02T03:04:05Z\nfar: .inf\nno: .nan\nsome: !!set {a, b}\nraw: !!binary aGk=\n"
    inner = odd.replace("\n", ", ").rstrip(", ")
    lock = f"stages: {{train: {{cmd: x, params: {{params.yaml: {{{inner}}}}}, outs: [{{path: m.json}}]}}}}"
    yaml = "stages: {train: {cmd: x, params: [day, at, far, no, some, raw], metrics: [m.json]}}"
    wrong = {f"wrong{number}": f"a: !!{tag} x\n" for number, tag in enumerate(("bool", "int", "timestamp", "float"))}
    wrong |= {"key": "? [a]\n: b\n", "keys": "? {a: b}\n: c\n", "date": "a: 2026-02-31\n", "nul": "a: \x07\n"}
    project, commits = _repository(
        tmp_path / "project",
        {
            "odd": {"params.yaml": odd, "dvc.lock": lock, "dvc.yaml": yaml},
            "live": {"params.yaml": odd, "dvc.lock": None, "dvc.yaml": None, "dvclive/metrics.json": '{"a": 1}'},
            **{name: {"dvc.lock": text} for name, text in wrong.items()},
        },
    )
    done = _take(project)
    assert done.new == 2 and len(done.failed) == len(wrong), _words(done)
    for name in wrong:
        assert f"{commits[name][:8]}:dvc.lock" in _words(done)
    run = _runs(project)[commits["odd"]]
    assert run["params"]["day"] == "2026-01-02" and run["params"]["far"] == "Infinity"
    assert _take(project).known == 2


def test_names_do_not_depend_on_the_order_of_files(tmp_path: Path) -> None:
    files: dict[str, str | None] = {
        "dvc.lock": None,
        "a.yaml": "lr: 1\nsame: 5\nonly: 6\n",
        "b.yaml": "lr: 2\nsame: 5\n",
        "params.yaml": "same: 5\n",
        "m.json": '{"x": 1, "t.y": 2}',
        "m.yaml": "x: 2\n",
    }
    names = (
        {"dvc.yaml": f"params: [{order}]\nmetrics: [m.json, m.yaml]\n"}
        for order in ("a.yaml, b.yaml", "b.yaml, a.yaml")
    )
    project, _ = _repository(tmp_path / "project", {f"n{one}": {**files, **own} for one, own in enumerate(names)})
    assert _take(project).new == 2
    for run in _runs(project).values():
        assert run["params"] == {"a/lr": 1, "b/lr": 2, "same": 5, "only": 6}
        assert run["metrics"] == {"m.json/x": 1, "m.yaml/x": 2, "t.y": 2}


def test_content_of_the_cache_that_is_not_what_dvc_lock_says_is_refused(tmp_path: Path) -> None:
    text, model = '{"acc": 0.5}', "the model\r\n" * 200_000
    listing = json.dumps([{"md5": _md5(text), "relpath": "m.json"}, {"md5": _md5(model), "relpath": "x"}])
    unix = _md5(model.replace("\r\n", "\n"))
    yaml = "stages: {train: {cmd: x, metrics: [f/m.json], outs: [f, m.txt]}}\n"
    yaml += "artifacts: {m: {path: m.txt}, f: {path: f}}\n"
    outs = f"[{{path: f, md5: {_md5(listing)}.dir}}, {{path: m.txt, md5: {unix}}}]"
    lock = f"stages: {{train: {{cmd: x, outs: {outs}}}}}"
    changed: dict[str, str | None] = {"dvc.yaml": yaml, "dvc.lock": lock, "m.json": None}
    project, _ = _repository(tmp_path / "project", {"cached": changed})
    cache = project.folder / ".dvc" / "cache" / "files" / "md5"
    contents = {f"{_md5(listing)}.dir": listing, _md5(text): text, _md5(model): model, unix: model}

    def put(md5: str, content: str) -> None:
        file = cache / md5[:2] / md5[2:]
        file.parent.mkdir(exist_ok=True, parents=True)
        file.write_bytes(content.encode())

    for md5, content in contents.items():
        put(md5, content)
    for md5 in (f"{_md5(listing)}.dir", _md5(text)):
        put(md5, contents[md5].replace("acc", "ACC").replace('x"', 'y"'))
        done = _take(project)
        assert done.new == 0 and "DVC's cache has other content than its name says" in _words(done)
        put(md5, contents[md5])
    put(unix, "another model")
    done = _take(project)
    assert (done.new, len(done.damaged)) == (1, 1) and done.exit_code == InputError.exit_code
    (run,) = _runs(project).values()
    assert run["metrics"] == {"acc": 0.5} and [one["path"] for one in run["artifacts"]] == ["f"]
    assert [(one["name"], one["why"]) for one in run["left_out"]] == [("m.txt", "file")]


def test_templates_take_no_time() -> None:
    began = time.monotonic()
    template = "${i}a" * 30 + "b"
    lock = {"stages": {"t@1": {"outs": [{"path": "a" * 200 + "c", "md5": "0" * 32}]}}}
    text: Any = {"stages": {"t": {"foreach": [1], "do": {"cmd": "x", "metrics": [template]}}}}
    for wdir in ("${" * 100_000, ""):
        text["stages"]["t"]["do"]["wdir"] = wdir
        assert parse_project("", json.dumps(text).encode(), json.dumps(lock).encode(), "c").metrics in ((), ("a",))
    assert time.monotonic() - began < 5
    for template, ours, theirs in (
        ("${a}.json", ["x.json", "a/b.json"], ["x.jsn", "json"]),
        ("m/${a}/${b}.json", ["m/1/2.json"], ["m/1.json", "n/1/2.json", "m/1/2.json.x"]),
        ("a${b}ab", ["aab", "axab"], ["ab"]),
        ("plain", ["plain"], ["plains"]),
    ):
        assert all(fits(template, one) for one in ours) and not any(fits(template, one) for one in theirs)


def test_yaml_of_any_type_is_of_the_types_of_json() -> None:
    text = (
        b"{a: 2026-01-02, b: !!set {x}, c: !!binary aGk=, d: !!omap [e: 1], 1: .inf, 2026-01-02: , f: !!pairs [g: 2]}"
    )
    assert load(text, "x") == {
        "a": "2026-01-02", "b": ["x"], "c": "6869", "d": [["e", 1]], "1": float("inf"), "2026-01-02": None,
        "f": [["g", 2]],
    }  # fmt: skip
