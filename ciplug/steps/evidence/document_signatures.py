"""Signatures of attestations: of ssh beside each document, and DSSE envelopes of the statements."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ciplug import signing
from ciplug.attestation.documents import STATEMENTS
from ciplug.attestation.statement import envelope, to_sign

NAMESPACE = "file"
"""In which `ssh-keygen -Y` signs files."""
ENDING, ENVELOPE = ".sig", ".dsse.json"


def signed_documents(documents: Mapping[str, bytes], env: Mapping[str, str]) -> dict[str, bytes]:
    """The documents with a signature beside each, where this job has a key; else as they are.

    Raises ConfigError for a key that cannot sign.
    """
    made = dict(documents)
    if not env.get(signing.SIGNING_KEY):
        return made
    for name, data in documents.items():
        made[f"{name}{ENDING}"] = (signing.sign(data, env, NAMESPACE) or "").encode()
        if name in STATEMENTS and (signed := signing.sign_raw(to_sign(data), env)):
            signature, key_id = signed
            made[name.removesuffix(".json") + ENVELOPE] = envelope(data, signature, key_id)
    return dict(sorted(made.items()))


def signer_of_document(file: Path, signers: Mapping[str, str]) -> str | None:
    """The allowed signer who signed a document; None where none did, or there is no signature."""
    try:
        signature = Path(f"{file}{ENDING}").read_text()
        return signing.signer_of(file.read_bytes(), signature, signers, NAMESPACE)
    except (OSError, UnicodeDecodeError):
        return None
