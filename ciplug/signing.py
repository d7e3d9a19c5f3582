"""Signatures of ssh keys, made and verified by `ssh-keygen -Y`, which is wherever git is.

A signature is of one namespace, which names what it is for and the repository: a signature of a commit is never one of
a run, and what is signed for one repository says nothing in another one.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import os
import re
import struct
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from ciplug.errors import ConfigError

SIGNING_KEY = "CIPLUG_SIGNING_KEY"
"""A private key of ssh without a passphrase, or the path of its file."""
NAMESPACE = "ciplug"
_PRINCIPAL = "ciplug"
_MOST = 16_384
"""Bytes of a signature: one of a 16,384-bit RSA key has less than half."""
_KEY = re.compile(r"((?:sk-)?(?:ssh|ecdsa)-[a-z0-9@.-]+) ([A-Za-z0-9+/]+={0,2})(?: .*)?")
_ARMOR = re.compile(r"-----BEGIN SSH SIGNATURE-----\s([A-Za-z0-9+/=\s]+)-----END SSH SIGNATURE-----\s*")
_FINGERPRINT = re.compile(r"SHA256:[A-Za-z0-9+/]+")


class Claim(NamedTuple):
    """What a signature says of itself, which is not verified."""

    key: bytes
    """The public key, as ssh encodes it."""
    namespace: str


def namespace_for(repository: str) -> str:
    """The namespace of what counts in a repository; `repository` may be empty."""
    return f"{NAMESPACE}:{repository}" if repository else NAMESPACE


def claim_of(signature: str) -> Claim | None:
    """What a signature says of itself; None for what is not the signature of an ssh key. No process is started."""
    try:
        blob = _blob_of(signature)
        magic, _, key_size = struct.unpack_from(">6sII", blob)
        key, rest = blob[14 : 14 + key_size], blob[14 + key_size :]
        (size,) = struct.unpack_from(">I", rest)
        return Claim(key, rest[4 : 4 + size].decode()) if magic == b"SSHSIG" else None
    except (ValueError, struct.error):
        return None


def _blob_of(signature: str) -> bytes:
    """A signature without its armor. Raises ValueError for what is none."""
    match = _ARMOR.fullmatch(signature) if len(signature) <= _MOST else None
    if match is None:
        raise ValueError("not a signature of ssh")
    return base64.b64decode("".join(match[1].split()), validate=True)


def is_forged(data: bytes, signature: str, signers: Mapping[str, str], namespace: str) -> bool:
    """Whether a signature names the key of a signer that has not made it; no process is started.

    False also where only `ssh-keygen` can tell.
    """
    claim = claim_of(signature)
    if claim is None or claim.namespace != namespace or claimed_signer(claim, signers) is None:
        return False
    from ciplug import forged_signature

    return forged_signature.is_forged(data, _blob_of(signature))


def fingerprint(public_key: str) -> str:
    """SHA256:… of a public key, as ssh prints it. Raises ValueError for what is not the line of a public key."""
    return "SHA256:" + base64.b64encode(hashlib.sha256(_encoded(public_key)).digest()).decode().rstrip("=")


def _encoded(public_key: str) -> bytes:
    match = _KEY.fullmatch(public_key.strip())
    if match is None:
        raise ValueError("not a public key of ssh, like ssh-ed25519 AAAA…")
    try:
        return base64.b64decode(match[2], validate=True)
    except ValueError:
        raise ValueError("not a public key of ssh: it is cut off or damaged") from None


def claimed_signer(claim: Claim, signers: Mapping[str, str]) -> str | None:
    """The name of the signer whose key a signature names; None for the key of nobody among them."""
    for name, public_key in sorted(signers.items()):
        with contextlib.suppress(ValueError):
            if _encoded(public_key) == claim.key:
                return name
    return None


def sign(data: bytes, env: Mapping[str, str], namespace: str = NAMESPACE) -> str | None:
    """The signature of `data` by this job's key; None without one. Raises ConfigError for a key that cannot sign."""
    key = env.get(SIGNING_KEY, "").strip()
    if not key:
        return None
    if "\n" not in key and not key.startswith("-----"):
        return _signed(data, Path(key), namespace)
    with tempfile.TemporaryDirectory(prefix="ciplug-") as folder:
        file = Path(folder) / "key"
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as opened:
            opened.write(key + "\n")
        return _signed(data, file, namespace)


def sign_raw(data: bytes, env: Mapping[str, str]) -> tuple[bytes, str] | None:
    """The signature of `data` by this job's key without ssh's envelope, and the key's fingerprint.

    Ed25519, and ECDSA with SHA-256. None without a key, or for one of another kind. Raises ConfigError.
    """
    value = env.get(SIGNING_KEY, "").strip()
    if not value:
        return None
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519

    text = b""
    try:
        text = value.encode() + b"\n" if "\n" in value or value.startswith("-----") else Path(value).read_bytes()
        is_ssh = b"OPENSSH PRIVATE KEY" in text
        key = (serialization.load_ssh_private_key if is_ssh else serialization.load_pem_private_key)(text, None)
    except (OSError, ValueError, TypeError, UnsupportedAlgorithm) as problem:
        if text.startswith((b"ssh-", b"ecdsa-", b"sk-", b"-----BEGIN PUBLIC KEY")):
            raise ConfigError(f"{SIGNING_KEY} is a public key", hint="give the private one, which signs") from None
        raise ConfigError(f"{SIGNING_KEY} cannot be read: {type(problem).__name__}", hint="see docs/trust.md") from None
    if isinstance(key, ed25519.Ed25519PrivateKey):
        signature = key.sign(data)
    elif isinstance(key, ec.EllipticCurvePrivateKey) and key.curve.key_size == 256:
        signature = key.sign(data, ec.ECDSA(hashes.SHA256()))
    else:
        return None
    public = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    return signature, fingerprint(public.decode())


def _signed(data: bytes, key: Path, namespace: str) -> str:
    done = _run(["-Y", "sign", "-q", "-n", namespace, "-f", str(key)], data)
    if done.returncode != 0 or not done.stdout.startswith(b"-----BEGIN SSH SIGNATURE-----"):
        words = " ".join(done.stderr.decode(errors="replace").split())[-200:]
        raise ConfigError(
            f"{SIGNING_KEY} cannot sign: {words or 'ssh-keygen says nothing'}",
            hint="it is a private key without a passphrase, as `ssh-keygen -t ed25519 -N ''` makes it, or its path",
        )
    return done.stdout.decode()


def signer_of(data: bytes, signature: str, signers: Mapping[str, str], namespace: str = NAMESPACE) -> str | None:
    """The name of the signer whose key made this signature of `data`; None where none of them did.

    Args:
        signers: name → public key.
    """
    claim = claim_of(signature)
    # What names another key or namespace cannot hold, and anybody may push thousands of them: no process is started.
    if claim is None or claim.namespace != namespace or claimed_signer(claim, signers) is None:
        return None
    with tempfile.TemporaryDirectory(prefix="ciplug-") as folder:
        allowed, made = Path(folder) / "allowed", Path(folder) / "signature"
        # No namespaces= here, in which a comma or a star has a meaning: -n is compared as it is.
        allowed.write_text("".join(f"{_PRINCIPAL} {_line(key)}\n" for key in signers.values()))
        made.write_text(signature)
        done = _run(
            ["-Y", "verify", "-f", str(allowed), "-I", _PRINCIPAL, "-n", namespace, "-s", str(made)],
            data,
        )
    found = _FINGERPRINT.search(done.stdout.decode(errors="replace"))
    if done.returncode != 0 or found is None:
        return None
    return next((name for name, key in sorted(signers.items()) if fingerprint(key) == found[0]), None)


def _line(key: str) -> str:
    """The type and the key, without a comment: nothing else of the policy gets into the file."""
    match = _KEY.fullmatch(key.strip())
    return f"{match[1]} {match[2]}" if match else ""


def _run(arguments: list[str], data: bytes) -> subprocess.CompletedProcess[bytes]:
    env = {name: value for name, value in os.environ.items() if name != SIGNING_KEY}
    try:
        return subprocess.run(["ssh-keygen", *arguments], input=data, capture_output=True, env=env, check=False)
    except FileNotFoundError:
        raise ConfigError(
            "ssh-keygen is not installed, and signs and verifies what 'signers:' asks for",
            hint="install openssh-client 8.2 or newer",
        ) from None
