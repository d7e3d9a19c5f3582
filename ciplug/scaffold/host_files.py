"""The pipeline files of each CI host: their names, and how a template changes for one project of several."""

from __future__ import annotations

import re
from dataclasses import dataclass

Changes = tuple[tuple[str, str], ...]
"""Patterns in the lines of a template, each with its replacement; @FOLDER@, @NAME@ and @FILE@ are filled in."""


@dataclass(frozen=True, kw_only=True)
class HostFiles:
    """The pipeline files of one CI host."""

    pattern: re.Pattern[str]
    """The paths of its pipeline files in a repository."""
    in_folder: Changes = ()
    """The changes of the template `templates/<host>/…` for one project of several in the repository."""
    only_its_changes: Changes = ()
    """Its path filters, only where no required check would wait for a skipped job."""
    in_blocks: bool = False
    """Whether the blocks of steps of the template are put into `dir('FOLDER')`: a Jenkinsfile."""


_RUNS: Changes = (
    (r"^name: train$", "name: @NAME@"),
    (r"^  train:\n", "  train:\n    name: @NAME@\n"),
    (r"^  ciplug:\n", '  ciplug:\n    name: "@NAME@: ciplug"\n'),
    (r"^    runs-on: .*$", '\\g<0>\n    defaults: {run: {working-directory: "@FOLDER@"}}'),
)
_PUSHES: Changes = (
    # Not for pull requests: a required check that `paths` skips stays pending for ever.
    (r"^  push: \{branches: (\[.*\])\}$", '  push: {branches: \\1, paths: ["@FOLDER@/**", "@FILE@"]}'),
)

HOST_FILES: dict[str, HostFiles] = {
    "github": HostFiles(
        pattern=re.compile(r"\.github/workflows/[^/]+\.ya?ml"),
        in_folder=(
            *_RUNS,
            (r"^( +)with:\n +(command|collect): ", '\\1with:\n\\1  working-directory: "@FOLDER@"\n\\1  \\2: '),
            (r"(?<= path: )ciplug-report(?=\}$)", '"@FOLDER@/ciplug-report"'),
        ),
        only_its_changes=_PUSHES,
    ),
    # Its pipeline is an include of a component, whose inputs name the folder.
    "gitlab": HostFiles(pattern=re.compile(r"\.gitlab-ci\.yml")),
    "jenkins": HostFiles(pattern=re.compile(r"Jenkinsfile"), in_blocks=True),
    "gitea": HostFiles(
        pattern=re.compile(r"\.(?:gitea|forgejo)/workflows/[^/]+\.ya?ml"),
        in_folder=(*_RUNS, (r"(?<= path: )ciplug-report(?=\}$)", '"@FOLDER@/ciplug-report"')),
        only_its_changes=_PUSHES,
    ),
    "bitbucket": HostFiles(
        pattern=re.compile(r"bitbucket-pipelines\.yml"),
        in_folder=(
            (r"(?<= name: )train$", "@NAME@"),
            (r"(?<= name: )ciplug$", '"@NAME@: ciplug"'),
            (r"^( +)script:$", '\\1script:\n\\1  - cd "@FOLDER@"'),
            (r"(?<=- )test-results/\*\*$", '"@FOLDER@/test-results/**"'),
        ),
        only_its_changes=(
            (r"^( +)(name: .*)$", '\\1\\2\n\\1condition: {changesets: {includePaths: ["@FOLDER@/**"]}}'),
        ),
    ),
    "azure": HostFiles(
        pattern=re.compile(r"\.?azure-pipelines\.ya?ml"),
        in_folder=(
            (
                r"^( +)(displayName: (?:install|train)|name: ciplug)$",
                '\\1\\2\n\\1workingDirectory: "@FOLDER@"',
            ),
            (r"(?<= testResultsFiles: )ciplug-report/junit.xml(?=\}$)", '"@FOLDER@/ciplug-report/junit.xml"'),
            (r"(?<=- publish: )ciplug-report$", '"@FOLDER@/ciplug-report"'),
        ),
        only_its_changes=(
            (r"^trigger:\n(  branches: .*)$", 'trigger:\n\\1\n  paths: {include: ["@FOLDER@", "@FILE@"]}'),
        ),
    ),
}
"""Host, as `ciplug init --ci` names it and its folder in `templates` is called → its files."""
