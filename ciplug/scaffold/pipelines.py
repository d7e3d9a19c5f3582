"""The pipeline file of each CI host, made from the very templates that a team would copy by hand.

A template is read when it is needed and changed in the places that a project differs in; a template that has not
such a place any more is an error, and no pipeline is written that trains something else.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace

from ciplug.errors import CiplugError, UsageError
from ciplug.scaffold import yaml_text
from ciplug.scaffold.shipped import shipped

COMMAND = "python train.py"
"""The training of the templates."""
_COMMAND = r"\bpython3? train\.py"
_PLACEHOLDER = "git+https://git.example.com/your-org/ciplug.git@" + "0" * 40
_PIP_SOURCE = r"git\+https://[\w./-]+/ciplug(?:\.git)?@0{40}"
_ACTION = r"^your-org/ciplug@0{40}$"
_ACTION_SOURCE = re.compile(r"(?:(?:git\+)?https://([\w.:-]+)/)?([\w.-]+/[\w.-]+?)(?:\.git)?@([\w./-]+)")
_SOURCE = re.compile(r"[\w@:/.+~=%#?,\[\]-]+")
_FOLDER = re.compile(r"[\w.@+][\w.@+/ -]*")
"""Such a folder is the same in YAML, in Groovy and in a shell, between quotes of any kind."""
_OPERATOR = re.compile(r"[;&|<>()`\n]")

Template = Callable[[str], str]
"""The text of a template by its path below `templates`."""


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What a project wants of its pipeline."""

    command: str
    """The training, a line of shell."""
    model: str
    branch: str
    """The branch that pull requests go into."""
    install: str | None
    """What `pip install` takes before the training; None: nothing."""
    source: str | None
    """Where ciplug comes from; None: the placeholder of the template stays."""
    server: str | None = None
    """Host of the project's own forge, as its remote has it."""
    forge: str | None = None
    """The kind of that forge: github, gitlab, gitea, bitbucket."""
    folder: str | None = None
    """The folder of the project in a repository of several, relative to the top; None: the top."""
    alone: bool = True
    """Nothing outside the folder is known to be read, so that what changes there only needs no new run."""

    @property
    def title(self) -> str:
        """Name of the job and of the pipeline's file, of one project among several."""
        return "train-" + re.sub(r"[^\w.-]+", "-", self.model) if self.folder else "train"


@dataclass(frozen=True)
class Pipeline:
    files: dict[str, str]
    """Path → text."""
    todo: tuple[str, ...] = ()
    """What is left to do by hand, before the pipeline works."""
    tokens: tuple[str, ...] = ()
    """What has to be set on the CI host."""


def template(name: str) -> str:
    """The text of a template."""
    return shipped(f"templates/{name}").read_text(encoding="utf-8")


def pipeline(host: str, wanted: Wanted, present: Collection[str], read: Template = template) -> Pipeline:
    """The files for a CI host of HOSTS.

    Args:
        present: the files of the project: where the host has one file for everything and it is there, what ciplug
            needs goes into another one.

    Raises UsageError for a source or a command that the host cannot take, CiplugError for a template that has
    changed so that it cannot be filled in.
    """
    if wanted.source is not None and not _SOURCE.fullmatch(wanted.source):
        raise UsageError(f"--source {wanted.source!r}: no address that pip installs from", hint=_SOURCE_HINT)
    if wanted.folder is not None and not _FOLDER.fullmatch(wanted.folder):
        raise UsageError(
            f"the folder {wanted.folder!r} cannot stand in a pipeline",
            hint="its name may hold letters, digits, blanks and . _ @ + -",
        )
    return HOSTS[host](wanted, present, read)


_SOURCE_HINT = "write it like git+https://git.example.com/your-org/ciplug.git@COMMIT"


def _github(wanted: Wanted, present: Collection[str], read: Template) -> Pipeline:
    _no_expression(wanted.command)
    path, name = f".github/workflows/{wanted.title}.yml", "github/train.yml"
    text = _command(read(name), name, wanted.command)
    todo = []
    if wanted.source is None:
        todo.append(f"in {path}, put your organisation's copy of ciplug in the place of your-org/ciplug@000…")
    else:
        action = _ACTION_SOURCE.fullmatch(wanted.source)
        # `uses:` names no host: elsewhere, the same name is somebody else's.
        if action is None or action[1] not in (None, "github.com", wanted.server):
            hint = "write it like your-org/ciplug@COMMIT, for `uses:` in the workflow: actions lie on the forge itself"
            raise UsageError(f"--source {wanted.source}: no action of GitHub", hint=hint)
        text = _replaced(text, name, _ACTION, f"{action[2]}@{action[3]}")
    text = _branch(_installs(text, name, wanted.install), name, wanted.branch)
    return Pipeline(
        {path: _in_folder(text, name, wanted, path)},
        tuple(todo),
        ("none: the token of the job serves, and the workflow gives its rights",),
    )


def _no_expression(command: str) -> None:
    """What stands between ${{ and }} is pasted into the shell, a pull request's title for instance."""
    if "${{" in command or "}}" in command:
        raise UsageError("a command with ${{ }} cannot stand in the workflow", hint="call a script that has it")


def _gitea(wanted: Wanted, present: Collection[str], read: Template) -> Pipeline:
    _no_expression(wanted.command)
    folder = ".forgejo" if any(path.startswith(".forgejo/") for path in present) else ".gitea"
    path = f"{folder}/workflows/{wanted.title}.yml"
    text, todo = _steps(read, "gitea/train.yml", wanted, path)
    return Pipeline({path: text}, todo, ("none: the token of the job serves, unless the instance restricts it",))


def _bitbucket(wanted: Wanted, present: Collection[str], read: Template) -> Pipeline:
    path, beside = _place("bitbucket-pipelines.yml", wanted, present)
    text, todo = _steps(read, "bitbucket/bitbucket-pipelines.yml", wanted, path)
    if beside:
        todo = (*todo, f"put the step of {path} into bitbucket-pipelines.yml: Bitbucket reads that file only")
    setting = "CIPLUG_BITBUCKET_TOKEN, a secured repository variable: an access token with pullrequest:write"
    return Pipeline({path: text}, todo, (setting,))


def _azure(wanted: Wanted, present: Collection[str], read: Template) -> Pipeline:
    path, beside = _place("azure-pipelines.yml", wanted, present)
    if " " in (wanted.folder or ""):
        # Its filters take no path with a blank.
        wanted = replace(wanted, alone=False)
    text, todo = _steps(read, "azure/azure-pipelines.yml", wanted, path)
    todo = (*todo, f"make a pipeline of {path}: New pipeline, Existing YAML file") if beside else todo
    setting = "ciplug-comment, a secret variable of the pipeline: a GitHub token with pull requests and statuses: write"
    return Pipeline({path: text}, todo, (setting,))


def _gitlab(wanted: Wanted, present: Collection[str], read: Template) -> Pipeline:
    """The component, included from the project itself."""
    component = ".gitlab/ciplug.yml"
    text = read("ciplug/template.yml")
    for name in ("command", "ciplug-source"):
        if f"\n    {name}:\n" not in text:
            raise CiplugError(f"the template ciplug/template.yml has no input '{name}'", hint="install ciplug anew")
    lines = [wanted.command]
    if wanted.install:
        lines.insert(0, f"pip install {wanted.install}")
    include = "\n".join(
        [
            "include:",
            f"  - local: {component}",
            "    inputs:",
            *([f"      job-name: {_scalar(wanted.title)}"] if wanted.folder else []),
            *([f"      working-directory: {_scalar(wanted.folder)}"] if wanted.folder else []),
            f"      ciplug-source: {_scalar(wanted.source or _PLACEHOLDER)}",
            "      command:",
            *(f"        - {_scalar(line)}" for line in lines),
            *(_GITLAB_RULES if wanted.folder and wanted.alone else []),
            "",
        ]
    )
    if wanted.folder:
        include = include.replace("@FOLDER@", wanted.folder).replace("@NAME@", wanted.title)
    files = {component: text}
    todo: list[str] = []
    where = ".gitlab-ci.yml"
    if where in present:
        indented = include.replace("\n", "\n     ").rstrip()
        todo.append(f"add these lines to {where}, under the `include:` that may be there:\n\n     {indented}\n")
    else:
        files[where] = include
    if wanted.source is None:
        todo.append(f"in {where}, put your copy of ciplug, at a commit, in the place of {_PLACEHOLDER[:-36]}…")
    setting = (
        "CIPLUG_GITLAB_TOKEN, a masked variable: a project access token, role Developer, scope api",
        "CIPLUG_PUSH_TOKEN, likewise with scope write_repository, unless the job token may push; the same one serves",
    )
    return Pipeline(files, tuple(todo), setting)


def _jenkins(wanted: Wanted, present: Collection[str], read: Template) -> Pipeline:
    path, beside = _place("Jenkinsfile", wanted, present)
    text = read("jenkins/Jenkinsfile")
    if wanted.forge:
        text = text.replace("variable: 'CIPLUG_GITHUB_TOKEN'", f"variable: 'CIPLUG_{wanted.forge.upper()}_TOKEN'")
    # Agents seldom have a `python`.
    command = re.sub(r"^python(?= )", "python3", wanted.command)
    changes = [(rf"(?<=-- ){_COMMAND}", after_dashes(command))]
    changes.append((r"(?<=')my-model(?=')", wanted.model))
    changes += [(rf"(?<='){_PIP_SOURCE}(?=')", wanted.source)] if wanted.source else []
    changes.append((r"(?<=branch ')main(?=')", wanted.branch))
    for pattern, new in changes:
        # For a string in single quotes, of one line or, in three of them, of several.
        escaped = new.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n")
        text, count = re.subn(pattern, lambda match, escaped=escaped: escaped, text)  # type: ignore[misc]
        if not count:
            raise _changed("jenkins/Jenkinsfile", f"nothing in it is like {pattern!r}")
    text = _in_folder(text, "jenkins/Jenkinsfile", wanted, path)
    todo = [] if wanted.source else [f"in {path}, set CIPLUG_SOURCE to your copy of ciplug, at a commit"]
    if wanted.install:
        todo.append(f"have the agents' python3 hold what the training needs: pip install {wanted.install}")
    if beside:
        todo.append(f"make a multibranch pipeline with {path} as its script path")
    setting = (
        "ciplug-push, a credential of the kind secret text: a token that may push to the repository",
        "ciplug-comment, likewise: a token that may comment and set statuses",
    )
    return Pipeline({path: text}, tuple(todo), setting)


HOSTS: dict[str, Callable[[Wanted, Collection[str], Template], Pipeline]] = {
    "github": _github,
    "gitlab": _gitlab,
    "jenkins": _jenkins,
    "gitea": _gitea,
    "bitbucket": _bitbucket,
    "azure": _azure,
}


def _place(path: str, wanted: Wanted, present: Collection[str]) -> tuple[str, bool]:
    """The host's own file, or one beside it where that is there and does other things."""
    if path not in present:
        return path, False
    stem, dot, extension = path.partition(".")
    return f"{stem}.{wanted.title if wanted.folder else 'ciplug'}{dot}{extension}", True


def _steps(read: Template, name: str, wanted: Wanted, path: str) -> tuple[str, tuple[str, ...]]:
    """A template with `pip install … ciplug` and `ciplug ci -- COMMAND` among its steps."""
    text = _command(read(name), name, after_dashes(wanted.command))
    text = _replaced(text, name, r"-r requirements\.txt ", f"{wanted.install} " if wanted.install else "")
    text = _in_folder(_branch(text, name, wanted.branch), name, wanted, path)
    if wanted.source is None:
        return text, (
            f"in {path}, put your copy of ciplug, at a commit, in the place of git+https://…/ciplug.git@000…",
        )
    return _replaced(text, name, _PIP_SOURCE, wanted.source), ()


_RUNS = (
    (r"^name: train$", "name: @NAME@"),
    (r"^  train:\n    runs-on: .*$", '  train:\n    name: @NAME@\n    runs-on: ubuntu-latest\n'
     '    defaults: {run: {working-directory: "@FOLDER@"}}'),
)  # fmt: skip
_PUSHES = (
    # Not the pull requests': a check that is required, and skipped by `paths`, stays pending for ever.
    (r"^  push: \{branches: (\[.*\])\}$", '  push: {branches: \\1, paths: ["@FOLDER@/**", "@FILE@"]}'),
)
_IN_FOLDER: dict[str, tuple[tuple[str, str], ...]] = {
    "github/train.yml": (
        *_RUNS,
        (r"^( +)with:\n +command: ", '\\1with:\n\\1  working-directory: "@FOLDER@"\n\\1  command: '),
        (r"(?<= path: )ciplug-report$", '"@FOLDER@/ciplug-report"'),
    ),
    "gitea/train.yml": (*_RUNS, (r"(?<= path: )ciplug-report(?=\}$)", '"@FOLDER@/ciplug-report"')),
    "bitbucket/bitbucket-pipelines.yml": (
        (r"(?<= name: )train$", "@NAME@"),
        (r"^( +)script:$", '\\1script:\n\\1  - cd "@FOLDER@"'),
        (r"(?<=- )test-results/\*\*$", '"@FOLDER@/test-results/**"'),
    ),
    "azure/azure-pipelines.yml": (
        (r"^  - (bash: .*)$", '  - \\1\n    workingDirectory: "@FOLDER@"'),
        (r"(?<= testResultsFiles: )ciplug-report/junit.xml(?=\}$)", '"@FOLDER@/ciplug-report/junit.xml"'),
        (r"(?<=- publish: )ciplug-report$", '"@FOLDER@/ciplug-report"'),
    ),
}
"""Template → what is to be changed in it for one project of several in the repository."""
_FOR_ITS_CHANGES: dict[str, tuple[tuple[str, str], ...]] = {
    "github/train.yml": _PUSHES,
    "gitea/train.yml": _PUSHES,
    "bitbucket/bitbucket-pipelines.yml": (
        (r"^( +)(name: .*)$", '\\1\\2\n\\1condition: {changesets: {includePaths: ["@FOLDER@/**"]}}'),
    ),
    "azure/azure-pipelines.yml": (
        (r"^trigger:\n(  branches: .*)$", 'trigger:\n\\1\n  paths: {include: ["@FOLDER@", "@FILE@"]}'),
    ),
}
"""Template → how it is kept from running for what changes elsewhere, where no required check waits for it then."""
_GITLAB_RULES = (
    '"@NAME@":',
    "  rules:",
    *(
        f'    - if: {when}\n      changes: ["@FOLDER@/**/*", ".gitlab-ci.yml"]'
        for when in (
            '$CI_PIPELINE_SOURCE == "merge_request_event"',
            "$CI_COMMIT_BRANCH && $CI_COMMIT_BRANCH == $CI_DEFAULT_BRANCH",
        )
    ),
)


def _in_folder(text: str, name: str, wanted: Wanted, path: str) -> str:
    """The text for a project in a folder, whose pipeline is the file `path` at the top."""
    if wanted.folder is None:
        return text
    if name == "jenkins/Jenkinsfile":
        return _in_dir(text, wanted.folder)
    for pattern, new in (*_IN_FOLDER[name], *(_FOR_ITS_CHANGES[name] if wanted.alone else ())):
        filled = new.replace("@FOLDER@", wanted.folder).replace("@NAME@", wanted.title).replace("@FILE@", path)
        text, count = re.subn(pattern, filled, text, flags=re.MULTILINE)
        if not count:
            raise _changed(name, f"nothing in it is like {pattern!r}")
    return text


def _in_dir(text: str, folder: str) -> str:
    """A Jenkinsfile all of whose steps run in a folder."""

    def new(block: re.Match[str]) -> str:
        indent, name, steps = block.groups()
        inner = re.sub(r"^(?=.)", "    ", steps, flags=re.MULTILINE)
        return f"{indent}{name} {{\n{indent}    dir('{folder}') {{\n{inner}{indent}    }}\n{indent}}}"

    text, count = re.subn(r"^( *)(steps|script|cleanup) \{\n(.*?\n)\1\}", new, text, flags=re.MULTILINE | re.DOTALL)
    if not count:
        raise _changed("jenkins/Jenkinsfile", "it has no block of steps")
    return text


def _installs(text: str, name: str, install: str | None) -> str:
    if install is None:
        try:
            return yaml_text.without_step(text, r"^pip install -r ")
        except CiplugError as problem:
            raise _changed(name, problem.message) from None
    if install == "-r requirements.txt":
        return text
    if install.startswith("-r "):
        return _replaced(text, name, r"requirements\.txt", install.removeprefix("-r "))
    return _replaced(text, name, r"^pip install -r .*", f"pip install {install}")


def _command(text: str, name: str, command: str) -> str:
    def new(match: re.Match[str]) -> str:
        # A text in an expression of GitHub's: ${{ inputs.command || 'python train.py' }}
        return command.replace("'", "''") if "${{" in match.string else command

    try:
        return yaml_text.replace(text, _COMMAND, new)
    except CiplugError as problem:
        raise _changed(name, problem.message) from None


def _branch(text: str, name: str, branch: str) -> str:
    return _replaced(text, name, r"^main$", branch, where=lambda path: "branches" in path)


def _replaced(
    text: str, name: str, pattern: str, new: str, where: Callable[[yaml_text.Path], bool] = lambda path: True
) -> str:
    try:
        return yaml_text.replace(text, pattern, lambda match: new, where=where)
    except CiplugError as problem:
        raise _changed(name, problem.message) from None


def _changed(name: str, what: str) -> CiplugError:
    return CiplugError(
        f"the template {name} cannot be filled in: {what}",
        hint=f"copy templates/{name} by hand, and report this as a bug in ciplug",
    )


def after_dashes(command: str) -> str:
    """A command as it may stand after `ciplug ci --`, in a line of shell."""
    plain = not _OPERATOR.search(command) and not re.match(r"\s*\w+=", command)
    return command if plain else f"sh -c {shlex.quote(command)}"


def _scalar(text: str) -> str:
    """Text as a value in YAML, plain where that is sure to be read as the same."""
    return text if re.fullmatch(r"[A-Za-z][\w./+@-]*(?: [\w./=+-]+|:[\w./+@-]+)*", text) else json.dumps(text)
