"""Steps that are left to do by hand after the files are written."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence

from ciplug.capture.event_files import is_event_file
from ciplug.git.run import run_git
from ciplug.git.workspace import Workspace
from ciplug.scaffold.project import Numbers, Project, is_left_out, is_list, requirements
from ciplug.scaffold.training import Training

_ON_A_NEW_LINE = r"printf '\nciplug-report/\n'"
_EVENTS = (
    "have the pipeline install ciplug with its extra 'tensorboard', which reads event files: `extras: tensorboard` for "
    "the GitHub action, ciplug[tensorboard] for pip"
)
_DISTRIBUTIONS = {"sklearn": "scikit-learn", "yaml": "PyYAML", "cv2": "opencv-python", "PIL": "pillow"}


def about_numbers(training: Training, numbers: Numbers, again: str) -> list[str]:
    """Return the steps that are needed before there are numbers to judge.

    Args:
        again: the command that proposes gates once there are numbers.
    """
    if numbers.values:
        return [_EVENTS] if any(map(is_event_file, numbers.files)) else []
    todo = [f"fix what cannot be recorded: {problem}" for problem in numbers.problems]
    if not todo and not training.metrics and not {"ciplug", "mlflow"} & training.tools:
        how = "write the training's metrics to metrics.json, and name it in ciplug.yaml: metrics: metrics.json"
        if "huggingface" in training.tools:
            how = (
                'name the file that trainer.save_metrics("all", metrics) writes, all_results.json in its output_dir, '
                "in ciplug.yaml under metrics"
            )
        todo.append(how)
    todo.append(f"propose gates from its numbers: {again}; or write them by hand")
    return todo


def about_requirements(project: Project, whole: Project, training: Training) -> list[str]:
    """Return what the pipeline needs besides what it installs."""
    owner = project if project.requirements else whole
    listed = requirements(project, whole)
    todo = []
    if training.command.startswith("dvc "):
        todo.append("give the pipeline the data: `dvc pull` before the training, with the credentials of its remote")
    needed = sorted(_DISTRIBUTIONS.get(name, name) for name in training.imports)
    if listed is None:
        todo += [f"write requirements.txt, which the pipeline installs: {', '.join(needed)}"] if needed else []
        return todo
    tool = training.command.split()[0]
    own = owner.requirements or "."
    text = owner.read("pyproject.toml" if own == "." else own.removeprefix("-r ")) or ""
    return (
        [*todo, f"add {tool} to what `pip install {listed}` installs"] if tool in needed and tool not in text else todo
    )


def about_pipeline(kept: Mapping[str, str], planned: Sequence[str]) -> Sequence[str]:
    """Return the remaining steps for a pipeline.

    Args:
        kept: its existing files that stay, with their texts.
        planned: what is left to do in the pipeline that init would have written.
    """
    if not kept:
        return planned
    silent = [path for path, text in kept.items() if "ciplug" not in text]
    if silent:
        names = " and ".join(silent)
        return [f"call ciplug in {names}, as the page of your CI host describes; or replace it with --force"]
    return planned if any("0" * 40 in text for text in kept.values()) else []


def not_in_git(project: Project, training: Training, paths: Sequence[str]) -> list[str]:
    """Return what a pipeline needs and git does not have: `paths` as they are now, and the code of the training.

    Args:
        paths: relative to the project's folder.
    """
    environments = {path.removesuffix("pyvenv.cfg") for path in project.files if path.endswith("pyvenv.cfg")}
    named = training.command.split()
    code = {
        path
        for path in project.files
        if (path.endswith(".py") or path in named or is_list(path))
        and not is_left_out(path)
        and not path.startswith(tuple(environments))
    }

    def listed(*options: str) -> set[str]:
        names = run_git("ls-files", "-z", *options, cwd=project.top).stdout.decode(errors="replace").split("\0")
        return {name for name in names if name}

    # Changes of tracked code belong to another commit.
    changed = listed("--others", "--modified", "--exclude-standard", "--", *paths) if paths else set()
    return sorted(changed | (listed("--others", "--exclude-standard") & code))


def next_steps(
    workspace: Workspace, project: Project, changed: Sequence[str], todo: Sequence[str], tokens: Sequence[str]
) -> str:
    """Return the next steps: what to do first, the tokens to set, the commands to run in the project's folder.

    Args:
        changed: the files to commit, relative to the project's folder.
    """
    lines = []
    if todo:
        lines += ["", "To do first:", *(f"  {number}. {what}" for number, what in enumerate(todo, 1))]
    if tokens:
        lines += ["", "Tokens:", *(f"  {token}" for token in tokens)]
    lines += ["", "Next:"]
    ignored = run_git("check-ignore", "--quiet", "ciplug-report/", cwd=project.top, check=False).returncode == 0
    add = list(changed)
    if not ignored:
        # Appended to a last line without a line end, it would become part of that name.
        whole = (project.read(".gitignore") or "\n").endswith("\n")
        lines.append(f"  {'echo ciplug-report/' if whole else _ON_A_NEW_LINE} >> .gitignore")
        add.append(".gitignore")
    if add:
        lines.append(f"  git add {shlex.join(add)}")
        lines.append("  git commit -m 'Record, compare and gate the training with ciplug'")
    if not workspace.remotes:
        lines.append("  git remote add origin URL")
    remote = "origin" if "origin" in workspace.remotes or not workspace.remotes else next(iter(workspace.remotes))
    tracked = workspace.setting(f"branch.{workspace.branch}.merge")
    lines.append("  git push" if tracked else f"  git push -u {shlex.quote(remote)} HEAD")
    lines.append("  ciplug doctor")
    return "\n".join(lines)
