"""Whether a signature of ssh is none, without a process for it: thousands of forged ones cost little.

`ssh-keygen` has the last word on every signature that may be one.
"""

from __future__ import annotations

import base64
import hashlib
import struct

_KINDS = (b"ssh-ed25519", b"ssh-rsa", b"ecdsa-sha2-nistp256", b"ecdsa-sha2-nistp384", b"ecdsa-sha2-nistp521")
_HASHES = ("sha256", "sha512")
_OF_RSA = {b"rsa-sha2-256": "SHA256", b"rsa-sha2-512": "SHA512"}
_OF_CURVES = {256: "SHA256", 384: "SHA384", 521: "SHA512"}


def is_forged(data: bytes, blob: bytes) -> bool:
    """Whether the key that a signature names has not made it.

    False also for a kind of key that is not verified here, such as one on a security token.

    Args:
        blob: the signature as ssh encodes it, without its armor.
    """
    from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_ssh_public_key

    try:
        key, namespace, reserved, hashed_by, signature = _strings(blob[10:], 5)
        kind, made = _strings(signature, 2)
        (name,) = _strings(key, 1)
        if name not in _KINDS:
            return False
        if hashed_by.decode() not in _HASHES:
            return True
        message = hashlib.new(hashed_by.decode(), data).digest()
        signed = b"SSHSIG" + b"".join(map(_string, (namespace, reserved, hashed_by, message)))
        public = load_ssh_public_key(name + b" " + base64.b64encode(key))
        _verify(public, kind, made, signed)
    except UnsupportedAlgorithm:
        return False
    except (InvalidSignature, ValueError, struct.error):
        return True
    return False


def _verify(public: object, kind: bytes, made: bytes, signed: bytes) -> None:
    """Raises InvalidSignature, ValueError for another form, UnsupportedAlgorithm for another kind of key."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
    from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

    if isinstance(public, ed25519.Ed25519PublicKey):
        public.verify(made, signed)
    elif isinstance(public, rsa.RSAPublicKey) and kind in _OF_RSA:
        public.verify(made, signed, padding.PKCS1v15(), getattr(hashes, _OF_RSA[kind])())
    elif isinstance(public, ec.EllipticCurvePublicKey) and public.curve.key_size in _OF_CURVES:
        r, s = (int.from_bytes(number, "big") for number in _strings(made, 2))
        hashed = getattr(hashes, _OF_CURVES[public.curve.key_size])()
        public.verify(encode_dss_signature(r, s), signed, ec.ECDSA(hashed))
    else:
        raise UnsupportedAlgorithm("another kind of key")


def _strings(data: bytes, count: int) -> list[bytes]:
    """The first strings of ssh's encoding."""
    found = []
    for _ in range(count):
        (size,) = struct.unpack_from(">I", data)
        found.append(data[4 : 4 + size])
        data = data[4 + size :]
    return found


def _string(data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + data
