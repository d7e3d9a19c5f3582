"""Keep files: those that a training wrote, and figures, images, tables and texts that are drawn here."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping

from ciplug.api.active_runs import ActiveRun, log, with_run
from ciplug.api.warn_once import tell_left_out
from ciplug.capture import events
from ciplug.errors import CiplugError, UsageError
from ciplug.records.left_out import LeftOut


def log_artifact(path: str | os.PathLike[str]) -> None:
    """Keep a file or folder that the training wrote, as it is at the end of the run; or an address, like `s3://…`."""
    named = os.fspath(path)
    # A link stays the link that it is.
    log({"artifact": named if "://" in named else os.path.abspath(named)})  # noqa: PTH100


def log_figure(
    figure: object, artifact_file: str | os.PathLike[str], *, save_kwargs: Mapping[str, object] | None = None
) -> None:
    """Keep a figure of matplotlib, seaborn or plotly as an artifact; images are shown in the HTML report.

    Args:
        artifact_file: a path such as `plots/roc.png`; its extension determines the format.
        save_kwargs: for the method of the figure that writes it.

    A figure that cannot be drawn is left out, with a warning and a note in the record, and the training goes on.
    """
    from ciplug.capture.renderings import of_figure

    _keep(artifact_file, lambda name, before: of_figure(figure, name, save_kwargs or {}))


def log_image(
    image: object,
    artifact_file: str | os.PathLike[str] | None = None,
    key: str | None = None,
    step: int | None = None,
) -> None:
    """Keep an image as an artifact: an array of numpy or torch, an image of PIL or MLflow, or a path.

    Args:
        artifact_file: a path such as `plots/roc.png`; its extension determines the format.
        key: in its place the name of a series of images, of which each has a step.

    One that cannot be read is left out, with a warning and a note in the record, and the training goes on.
    """
    from ciplug.capture.renderings import of_image

    name = artifact_file if artifact_file is not None else f"images/{key or 'image'}-{step or 0}.png"
    _keep(name, lambda name, before: of_image(image, name))


def log_dict(dictionary: object, artifact_file: str | os.PathLike[str]) -> None:
    """Keep a mapping or a list as an artifact: as YAML if `artifact_file` ends in .yaml or .yml, else as JSON."""
    from ciplug.capture.renderings import of_mapping

    _keep(artifact_file, lambda name, before: of_mapping(dictionary, name))


def log_text(text: str, artifact_file: str | os.PathLike[str]) -> None:
    """Keep a text as an artifact, in UTF-8."""
    _keep(artifact_file, lambda name, before: str(text).encode(errors="backslashreplace"))


def log_table(data: object, artifact_file: str | os.PathLike[str]) -> None:
    """Keep a table as an artifact, `NAME.json`: a DataFrame, or a mapping of columns. Later calls append their rows."""
    from ciplug.capture.renderings import of_table

    _keep(artifact_file, lambda name, before: of_table(data, name, before))


def _keep(artifact_file: str | os.PathLike[str], make: Callable[[str, bytes | None], bytes]) -> None:
    """Keep a file of the active run. One that cannot be made is left out: the training goes on."""

    def keep(run: ActiveRun) -> None:
        try:
            name = _named(artifact_file)
            run.keep(name, lambda before: _made(make, name, before))
        except _NotMade as problem:
            noted = events.left_out(str(artifact_file)[:250], "artifact", str(problem)[:200])
            run.append(noted)
            tell_left_out(LeftOut(name=noted["left_out"], why="artifact", found=noted["found"]))

    with_run(keep)


class _NotMade(Exception):
    """Says why a file for people could not be made."""


def _named(artifact_file: str | os.PathLike[str]) -> str:
    from ciplug.capture.renderings import artifact_name

    try:
        return artifact_name(artifact_file)
    except UsageError as problem:
        raise _NotMade(problem.message) from None
    except TypeError as problem:
        raise _NotMade(str(problem)) from None


def _made(make: Callable[[str, bytes | None], bytes], name: str, before: bytes | None) -> bytes:
    try:
        return make(name, before)
    except CiplugError as problem:
        raise _NotMade(problem.message) from None
    except Exception as problem:  # Of the library that draws.
        raise _NotMade(f"{type(problem).__name__}: {problem}") from problem
