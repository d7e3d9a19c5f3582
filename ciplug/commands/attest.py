"""Write what is known of a model version in the formats of other tools: in-toto, SLSA, CycloneDX, Hugging Face."""

from __future__ import annotations

import argparse
from pathlib import Path

from ciplug import ci, console
from ciplug.attestation.documents import BOM, CARD, PROVENANCE, SUBJECTS, VERDICT
from ciplug.attestation.model_card import TASK
from ciplug.commands import options
from ciplug.commands.output import write_file
from ciplug.errors import UsageError
from ciplug.steps.evidence.attest import Attestation, attest
from ciplug.steps.evidence.document_signatures import signed_documents
from ciplug.steps.evidence.model_signature import SIGNATURE, sign_files
from ciplug.steps.placing import make_folder

_KINDS = {"provenance": PROVENANCE, "verdict": VERDICT, "bom": BOM, "card": CARD, "subjects": SUBJECTS}
_OUTPUTS = {
    "provenance": PROVENANCE,
    "verdict-statement": VERDICT,
    "bom": BOM,
    "model-card": CARD,
    "subjects": SUBJECTS,
}
"""Output of the job → the file that it names."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "version",
        metavar="VERSION",
        help="MODEL, which is the version in its highest stage, MODEL@STAGE, MODEL@vN, or models:/MODEL/VERSION",
    )
    parser.add_argument("--output", metavar="DIR", required=True, help="the folder to write into")
    parser.add_argument(
        "--kind",
        metavar="KIND",
        choices=tuple(_KINDS),
        action="append",
        help=f"only this one of {', '.join(_KINDS)}; may be repeated",
    )
    parser.add_argument(
        "--sign-files",
        metavar="DIR",
        help=f"sign the files of the version, which are in this folder, as {SIGNATURE} of OpenSSF model signing",
    )
    parser.add_argument(
        "--task", metavar="TYPE", default=TASK, help=f"the task in the model card, such as text-classification ({TASK})"
    )


def run(args: argparse.Namespace) -> int:
    session = options.session_of(args)
    folder = Path(args.output)
    made = attest(session, args.version, task=args.task)
    documents = dict(made.documents)
    if args.kind:
        wanted = {_KINDS[kind] for kind in args.kind}
        documents = {name: data for name, data in documents.items() if name in wanted}
        if lacking := sorted(wanted - documents.keys()):
            raise UsageError(f"version {made.facts.version} has no {lacking[0]}: it was never promoted")
    documents = signed_documents(documents, session.env)
    make_folder(folder, "--output")
    if args.sign_files:
        sign_files(Path(args.sign_files), made.facts.files, folder / SIGNATURE, session.env)
        console.out(str(folder / SIGNATURE))
    for name, data in documents.items():
        write_file(folder / name, data)
        console.out(str(folder / name))
    outputs = {output: str(folder / name) for output, name in _OUTPUTS.items() if name in documents}
    ci.host_module(session.context.host).write_outputs(session.env, outputs)
    _tell(made)
    return 0


def _tell(made: Attestation) -> None:
    facts = made.facts
    console.say(f"attested {len(facts.files)} files of {facts.model} version {facts.version} ({facts.stage})")
