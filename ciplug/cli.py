"""The command line: imports only the module of the command that is called, and turns errors into exit codes.

docs/index.md lists the exit codes.
"""

from __future__ import annotations

import atexit
import gc
import keyword
import sys
from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module

from ciplug import console
from ciplug._version import __version__
from ciplug.errors import CiplugError, Interrupted, closest, nearest

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from typing import Any

COMMANDS = {
    "init": "write ciplug.yaml and the pipeline file for this project",
    "ci": "everything in a pipeline: run, record, compare, gate, report",
    "run": "run a training command and record it",
    "record": "record what a training has written to files",
    "collect": "record the runs that other jobs hand over in bundles",
    "runs": "list, show, compare and amend recorded runs",
    "leaderboard": "the best runs by a metric",
    "history": "a metric over the commits of a branch, and the commits that moved it",
    "blame": "which commit moved a metric, and how sure that is",
    "bisect": "find the commit that moved a metric by training those between",
    "compare": "compare the run of a commit with its baseline",
    "report": "write or post the report of a commit",
    "site": "write runs, histories and the registry as a site of static pages",
    "gate": "judge a run by the gates of ciplug.yaml",
    "gates": "audit the gates by the runs of the past",
    "policy": "check and explain the gates of ciplug.yaml, and test them",
    "promote": "move a model version to a stage, if its verdict allows it",
    "demote": "take a model version out of its stage",
    "rollback": "bring back the version that held a stage before",
    "deploy": "verify a promoted version, and deploy it to a target",
    "smoke-test": "compare the answers of a served version with its recorded predictions",
    "undeploy": "end what a target serves",
    "deployments": "what was deployed where, and what the targets serve",
    "monitor": "watch a version in production by the same gates: drift, late labels, failures in a row",
    "serve-log": "serve an MLflow model, and log its predictions for `ciplug monitor`",
    "registry": "models, versions, stages, aliases, tags, and their verified history",
    "pull": "fetch and verify the artifacts of a run",
    "verify": "verify a version: bytes, run, commit, verdict, policy, approvals",
    "attest": "write the provenance, verdict, bill of materials and card of a version",
    "compact": "fold pending writes of the store, and delete what retention does not keep",
    "fsck": "check the store, and repair what can be repaired without losing data",
    "doctor": "check whether ciplug can work here, and print the line that fixes each problem",
    "ui": "show the runs and the registry in MLflow's web pages, or in those of `ciplug site`",
    "import": "copy the runs of MLflow, DVC and other systems into this store",
    "export": "copy the runs of this store to MLflow, GitLab and other systems, or to a table",
    "demo": "try every step on real data, in a scratch repository",
}
"""Command → one line of help. Each is the module `ciplug.commands.<name>`, and `import_` that of `import`."""


BUILT_IN = {
    "log": "the same as `ciplug runs list`",
    "help": "show the options of a command: `ciplug help runs list`",
    "completion": "print the script that completes commands and options in your shell",
}
"""What is not a module of its own → one line of help."""
_SHORT_FOR = {"log": ("runs", "list")}
_RUNS_VERBS = ("list", "show", "diff", "sweep", "tag", "rename", "withdraw", "delete", "restore")
_MEANT = {
    **{verb: f"runs {verb}" for verb in _RUNS_VERBS},
    **{"ls": "runs list", "status": "runs list", "best": "leaderboard", "audit": "gates audit"},
    "models": "registry list",
}
"""Words that other tools have for a command → what it is here."""
SHELLS = ("bash", "zsh", "tcsh", "fish")


def module_of(command: str) -> str:
    """The name of the module of a command: a word of the language gets a `_`, and so does what a `-` joins."""
    return f"{command.replace('-', '_')}{'_' if keyword.iskeyword(command) else ''}"


def program(argv: Sequence[str]) -> int:
    """Run one command as all that this process does, and return its exit code."""
    # What a command imports and reads lives until it ends. Looking through it for garbage again and again, and taking
    # it apart at the end, took a third of the time.
    gc.set_threshold(200_000, 10, 10)
    atexit.register(gc.freeze)
    return main(argv)


def main(argv: Sequence[str]) -> int:
    """Run one command and return the exit code. Nothing is raised but SystemExit by argparse."""
    try:
        return _run(list(argv))
    except CiplugError as error:
        console.complain(error.message, error.hint)
        return error.exit_code
    except KeyboardInterrupt as stopped:
        how = stopped if isinstance(stopped, Interrupted) else Interrupted(None)
        console.complain("interrupted", how.hint)
        return how.exit_code
    except BrokenPipeError:
        # The reader of our output went away: `ciplug runs list | head`.
        sys.stderr.close()
        return 141
    except OSError as error:
        if "--verbose" in argv:
            import traceback

            traceback.print_exc()
        where = f"{error.filename}: " if error.filename else ""
        console.complain(f"{where}{error.strerror or error}", "is the disk full, or the folder read-only?")
        return 3
    except Exception:
        import traceback

        traceback.print_exc()
        console.complain(
            f"this is a bug in ciplug {__version__} (Python {sys.version.split()[0]}, {sys.platform})",
            "please report it with the lines above; runs that were logged are kept in the spool",
        )
        return 3


def _run(argv: list[str]) -> int:
    if argv in (["--version"], ["-V"]):
        console.out(f"ciplug {__version__}")
        return 0
    if argv[:1] == ["help"] and len(argv) > 1:
        argv = [*argv[1:], "--help"]
    name = next((word for word in argv if not word.startswith("-")), None)
    if name is None or argv[0] in ("-h", "--help", "help"):
        console.out(_overview())
        return 0 if argv and argv[0] in ("-h", "--help", "help") else 2
    if argv[0] != name:
        console.complain(f"'{argv[0]}' must come after the command", f"write: ciplug {name} {argv[0]} …")
        return 2
    if name in _SHORT_FOR:
        name, *rest = _SHORT_FOR[name]
        argv = [name, *rest, *argv[1:]]
    if name == "completion":
        return _completion(argv[1:])
    if name not in COMMANDS:
        words = _MEANT.get(name) or _MEANT.get(closest(name, [*COMMANDS, *BUILT_IN, *_MEANT]) or "")
        hint = f"did you mean 'ciplug {words}'?" if words else nearest(name, [*COMMANDS, *BUILT_IN])
        console.complain(f"unknown command '{name}'", hint)
        return 2
    command = import_module(f"ciplug.commands.{module_of(name)}")
    made = parser(name)
    own, trailing = argv[1:], []
    if getattr(command, "COMMAND_AFTER_DASHES", False) and "--" in own:
        # argparse would take options after a positional argument for words of the command.
        own, trailing = own[: own.index("--")], own[own.index("--") + 1 :]
    arguments, unknown = made.parse_known_args(own)
    if unknown:
        _verb(made, own).print_usage(sys.stderr)
        options = [word.partition("=")[0] for word in unknown if word.startswith("-")]
        known = sorted(set(_options(made)))
        # What another verb of the command has is spelled right.
        meant = closest(options[0], known) if options and options[0] not in known else None
        hint = f"did you mean '{meant}'?" if meant else f"see: ciplug {name} --help"
        if not options and "--run" in known:
            hint = f"to name a run: ciplug {name} --run {unknown[0]}"
        console.complain(f"unrecognized arguments: {' '.join(unknown)}", hint)
        return 2
    arguments.trailing = trailing
    console.set_level(quiet=arguments.quiet, verbose=arguments.verbose)
    return int(command.run(arguments))


def parser(name: str) -> argparse.ArgumentParser:
    """The argument parser of one command."""
    made = _parser_class()(prog=f"ciplug {name}", allow_abbrev=False)
    _fill(made, name)
    return made


def _parser_class() -> type[argparse.ArgumentParser]:
    import argparse

    class Parser(argparse.ArgumentParser):
        """It names wrong arguments in a way that starts no command of a CI host, and what was probably meant."""

        def _print_message(self, message: str, file: Any = None) -> None:
            super()._print_message(console.safe(message or ""), file)

        def _check_value(self, action: argparse.Action, value: Any) -> None:
            if action.choices is not None and value not in action.choices:
                hint = nearest(str(value), list(map(str, action.choices)))
                raise argparse.ArgumentError(action, f"invalid choice: {value!r}; {hint}")

    return Parser


def _fill(parser: argparse.ArgumentParser, name: str) -> None:
    """Add the arguments of a command."""
    command = import_module(f"ciplug.commands.{module_of(name)}")
    parser.description = (command.__doc__ or "").strip().partition("\n")[0]
    command.add_arguments(parser)
    common = parser.add_argument_group("everywhere")
    common.add_argument("--store", metavar="URI", help="where runs are kept (default: git:, this repository's origin)")
    common.add_argument("--config", metavar="FILE", help="configuration (default: the nearest ciplug.yaml)")
    volume = common.add_mutually_exclusive_group()
    volume.add_argument("--quiet", action="store_true", help="print only results and errors")
    volume.add_argument("--verbose", action="store_true", help="print more")


def _completion(words: list[str]) -> int:
    """Print the completion script of a shell, which knows all commands and options, and starts no ciplug."""
    shell = words[0] if words else ""
    if shell in ("-h", "--help"):
        console.out(f"usage: ciplug completion {'|'.join(SHELLS)}\n\n{BUILT_IN['completion']}")
        return 0
    if shell not in SHELLS or words[1:]:
        hint = f"ciplug completion {'|'.join(SHELLS)}"
        console.complain(f"unknown shell '{shell}'" if shell else "name your shell", hint)
        return 2
    try:
        import shtab
    except ImportError:
        console.complain("the script is made by shtab, which is not installed", "pip install 'ciplug[completion]'")
        return 2
    root = _parser_class()(prog="ciplug", allow_abbrev=False)
    root.add_argument("--version", action="store_true", help="print the version")
    verbs = root.add_subparsers(dest="command", metavar="COMMAND")
    for name, what in COMMANDS.items():
        _fill(verbs.add_parser(name, help=what, allow_abbrev=False), name)
    for name, what in BUILT_IN.items():
        if name in _SHORT_FOR:
            command, *rest = _SHORT_FOR[name]
            of = _verb(parser(command), rest)
            verbs.add_parser(name, help=what, allow_abbrev=False, parents=[of], add_help=False)
            continue
        short = verbs.add_parser(name, help=what, allow_abbrev=False)
        if name == "completion":
            short.add_argument("shell", choices=SHELLS)
        elif name == "help":
            topics = short.add_subparsers(dest="topic")
            for topic, its in COMMANDS.items():
                _add_verbs(topics.add_parser(topic, help=its, allow_abbrev=False), parser(topic))
    console.out(shtab.complete(root, shell=shell).encode())
    return 0


def _add_verbs(topic: argparse.ArgumentParser, of: argparse.ArgumentParser) -> None:
    """Add the verbs of a command as words behind `help COMMAND`."""
    for action in of._actions:
        if isinstance(action.choices, Mapping):
            verbs = topic.add_subparsers()
            for verb in action.choices:
                verbs.add_parser(verb, help=verb, allow_abbrev=False)


def _verb(parser: argparse.ArgumentParser, words: Sequence[str]) -> argparse.ArgumentParser:
    """The parser of the verb that is among the words of a command; else that of the command."""
    for action in parser._actions:
        if isinstance(action.choices, Mapping):
            for word in words:
                if isinstance(verb := action.choices.get(word), type(parser)):
                    return verb
    return parser


def _options(parser: argparse.ArgumentParser) -> Iterator[str]:
    """Yield the options of a command, and of its verbs."""
    for action in parser._actions:
        yield from action.option_strings
        if isinstance(action.choices, Mapping):
            for verb in action.choices.values():
                yield from _options(verb)


def _overview() -> str:
    width = max(map(len, COMMANDS))
    lines = [f"  {name:<{width}}  {what}" for name, what in [*COMMANDS.items(), *BUILT_IN.items()]]
    return "\n".join(
        [
            "usage: ciplug COMMAND [options]   (more: ciplug COMMAND --help)",
            "",
            "Records, compares, gates and promotes machine-learning runs in CI, with git as the backend.",
            "",
            *lines,
            "",
            "  --version    print the version",
        ]
    )
