"""Show the runs and the registry in MLflow's web pages, on this machine alone."""

from __future__ import annotations

import argparse
import importlib.util
import os
import sys
from urllib.parse import quote

from ciplug import console
from ciplug.commands import options
from ciplug.errors import UsageError

_SETTINGS = {
    # Without it the server starts processes for jobs, which need SQL.
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_AI_GATEWAY": "false",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = "What other machines push is shown after at most 10 seconds, what runs on this machine at once."
    parser.add_argument("--host", default="127.0.0.1", help="the address to listen on; default: this machine alone")
    parser.add_argument("--port", type=int, default=5000, help="default: 5000")


def run(args: argparse.Namespace) -> int:
    session = options.session_of(args, for_recording=True)
    if importlib.util.find_spec("mlflow") is None or importlib.util.find_spec("flask") is None:
        raise UsageError("MLflow and its server are not installed here", hint="pip install 'ciplug[mlflow]'")
    store = f"?store={quote(args.store, safe='')}" if args.store else ""
    command = [
        *(sys.executable, "-m", "mlflow", "server", "--backend-store-uri", f"ciplug:{store}"),
        *("--artifacts-destination", "ciplug-artifacts:/", "--host", args.host, "--port", str(args.port)),
        *("--workers", "1"),
    ]
    page = f"http://{args.host}:{args.port}/#/experiments"
    console.say(f"{session.store_name}: {page}")
    console.say("an experiment: …/#/experiments/ID/runs?workflowType=machine_learning; stop it by Ctrl+C")
    sys.stderr.flush()
    os.execve(sys.executable, command, {**_SETTINGS, **os.environ})  # noqa: S606
