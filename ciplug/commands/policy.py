"""The policy of ciplug.yaml: check it, say what would pass, print its JSON Schema."""

from __future__ import annotations

import argparse
import json

from ciplug import console
from ciplug.commands import options
from ciplug.policies import read_policies
from ciplug.session import DEFAULT_MODEL, now


def add_arguments(parser: argparse.ArgumentParser) -> None:
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    for name, what in (
        ("check", "read ciplug.yaml and what it extends, and say what is wrong"),
        ("explain", "say in plain words what would pass"),
    ):
        verb = verbs.add_parser(name, help=what, description=what)
        verb.add_argument("--model", metavar="M", help="one model only")
        options.repeat_common(verb)
    what = "print the JSON Schema of ciplug.yaml, for editors"
    options.repeat_common(verbs.add_parser("schema", help=what, description=what))


def run(args: argparse.Namespace) -> int:
    if args.verb == "schema":
        from ciplug.gates.policy import schema

        console.out(json.dumps(schema(), indent=2, ensure_ascii=False))
        return 0
    from ciplug.gates.explain import explain
    from ciplug.gates.policy import read

    policies = read_policies(options.session_of(args))
    config, source = policies.own, policies.own_source
    for name, part in (config.models or {args.model or config.model or DEFAULT_MODEL: config}).items():
        if args.model not in (None, name):
            continue
        policies.need_own(name)
        policy = read(part)
        if args.verb == "check":
            for waiver in policy.waivers:
                if waiver.expires < now().date():
                    console.say(f"the waiver for '{waiver.gate}' has expired on {waiver.expires}: take it out")
            gates = "1 gate" if len(policy.gates) == 1 else f"{len(policy.gates)} gates"
            console.out(f"{source}: {name}: {gates}, digest {policy.digest.removeprefix('sha256:')[:12]}")
        else:
            console.out(f"{name}, by {source}:\n\n{explain(policy)}")
    if args.model and config.models and args.model not in config.models:
        policies.need_own(args.model)
    return 0
