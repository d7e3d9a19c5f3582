"""Serve an MLflow model by MLflow's own server, and log its predictions for `ciplug monitor`."""

from __future__ import annotations

import argparse
import os
import sys
from importlib.util import find_spec
from pathlib import Path

from ciplug import console
from ciplug.errors import InputError, UsageError

_MODEL = "__pyfunc_model_path__"
"""The variable in which MLflow's server looks for the folder of the model."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "model", metavar="FOLDER", help="the folder of an MLflow model, such as `ciplug pull` writes it"
    )
    parser.add_argument("--log", metavar="FILE", required=True, help="p.jsonl is the pattern of p-2026-11-30.jsonl")
    parser.add_argument(
        "--model-version", metavar="N", required=True, help="the version in the registry, written to each line"
    )
    parser.add_argument("--host", default="127.0.0.1", help="the address to listen on")
    parser.add_argument("--port", type=int, default=5000, help="the port to listen on")
    parser.add_argument("--workers", type=int, default=1, help="the number of processes")


def run(args: argparse.Namespace) -> int:
    from ciplug.serve_log import FILE, VERSION

    folder = Path(args.model)
    models = [folder] if (folder / "MLmodel").is_file() else sorted(one.parent for one in folder.rglob("MLmodel"))
    if len(models) != 1:
        raise InputError(
            f"{folder} has {len(models) or 'no'} MLflow model{'s' if len(models) > 1 else ''}",
            hint="name the folder with the file MLmodel; for another server, see docs/monitor.md on the middleware",
        )
    missing = [name for name in ("mlflow", "uvicorn", "fastapi") if find_spec(name) is None]
    if missing:
        raise UsageError(f"serving needs {' and '.join(missing)}", hint="pip install mlflow")
    env = {
        **os.environ,
        _MODEL: str(models[0].absolute()),
        FILE: str(Path(args.log).absolute()),
        VERSION: args.model_version,
    }
    words = [sys.executable, "-m", "uvicorn", "--factory", "ciplug.serve_log:mlflow_server"]
    words += ["--host", args.host, "--port", str(args.port), "--workers", str(args.workers)]
    console.say(f"predictions are logged to {args.log}")
    # The server takes the place of this process, so that signals reach it.
    os.execve(sys.executable, words, env)  # noqa: S606 (no shell)
