"""Signing what this job records, and telling what an allowed signer has signed.

Where the policy in force names `signers:`, a run, a verdict or an event counts only with a signature of one of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from ciplug import signing
from ciplug.errors import CiplugError, RecordError
from ciplug.records import signature as signatures
from ciplug.records.canonical import digest, dumps
from ciplug.records.keys import RunKey, run_key, signature_key
from ciplug.records.registry_event import RegistryEvent
from ciplug.records.run import Run
from ciplug.steps.policy_in_force import read_policies
from ciplug.steps.session import Session

if TYPE_CHECKING:
    from ciplug.tracking.runs import Runs


def sign_event(session: Session) -> Callable[[RegistryEvent], RegistryEvent] | None:
    """What signs an event that has its place in the log; None without a key."""
    if not session.env.get(signing.SIGNING_KEY):
        return None
    return lambda event: replace(event, signature=signing.sign(unsigned(event), session.env))


def unsigned(event: RegistryEvent) -> bytes:
    """The bytes of an event that its signature is of."""
    return dumps(replace(event, signature=None))


def signs(session: Session) -> bool:
    """Whether this job has the key of an allowed signer."""

    def check() -> bool:
        text = signing.sign(b"ciplug", session.env)
        return text is not None and signing.signer_of(b"ciplug", text, signers_of(session).keys) is not None

    return session.remember("signs", check)


@dataclass(frozen=True, eq=False)
class Signers:
    """The allowed signers of the policy in force: name → public key. Without any, nothing needs a signature."""

    keys: Mapping[str, str]
    _verified: dict[tuple[bytes, str], str | None] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.keys)

    def of_event(self, event: RegistryEvent) -> str | None:
        """Who signed an event; None where no allowed signer did."""
        return self._signer(unsigned(event), event.signature or "")

    def of_run(self, runs: Runs, run: Run) -> str | None:
        """Who signed a run and everything that is beside it; None where an allowed signer did not sign all of it.

        Of its amendments, only those count that an allowed signer has signed, too.
        """
        key = run_key(run)
        names = []
        for one, content in runs.digests([run]).items():
            name = self._of(runs, {one: content}, runs.beside(key) if one == key.key else ())
            if name is None:
                return None
            names.append(name)
        return ", ".join(sorted(set(names))) or None

    def of_object(self, runs: Runs, key: str) -> str | None:
        """Who signed an object by itself, such as an amendment; None where no allowed signer did."""
        data = runs.object(key)
        return None if data is None else self._of(runs, {key: digest(data)}, ())

    def of_verdict(self, runs: Runs, key: str, content: str) -> str | None:
        """Who signed a verdict; None where no allowed signer did."""
        return self._of(runs, {key: content}, ())

    def _of(self, runs: Runs, objects: Mapping[str, str], names: Sequence[str]) -> str | None:
        key = signature_key(next(iter(objects)))
        data = runs.object(key)
        if data is None:
            return None
        try:
            envelope = signatures.decode(data, key)
        except RecordError:
            return None
        if not envelope.covers(objects) or not set(names) <= envelope.objects.keys():
            return None
        return self._signer(envelope.signed, envelope.signature)

    def _signer(self, data: bytes, signature: str) -> str | None:
        """Each signature is verified once in the life of a session."""
        if (data, signature) not in self._verified:
            self._verified[data, signature] = signing.signer_of(data, signature, self.keys)
        return self._verified[data, signature]


def signers_of(session: Session) -> Signers:
    """The allowed signers of the policy that judges: in a pull request, those of its target branch."""
    policies = read_policies(session)
    return session.remember("signers", lambda: Signers(dict((policies.base or policies.own).signers)))


def judged_runs(session: Session, handed_over: Mapping[str, bytes] | None = None) -> Runs:
    """All runs, of which those that are signed take only amendments that are signed, too.

    Otherwise whoever may push could withdraw a run that counts.
    """
    runs = session.runs(handed_over)

    def keys() -> Signers | None:
        try:
            return signers_of(session)
        except CiplugError:
            # Without a policy nothing is judged; a list of runs is shown all the same.
            return None

    def counts(run: RunKey, key: str) -> bool:
        signers = keys()
        return not signers or signers.of_object(runs, run.key) is None or signers.of_object(runs, key) is not None

    runs.amendment_counts = counts
    runs.has_signers = lambda: bool(keys())
    return runs
