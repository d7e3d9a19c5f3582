"""The changes of a pipeline for one project of several in a repository: its folder, its name, and what starts it."""

from __future__ import annotations

import re
from typing import NamedTuple

from ciplug.scaffold.template_text import not_as_expected


class ProjectFolder(NamedTuple):
    folder: str
    """Relative to the top of the repository."""
    title: str
    """Name of the job, and of the pipeline's file."""
    alone: bool
    """Whether changes outside the folder need no run."""


_RUNS = (
    (r"^name: train$", "name: @NAME@"),
    (r"^  train:\n", "  train:\n    name: @NAME@\n"),
    (r"^  ciplug:\n", '  ciplug:\n    name: "@NAME@: ciplug"\n'),
    (r"^    runs-on: .*$", '\\g<0>\n    defaults: {run: {working-directory: "@FOLDER@"}}'),
)
_PUSHES = (
    # Not for pull requests: a required check that `paths` skips stays pending for ever.
    (r"^  push: \{branches: (\[.*\])\}$", '  push: {branches: \\1, paths: ["@FOLDER@/**", "@FILE@"]}'),
)
_IN_FOLDER: dict[str, tuple[tuple[str, str], ...]] = {
    "github/train.yml": (
        *_RUNS,
        (r"^( +)with:\n +(command|collect): ", '\\1with:\n\\1  working-directory: "@FOLDER@"\n\\1  \\2: '),
        (r"(?<= path: )ciplug-report(?=\}$)", '"@FOLDER@/ciplug-report"'),
    ),
    "gitea/train.yml": (*_RUNS, (r"(?<= path: )ciplug-report(?=\}$)", '"@FOLDER@/ciplug-report"')),
    "bitbucket/bitbucket-pipelines.yml": (
        (r"(?<= name: )train$", "@NAME@"),
        (r"(?<= name: )ciplug$", '"@NAME@: ciplug"'),
        (r"^( +)script:$", '\\1script:\n\\1  - cd "@FOLDER@"'),
        (r"(?<=- )test-results/\*\*$", '"@FOLDER@/test-results/**"'),
    ),
    "azure/azure-pipelines.yml": (
        (r"^( +)(displayName: (?:install|train)|name: ciplug)$", '\\1\\2\n\\1workingDirectory: "@FOLDER@"'),
        (r"(?<= testResultsFiles: )ciplug-report/junit.xml(?=\}$)", '"@FOLDER@/ciplug-report/junit.xml"'),
        (r"(?<=- publish: )ciplug-report$", '"@FOLDER@/ciplug-report"'),
    ),
}
"""Template → its changes for one project of several in the repository."""
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
"""Template → its path filters, only where no required check would wait for a skipped job."""


def in_folder(text: str, name: str, project: ProjectFolder, path: str) -> str:
    """Return the text of the template `name` for a project in a folder; its pipeline is the file `path` at the top."""
    if name == "jenkins/Jenkinsfile":
        return _in_dir(text, project.folder)
    for pattern, new in (*_IN_FOLDER[name], *(_FOR_ITS_CHANGES[name] if project.alone else ())):
        filled = new.replace("@FOLDER@", project.folder).replace("@NAME@", project.title).replace("@FILE@", path)
        text, count = re.subn(pattern, filled, text, flags=re.MULTILINE)
        if not count:
            raise not_as_expected(name, f"nothing in it matches {pattern!r}")
    return text


def _in_dir(text: str, folder: str) -> str:
    """A Jenkinsfile all of whose steps run in a folder."""

    def new(block: re.Match[str]) -> str:
        indent, name, steps = block.groups()
        inner = re.sub(r"^(?=.)", "    ", steps, flags=re.MULTILINE)
        return f"{indent}{name} {{\n{indent}    dir('{folder}') {{\n{inner}{indent}    }}\n{indent}}}"

    text, count = re.subn(r"^( *)(steps|script|cleanup) \{\n(.*?\n)\1\}", new, text, flags=re.MULTILINE | re.DOTALL)
    if not count:
        raise not_as_expected("jenkins/Jenkinsfile", "it has no block of steps")
    return text
