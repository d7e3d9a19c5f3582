"""Make the attestations of a version, whose chain is verified first: with a broken one it cannot be attested."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ciplug._version import __version__
from ciplug.attestation.bom import bom
from ciplug.attestation.documents import BOM, CARD, PROVENANCE, SUBJECTS, VERDICT
from ciplug.attestation.facts import StoredVerdict, VersionFacts
from ciplug.attestation.model_card import TASK, model_card
from ciplug.attestation.provenance import provenance
from ciplug.attestation.statement import hex_of, to_json
from ciplug.attestation.test_result import test_result
from ciplug.errors import NotFound, StoreError
from ciplug.git.credentials import redact
from ciplug.records import read, remote_address
from ciplug.records.provenance import Context
from ciplug.registry.evidence_chain import Chain
from ciplug.reports.untrusted import clean
from ciplug.steps.evidence.chain_notes import notes_on
from ciplug.steps.evidence.verify import Request, verify
from ciplug.steps.evidence.version import Promoted, find_promoted
from ciplug.steps.evidence.version_files import single_files
from ciplug.steps.session import Session
from ciplug.steps.signers import judged_runs
from ciplug.tracking.runs import Runs


class BrokenChain(StoreError):
    """A version is not what the registry says, so it cannot be attested. The exit code is that of its first fault."""

    def __init__(self, chain: Chain, message: str, hint: str | None) -> None:
        super().__init__(message, hint=hint)
        self.exit_code = chain.exit_code


@dataclass(frozen=True)
class Attestation:
    """The documents on a version, by file name."""

    facts: VersionFacts
    documents: Mapping[str, bytes] = field(default_factory=dict)


def attest(session: Session, name: str, *, task: str = TASK) -> Attestation:
    """Return the documents on a version.

    Raises NotFound for a name of nothing, or a version without a run, BrokenChain for one that does not verify.
    """
    from ciplug.registry.evidence_chain_text import remedy, words

    chain = verify(session, Request(name, with_files=False, fetch=True, to_use=True))
    session.tell(*notes_on(chain))
    if broken := chain.broken:
        raise BrokenChain(
            chain,
            f"{clean(chain.model, 120)} version {chain.version} cannot be attested, as its chain is broken at its "
            f"{broken.link.value}: {clean(words(broken), 300)}",
            remedy(broken),
        )
    facts = facts_of(session, judged_runs(session), find_promoted(session, name))
    documents = {
        PROVENANCE: to_json(provenance(facts)),
        BOM: to_json(bom(facts)),
        CARD: model_card(facts, task).encode(),
        SUBJECTS: checksums(facts.files),
    }
    if verdict := test_result(facts):
        documents[VERDICT] = to_json(verdict)
    return Attestation(facts, dict(sorted(documents.items())))


def facts_of(session: Session, runs: Runs, promoted: Promoted) -> VersionFacts:
    """Return what is attested of a version. Raises NotFound for one without a run, or without a file."""
    version, promotion = promoted.version, promoted.promotion
    if not version.run:
        raise NotFound(f"version {version.number} of '{promoted.model.name}' has no run, so it cannot be attested")
    run = runs.evidence(runs.at(version.commit, version.run)).run
    files = single_files(session, version.files, {file.path: file for file in run.artifacts})
    if not files:
        raise NotFound(f"version {version.number} of '{promoted.model.name}' has no file to attest")
    verdict = None
    if promotion and promotion.verdict and promotion.verdict_digest:
        data = runs.object(promotion.verdict)
        if data:
            verdict = StoredVerdict(
                verdict=read.verdict(data, promotion.verdict), key=promotion.verdict, digest=promotion.verdict_digest
            )
    return VersionFacts(
        model=promoted.model.name,
        version=version.number,
        stage=version.stage,
        registered=version.created,
        run=run,
        files=files,
        verdict=verdict,
        repository=code_address(run.provenance.context, session.remote_url),
        ciplug=__version__,
    )


def code_address(context: Context, remote: str | None) -> str | None:
    """The address of the code: as the job of the run knew it, else this clone's remote. None: a folder. Pure."""
    if context.server_url and context.repository:
        return f"{context.server_url}/{context.repository}"
    if remote and remote.startswith(("https://", "http://", "ssh://")):
        return redact(remote)
    # git@host:path is an address of others, too; a folder of this machine is not.
    found = remote_address.parse(remote)
    return f"ssh://{found.host}/{found.path}" if found else None


def checksums(files: Mapping[str, str]) -> bytes:
    """Return the files as `sha256sum` writes them, escaped where a name has a backslash or a line break."""
    lines = []
    for path, digest in sorted(files.items()):
        escaped = path.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r")
        lines.append(f"{chr(92) if escaped != path else ''}{hex_of(digest)}  {escaped}\n")
    return "".join(lines).encode()
