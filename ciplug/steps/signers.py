"""The allowed signers of the policy, and what they have signed.

Where the policy in force names `signers:`, a run, a verdict or an event counts only with a signature of one of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from ciplug import signing
from ciplug.console import warning
from ciplug.errors import CiplugError, RecordError, StoreError
from ciplug.records import signature as signatures
from ciplug.records.canonical import digest, dumps
from ciplug.records.keys import RunKey, parse_amendments, record_beside, run_key, signature_key
from ciplug.records.read import amendment
from ciplug.records.run import Run
from ciplug.reports.untrusted import clean
from ciplug.steps.policy_in_force import read_policies
from ciplug.steps.session import Session
from ciplug.stores import is_git

if TYPE_CHECKING:
    from ciplug.records.registry_event import RegistryEvent
    from ciplug.tracking.runs import Runs

Read = Callable[[str], "bytes | None"]
"""The bytes of an object by its key."""
SignedLater = Mapping[tuple[str, str], str]
"""Key and sha256 of an object → who signed it later."""
NOTHING: SignedLater = {}
SUSPICIOUS = 20
"""Signatures of allowed keys that do not hold: after so many, ssh-keygen is started for none that is forged."""
FAILED_MOST = 2_000
"""The same of keys of which only ssh-keygen can tell: after so many, others are not verified, and count as missing."""


def sign_event(session: Session) -> Callable[[RegistryEvent], RegistryEvent] | None:
    """What signs an event that has its place in the log; None without a key."""
    if not session.env.get(signing.SIGNING_KEY):
        return None
    namespace = signing.namespace_for(session.repository)
    return lambda event: replace(event, signature=signing.sign(unsigned(event), session.env, namespace))


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
    repository: str = ""
    """The repository that signatures must name."""
    told: Callable[[str], None] = lambda repository: None
    """Is called with each other repository that a signature of an allowed key names."""
    told_many: Callable[[], None] = lambda: None
    """Is called once so many signatures of allowed keys do not hold that no other is verified."""
    _failed: list[str] = field(default_factory=list)
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
        return self.of_runs(runs, [run])[run_key(run)]

    def of_runs(self, runs: Runs, recorded: Iterable[Run]) -> dict[RunKey, str | None]:
        """Run → who signed it, by one read of the store: a commit may have hundreds of runs."""
        keys = [run_key(run) for run in recorded]
        objects = {key: sorted(runs.objects_of([key])) for key in keys}
        wanted = {one for key in keys for one in (*objects[key], *runs.amendments_listed(key))}
        wanted |= set(map(signature_key, wanted))
        data = runs.objects(sorted(wanted)) if wanted else {}
        return {
            key: self._of_run(runs, key, {one: data[one] for one in objects[key] if one in data}, data) for key in keys
        }

    def _of_run(self, runs: Runs, key: RunKey, objects: Mapping[str, bytes], data: Mapping[str, bytes]) -> str | None:
        """Who signed a run with these objects, given them and all signatures beside them."""
        later = self.later(data.get, runs.amendments_listed(key))
        names = []
        for one, content in objects.items():
            covered = {one: digest(content)}
            name, (added,) = self._of(data.get, covered), (later.get(item) for item in covered.items())
            if one == key.key and (name or added) and (beside := runs.beside(key)):
                name = self._of(data.get, covered, beside)
                added = added if all(any(b == signed for signed, _ in later) for b in beside) else None
            if not (name or added):
                return None
            names.append(name or added or "")
        return ", ".join(sorted(set(names))) or None

    def of_object(self, read: Read, key: str, later: SignedLater = NOTHING) -> str | None:
        """Who signed an object, such as an amendment, by itself or later; None where no allowed signer did."""
        data = read(key)
        if data is None:
            return None
        content = digest(data)
        return self._of(read, {key: content}) or later.get((key, content))

    def of_verdict(self, runs: Runs, key: str, content: str) -> str | None:
        """Who signed a verdict; None where no allowed signer did."""
        return self._of(runs.object, {key: content})

    def later(self, read: Read, amendments: Iterable[str]) -> SignedLater:
        """What allowed signers have signed of a run after it was recorded, by amendments that they have signed."""
        found: dict[tuple[str, str], str] = {}
        for key in parse_amendments(amendments):
            name = self.of_object(read, key.key)
            if name is None:
                continue
            with suppress(RecordError):
                signs = amendment(read(key.key) or b"", key.key).signs
                found.update(((one, content), name) for one, content in signs.items())
        return found

    def covers(self, read: Read, key: str, data: bytes, later: SignedLater) -> bool:
        """Whether an object beside a record is as it was when that was signed; so it is where nobody has signed that.

        Args:
            later: what was signed later of the run.
        """
        record = record_beside(key)
        if self.of_object(read, record, later) is None:
            return True
        content, of_record = digest(data), digest(read(record) or b"")
        if self._of(read, {record: of_record, key: content}):
            return True
        return (record, of_record) in later and (key, content) in later

    def _of(self, read: Read, objects: Mapping[str, str], names: Sequence[str] = ()) -> str | None:
        """Who signed these objects (key → sha256) by the signature beside them, and others of these names with them."""
        key = signature_key(next(iter(objects)))
        data = read(key)
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
            namespace = signing.namespace_for(self.repository)
            # Whoever knows the public key can push thousands of these.
            if len(self._failed) >= SUSPICIOUS and signing.is_forged(data, signature, self.keys, namespace):
                self._verified[data, signature] = None
                return None
            if len(self._failed) >= FAILED_MOST:
                self.told_many()
                return None
            self._verified[data, signature] = signing.signer_of(data, signature, self.keys, namespace)
            if signature and self._verified[data, signature] is None:
                self._tell_other(signature, namespace)
        return self._verified[data, signature]

    def _tell_other(self, signature: str, namespace: str) -> None:
        claim = signing.claim_of(signature)
        ours, _, other = claim.namespace.partition(":") if claim else ("", "", "")
        if claim and claim.namespace == namespace and signing.claimed_signer(claim, self.keys):
            # Each of these has started a process.
            self._failed.append(signature)
        is_elsewhere = claim and claim.namespace != namespace and ours == signing.NAMESPACE
        if claim and is_elsewhere and signing.claimed_signer(claim, self.keys):
            self.told(other)


def signers_of(session: Session) -> Signers:
    """The allowed signers of the policy that judges: in a pull request, those of its target branch."""
    policies = read_policies(session)

    def make() -> Signers:
        settings = policies.base or policies.own
        keys, repository = settings.signers, settings.repository
        if not keys and session.known_signers:
            keys, repository = session.known_signers
        if not keys:
            return Signers({})
        own = repository or session.place_of_store
        return Signers(dict(keys), own, lambda other: _tell_other(session, own, other), lambda: _tell_many(session))

    return session.remember("signers", make)


def _tell_unread(session: Session) -> None:
    """Tell once that nobody knows here what is signed."""

    def tell() -> None:
        session.tell(warning("signatures are not in the cache of this clone: amendments are shown that may not count"))

    session.remember("signatures unread", tell)


def _tell_many(session: Session) -> None:
    """Tell once that signatures are not verified any more."""

    def tell() -> None:
        session.tell(
            warning(
                f"{FAILED_MOST} signatures in the store name the key of a signer, and do not hold: no other one is "
                "verified now, and what they are of counts as unsigned",
                "find out who pushes them, and delete their refs: git ls-remote REMOTE 'refs/ciplug/inbox/*'",
            )
        )

    session.remember("many signatures failed", tell)


def _tell_other(session: Session, own: str, other: str) -> None:
    """Tell once that something here is signed for another repository."""

    def tell() -> None:
        what = f"for the repository '{clean(other, 200)}'" if other else "for no repository"
        session.tell(
            warning(
                f"something in the store is signed {what}, not for '{own}': it does not count here",
                "somebody may have copied it; if this is that repository, name it in the committed ciplug.yaml: "
                "repository: NAME",
            )
        )

    session.remember(("signed for", other), tell)


def signed_by(session: Session, runs: Runs, run: Run) -> str | None:
    """The allowed signers who have signed a run; empty where none has, None where no policy asks for signatures."""
    try:
        signers = signers_of(session)
    except CiplugError:
        return None
    return (signers.of_run(runs, run) or "") if signers else None


def judged_runs(session: Session, handed_over: Mapping[str, bytes] | None = None, *, offline: bool = False) -> Runs:
    """All runs, of which those that are signed take only amendments that are signed, too.

    Otherwise whoever may push could withdraw a run that counts. Without the network, what this clone has read tells it.
    """
    return by_signatures(session, session.runs(handed_over, offline=offline))


def by_signatures(session: Session, runs: Runs) -> Runs:
    """The same runs, with what no allowed signer has added to a signed run left out, and named."""

    def keys() -> Signers | None:
        try:
            return signers_of(session)
        except CiplugError:
            # Without a policy nothing is judged; a list of runs is shown all the same.
            return None

    def ignored(amendments: Mapping[RunKey, Sequence[str]]) -> set[str]:
        signers = keys() if amendments else None
        if not signers:
            return set()
        if runs.is_offline and not (session.offline and is_git(session.store_uri)):
            _tell_unread(session)
            return set()
        try:
            return _ignored(signers, runs, amendments)
        except StoreError:
            if not session.offline:
                raise
            # This clone has never read them.
            _tell_unread(session)
            return set()

    def check_beside(run: RunKey, key: str, data: bytes) -> None:
        signers = keys()
        if signers and not signers.covers(
            runs.object, key, data, signers.later(runs.object, runs.amendments_listed(run))
        ):
            raise RecordError(f"{key}: it is not what was signed with its record", hint="record another run")

    runs.ignored = ignored
    runs.needs_signatures = lambda: bool(keys())
    runs.check_beside = check_beside
    return runs


def _ignored(signers: Signers, runs: Runs, amendments: Mapping[RunKey, Sequence[str]]) -> set[str]:
    """Return the amendments of signed runs that no allowed signer has signed."""
    wanted = {run: [run.key, *keys] for run, keys in amendments.items()}
    data = runs.objects(signature_key(key) for keys in wanted.values() for key in keys)
    may_be_signed = {run: keys for run, keys in wanted.items() if any(signature_key(key) in data for key in keys)}
    data.update(runs.objects(key for keys in may_be_signed.values() for key in keys))
    found: set[str] = set()
    for run, keys in may_be_signed.items():
        later = signers.later(data.get, amendments[run])
        if signers.of_object(data.get, run.key, later):
            found.update(key for key in keys if signers.of_object(data.get, key, later) is None)
    return found
