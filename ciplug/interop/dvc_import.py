"""The history of a DVC project: a run for each commit that has new metrics, tied to that commit.

A commit has new metrics if its files of metrics or plots, or what dvc.lock says of their stages, are others than those
of each of its parents. An experiment (`dvc exp run`) is a commit that no branch has.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from posixpath import basename, dirname
from typing import NamedTuple

from ciplug.errors import CiplugError, InputError, UsageError
from ciplug.git.every_commit import Commit, every_commit, paths_ever, refs_below
from ciplug.git.objects import Named, ObjectReader, find_objects, read_objects
from ciplug.git.workspace import Workspace, discover
from ciplug.interop.dvc_files import Cache, CommitFiles
from ciplug.interop.dvc_project import Plot, Project, output_of, parse_project
from ciplug.interop.dvc_values import read_values
from ciplug.interop.import_runs import Candidate, Importer, Taken
from ciplug.interop.source_files import unreadable
from ciplug.interop.source_run import SourceRun, context_of, stable_id
from ciplug.records.provenance import MOST_FILES

SYSTEM = "dvc"
_EXPERIMENTS = "refs/exps"
_EXPERIMENT = re.compile(r"refs/exps/([0-9a-f]{2})/([0-9a-f]{38}|[0-9a-f]{62})/(.+)")
_LIVE = "dvclive"
_LIVE_ALONE = Project(
    metrics=(f"{_LIVE}/metrics.json",),
    params=("params.yaml", f"{_LIVE}/params.yaml"),
    plots=(Plot(f"{_LIVE}/plots/metrics"),),
)
"""What DVCLive writes without a dvc.yaml."""
_Evidence = tuple[tuple[str, str], ...]
"""What tells the metrics of two commits apart."""


class _State(NamedTuple):
    """What a commit has of a project."""

    project: Project
    evidence: _Evidence


class DvcHistory:
    """The commits of a repository with DVC."""

    def __init__(self, importer: Importer, path: Path, revisions: Sequence[str] = ()) -> None:
        if not path.exists():
            raise UsageError(f"there is no {path}", hint="name a checkout of the project that uses DVC")
        workspace = discover(path)
        if workspace is None:
            raise UsageError(f"{path} is not in a git repository", hint="DVC's history is that of git: git clone it")
        if workspace.shallow:
            hint = "git fetch --unshallow"
            raise UsageError("the clone is shallow: which commit has changed a metric is not known", hint=hint)
        self._importer, self._workspace, self._revisions = importer, workspace, tuple(revisions)
        below = path.resolve().relative_to(workspace.top.resolve()).as_posix() if path.is_dir() else "."
        self._below = "" if below == "." else below
        self._cache = Cache(workspace.top)
        self._objects: ObjectReader | None = None

    def runs(self) -> Iterator[Candidate | CiplugError]:
        top = self._workspace.top
        commits = every_commit(top, self._revisions)
        experiments = {} if self._revisions else self._experiments()
        by_id = {one.id: one for one in commits}
        of_experiments = (
            [one for one in every_commit(top, sorted(experiments)) if one.id in experiments] if experiments else []
        )
        self._objects = ObjectReader(top)
        found = False
        try:
            for folder in self._folders():
                wanted = [*commits, *(one for one in of_experiments if one.id not in by_id)]
                for one in self._of_folder(folder, wanted, experiments):
                    found = True
                    yield one
        finally:
            self._objects.close()
        if not found:
            where = self._workspace.top / self._below
            yield InputError(
                f"{where}: no commit has metrics or plots of DVC",
                hint="a dvc.yaml that is committed names them, or DVCLive writes them to dvclive/metrics.json",
            )

    def _experiments(self) -> dict[str, tuple[str, str]]:
        """Commit → name and baseline of the experiments that `dvc exp run` has kept."""
        found = {}
        for ref, commit in refs_below(self._workspace.top, _EXPERIMENTS).items():
            if match := _EXPERIMENT.fullmatch(ref):
                found[commit] = (match[3], match[1] + match[2])
        return found

    def _folders(self) -> list[str]:
        """The folders that have, or once had, a dvc.yaml; the top where DVCLive wrote without one."""
        # Without revisions, those of the experiments are not looked at: they have the dvc.yaml of their baseline.
        at = f"{self._below}/" if self._below else ""
        files = paths_ever(self._workspace.top, f":(top,glob){at}**/dvc.yaml", self._revisions)
        folders = [dirname(file) for file in files]
        if self._below:
            return folders
        return folders if "" in folders else ["", *folders]

    # Which commits have a run

    def _of_folder(
        self, folder: str, commits: Sequence[Commit], experiments: Mapping[str, tuple[str, str]]
    ) -> Iterator[Candidate | CiplugError]:
        states: dict[str, _State] = {}
        problems: dict[str, CiplugError] = {}
        self._read_states(folder, commits, states, problems)
        for commit in commits:
            if commit.id in problems:
                yield problems[commit.id]
            state = states.get(commit.id)
            if state is None:
                continue
            before = [states[one].evidence for one in commit.parents if one in states]
            if commit.id in experiments or state.evidence not in before:
                yield self._candidate(folder, commit, state.project, experiments.get(commit.id))

    def _read_states(
        self,
        folder: str,
        commits: Sequence[Commit],
        states: dict[str, _State],
        problems: dict[str, CiplugError],
    ) -> None:
        """Fill in the state of each commit that has metrics or plots, and the error of a dvc.yaml with one."""
        top, at = self._workspace.top, f"{folder}/" if folder else ""
        found = find_objects(top, (f"{one.id}:{at}{name}" for one in commits for name in ("dvc.yaml", "dvc.lock")))
        contents = {name: data for name, (_, data) in read_objects(top, {one.oid for one in found.values()}).items()}
        projects: dict[tuple[Named | None, Named | None], Project | None] = {}
        project_of: dict[str, Project] = {}
        for commit in commits:
            files = found.get(f"{commit.id}:{at}dvc.yaml"), found.get(f"{commit.id}:{at}dvc.lock")
            if files not in projects:
                try:
                    projects[files] = self._project(folder, files, contents, commit.id)
                except Exception as problem:
                    where = Path(f"{commit.id[:8]}:{at}dvc.yaml")
                    projects[files], problems[commit.id] = None, unreadable(where, problem)
            if project := projects[files]:
                project_of[commit.id] = project
        measured = find_objects(
            top, (f"{id_}:{path}" for id_, project in project_of.items() for path in _measured(project))
        )
        for id_, project in project_of.items():
            evidence = []
            for path in _measured(project):
                object_ = measured.get(f"{id_}:{path}")
                content = object_.oid if object_ else output_of(project, path)
                if content is not None:
                    evidence.append((path, content))
            if evidence:
                states[id_] = _State(project, (*evidence, ("", project.evidence)))

    def _project(
        self,
        folder: str,
        files: tuple[Named | None, Named | None],
        contents: Mapping[str, bytes],
        commit: str,
    ) -> Project | None:
        dvc_yaml, lock = files
        if dvc_yaml is None:
            return _LIVE_ALONE if not folder else None
        return parse_project(
            folder, contents[dvc_yaml.oid], contents[lock.oid] if lock is not None else None, commit[:8]
        )

    # One run

    def _candidate(
        self, folder: str, commit: Commit, project: Project, experiment: tuple[str, str] | None
    ) -> Candidate:
        at = f":{folder}" if folder else ""
        name = f"commit {commit.id[:12]}{at}" + (f" ({experiment[0]})" if experiment else "")
        run_id = stable_id(SYSTEM, commit.id, folder)
        return Candidate(run_id, name, partial(self._read, run_id, folder, commit, project, experiment))

    def _read(
        self, run_id: str, folder: str, commit: Commit, project: Project, experiment: tuple[str, str] | None
    ) -> Taken:
        if self._objects is None:
            raise AssertionError("read while the runs are listed")
        root = self._importer.folder / run_id
        root.mkdir()
        files = CommitFiles(self._objects, self._cache, commit.id, folder, project)
        with_artifacts = self._importer.choice.artifacts
        values, artifacts, problems = read_values(files, project, root, commit.id, with_artifacts=with_artifacts)
        for key, text in (
            ("experiment", experiment and experiment[0]),
            ("baseline", experiment and experiment[1]),
            ("folder", folder),
        ):
            if text:
                values.tags[f"{SYSTEM}.{key}"] = text
        changed = files.changed_since_run()
        run = SourceRun(
            id=run_id,
            system=SYSTEM,
            values=values.values(),
            name=experiment[0] if experiment else None,
            project=_model(folder),
            started=commit.time,
            ended=commit.time,
            commit=commit.id,
            provenance=replace(
                context_of(actor=commit.author or None),
                dirty=None if changed is None else bool(changed),
                dirty_files=tuple(changed or ())[:MOST_FILES],
                dirty_count=len(changed) if changed else None,
            ),
        )
        self._importer.files.fetched += sum(one.stat().st_size for one in root.rglob("*") if one.is_file())
        taken = self._importer.take(run, artifacts, within=(root,), problems=problems)
        if not artifacts:
            shutil.rmtree(root)
        return taken


def _measured(project: Project) -> tuple[str, ...]:
    return (*project.metrics, *(one.path for one in project.plots))


def _model(folder: str) -> str | None:
    """The name of the folder of a dvc.yaml, which is a project of its own; DVCLive's belongs to the one around it."""
    return basename(dirname(folder) if basename(folder) == _LIVE else folder) or None


def is_project(workspace: Workspace) -> bool:
    """Whether the checkout uses DVC."""
    return (workspace.top / ".dvc").is_dir() or (workspace.top / "dvc.yaml").is_file()
