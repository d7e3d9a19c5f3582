"""Check the programs in use: Python, git, and the libraries that this configuration needs."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator

from ciplug._version import __version__
from ciplug.config.policy import Policy
from ciplug.git.run import OLDEST, git_version
from ciplug.health.base import Examined, failure, skipped, warning
from ciplug.steps.session import NO_ARTIFACTS, Session

OLDEST_PYTHON = (3, 10)


def python() -> str:
    shown = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info < OLDEST_PYTHON:
        raise failure(f"Python {shown} is too old", "run ciplug on Python 3.10 or newer")
    return f"ciplug {__version__} on Python {shown}, {sys.platform}"


def git() -> str:
    version = git_version()
    oldest = ".".join(map(str, OLDEST))
    if not version:
        raise warning("git prints its version in an unknown format", f"install git {oldest} or newer")
    shown = ".".join(map(str, version))
    if version < OLDEST:
        raise failure(f"git {shown} is too old", f"install git {oldest} or newer")
    return f"git {shown}"


def libraries(session: Session, before: Examined) -> str:
    if before["configuration"].state == "failure":
        raise skipped("ciplug.yaml cannot be read")
    needed = dict(_needed(session))
    missing = {f"ciplug[{extra}]": what for (extra, module), what in needed.items() if not _is_installed(module)}
    if missing:
        words = " ".join(f"'{extra}'" for extra in missing)
        raise failure("not installed, but needed by " + ", ".join(missing.values()), f"pip install {words}")
    return f"installed: {', '.join(module for _, module in needed)}" if needed else "no optional library is needed"


def _is_installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        # Its parent package is not installed.
        return False


def _needed(session: Session) -> Iterator[tuple[tuple[str, str], str]]:
    """((extra, module), what needs it)."""
    extras = {"s3": "s3", "az": "azure", "gs": "gcs", "file": "objects"}
    for uri in (session.store_uri, session.artifact_store or NO_ARTIFACTS):
        scheme, address, _ = uri.partition("://")
        if address and scheme in extras:
            yield (extras[scheme], "google.cloud.storage" if scheme == "gs" else "obstore"), f"{scheme}://"
    if session.store_uri.partition("://")[0] in extras:
        yield ("objects", "pyarrow"), "the segments of an object store"
    if session.store_uri.startswith("s3:") and session.env.get("AWS_PROFILE"):
        yield ("s3", "boto3"), "AWS profiles"
    for section in session.config.sections():
        yield from _of_model(section.policy)


def _of_model(policy: Policy) -> Iterator[tuple[tuple[str, str], str]]:
    if policy.samples:
        yield ("stats", "numpy"), "tests example by example"
    files = [policy.samples and policy.samples.file]
    files += [file for gate in policy.gates.values() for file in (gate.reference, gate.current)]
    if any(file and file.endswith(".parquet") for file in files):
        yield ("parquet", "pyarrow"), "Parquet files"
