"""The pipeline file of each CI host, made from the templates that a team would otherwise copy by hand.

Each template has places to fill in for a project. If a template no longer has such a place, that is an error: no
pipeline is written that trains something else.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace

from ciplug.errors import CiplugError, UsageError
from ciplug.scaffold.monorepo import ProjectFolder, in_folder
from ciplug.scaffold.shipped import shipped
from ciplug.scaffold.template_text import (
    TRAINING,
    after_dashes,
    not_as_expected,
    replaced,
    with_branch,
    with_command,
    with_install,
    yaml_scalar,
)

COMMAND = "python train.py"
"""The training of the templates."""
_PLACEHOLDER = "git+https://git.example.com/your-org/ciplug.git@" + "0" * 40
_PIP_SOURCE = r"git\+https://[\w./-]+/ciplug(?:\.git)?@0{40}"
_ACTION = r"^your-org/ciplug@0{40}$"
_SETUP = r"^your-org/ciplug/setup@0{40}$"
_ACTION_SOURCE = re.compile(r"(?:(?:git\+)?https://([\w.:-]+)/)?([\w.-]+/[\w.-]+?)(?:\.git)?@([\w./-]+)")
_SOURCE = re.compile(r"[\w@:/.+~=%#?,\[\]-]+")
_FOLDER = re.compile(r"[\w.@+][\w.@+/ -]*")
"""Folder names that need no escaping in YAML, Groovy and a shell, in quotes of any kind."""

Template = Callable[[str], str]
"""The text of a template by its path below `templates`."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The needs of a project's pipeline."""

    command: str
    """The training, a line of shell."""
    model: str
    branch: str
    """The branch that pull requests go into."""
    install: str | None
    """The argument of `pip install` before the training; None: nothing is installed."""
    source: str | None
    """The source to install ciplug from; None keeps the placeholder of the template."""
    server: str | None = None
    """Host of the project's own forge, as its remote has it."""
    forge: str | None = None
    """The kind of that forge: github, gitlab, gitea, bitbucket."""
    folder: str | None = None
    """The folder of the project in a repository of several, relative to the top; None: the top."""
    alone: bool = True
    """The training reads nothing outside the folder, as far as its files show: changes elsewhere need no run."""

    site: bool = False
    """Whether a job publishes the site as well."""
    monitor: bool = False
    """Whether a scheduled job watches the version in production as well."""
    deploy: bool = False
    """Whether a job that a person starts promotes and deploys as well."""

    @property
    def title(self) -> str:
        """Name of the job and of the pipeline's file, of one project among several."""
        return "train-" + re.sub(r"[^\w.-]+", "-", self.model) if self.folder else "train"


@dataclass(frozen=True)
class Pipeline:
    files: dict[str, str]
    """Path → text."""
    todo: tuple[str, ...] = ()
    """Steps to do by hand before the pipeline works."""
    tokens: tuple[str, ...] = ()
    """The tokens to set on the CI host."""


def template(name: str) -> str:
    """The text of a template."""
    return shipped(f"templates/{name}").read_text(encoding="utf-8")


def pipeline(host: str, settings: Settings, present: Collection[str], read: Template = template) -> Pipeline:
    """The files for a CI host of HOSTS.

    Args:
        present: the files of the project. If the host has a single pipeline file and it exists, the pipeline goes
            into another file.

    Raises UsageError for a source or a command that the host does not support, CiplugError for a template that cannot
    be filled in.
    """
    if settings.source is not None and not _SOURCE.fullmatch(settings.source):
        raise UsageError(f"--source {settings.source!r}: pip cannot install from this address", hint=_SOURCE_HINT)
    if settings.folder is not None and not _FOLDER.fullmatch(settings.folder):
        raise UsageError(
            f"the folder name {settings.folder!r} cannot be used in a pipeline",
            hint="it may contain letters, digits, blanks and . _ @ + -",
        )
    if settings.site and host not in _SITES:
        raise UsageError(
            f"--site: there is no job for the host '{host}'",
            hint="publish the folder that `ciplug site` writes; jobs are for github and gitlab",
        )
    for job in _jobs(settings):
        if host not in job.files:
            raise UsageError(
                f"{job.option}: there is no job for the host '{host}'",
                hint=f"{job.else_do}; jobs are for github, gitlab and jenkins",
            )
    made = HOSTS[host](settings, present, read)
    for job in _jobs(settings):
        made = _with_job(made, host, settings, read, job)
    return made


@dataclass(frozen=True)
class _Job:
    """A job beside the training, from a template of its own."""

    option: str
    """The option of `ciplug init` that asks for it."""
    else_do: str
    """What to do on a host without such a job."""
    files: Mapping[str, tuple[str, str]]
    """Host → its file, and the template of that."""
    calls: tuple[str, ...]
    """The commands of ciplug in it."""
    inputs: tuple[str, ...]
    """Inputs of the component of GitLab that the project gives."""


_WATCH = _Job(
    "--monitor",
    "call `ciplug monitor` in a scheduled job",
    {
        "github": (".github/workflows/watch.yml", "github/watch.yml"),
        "gitlab": (".gitlab/ciplug-watch.yml", "watch/template.yml"),
        "jenkins": ("Jenkinsfile.monitor", "jenkins/Jenkinsfile.monitor"),
    },
    ("monitor",),
    ("fetch", "ciplug-source"),
)
_DEPLOY = _Job(
    "--deploy",
    "call `ciplug deploy --smoke-test --roll-back` in a job that a person starts",
    {
        "github": (".github/workflows/deploy.yml", "github/deploy.yml"),
        "gitlab": (".gitlab/ciplug-deploy.yml", "deploy/template.yml"),
        "jenkins": ("Jenkinsfile.deploy", "jenkins/Jenkinsfile.deploy"),
    },
    ("promote", "deploy"),
    ("ciplug-source", "model", "target", "config"),
)


def _jobs(settings: Settings) -> list[_Job]:
    return [job for job, wanted in ((_WATCH, settings.monitor), (_DEPLOY, settings.deploy)) if wanted]


def _with_job(made: Pipeline, host: str, settings: Settings, read: Template, job: _Job) -> Pipeline:
    """The pipeline with one more job."""
    path, name = job.files[host]
    text = read(name)
    if host == "gitlab":
        for line in (f"    {key}:\n" for key in job.inputs):
            if line not in text:
                raise not_as_expected(name, f"it has no input {line.strip()}")
    elif settings.source is not None and host == "github":
        action = _ACTION_SOURCE.fullmatch(settings.source)
        text = replaced(text, name, _SETUP, f"{action[2]}/setup@{action[3]}" if action else settings.source)
    elif settings.source is not None:
        source = settings.source
        text, count = re.subn(rf"(?<='){_PIP_SOURCE}(?=')", lambda match: source, text)
        if not count:
            raise not_as_expected(name, "it does not name where ciplug comes from")
    if host == "jenkins":
        if settings.forge:
            text = text.replace("variable: 'CIPLUG_GITHUB_TOKEN'", f"variable: 'CIPLUG_{settings.forge.upper()}_TOKEN'")
        model = settings.model.replace("\\", "\\\\").replace("'", "\\'")
        text = text.replace("'my-model'", f"'{model}'")
    if settings.folder is not None and not (host == "gitlab" and "config" in job.inputs):
        option = f'--config "{settings.folder}/ciplug.yaml"'
        for call in job.calls:
            text, count = re.subn(rf"ciplug {call}(?=[ '\n])(?!:)", f"ciplug {call} {option}", text)
            if not count:
                raise not_as_expected(name, f"it does not call ciplug {call}")
    todo = _todo_of(job, host, path, re.sub(r"[^a-z0-9]+", "-", settings.model.lower()).strip("-") or "model")
    if settings.source is None and host != "gitlab":
        todo.append(f"in {path}, name your copy of ciplug, too")
    return replace(made, files={**made.files, path: text}, todo=(*made.todo, *todo))


def _todo_of(job: _Job, host: str, path: str, model: str) -> list[str]:
    if job is _WATCH:
        todo = [
            f"say where predictions and labels are: monitor: in ciplug.yaml; and write fetch-predictions.sh for {path}"
        ]
        if host == "gitlab":
            todo.append("make a schedule for the default branch: Build > Pipeline schedules")
    else:
        todo = [
            "record what is deployed: name the files of the model in artifacts: of ciplug.yaml, or log it with MLflow",
            "record a sample for the smoke test: have the training write inputs and its predictions to sample.jsonl, "
            'in lines like {"id": "17", "inputs": {"alcohol": 9.5}, "prediction": "red"}, and name the file in '
            "artifacts:, too",
            "name where it is deployed, in ciplug.yaml: targets: {prod: {kind: oci, repository: "
            f"registry.example.com/team/{model}, smoke_test: {{sample: sample.jsonl, url: 'https://{model}.example.com'"
            "}}}; other kinds: docs/deploy.md",
        ]
        if host == "github":
            todo.append("give the environment of the stage required reviewers: Settings > Environments")
        if host == "gitlab":
            todo.append("protect the environment of the stage: Settings > CI/CD > Protected environments")
    if host == "jenkins":
        todo.append(f"create a pipeline of the default branch with {path} as its script path")
    return todo


_SITES = ("github", "gitlab")
"""Hosts with pages of a repository, for which there is a template."""
_SOURCE_HINT = "write it like git+https://git.example.com/your-org/ciplug.git@COMMIT"


def _github(settings: Settings, present: Collection[str], read: Template) -> Pipeline:
    _no_expression(settings.command)
    path, name = f".github/workflows/{settings.title}.yml", "github/train.yml"
    site_path, site_name = ".github/workflows/site.yml", "github/site.yml"
    text = with_command(read(name), name, settings.command)
    site = _site(read(site_name), site_name, settings) if settings.site else ""
    todo = []
    if settings.source is None:
        where = f"{path} and {site_path}" if site else path
        todo.append(f"in {where}, replace your-org/ciplug@000… with your organisation's copy of ciplug")
    else:
        action = _ACTION_SOURCE.fullmatch(settings.source)
        # `uses:` names no host: on another server, the same name belongs to somebody else.
        if action is None or action[1] not in (None, "github.com", settings.server):
            hint = "write it like your-org/ciplug@COMMIT, for `uses:`: actions come from the forge itself"
            raise UsageError(f"--source {settings.source}: not an action on this forge", hint=hint)
        text = replaced(text, name, _ACTION, f"{action[2]}@{action[3]}")
        site = site and replaced(site, site_name, _SETUP, f"{action[2]}/setup@{action[3]}")
    if site:
        todo.append('choose "GitHub Actions" as the source in Settings > Pages, and check who can read the pages')
    text = with_branch(with_install(text, name, settings.install), name, settings.branch)
    return Pipeline(
        {path: _for_folder(text, name, settings, path), **({site_path: site} if site else {})},
        tuple(todo),
        ("none: the job's token is enough, and the workflow grants its permissions",),
    )


def _site(text: str, name: str, settings: Settings) -> str:
    """The job that publishes the site, with the settings of a project in a folder."""
    if settings.folder is None:
        return text
    new, count = re.subn(r"(?<=ciplug site )(?=--output)", f'--config "{settings.folder}/ciplug.yaml" ', text)
    if not count:
        raise not_as_expected(name, "it does not call ciplug site --output")
    return new


def _no_expression(command: str) -> None:
    """GitHub pastes the value of ${{ … }}, such as a pull request's title, into the shell."""
    if "${{" in command or "}}" in command:
        raise UsageError("a command with ${{ }} cannot be used in the workflow", hint="call a script that contains it")


def _gitea(settings: Settings, present: Collection[str], read: Template) -> Pipeline:
    _no_expression(settings.command)
    folder = ".forgejo" if any(path.startswith(".forgejo/") for path in present) else ".gitea"
    path = f"{folder}/workflows/{settings.title}.yml"
    text, todo = _steps(read, "gitea/train.yml", settings, path)
    return Pipeline({path: text}, todo, ("none: the job's token is enough, unless the instance restricts it",))


def _bitbucket(settings: Settings, present: Collection[str], read: Template) -> Pipeline:
    path, beside = _place("bitbucket-pipelines.yml", settings, present)
    text, todo = _steps(read, "bitbucket/bitbucket-pipelines.yml", settings, path)
    if beside:
        todo = (*todo, f"copy the step of {path} into bitbucket-pipelines.yml: Bitbucket reads only that file")
    tokens = "CIPLUG_BITBUCKET_TOKEN, a secured repository variable: an access token with pullrequest:write"
    return Pipeline({path: text}, todo, (tokens,))


def _azure(settings: Settings, present: Collection[str], read: Template) -> Pipeline:
    path, beside = _place("azure-pipelines.yml", settings, present)
    if " " in (settings.folder or ""):
        # Azure does not support blanks in path filters.
        settings = replace(settings, alone=False)
    text, todo = _steps(read, "azure/azure-pipelines.yml", settings, path)
    todo = (*todo, f"create a pipeline for {path}: New pipeline, Existing YAML file") if beside else todo
    tokens = "ciplug-comment, a secret variable of the pipeline: a GitHub token with pull requests and statuses: write"
    return Pipeline({path: text}, todo, (tokens,))


def _gitlab(settings: Settings, present: Collection[str], read: Template) -> Pipeline:
    """The component, included from the project itself."""
    component = ".gitlab/ciplug.yml"
    text = read("ciplug/template.yml")
    for name in ("command", "ciplug-source"):
        if f"\n    {name}:\n" not in text:
            raise CiplugError(f"the template ciplug/template.yml has no input '{name}'", hint="install ciplug again")
    lines = [settings.command]
    if settings.install:
        lines.insert(0, f"pip install {settings.install}")
    include = "\n".join(
        [
            "include:",
            f"  - local: {component}",
            "    inputs:",
            *([f"      job-name: {yaml_scalar(settings.title)}"] if settings.folder else []),
            *([f"      working-directory: {yaml_scalar(settings.folder)}"] if settings.folder else []),
            f"      ciplug-source: {yaml_scalar(settings.source or _PLACEHOLDER)}",
            "      command:",
            *(f"        - {yaml_scalar(line)}" for line in lines),
            *(_GITLAB_SITE if settings.site else []),
            *(_GITLAB_WATCH if settings.monitor else []),
            *(_gitlab_deploy(settings) if settings.deploy else []),
            *(_GITLAB_RULES if settings.folder and settings.alone else []),
            "",
        ]
    )
    include = include.replace("@SOURCE@", yaml_scalar(settings.source or _PLACEHOLDER))
    if settings.folder:
        include = include.replace("@FOLDER@", settings.folder).replace("@NAME@", settings.title)
    files = {component: text}
    todo: list[str] = []
    if settings.site:
        files[_GITLAB_SITE_FILE] = _site(read("site/template.yml"), "site/template.yml", settings)
        todo.append("choose who can read the pages in Settings > General > Visibility > Pages")
    where = ".gitlab-ci.yml"
    if where in present:
        indented = include.replace("\n", "\n     ").rstrip()
        todo.append(f"add these lines to {where}, below an existing `include:`:\n\n     {indented}\n")
    else:
        files[where] = include
    if settings.source is None:
        todo.append(f"in {where}, replace {_PLACEHOLDER[:-36]}… with your copy of ciplug, at a commit")
    tokens = (
        "CIPLUG_GITLAB_TOKEN, a masked variable: a project access token, role Developer, scope api",
        "CIPLUG_PUSH_TOKEN, the same with scope write_repository, unless the job token may push; one token can be both",
    )
    return Pipeline(files, tuple(todo), tokens)


def _jenkins(settings: Settings, present: Collection[str], read: Template) -> Pipeline:
    path, beside = _place("Jenkinsfile", settings, present)
    text = read("jenkins/Jenkinsfile")
    if settings.forge:
        text = text.replace("variable: 'CIPLUG_GITHUB_TOKEN'", f"variable: 'CIPLUG_{settings.forge.upper()}_TOKEN'")
    # Few agents have a `python`.
    command = re.sub(r"^python(?= )", "python3", settings.command)
    changes = [(rf"(?<=-- ){TRAINING}", after_dashes(command))]
    changes.append((r"(?<=')my-model(?=')", settings.model))
    changes += [(rf"(?<='){_PIP_SOURCE}(?=')", settings.source)] if settings.source else []
    changes.append((r"(?<=branch ')main(?=')", settings.branch))
    for pattern, new in changes:
        # Escaped for a Groovy string in single or triple single quotes.
        escaped = new.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n")
        text, count = re.subn(pattern, lambda match, escaped=escaped: escaped, text)  # type: ignore[misc]
        if not count:
            raise not_as_expected("jenkins/Jenkinsfile", f"nothing in it matches {pattern!r}")
    text = _for_folder(text, "jenkins/Jenkinsfile", settings, path)
    todo = [] if settings.source else [f"in {path}, set CIPLUG_SOURCE to your copy of ciplug, at a commit"]
    if settings.install:
        todo.append(f"install what the training needs into the agents' python3: pip install {settings.install}")
    if beside:
        todo.append(f"create a multibranch pipeline with {path} as its script path")
    tokens = (
        "ciplug-push, a credential of the kind secret text: a token that may push to the repository",
        "ciplug-comment, of the same kind: a token that may comment and set statuses",
    )
    return Pipeline({path: text}, tuple(todo), tokens)


HOSTS: dict[str, Callable[[Settings, Collection[str], Template], Pipeline]] = {
    "github": _github,
    "gitlab": _gitlab,
    "jenkins": _jenkins,
    "gitea": _gitea,
    "bitbucket": _bitbucket,
    "azure": _azure,
}


def _place(path: str, settings: Settings, present: Collection[str]) -> tuple[str, bool]:
    """The host's own file, or another file name if that exists with other content."""
    if path not in present:
        return path, False
    stem, dot, extension = path.partition(".")
    return f"{stem}.{settings.title if settings.folder else 'ciplug'}{dot}{extension}", True


def _steps(read: Template, name: str, settings: Settings, path: str) -> tuple[str, tuple[str, ...]]:
    """A template with a step of `pip install -r …`, and `ciplug ci -- COMMAND` among its steps."""
    text = with_command(read(name), name, after_dashes(settings.command))
    text = with_install(text, name, settings.install)
    text = _for_folder(with_branch(text, name, settings.branch), name, settings, path)
    if settings.source is None:
        return text, (f"in {path}, replace git+https://…/ciplug.git@000… with your copy of ciplug, at a commit",)
    return replaced(text, name, _PIP_SOURCE, settings.source), ()


def _for_folder(text: str, name: str, settings: Settings, path: str) -> str:
    if settings.folder is None:
        return text
    return in_folder(text, name, ProjectFolder(settings.folder, settings.title, settings.alone), path)


_GITLAB_SITE_FILE = ".gitlab/ciplug-site.yml"
_GITLAB_SITE = (f"  - local: {_GITLAB_SITE_FILE}", "    inputs:", "      ciplug-source: @SOURCE@")
_GITLAB_WATCH = ("  - local: .gitlab/ciplug-watch.yml", "    inputs:", "      ciplug-source: @SOURCE@")


def _gitlab_deploy(settings: Settings) -> list[str]:
    return [
        "  - local: .gitlab/ciplug-deploy.yml",
        "    inputs:",
        "      ciplug-source: @SOURCE@",
        f"      model: {yaml_scalar(settings.model)}",
        "      target: prod",
        *([f"      config: {yaml_scalar(f'{settings.folder}/ciplug.yaml')}"] if settings.folder else []),
    ]


_GITLAB_RULES = tuple(
    line
    for job, always in (("@NAME@-train", ""), ("@NAME@", "\n      when: always"))
    for line in (
        f'"{job}":',
        "  rules:",
        *(
            f'    - if: {when}{always}\n      changes: ["@FOLDER@/**/*", ".gitlab-ci.yml"]'
            for when in (
                '$CI_PIPELINE_SOURCE == "merge_request_event"',
                "$CI_COMMIT_BRANCH && $CI_COMMIT_BRANCH == $CI_DEFAULT_BRANCH",
            )
        ),
    )
)
