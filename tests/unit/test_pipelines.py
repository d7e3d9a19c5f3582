"""The pipeline files that are made from the templates."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml

from ciplug.errors import CiplugError, UsageError
from ciplug.scaffold import pipelines, yaml_text
from ciplug.scaffold.pipelines import HOSTS, Pipeline, Settings, pipeline, template

ROOT = Path(__file__).resolve().parents[2]
SOURCES = {"github": "acme/ciplug@v1.2"}
ODD = """python "it's src/train.py" --name 'a: b #c' --x=\\d && echo "${X:-y}" | tee log"""


def made(host: str, *, present: tuple[str, ...] = (), read: pipelines.Template = template, **changes: Any) -> Pipeline:
    said: dict[str, Any] = {
        "command": "python src/train.py --fast",
        "model": "wine",
        "branch": "master",
        "install": "-r requirements.txt",
        "source": SOURCES.get(host, "git+https://git.acme.org/ml/ciplug.git@v1.2"),
        **changes,
    }
    return pipeline(host, Settings(**said), present, read)


def text_of(host: str, **changes: Any) -> str:
    return list(made(host, **changes).files.values())[-1]


def steps(text: str) -> list[dict[str, Any]]:
    jobs = yaml.safe_load(text)["jobs"]
    found: list[dict[str, Any]] = next(iter(jobs.values()))["steps"]
    return found


@pytest.mark.parametrize("host", HOSTS)
def test_it_is_the_template_but_for_what_a_project_differs_in(host: str) -> None:
    text = text_of(host)
    assert "train.py --fast" in text
    assert not re.search(r"python3? train\.py", text), "one place still has the training of the template"
    assert "0" * 40 not in text.replace("`your-org/ciplug`", "")
    if host in ("github", "gitea", "bitbucket", "azure"):
        names = {"bitbucket": "bitbucket/bitbucket-pipelines.yml", "azure": "azure/azure-pipelines.yml"}
        original = template(names.get(host, f"{host}/train.yml"))
        before, after = original.splitlines(), text.splitlines()
        assert len(before) == len(after)
        changed = [new for old, new in zip(before, after, strict=True) if old != new]
        assert 3 <= len(changed) <= 6
        assert all(re.search(r"src/train|v1\.2|master", line) for line in changed)


@pytest.mark.parametrize("host", HOSTS)
def test_the_job_of_the_site_is_written_where_a_host_has_pages(host: str) -> None:
    if host not in ("github", "gitlab"):
        with pytest.raises(UsageError, match="--site: there is no job for the host"):
            made(host, site=True)
        return
    path = {"github": ".github/workflows/site.yml", "gitlab": ".gitlab/ciplug-site.yml"}[host]
    plain, plan = made(host), made(host, site=True)
    assert path not in plain.files and plan.files.keys() - plain.files.keys() == {path}
    whole = "".join(plan.files.values())
    assert "0" * 40 not in whole.replace("`your-org/ciplug`", "") and any("Pages" in step for step in plan.todo)
    if host == "gitlab":
        first, second = yaml.safe_load(plan.files[".gitlab-ci.yml"])["include"]
        assert second == {"local": path, "inputs": {"ciplug-source": first["inputs"]["ciplug-source"]}}
    else:
        uses = [step.get("uses", "") for step in steps(plan.files[path])]
        assert "acme/ciplug/setup@v1.2" in uses
    in_folder = made(host, site=True, folder="services/wine").files[path]
    assert 'ciplug site --config "services/wine/ciplug.yaml" --output' in in_folder


@pytest.mark.parametrize("host", HOSTS)
def test_the_job_that_deploys(host: str) -> None:
    if host not in ("github", "gitlab", "jenkins"):
        with pytest.raises(UsageError, match="--deploy: there is no job for the host"):
            made(host, deploy=True)
        return
    paths = {"github": ".github/workflows/deploy.yml", "gitlab": ".gitlab/ciplug-deploy.yml"}
    path = paths.get(host, "Jenkinsfile.deploy")
    plain, plan = made(host), made(host, deploy=True, monitor=True)
    assert path in plan.files.keys() - plain.files.keys() and "--smoke-test --roll-back" in plan.files[path]
    for word in ("artifacts: of ciplug.yaml", '"prediction": "red"', "smoke_test: {sample: sample.jsonl", "kind: oci"):
        assert any(word in step for step in plan.todo), word
    assert "0" * 40 not in "".join(plan.files.values()).replace("`your-org/ciplug`", "")
    in_folder = made(host, deploy=True, folder="services/wine")
    if host == "gitlab":
        *_, last = yaml.safe_load(in_folder.files[".gitlab-ci.yml"])["include"]
        inputs = {"model": "wine", "target": "prod", "config": "services/wine/ciplug.yaml"}
        assert last["local"] == path and last["inputs"].items() >= inputs.items()
        job = list(yaml.safe_load_all(plan.files[path]))[1]
        assert job["$[[ inputs.job-name ]]-stop"]["environment"]["action"] == "stop"
        return
    for call in ("promote", "deploy"):
        assert f'ciplug {call} --config "services/wine/ciplug.yaml"' in in_folder.files[path]
    if host == "github":
        (job,) = yaml.safe_load(plan.files[path])["jobs"].values()
        assert job["environment"] == "${{ inputs.stage }}"
    else:
        assert "my-model" not in plan.files[path]


@pytest.mark.parametrize("host", HOSTS)
def test_the_scheduled_job_that_watches_production(host: str) -> None:
    if host not in ("github", "gitlab", "jenkins"):
        with pytest.raises(UsageError, match="--monitor: there is no job for the host"):
            made(host, monitor=True)
        return
    paths = {"github": ".github/workflows/watch.yml", "gitlab": ".gitlab/ciplug-watch.yml"}
    path = paths.get(host, "Jenkinsfile.monitor")
    plain, plan = made(host), made(host, monitor=True)
    assert plan.files.keys() - plain.files.keys() == {path} and plan.files[path].count("ciplug monitor") == 1
    assert any("fetch-predictions.sh" in step for step in plan.todo)
    whole = "".join(plan.files.values())
    assert "0" * 40 not in whole.replace("`your-org/ciplug`", "")
    if host == "gitlab":
        first, second = yaml.safe_load(plan.files[".gitlab-ci.yml"])["include"]
        assert second == {"local": path, "inputs": {"ciplug-source": first["inputs"]["ciplug-source"]}}
        assert list(yaml.safe_load_all(plan.files[path]))[1]["watch"]["rules"][0]["if"].startswith(
            "$CI_PIPELINE_SOURCE"
        )
    elif host == "github":
        (job,) = yaml.safe_load(plan.files[path])["jobs"].values()
        assert job["permissions"] == {"contents": "write", "issues": "write"}
        assert [step["with"] for step in job["steps"] if "checkout" in step.get("uses", "")] == [
            {"persist-credentials": False}
        ]
    in_folder = made(host, monitor=True, folder="services/wine").files[path]
    assert 'ciplug monitor --config "services/wine/ciplug.yaml"' in in_folder


@pytest.mark.parametrize("host", HOSTS)
def test_in_a_folder_it_is_the_same_pipeline_that_works_there(host: str) -> None:
    plan = made(host, folder="services/a b", model="a wine")
    path, text = list(plan.files.items())[-1]
    assert not re.search("@[A-Z]+@", text)
    assert "services/a b" in text
    if host in ("github", "gitea"):
        assert path.endswith("workflows/train-a-wine.yml")
        data = yaml.safe_load(text)
        job, last = data["jobs"].values()
        assert (data["name"], job["name"]) == ("train-a-wine", "train-a-wine")
        assert last["name"] == "train-a-wine: ciplug"
        assert job["defaults"]["run"]["working-directory"] == "services/a b"
        assert last["steps"][-1]["with"]["path"] == "services/a b/ciplug-report"
        assert data[True]["push"] == {"branches": ["master"], "paths": ["services/a b/**", path]}
        assert data[True]["pull_request"] is None, "a required check that is skipped would stay pending"
    elif host == "gitlab":
        data = yaml.safe_load(text)
        assert data["include"][0]["inputs"]["working-directory"] == "services/a b"
        component = list(yaml.safe_load_all(plan.files[".gitlab/ciplug.yml"]))[1]
        name = data["include"][0]["inputs"]["job-name"]
        for job, about in component.items():
            own = data[job.replace("$[[ inputs.job-name ]]", name)]["rules"]
            assert own == [{**rule, "changes": ["services/a b/**/*", ".gitlab-ci.yml"]} for rule in about["rules"]]
    elif host == "jenkins":
        original = text_of(host, model="a wine")
        assert [line.strip() for line in text.splitlines() if line.strip() not in ("dir('services/a b') {", "}")] == [
            line.strip() for line in original.splitlines() if line.strip() != "}"
        ]
        assert text.count("dir('services/a b') {") == original.count("steps {") + 2
        assert text.count("{") == text.count("}")
    elif host == "bitbucket":
        for step in yaml.safe_load(text)["definitions"]["steps"]:
            assert step["step"]["condition"] == {"changesets": {"includePaths": ["services/a b/**"]}}
            assert step["step"]["script"][0] == 'cd "services/a b"'
    else:
        filters = yaml.safe_load(text_of(host, folder="services/a"))["trigger"]["paths"]
        assert filters == {"include": ["services/a", "azure-pipelines.yml"]}
    unlimited = list(made(host, folder="services/a b", model="a wine", alone=False).files.values())[-1]
    assert (text == unlimited) == (host in ("jenkins", "azure")), "Azure has no filter for a path with a blank"
    beside = made(host, folder="services/a b", model="a wine", present=("Jenkinsfile", f"{host}-pipelines.yml"))
    assert (path in beside.files) == (host in ("github", "gitea", "gitlab"))
    for odd in ("a'b", "a$(b)", "a*", "-x"):
        with pytest.raises(UsageError, match="folder"):
            made(host, folder=odd)


@pytest.mark.parametrize("host", HOSTS)
def test_without_a_source_the_placeholder_stays_and_is_said(host: str) -> None:
    plan = made(host, source=None)
    assert "0" * 40 in "".join(plan.files.values())
    assert any("ciplug" in todo and ("replace" in todo or "set CIPLUG_SOURCE" in todo) for todo in plan.todo)
    assert plan.tokens


def test_github_takes_any_command_as_it_is() -> None:
    text = text_of("github", command=ODD)
    (step,) = (s for s in steps(text) if "ciplug" in s.get("uses", ""))
    literal = re.fullmatch(r"\$\{\{ inputs\.command \|\| '(.*)' \}\}", step["with"]["command"])
    assert (literal[1].replace("''", "'") if literal else step["with"]["command"]) == ODD
    assert step["uses"] == "acme/ciplug@v1.2"
    with pytest.raises(UsageError, match="cannot be used in the workflow"):
        made("github", command="python train.py ${{ secrets.KEY }}")


@pytest.mark.parametrize("host", ["gitea", "bitbucket", "azure"])
@pytest.mark.parametrize("command", ["python src/train.py --fast", ODD, "LR=1 python train.py", "a\nb"])
def test_a_step_of_shell_runs_the_whole_command(host: str, command: str) -> None:
    found: list[str] = []

    def walk(value: Any) -> None:
        if isinstance(value, str) and "/ciplug ci --hand-over" in value:
            found.append(value)
        for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
            walk(inner)

    walk(yaml.safe_load(text_of(host, command=command)))
    line = found[0].partition(" -- ")[2].partition(" || test -s ")[0]
    if command.startswith("python src"):
        assert line == command
    else:
        assert shlex.split(line) == ["sh", "-c", command]


def test_gitlab_includes_the_component_from_the_project() -> None:
    plan = made("gitlab", command=ODD)
    assert plan.files[".gitlab/ciplug.yml"] == template("ciplug/template.yml")
    (include,) = yaml.safe_load(plan.files[".gitlab-ci.yml"])["include"]
    assert include["local"] == ".gitlab/ciplug.yml"
    assert include["inputs"]["command"] == ["pip install -r requirements.txt", ODD]
    inputs = next(yaml.safe_load_all(template("ciplug/template.yml")))["spec"]["inputs"]
    assert set(include["inputs"]) <= set(inputs)
    assert inputs["command"]["type"] == "array"
    assert {name for name, about in inputs.items() if "default" not in about} <= set(include["inputs"])


def test_jenkins_gets_a_string_of_groovy() -> None:
    text = text_of("jenkins", command="python it's.py --re '\\d'", model="o'wine")
    for line in (line for line in text.splitlines() if line.lstrip().startswith("-- ")):
        assert re.sub(r"\\(.)", r"\1", line).lstrip().startswith("-- python3 it's.py --re '\\d'")
    assert "MODEL = 'o\\'wine'" in text
    assert "branch 'master'" in text


def test_another_pipeline_is_left_alone() -> None:
    assert list(made("jenkins", present=("Jenkinsfile",)).files) == ["Jenkinsfile.ciplug"]
    assert list(made("azure", present=("azure-pipelines.yml",)).files) == ["azure-pipelines.ciplug.yml"]
    assert list(made("bitbucket", present=("bitbucket-pipelines.yml",)).files) == ["bitbucket-pipelines.ciplug.yml"]
    plan = made("gitlab", present=(".gitlab-ci.yml",))
    assert list(plan.files) == [".gitlab/ciplug.yml"]
    assert "- local: .gitlab/ciplug.yml" in plan.todo[0]
    assert list(made("gitea", present=(".forgejo/workflows/x.yml",)).files) == [".forgejo/workflows/train.yml"]


def test_what_pip_installs() -> None:
    def installs(**changes: Any) -> list[str]:
        return [s["run"] for s in steps(text_of("github", **changes)) if "pip install" in s.get("run", "")]

    assert len(installs()) == 1
    assert installs(install=".") == ["pip install ."]
    assert installs(install=None) == []
    assert "requirements/ml.txt" in text_of("github", install="-r requirements/ml.txt")
    assert "pip install .\n" in text_of("gitea", install=".")
    assert "pip install -r" not in text_of("azure", install=None)


@pytest.mark.parametrize(
    ("source", "uses"),
    [
        ("acme/ciplug@v1", "acme/ciplug@v1"),
        ("git+https://github.com/acme/ciplug.git@0123abc", "acme/ciplug@0123abc"),
        ("https://ghe.acme.org/ml/ciplug@main", "ml/ciplug@main"),
        ("https://gitlab.example.com/ml/ciplug@main", None),
        ("ciplug", None),
        ("acme/ciplug", None),
        ("acme/ciplug@v1; rm -rf", None),
        ('acme/ciplug@v1"', None),
    ],
)
def test_sources_for_github(source: str, uses: str | None) -> None:
    if uses is None:
        with pytest.raises(UsageError, match="--source"):
            made("github", source=source, server="ghe.acme.org")
    else:
        assert any(step.get("uses") == uses for step in steps(text_of("github", source=source, server="ghe.acme.org")))


@pytest.mark.parametrize("host", HOSTS)
def test_a_template_that_has_changed_is_an_error(host: str) -> None:
    def without(word: str) -> pipelines.Template:
        return lambda name: template(name).replace(word, "other")

    words = ["    command:", "    ciplug-source:"] if host == "gitlab" else ["train.py", "main", "/ciplug"]
    for word in words:
        with pytest.raises(CiplugError, match="template"):
            made(host, read=without(word))


def test_the_pages_show_the_templates() -> None:
    page = (ROOT / "docs/other-hosts.md").read_text(encoding="utf-8")
    shown = re.findall(r"^```yaml\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    names = ("gitea/train.yml", "bitbucket/bitbucket-pipelines.yml", "azure/azure-pipelines.yml")
    assert [template(name) for name in names] == shown


YAML = """\
# main, in a comment, ü €😀
on: &on
  branches: [main, 'main', "main"]  # main
main: {a: main}
text: |
  main
  line
steps:
  - run: one
    env: {A: x}
  # of two
  - run: two
again: *on
"""


def test_scalars_are_replaced_and_nothing_else() -> None:
    text = yaml_text.replace(YAML, "^main$", lambda match: "a: b", where=lambda path: "branches" in path)
    assert yaml.safe_load(text)[True]["branches"] == ["a: b", "a: b", "a: b"]
    assert text.splitlines()[3:] == YAML.splitlines()[3:]
    assert text.startswith("# main, in a comment, ü €😀\n")
    text = yaml_text.replace(YAML, "^main(?=\n)", lambda match: 'it\'s "x"')
    assert yaml.safe_load(text)["text"] == 'it\'s "x"\nline\n'
    text = yaml_text.replace(YAML, "^main$", lambda match: "other")
    assert list(yaml.safe_load(text)) == [True, "other", "text", "steps", "again"]
    with pytest.raises(CiplugError, match="nothing"):
        yaml_text.replace(YAML, "absent", lambda match: "")


def test_a_step_is_taken_out() -> None:
    text = yaml_text.without_step(YAML, "^one$")
    assert text == YAML.replace("  - run: one\n    env: {A: x}\n", "")
    with pytest.raises(CiplugError, match="0 steps"):
        yaml_text.without_step(YAML, "^three$")


@pytest.mark.parametrize("host", ["github", "gitea"])
def test_no_expression_comes_into_a_shell(host: str) -> None:
    with pytest.raises(UsageError, match="cannot be used in the workflow"):
        made(host, command='python train.py --title "${{ github.event.pull_request.title }}"')
