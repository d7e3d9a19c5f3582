"""The policy of ciplug.yaml: check it, explain what passes, test it, print its JSON Schema."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from ciplug import console
from ciplug.commands import options
from ciplug.config import FILE, Config
from ciplug.config.policy import Policy
from ciplug.errors import ConfigError
from ciplug.steps.policy_in_force import read_policies
from ciplug.steps.session import DEFAULT_MODEL, now

if TYPE_CHECKING:
    from ciplug.gates.cases import Case


def add_arguments(parser: argparse.ArgumentParser) -> None:
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    for name, what in (
        ("check", "read ciplug.yaml and what it extends, and list every mistake"),
        ("explain", "explain in plain words what passes"),
    ):
        verb = verbs.add_parser(name, help=what, description=what)
        verb.add_argument("--model", metavar="M", help="one model only")
        options.repeat_common(verb)
    what = "check that cases in YAML files get the expected verdict"
    test = verbs.add_parser("test", help=what, description=what)
    test.add_argument("files", metavar="FILE", nargs="*", help="files of cases (default: policy_tests of ciplug.yaml)")
    test.add_argument("--model", metavar="M", help="the model of cases that do not name one")
    options.repeat_common(test)
    what = "print the JSON Schema of ciplug.yaml, for editors"
    options.repeat_common(verbs.add_parser("schema", help=what, description=what))


def run(args: argparse.Namespace) -> int:
    if args.verb == "schema":
        from ciplug.config.schema import schema

        console.out(json.dumps(schema(), indent=2, ensure_ascii=False))
        return 0
    session = options.session_of(args)
    if args.verb == "test":
        return _test(session.config, [Path(file) for file in args.files], args.model)
    policies = read_policies(session)
    for name in _models(policies.own, args.model):
        policies.need_own(name)
        section = policies.own.section_of(name)
        if section is not None:
            show = _check if args.verb == "check" else _explain
            show(name, section.policy, str(policies.own_source))
    return 0


def _models(config: Config, asked: str | None) -> list[str]:
    """The models of a file, or the one that is asked for."""
    return [asked] if asked else list(config.models) or [config.model or DEFAULT_MODEL]


def _check(name: str, policy: Policy, source: str) -> None:
    from ciplug.gates.digest import digest_of

    for waiver in policy.waivers:
        if waiver.expires < now().date():
            console.say(f"the waiver for '{waiver.gate}' expired on {waiver.expires}: remove it")
    gates = "1 gate" if len(policy.gates) == 1 else f"{len(policy.gates)} gates"
    console.out(f"{source}: {name}: {gates}, digest {digest_of(policy).removeprefix('sha256:')[:12]}")


def _explain(name: str, policy: Policy, source: str) -> None:
    from ciplug.gates.explain import explain

    console.out(f"{name}, by {source}:\n\n{explain(policy)}")


def _test(config: Config, files: list[Path], model: str | None) -> int:
    """Judge every case of the files. Returns 1 when one of them gets another verdict than it expects."""
    from ciplug.gates.cases import differences

    wrong = count = 0
    for case in _cases(files or _configured(config)):
        wrongs = differences(config.of(case.model or model).policy, case)
        console.out(f"{'FAIL' if wrongs else 'ok  '} {case.name}")
        for words in wrongs:
            console.out(f"     {case.where}: {words}")
        wrong += bool(wrongs)
        count += 1
    console.say(f"{count - wrong} of {count} cases get the expected verdict")
    return int(wrong > 0)


def _cases(files: list[Path]) -> Iterator[Case]:
    """The cases of the files. Raises ConfigError naming file, line and key."""
    from ciplug.gates import cases
    from ciplug.strict_yaml import load

    for file in files:
        try:
            document = load(file.read_text(encoding="utf-8"), str(file), ConfigError)
        except (OSError, UnicodeDecodeError) as problem:
            raise ConfigError(f"{file}: cannot be read: {problem}") from None
        if not isinstance(document.data, list) or not document.data:
            raise ConfigError(f"{file}: a list of cases is expected, like - {{metrics: …, expect: PASS}}")
        for number, data in enumerate(document.data):
            yield cases.read(data, f"{file}:{document.line((number,))}", number + 1)


def _configured(config: Config) -> list[Path]:
    """The files that `policy_tests` names. Raises ConfigError where there are none: that is no pass."""
    patterns = [pattern for section in config.sections() for pattern in section.policy.policy_tests or ()]
    if not patterns:
        raise ConfigError(
            f"{config.path or FILE}: no tests of the policy are configured",
            hint="add policy_tests: tests/policy/*.yaml",
        )
    where = config.places.where("policy_tests")
    try:
        files = {path for pattern in patterns for path in config.folder.glob(pattern) if path.is_file()}
    except (NotImplementedError, ValueError) as problem:  # An absolute path, or `**` within a name.
        raise ConfigError(f"{where}: policy_tests: {problem}", hint="like tests/policy/*.yaml") from None
    if not files:
        raise ConfigError(f"{where}: no file matches {', '.join(patterns)}")
    return sorted(files)
