"""The inputs of action, component and Jenkins step: read whole, documented whole, and never by accident."""

from __future__ import annotations

import ast
import inspect
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from ciplug.action import INPUTS, arguments, variable
from ciplug.cli import parser
from ciplug.commands import ci
from ciplug.errors import UsageError
from ciplug.steps.promotion.stage_change import StageChange

ROOT = Path(__file__).resolve().parents[2]
ACTION = yaml.safe_load((ROOT / "action.yml").read_text())
SETUP = yaml.safe_load((ROOT / "setup/action.yml").read_text())
WORKFLOWS = {name: (ROOT / f"templates/github/{name}.yml").read_text() for name in ("train", "promote", "monitor")}
PINNED = {
    path.relative_to(ROOT).as_posix(): path.read_text()
    for path in (ROOT / "action.yml", *sorted((ROOT / "templates/github").glob("*.yml")))
}


def component(name: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The inputs of a component, and its jobs."""
    spec, jobs = yaml.safe_load_all((ROOT / f"templates/{name}/template.yml").read_text())
    return spec["spec"]["inputs"], jobs


COMPONENT, JOBS = component("ciplug")
COMPONENT_JOB = JOBS["$[[ inputs.job-name ]]"]
GROOVY = (ROOT / "templates/jenkins/vars/ciplug.groovy").read_text()


def given(**inputs: str) -> dict[str, str]:
    return {variable(name.replace("_", "-")): value for name, value in inputs.items()}


def table(page: str, heading: str) -> dict[str, tuple[str, ...]]:
    """First column without its backticks → the other columns, of the table below that header line."""
    rows = (ROOT / "docs" / page).read_text().partition(f"| {heading} |")[2].splitlines()[2:]
    found = {}
    for row in rows:
        if not row.startswith("|"):
            break
        name, *others = (cell.strip() for cell in row.strip("|").split(" | "))
        found[name.strip("`")] = tuple(others)
    return found


def documented(inputs: dict[str, Any]) -> dict[str, tuple[str, ...]]:
    def default(value: object) -> str:
        if value is None:
            return "required"
        return f"`{str(value).lower() if isinstance(value, bool) else value}`" if value not in ("", []) else ""

    return {name: (default(entry.get("default")), entry["description"]) for name, entry in inputs.items()}


class TestArguments:
    def test_nothing_given_is_left_to_the_defaults(self) -> None:
        assert arguments({}) == ["ci"]
        assert arguments({variable(name): " \n" for name in INPUTS}) == ["ci"]

    def test_everything_given(self) -> None:
        env = given(
            command="pip list\npython train.py\n",
            model="wine",
            name="-rf",
            seed="7",
            store="git:",
            artifact_store="s3://models",
            artifact_limit="25 MB",
            config="c.yaml",
            output_dir="out",
            hand_over="true",
            collect="handed over",
            bundle="out/bundle.ndjson",
            baseline="v1.0",
            fail_on="warn",
            promote_to="staging",
            metrics="a.json\n\n  b c.json \n",
            params="p.yaml",
            artifacts="model.bin",
            datasets="data",
            tags="a=b\nc=d=e",
            allow_unchanged="model.bin\ncache",
            comment="False",
            label="True",
        )
        argv = arguments({**env, "PATH": "/bin"})
        assert argv == [
            *("ci", "--model=wine", "--name=-rf", "--seed=7", "--store=git:", "--artifact-store=s3://models"),
            *(
                "--artifact-limit=25 MB",
                "--config=c.yaml",
                "--output-dir=out",
                "--bundle=out/bundle.ndjson",
                "--baseline=v1.0",
                "--fail-on=warn",
                "--promote-to=staging",
                "--metrics=a.json",
                "--metrics=b c.json",
                "--params=p.yaml",
            ),
            *("--artifact=model.bin", "--dataset=data", "--tag=a=b", "--tag=c=d=e"),
            *("--allow-unchanged=model.bin", "--allow-unchanged=cache", "--no-comment", "--label", "--hand-over"),
            *("--collect=handed over", "--", "bash", "-eo", "pipefail", "-c", "pip list\npython train.py"),
        ]
        # The command line takes what we make of it.
        assert parser("ci").parse_args(argv[1:]).command[-1] == "pip list\npython train.py"
        assert all(f"{variable(name)}" in env for name in INPUTS)

    def test_a_list_may_come_as_json(self) -> None:
        env = {"CIPLUG_INPUT_COMMAND_JSON": '["a \\"$HOME\\"", "b"]\n', "CIPLUG_INPUT_TAGS_JSON": '["k=v", "l=w"]'}
        assert arguments({**env, "CIPLUG_INPUT_METRICS_JSON": "[]", "CIPLUG_INPUT_METRICS": ""}) == [
            *("ci", "--tag=k=v", "--tag=l=w", "--", "bash", "-eo", "pipefail", "-c", 'a "$HOME"\nb'),
        ]

    @pytest.mark.parametrize(
        ("env", "words"),
        [
            (given(comment="yes"), "input 'comment': 'yes' is neither true nor false"),
            (given(model="a\nb"), "input 'model': one value is expected"),
            ({"CIPLUG_INPUT_METRIC": "m.json"}, "CIPLUG_INPUT_METRIC: unknown input"),
            ({"CIPLUG_INPUT_MODEL_JSON": "[]"}, "CIPLUG_INPUT_MODEL_JSON: unknown input"),
            ({"CIPLUG_INPUT_TAGS_JSON": "[1]"}, "input 'tags': a list of strings is expected, not [1]"),
            ({"CIPLUG_INPUT_TAGS_JSON": "a=b"}, "input 'tags': not JSON"),
            ({"CIPLUG_INPUT_TAGS_JSON": '["a=b"]', "CIPLUG_INPUT_TAGS": "c=d"}, "input 'tags': given twice"),
        ],
    )
    def test_a_wrong_input_is_named(self, env: dict[str, str], words: str) -> None:
        with pytest.raises(UsageError, match=re.escape(words)):
            arguments(env)


class TestAction:
    steps = ACTION["runs"]["steps"]

    def test_every_input_is_handed_over_and_read(self) -> None:
        handed = {key: value for step in self.steps for key, value in step.get("env", {}).items()}
        assert {key for key in handed if key.startswith("CIPLUG_INPUT_")} == {variable(name) for name in INPUTS}
        assert all(handed[variable(name)].endswith(f" inputs.{name} }}}}") for name in INPUTS)
        used = set(re.findall(r"inputs\.([\w-]+)", str(self.steps)))
        assert used == set(ACTION["inputs"])

    def test_what_is_not_for_ciplug_itself_reaches_its_own_step(self) -> None:
        install, handed_over, walk, upload = self.steps
        assert handed_over["with"]["pattern"].removesuffix("*") in upload["with"]["name"]
        own = {name for name in ACTION["inputs"] if name not in INPUTS}
        handed = {
            name
            for name in own
            for step in (install, walk)
            for value in step["env"].values()
            if f"inputs.{name} " in value
        }
        assert own - handed == {"working-directory"}
        assert walk["working-directory"] == "${{ inputs.working-directory }}"
        read = set(re.findall(r"CIPLUG_[A-Z]+", (ROOT / "ciplug/install.py").read_text() + install["run"]))
        assert read == set(install["env"])

    def test_the_setup_action_is_the_same_first_step(self) -> None:
        first, ours = SETUP["runs"]["steps"][0], self.steps[0]
        assert first["run"] == ours["run"].replace("/ciplug/install.py", "/../ciplug/install.py")
        assert first["env"] == {name: value for name, value in ours["env"].items() if "source" not in value}
        assert set(SETUP["inputs"]) == set(re.findall(r"inputs\.([\w-]+)", str(first["env"])))
        assert SETUP["inputs"]["extras"] == ACTION["inputs"]["extras"]

    def test_its_outputs_are_those_that_ciplug_writes(self) -> None:
        source = inspect.getsource(ci)
        dictionaries = [ast.unparse(node) for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Dict)]
        keys = [set(re.findall(r"'([a-z-]+)':", text)) for text in dictionaries]
        written = {frozenset(each) for each in keys if "run-id" in each}
        change = StageChange(model="wine", version=1, stage="Staging", event=2, run="r")
        later = {name for name in ACTION["outputs"] if name in (*change.outputs, "subjects")}
        assert later == {"promoted-model", "promoted-version", "promoted-stage", "subjects"}
        assert written == {frozenset({"run-id", "verdict"}), frozenset(ACTION["outputs"]) - later}
        for name, output in ACTION["outputs"].items():
            assert output["value"] == f"${{{{ steps.ciplug.outputs.{name} }}}}"

    def test_no_expression_reaches_a_shell(self) -> None:
        lines = [step["run"] for step in self.steps if "run" in step]
        assert len(lines) == 2 and not any("${{" in line or "eval" in line for line in lines)

    def test_the_page_says_the_same(self) -> None:
        assert table("github-actions.md", "input") == documented(ACTION["inputs"])
        meanings = {name: (entry["description"],) for name, entry in ACTION["outputs"].items()}
        assert table("github-actions.md", "output") == meanings


@pytest.mark.parametrize("name", WORKFLOWS)
class TestWorkflow:
    def test_every_input_is_typed_described_and_used(self, name: str) -> None:
        workflow = yaml.safe_load(WORKFLOWS[name])
        inputs = workflow[True]["workflow_call"]["inputs"]
        assert set(re.findall(r"inputs\.([\w-]+)", WORKFLOWS[name])) == set(inputs)
        assert all(set(entry) - {"required"} == {"type", "description"} for entry in inputs.values())
        form = (workflow[True].get("workflow_dispatch") or {}).get("inputs")
        assert form is None or list(form) == list(inputs)
        # Without a call nothing is given: what counts then is in the expression, and in the description.
        for key, default in re.findall(r"inputs\.([\w-]+) \|\| '([^']+)'", WORKFLOWS[name]):
            described = inputs[key]["description"].replace("`", "")
            assert described.endswith(f"Defaults to {default}."), key

    def test_no_expression_reaches_a_shell(self, name: str) -> None:
        jobs = yaml.safe_load(WORKFLOWS[name])["jobs"].values()
        assert not any("${{" in step.get("run", "") for job in jobs for step in job["steps"])

    def test_the_page_says_the_same(self, name: str) -> None:
        inputs = yaml.safe_load(WORKFLOWS[name])[True]["workflow_call"]["inputs"]
        shown = {
            key: ("required" if entry.get("required") else "", entry["description"]) for key, entry in inputs.items()
        }
        assert table("github-actions.md", f"input of {name}.yml") == shown


@pytest.mark.parametrize("file", PINNED)
def test_one_commit_of_each_action_of_others(file: str) -> None:
    used = dict(re.findall(r"uses: (actions/[\w-]+@\S+) # (\S+)", "".join(PINNED.values())))
    assert len({name.partition("@")[0] for name in used}) == len(used)
    assert set(re.findall(r"uses: (actions/\S+)", PINNED[file])) <= set(used), "each has its version beside it"


@pytest.mark.parametrize("name", ["train", "matrix", "monitor"])
def test_what_a_project_installs_runs_where_nothing_may_be_written(name: str) -> None:
    jobs = yaml.safe_load((ROOT / f"templates/github/{name}.yml").read_text())["jobs"]
    for job in jobs.values():
        trains = any("pip install" in step.get("run", "") or "command" in step.get("with", {}) for step in job["steps"])
        assert trains == (job["permissions"] == {"contents": "read"})
        assert trains == ("needs" not in job)


def test_on_every_host_ciplug_is_in_an_environment_of_its_own() -> None:
    """What the training installs cannot replace it, nor a package that it needs."""
    lines = [
        line for file in (ROOT / "templates").rglob("*") if file.is_file() for line in file.read_text().splitlines()
    ]
    lines = [line for line in lines if re.search(r"install --quiet .*ciplug", line, re.IGNORECASE)]
    assert len(lines) > 8 and all(re.search(r"""ciplug(_venv)?"?/bin/p""", line) for line in lines)


class TestComponent:
    own = frozenset({"working-directory", "ciplug-source", "image", "stage", "job-name"})
    between = frozenset({"hand-over", "collect", "bundle"})
    """What its two jobs settle between themselves."""

    def test_every_input_is_handed_over_and_read(self) -> None:
        assert set(COMPONENT) == {name for name in INPUTS if name not in self.between} | self.own
        text = str(JOBS)
        assert set(re.findall(r"inputs\.([\w-]+)", text)) == set(COMPONENT)
        handed = set(re.findall(r"CIPLUG_INPUT_[A-Z_]+", text))
        assert {name.removesuffix("_JSON") for name in handed} == {
            variable(name) for name in INPUTS if name != "bundle"
        }
        assert all({"type", "description"} <= set(entry) for entry in COMPONENT.values())

    def test_lists_arrive_as_json(self) -> None:
        handed = set(re.findall(r"CIPLUG_INPUT_[A-Z_]+_JSON", str(JOBS)))
        lists = {name for name, entry in COMPONENT.items() if entry["type"] == "array"}
        assert handed == {f"{variable(name)}_JSON" for name in lists}

    def test_the_page_says_the_same(self) -> None:
        assert table("gitlab-ci.md", "input") == documented(COMPONENT)


@pytest.mark.parametrize("name", ["ciplug", "promote", "setup"])
class TestComponents:
    def test_every_input_is_used_and_only_the_command_stands_in_a_script(self, name: str) -> None:
        spec, jobs = component(name)
        assert set(re.findall(r"inputs\.([\w-]+)", str(jobs))) == set(spec)
        lines = [line for job in jobs.values() for key in ("before_script", "script") for line in job.get(key, ())]
        pasted = [line for line in lines if "$[[" in line]
        # Between the quotes of a here-document nothing means anything to the shell.
        assert all("<< 'CIPLUG_END'\n$[[ inputs.command ]]\nCIPLUG_END\n" in line for line in pasted)
        assert len(pasted) == (name == "ciplug")

    def test_they_install_alike(self, name: str) -> None:
        scripts = [job.get("before_script") or job["script"] for job in component(name)[1].values()]
        installing = [line for script in scripts for line in script if "pip install" in line]
        assert len(installing) == len(scripts) and set(installing) <= set(COMPONENT_JOB["script"])


def test_the_page_has_the_inputs_of_promote() -> None:
    assert table("gitlab-ci.md", "input of promote") == documented(component("promote")[0])
    assert table("site.md", "input of the component") == documented(component("site")[0])


_SETTINGS = dict(re.findall(r"(\w+): '([A-Z_]+)'", GROOVY))


class TestJenkinsStep:
    def test_every_input_is_handed_over_and_read(self) -> None:
        handed = {f"CIPLUG_INPUT_{name}" for name in _SETTINGS.values() if not name.startswith("CIPLUG_")}
        assert handed == {variable(name) for name in INPUTS}

    def test_the_page_says_the_same(self) -> None:
        assert set(table("jenkins.md", "setting")) == {*_SETTINGS, "source"}
