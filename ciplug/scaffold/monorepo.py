"""The changes of a pipeline for one project of several in a repository: its folder, its name, and what starts it."""

from __future__ import annotations

import re
from typing import NamedTuple

from ciplug.scaffold.host_files import HOST_FILES
from ciplug.scaffold.template_text import not_as_expected


class ProjectFolder(NamedTuple):
    folder: str
    """Relative to the top of the repository."""
    title: str
    """Name of the job, and of the pipeline's file."""
    alone: bool
    """Whether changes outside the folder need no run."""


def in_folder(text: str, name: str, project: ProjectFolder, path: str) -> str:
    """Return the text of the template `name` for a project in a folder; its pipeline is the file `path` at the top."""
    host = HOST_FILES[name.partition("/")[0]]
    if host.in_blocks:
        return _in_dir(text, project.folder)
    for pattern, new in (*host.in_folder, *(host.only_its_changes if project.alone else ())):
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
