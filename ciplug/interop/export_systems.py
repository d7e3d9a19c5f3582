"""The systems that `ciplug export` writes to, and how each is opened."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from ciplug.errors import Cause, StoreError, UsageError, counted
from ciplug.git.credentials import redact
from ciplug.interop import mlflow_targets
from ciplug.interop.export_writer import writer_of
from ciplug.interop.gitlab_export_registry import GitlabRegistryExport
from ciplug.interop.mlflow_export import Exported, RunExport
from ciplug.interop.mlflow_export_registry import RegistryExport
from ciplug.interop.mlflow_server import MlflowServer
from ciplug.interop.mlflow_source import ExportSource
from ciplug.steps.promotion.masked import masking
from ciplug.steps.session import Session

_BUCKET = re.compile(r"(?:s3|gs)://[^/?#@\s]+(?:/[^?#\s]*)?")


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
    has_bucket: bool = False
    """Whether it may keep its files in a bucket, to which the user's own credential leads."""


SYSTEMS: Mapping[str, System] = {
    "mlflow": System("MLflow", "a server of MLflow 2 or 3", "the address of the server", has_bucket=True),
    "gitlab": System(
        "GitLab's model experiments",
        "GitLab's model experiments and model registry",
        "the web address of the project (default: that of this job or checkout)",
        of_checkout=True,
    ),
    "azureml": System("Azure ML", "a workspace of Azure Machine Learning", "its tracking URI, azureml://…"),
    "sagemaker": System(
        "SageMaker",
        "managed MLflow on Amazon SageMaker",
        "the ARN of the tracking server or the MLflow app",
        has_bucket=True,
    ),
    "huggingface": System("Hugging Face", "a model card with the metrics of a version", "the folder of its README.md"),
    "csv": System("CSV", "the runs as a table of text", "the file"),
    "parquet": System("Parquet", "the runs as a table with types", "the file"),
}


class Request(NamedTuple):
    """What is exported where."""

    system: str
    """A name in `TRACKERS`."""
    target: str | None = None
    """The address there; None: of this job or checkout, for a system that has one."""
    artifacts: str | None = None
    """The address of the bucket in which the server keeps files, and to which files may be written."""
    seconds: float = math.inf
    """The time in which requests may begin."""


def export_all(session: Session, request: Request, experiments: Sequence[str], tell: Callable[[int], None]) -> Exported:
    """Copy the runs of a store to a tracker, and its registered models unless only some experiments are asked for.

    Args:
        experiments: names; empty: all.
        tell: is called with numbers of runs and versions that were dealt with.

    Raises UsageError for an experiment that is not there or a target that is none, StoreError where one of the two
    stores cannot be reached.
    """
    server = _open(session, request)
    done = Exported()
    with writer_of(session) as writer, _understood(session, server, done):
        source = ExportSource(session)
        runs = RunExport(source, server, tell, done, writer)
        runs.copy_experiments(experiments)
        if not experiments:
            TRACKERS[request.system].registry(source, server, runs, tell, done).run()
    return done


def export_runs(
    session: Session,
    request: Request,
    ids: Sequence[str],
    tell: Callable[[int], None],
    tags: Mapping[str, str] | None = None,
) -> Exported:
    """Copy these runs to a tracker, and nothing else. Raises as `export_all`, and UsageError for an unknown run.

    Args:
        tags: more tags, by which the server is told what to do.
    """
    server = _open(session, request)
    done = Exported()
    with writer_of(session) as writer, _understood(session, server, done):
        export = RunExport(ExportSource(session), server, tell, done, writer)
        for id_ in ids:
            export.copy_run(id_, tags or {})
    return done


def _open(session: Session, request: Request) -> MlflowServer:
    server = TRACKERS[request.system].open(session, request.target)
    server.until = time.monotonic() + request.seconds
    if request.artifacts is not None:
        if not _BUCKET.fullmatch(request.artifacts):
            raise UsageError(
                f"--artifacts {redact(request.artifacts)}: not the address of a bucket", hint="like s3://bucket/folder"
            )
        server.artifacts = request.artifacts.rstrip("/")
    return server


@contextmanager
def _understood(session: Session, server: MlflowServer, done: Exported) -> Iterator[None]:
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
        # Its words may be those of a header that cannot be sent.
        words = f"{type(problem).__name__}: {masking(session)(str(problem))}"
        raise StoreError(
            f"{server.name}: not an answer of an MLflow server: {words:.120}", hint=server.dialect.remedy
        ) from problem
