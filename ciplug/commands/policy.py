"""The policy of ciplug.yaml: check it, say what would pass, test it, print its JSON Schema."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from ciplug import console
from ciplug.commands import options
from ciplug.config import FILE, Config
from ciplug.errors import ConfigError
from ciplug.steps.policy_in_force import read_policies
from ciplug.steps.session import DEFAULT_MODEL, Session, now


def add_arguments(parser: argparse.ArgumentParser) -> None:
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    for name, what in (
        ("check", "read ciplug.yaml and what it extends, and say what is wrong"),
        ("explain", "say in plain words what would pass"),
    ):
        verb = verbs.add_parser(name, help=what, description=what)
        verb.add_argument("--model", metavar="M", help="one model only")
        options.repeat_common(verb)
    what = "check that cases in YAML files get the expected verdict"
    test = verbs.add_parser("test", help=what, description=what)
    test.add_argument("files", metavar="FILE", nargs="*", help="files of cases (default: policy_tests of ciplug.yaml)")
    test.add_argument("--model", metavar="M", help="the model of cases that name none")
    options.repeat_common(test)
    what = "print the JSON Schema of ciplug.yaml, for editors"
    options.repeat_common(verbs.add_parser("schema", help=what, description=what))


def run(args: argparse.Namespace) -> int:
    if args.verb == "schema":
        from ciplug.config.schema import schema

        console.out(json.dumps(schema(), indent=2, ensure_ascii=False))
        return 0
    if args.verb == "test":
        return _test(options.session_of(args), [Path(file) for file in args.files], args.model)
    from ciplug.gates.digest import digest_of
    from ciplug.gates.explain import explain

    policies = read_policies(options.session_of(args))
    config, source = policies.own, policies.own_source
    for name, part in (config.models or {args.model or config.model or DEFAULT_MODEL: config}).items():
        if args.model not in (None, name):
            continue
        policies.need_own(name)
        policy = part.policy
        if args.verb == "check":
            for waiver in policy.waivers:
                if waiver.expires < now().date():
                    console.say(f"the waiver for '{waiver.gate}' has expired on {waiver.expires}: take it out")
            gates = "1 gate" if len(policy.gates) == 1 else f"{len(policy.gates)} gates"
            console.out(f"{source}: {name}: {gates}, digest {digest_of(policy).removeprefix('sha256:')[:12]}")
        else:
            console.out(f"{name}, by {source}:\n\n{explain(policy)}")
    if args.model and config.models and args.model not in config.models:
        policies.need_own(args.model)
    return 0


def _test(session: Session, files: list[Path], model: str | None) -> int:
    """Every case of the files; 1 when one of them gets another verdict than is due."""
    from ciplug.gates import cases
    from ciplug.strict_yaml import load

    files = files or _configured(session.config)
    wrong = count = 0
    for file in files:
        try:
            document = load(file.read_text(encoding="utf-8"), str(file), ConfigError)
        except (OSError, UnicodeDecodeError) as problem:
            raise ConfigError(f"{file}: cannot be read: {problem}") from None
        if not isinstance(document.data, list) or not document.data:
            raise ConfigError(f"{file}: a list of cases is expected, like - {{metrics: …, expect: PASS}}")
        for number, data in enumerate(document.data):
            case = cases.read(data, f"{file}:{document.line((number,))}", number + 1)
            found = cases.differences(session.config.of(case.model or model).policy, case)
            console.out(f"{'FAIL' if found else 'ok  '} {case.name}")
            for difference in found:
                console.out(f"     {case.where}: {difference}")
            wrong += bool(found)
            count += 1
    console.say(f"{count - wrong} of {count} cases get the expected verdict")
    return int(wrong > 0)


def _configured(config: Config) -> list[Path]:
    """The files that `policy_tests` names. Raises ConfigError where there are none: that is no pass."""
    patterns = [pattern for section in config.sections() for pattern in section.policy.policy_tests or ()]
    if not patterns:
        raise ConfigError(
            f"{config.path or FILE}: it names no tests of its policy", hint="add policy_tests: tests/policy/*.yaml"
        )
    found = sorted({path for pattern in patterns for path in config.folder.glob(pattern) if path.is_file()})
    if not found:
        raise ConfigError(f"{config.places.where('policy_tests')}: no file is named like {', '.join(patterns)}")
    return found
