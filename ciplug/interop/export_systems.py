"""The systems that `ciplug export` writes to, and how each is opened."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from ciplug.errors import Cause, StoreError, counted
from ciplug.interop import mlflow_targets
from ciplug.interop.gitlab_export_registry import GitlabRegistryExport
from ciplug.interop.mlflow_export import Exported, RunExport
from ciplug.interop.mlflow_export_registry import RegistryExport
from ciplug.interop.mlflow_server import MlflowServer
from ciplug.interop.mlflow_source import ExportSource
from ciplug.steps.session import Session


class Tracker(NamedTuple):
    """A system that keeps runs and models, with MLflow's REST API."""

    open: Callable[[Session, Any], MlflowServer]
    registry: type[RegistryExport] | type[GitlabRegistryExport]


TRACKERS: Mapping[str, Tracker] = {
    "mlflow": Tracker(mlflow_targets.mlflow_server, RegistryExport),
    "gitlab": Tracker(mlflow_targets.gitlab_server, GitlabRegistryExport),
    "azureml": Tracker(mlflow_targets.azureml_server, RegistryExport),
    "sagemaker": Tracker(mlflow_targets.sagemaker_server, RegistryExport),
}


class System(NamedTuple):
    """How the command line presents a system."""

    title: str
    help: str
    target: str
    of_checkout: bool = False
    """Whether this checkout or job can name the target, so that it may be left out."""


SYSTEMS: Mapping[str, System] = {
    "mlflow": System("MLflow", "a server of MLflow 2 or 3", "the address of the server"),
    "gitlab": System(
        "GitLab's model experiments",
        "GitLab's model experiments and model registry",
        "the web address of the project (default: that of this job or checkout)",
        of_checkout=True,
    ),
    "azureml": System("Azure ML", "a workspace of Azure Machine Learning", "its tracking URI, azureml://…"),
    "sagemaker": System(
        "SageMaker", "managed MLflow on Amazon SageMaker", "the ARN of the tracking server or the MLflow app"
    ),
    "huggingface": System("Hugging Face", "a model card with the metrics of a version", "the folder of its README.md"),
    "csv": System("CSV", "the runs as a table of text", "the file"),
    "parquet": System("Parquet", "the runs as a table with types", "the file"),
}


def export_all(
    session: Session, system: str, target: str | None, experiments: Sequence[str], tell: Callable[[int], None]
) -> Exported:
    """Copy the runs of a store to a tracker, and its registered models unless only some experiments are asked for.

    Args:
        system: a name in `TRACKERS`.
        target: the address there; None: of this job or checkout, for a system that has one.
        experiments: names; empty: all.
        tell: is called with numbers of runs and versions that were dealt with.

    Raises UsageError for an experiment that is not there or a target that is none, StoreError where one of the two
    stores cannot be reached.
    """
    tracker = TRACKERS[system]
    server = tracker.open(session, target)
    done = Exported()
    with _understood(server, done):
        source = ExportSource(session)
        runs = RunExport(source, server, tell, done)
        runs.copy_experiments(experiments)
        if not experiments:
            tracker.registry(source, server, runs, tell, done).run()
    return done


def export_runs(
    session: Session,
    system: str,
    target: str | None,
    ids: Sequence[str],
    tell: Callable[[int], None],
    tags: Mapping[str, str] | None = None,
) -> Exported:
    """Copy these runs to a tracker, and nothing else. Raises as `export_all`, and UsageError for an unknown run.

    Args:
        tags: more tags, which the copies get.
    """
    server = TRACKERS[system].open(session, target)
    done = Exported()
    with _understood(server, done):
        export = RunExport(ExportSource(session), server, tell, done)
        for id_ in ids:
            export.copy_run(id_, tags or {})
    return done


@contextmanager
def _understood(server: MlflowServer, done: Exported) -> Iterator[None]:
    """Say what was written before the server went away; an answer of another shape is an error of the server."""
    try:
        yield
    except StoreError as problem:
        if problem.cause is not Cause.NETWORK or not done.new:
            raise
        raise problem.reworded(
            f"{problem.message}; {counted(done.new, 'run')} written before", "export again: it goes on where it stopped"
        ) from None
    except (KeyError, TypeError, ValueError, AttributeError) as problem:
        raise StoreError(
            f"{server.name}: not an answer of an MLflow server: {problem!r:.120}", hint=server.dialect.remedy
        ) from problem
