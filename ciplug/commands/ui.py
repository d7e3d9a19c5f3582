"""Show the runs and the registry in web pages, on this machine alone: MLflow's, or those of `ciplug site`."""

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
    parser.add_argument("--port", type=_port, default=5000, help="default: 5000")
    parser.add_argument("--static", action="store_true", help="the pages of `ciplug site`, which need no MLflow")


def run(args: argparse.Namespace) -> int:
    if args.static:
        return _static(args)
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
    console.say("an experiment: …/#/experiments/ID/runs?workflowType=machine_learning; stop it with Ctrl+C")
    sys.stderr.flush()
    os.execve(sys.executable, command, {**_SETTINGS, **os.environ})  # noqa: S606


def _static(args: argparse.Namespace) -> int:
    from ciplug.commands.output import tell_problems
    from ciplug.steps.all_runs import all_runs
    from ciplug.steps.site.build import build_site
    from ciplug.steps.site.serve import serve, site_folder

    session = options.session_of(args)
    runs = all_runs(session)
    built = build_site(session, runs, site_folder(session))
    tell_problems(runs)
    with serve(built.folder, args.host, args.port) as server:
        console.say(f"{session.store_name}: {server.address}")
        console.say("it shows the store as it is now; stop it with Ctrl+C")
        server.run()
    return 0


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port, from 1 to 65535 (0: any free one)")
    return int(text)
