"""Verify a model version: its bytes, run, commit, verdict, policy and approvals, without the network."""

from __future__ import annotations

import argparse
from pathlib import Path

from ciplug import console
from ciplug.commands import options
from ciplug.errors import UsageError, listed
from ciplug.records.canonical import dumps
from ciplug.registry.evidence_chain import Chain, Finding
from ciplug.registry.evidence_chain_text import remedy, words
from ciplug.registry.resolve import parse_version_name
from ciplug.reports.untrusted import clean
from ciplug.steps.evidence.chain_notes import notes_on
from ciplug.steps.evidence.verify import Request, verify
from ciplug.steps.tag_check import restore_tags
from ciplug.steps.trust import need_trusted

_MARKS = {"sound": "ok", "broken": "BROKEN", "note": "note", "unknown": "?", "left out": "-"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "version",
        metavar="VERSION",
        help="MODEL, which is the version in its highest stage, MODEL@STAGE, MODEL@vN, or models:/MODEL/VERSION",
    )
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--files", metavar="DIR", help="the folder with the files to verify (default: the store)")
    which.add_argument("--no-files", action="store_true", help="verify everything but the files")
    parser.add_argument(
        "--model-signature", metavar="FILE", help="a signature of OpenSSF model signing over the files in --files"
    )
    parser.add_argument("--public-key", metavar="FILE", help="the key that made --model-signature, in PEM")
    parser.add_argument(
        "--extra-files",
        action="store_true",
        help="accept files in --files that are not the version's, and that --model-signature does not cover",
    )
    parser.add_argument(
        "--attestations", metavar="DIR", help="the folder of 'ciplug attest': its statements are verified, too"
    )
    parser.add_argument(
        "--fetch",
        action="store_true",
        help="read the store, even if what this clone has fetched before is enough",
    )
    parser.add_argument(
        "--restore-tags", action="store_true", help="first make the tags of the model that are missing or elsewhere"
    )
    parser.add_argument("--json", action="store_true", help="as JSON on stdout")


def run(args: argparse.Namespace) -> int:
    folder = Path(args.files) if args.files else None
    if folder and not folder.is_dir():
        raise UsageError(f"--files {args.files}: it is not a folder", hint="name the one that 'ciplug pull' wrote to")
    if bool(args.model_signature) != bool(args.public_key) or (args.model_signature and folder is None):
        raise UsageError("--model-signature, --public-key and --files belong together", hint="name all three")
    for option, name in (("--model-signature", args.model_signature), ("--public-key", args.public_key)):
        if name and not Path(name).is_file():
            raise UsageError(f"{option} {name}: there is no such file", hint="the path is taken from this folder")
    session = options.session_of(args)
    if args.restore_tags:
        need_trusted(session, hint="restore tags in the pipeline of a trusted branch")
        parsed = parse_version_name(args.version)
        names = restore_tags(session, parsed.model if parsed else args.version)
        console.say(f"tags restored: {clean(listed(names), 300) or 'none was missing'}")
        session = session.refreshed()
    fetch = args.fetch or args.restore_tags
    request = Request(
        args.version,
        folder,
        not args.no_files,
        Path(args.model_signature) if args.model_signature else None,
        Path(args.public_key) if args.public_key else None,
        args.extra_files,
        Path(args.attestations) if args.attestations else None,
        fetch,
    )
    chain = verify(session, request)
    if args.json:
        console.out(dumps(chain.to_json()))
    else:
        for finding in chain.findings:
            console.out(_line(finding))
    _conclude(chain)
    return chain.exit_code


def _line(finding: Finding) -> str:
    return f"{_MARKS[finding.state]:<7} {finding.link.value:<10} {clean(words(finding), 300)}"


def _conclude(chain: Chain) -> None:
    version = f"{clean(chain.model, 120)} version {chain.version}"
    console.tell(notes_on(chain))
    broken = chain.broken
    if broken:
        advice = remedy(broken)
        console.complain(f"{version}: the chain is broken at its {broken.link.value}", advice and clean(advice, 300))
    else:
        console.say(f"{version} ({chain.stage}): the chain is whole")
