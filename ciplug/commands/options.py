"""Options that several commands share."""

from __future__ import annotations

import argparse
import os
from dataclasses import replace
from pathlib import Path

from ciplug import console
from ciplug.capture.spool import read_bundle
from ciplug.config import parse_size
from ciplug.errors import RecordError, UsageError
from ciplug.git.environment import is_token
from ciplug.records.keys import parse_runs
from ciplug.steps.inputs import Inputs, readings_of
from ciplug.steps.session import Session, open_session


def session_of(args: argparse.Namespace, *, for_recording: bool = False) -> Session:
    """The surroundings of a command, as its options name them; `for_recording` as in `open_session`.

    From here on, no program that this one starts finds its tokens in /proc: git starts what a checkout names.
    """
    if tokens := {value for name, value in os.environ.items() if is_token(name)}:
        from ciplug.capture.token_hiding import hide

        hide(tokens)
    limit = getattr(args, "artifact_limit", None)
    size = None if limit is None else parse_size(limit)
    if limit is not None and size is None:
        raise UsageError(f"--artifact-limit {limit}: a size is expected", hint="write it like '10 MB'")
    return open_session(
        store=args.store,
        config_file=args.config,
        artifact_store=getattr(args, "artifact_store", None),
        artifact_limit=size,
        output_dir=getattr(args, "output_dir", None),
        for_recording=for_recording,
        listener=console,
    )


def add_inputs(parser: argparse.ArgumentParser) -> None:
    """Add the options of what to record. A list given here replaces the same list of ciplug.yaml."""
    parser.add_argument("--model", metavar="M", help="the model that the run is of")
    parser.add_argument("--name", metavar="N", help="a display name for the run")
    parser.add_argument("--seed", metavar="S", type=int, help="the random seed; the command finds it in CIPLUG_SEED")
    parser.add_argument("--tag", metavar="K=V", action="append", default=[], help="a tag; may be repeated")
    for name, what in (
        ("metrics", "a file of metrics: JSON, YAML, TOML, CSV, JSON lines, or a DVCLive folder"),
        ("params", "a file of parameters"),
        ("artifact", "a file or folder that the training wrote, or an address where it put one"),
        ("dataset", "a file or folder that the training read, recorded by its digest"),
    ):
        metavar = "FILE" if name in ("metrics", "params") else "PATH"
        parser.add_argument(f"--{name}", metavar=metavar, action="append", help=f"{what}; may be repeated")
    parser.add_argument(
        "--artifact-store", metavar="URI", help="where artifacts are kept, or 'none' (default: the store of the runs)"
    )
    parser.add_argument(
        "--artifact-limit", metavar="SIZE", help="the largest artifact that goes to git (default: 10 MB)"
    )


def add_allow_unchanged(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--allow-unchanged",
        metavar="PATH",
        action="append",
        default=[],
        help="an output that counts even if the command does not write it: it skips work on purpose; may be repeated",
    )


def add_bundle(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--bundle", metavar="FILE", help="write the run to this file instead of the store, for `ciplug collect`"
    )


def bundle_of(args: argparse.Namespace) -> Path | None:
    """The bundle that was asked for. Raises UsageError for a file that is there and is none, before anything runs."""
    if args.bundle:
        _bundled(args.bundle)
    return Path(args.bundle) if args.bundle else None


def bundle_for_run(args: argparse.Namespace, session: Session) -> Path | None:
    """The bundle that was asked for, to add a run to.

    Raises UsageError, before anything runs, for a file that is there and is none. So does one that holds runs of
    another commit in a fork's job: whoever collects it accepts runs of one commit, and would refuse all of it.
    """
    if not args.bundle:
        return None
    others = {run.commit for run in parse_runs(_bundled(args.bundle)) if run.commit != session.head}
    if others and not session.context.trusted:
        shown = ", ".join(sorted(commit[:8] if commit else "no commit" for commit in others))
        raise UsageError(
            f"--bundle: {args.bundle} holds runs of {shown}, and this run is of {(session.head or '')[:8]}: "
            "a fork's bundle is collected for one commit",
            hint="name a new file, or remove what an earlier job has left",
        )
    return Path(args.bundle)


def _bundled(file: str) -> dict[str, bytes]:
    try:
        return read_bundle(Path(file))
    except (OSError, RecordError) as problem:
        why = problem.message if isinstance(problem, RecordError) else f"{file}: {problem.strerror}"
        raise UsageError(f"--bundle: {why}", hint="name a new file, or a bundle to add to") from None


def add_label(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--label", action="store_true", help="label the pull request with the verdict, like 'ciplug: pass'"
    )


def add_deployment(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--deployment",
        metavar="ENVIRONMENT",
        nargs="?",
        const="",
        help="record a deployment of the version's commit with the forge (default: the stage's name)",
    )


def add_roll_back(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--roll-back",
        action="store_true",
        help="if the smoke test does not pass, restore the previous version, or end the service where there is none",
    )


def add_command(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("command", nargs=argparse.REMAINDER, metavar="-- CMD…", help="the training command")


def command_of(args: argparse.Namespace) -> list[str]:
    """The training command, without the `--` before it."""
    command = list(args.command)
    return command[1:] if command[:1] == ["--"] else command


def inputs_of(args: argparse.Namespace, session: Session) -> Inputs:
    """Return the inputs named by the command line and ciplug.yaml."""
    config = session.config.of(args.model)

    def paths(given: list[str] | None, configured: tuple[str, ...]) -> tuple[Path, ...]:
        if given is not None:
            return tuple(map(Path, given))
        return tuple(Path(os.path.relpath(config.folder / path, session.cwd)) for path in configured)

    from ciplug.capture.artifacts import is_address

    artifacts = config.artifacts if args.artifact is None else args.artifact
    given_paths = None if args.artifact is None else [text for text in artifacts if not is_address(text)]
    return Inputs(
        model=args.model or config.model,
        model_is_asked=args.model is not None,
        name=args.name,
        seed=args.seed,
        seed_key=config.policy.seeds.key if config.policy.seeds else "seed",
        tags=_tags(args.tag),
        metrics=paths(args.metrics, tuple(one.file for one in config.metrics.files)),
        readings={} if args.metrics is not None else readings_of(config, session.cwd),
        params=paths(args.params, config.params),
        artifacts=paths(given_paths, tuple(text for text in config.artifacts if not is_address(text))),
        addresses=tuple(text for text in artifacts if is_address(text)),
        datasets=paths(args.dataset, config.recorded_datasets),
        samples=replace(config.samples, file=paths(None, (config.samples.file,))[0].as_posix())
        if config.samples
        else None,
        allow_unchanged=tuple(getattr(args, "allow_unchanged", ())),
    )


def _tags(given: list[str]) -> dict[str, str]:
    tags: dict[str, str] = {}
    for text in given:
        key, equals, value = text.partition("=")
        if not equals or not key.strip():
            raise UsageError(f"--tag {text}: write it as key=value")
        tags[key.strip()] = value
    return tags


def version_number(text: str) -> int:
    """The number of a version, as `3` or `v3`."""
    digits = text.removeprefix("v")
    if not (digits.isascii() and digits.isdigit() and len(digits) < 10):
        raise argparse.ArgumentTypeError(f"'{text}' is not the number of a version, like 3 or v3")
    return int(digits)


def repeat_common(parser: argparse.ArgumentParser) -> None:
    """Let the options that hold everywhere stand after a second verb too: `ciplug runs list --store URI`."""
    for name in ("--store", "--config"):
        parser.add_argument(name, default=argparse.SUPPRESS, help=argparse.SUPPRESS)
    for name in ("--quiet", "--verbose"):
        parser.add_argument(name, action="store_true", default=argparse.SUPPRESS, help=argparse.SUPPRESS)
