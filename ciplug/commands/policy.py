"""The policy of ciplug.yaml: check it, explain what passes, test it, print its JSON Schema."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from ciplug import console
from ciplug.commands import options
from ciplug.config import DEFAULT_MODEL, Config
from ciplug.config.policy import Policy
from ciplug.errors import counted
from ciplug.steps.policy_in_force import read_policies
from ciplug.steps.session import now


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
        from ciplug.config.json_schema import schema

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


def _models(config: Config, model: str | None) -> list[str]:
    """The models of a file, or the one that is asked for."""
    return [model] if model else list(config.models) or [config.model or DEFAULT_MODEL]


def _check(name: str, policy: Policy, source: str) -> None:
    from ciplug.gates.digest import digest_of

    for waiver in policy.waivers:
        if waiver.expires < now().date():
            console.say(f"the waiver for '{waiver.gate}' expired on {waiver.expires}: remove it")
    gates, digest = counted(len(policy.gates), "gate"), digest_of(policy).removeprefix("sha256:")[:12]
    console.out(f"{source}: {name}: {gates}, digest {digest}")


def _explain(name: str, policy: Policy, source: str) -> None:
    from ciplug.gates.explain import explain

    console.out(f"{name}, by {source}:\n\n{explain(policy)}")


def _test(config: Config, files: list[Path], model: str | None) -> int:
    """Judge every case of the files. Returns 1 when one of them gets another verdict than it expects."""
    from ciplug.steps.policy_tests import judge_cases

    passed: list[bool] = []
    for judged in judge_cases(config, files, model):
        console.out(f"{'FAIL' if judged.differences else 'ok  '} {judged.case.name}")
        for words in judged.differences:
            console.out(f"     {judged.case.where}: {words}")
        passed.append(not judged.differences)
    console.say(f"{sum(passed)} of {len(passed)} cases get the expected verdict")
    return int(not all(passed))
