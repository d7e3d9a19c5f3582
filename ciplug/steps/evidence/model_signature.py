"""OpenSSF model signing: one signature over all files of a version, by the library of that project."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from ciplug.errors import Cause, ConfigError, InputError, StoreError, listed
from ciplug.registry.evidence_chain import Fault
from ciplug.reports.untrusted import clean
from ciplug.steps import placing
from ciplug.steps.evidence.version_files import wrong_in_folder

MODEL_KEY = "CIPLUG_MODEL_SIGNING_KEY"
"""A private key of elliptic curves in PEM, or the path of its file."""
SIGNATURE = "model.sig"


def sign_files(folder: Path, files: Mapping[str, str], target: Path, env: Mapping[str, str]) -> None:
    """Sign the files of a version, which are in a folder, and write the signature.

    Raises InputError for a file that is not the version's, ConfigError for a key that cannot sign, StoreError without
    the library.
    """
    library = _library("signing")
    if wrong := next(wrong_in_folder(folder, files), None):
        fault = f"has {wrong.found}" if wrong.found else "is not there"
        raise InputError(
            f"{clean(wrong.path, 200)} of {folder} {fault}, and the version has {wrong.expected}: nothing is signed",
            hint="fetch the files of the version: ciplug pull",
        )
    with _key(env) as key, _only(folder, files) as alone:
        try:
            library.Config().use_elliptic_key_signer(private_key=key).sign(alone, target)
        except (ValueError, TypeError, OSError) as problem:
            raise ConfigError(
                f"{MODEL_KEY} cannot sign: {clean(str(problem), 200)}",
                hint="make one: openssl ecparam -name prime256v1 -genkey -noout -out model.pem",
            ) from None


class SignatureProblem(NamedTuple):
    """Why a signature of the files of a version does not hold."""

    fault: Fault
    words: str


def signature_problem(
    folder: Path, files: Mapping[str, str], signature: Path, public_key: Path
) -> SignatureProblem | None:
    """Why a signature is not one of the files of a version and of nothing else; None where it is.

    Raises InputError for a file that is no public key, StoreError without the library.
    """
    library = _library("verifying")
    _check_key(public_key)
    words = ""
    with _only(folder, files) as alone:
        try:
            library.Config().use_elliptic_key_verifier(public_key=public_key).verify(alone, signature)
        except Exception as problem:
            # A damaged signature is an error of any kind in the libraries below.
            words = clean(str(problem), 150) or type(problem).__name__
    if not words:
        return None
    if other := _other_files(signature, files):
        return SignatureProblem(Fault.NOT_COVERED, f"{signature.name} is a signature of other files: {other}")
    return SignatureProblem(
        Fault.BAD_SIGNATURE, f"{signature.name} is not a signature of these files by {public_key.name}: {words}"
    )


def _check_key(public_key: Path) -> None:
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    try:
        load_pem_public_key(public_key.read_bytes())
    except (ValueError, TypeError, OSError):
        raise InputError(
            f"{public_key} is not a public key in PEM",
            hint="write it: openssl ec -in model.pem -pubout -out model.pub.pem",
        ) from None


def _other_files(signature: Path, files: Mapping[str, str]) -> str | None:
    """How the names in a signature differ from those of a version; None where they do not, or cannot be read."""
    try:
        envelope = json.loads(signature.read_bytes())["dsseEnvelope"]
        predicate = json.loads(base64.b64decode(envelope["payload"]))["predicate"]
        signed = {str(one["name"]) for one in predicate["resources"]}
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    own = {"/".join(placing.parts(placing.own_place(path))) for path in files}
    lacking, more = sorted(own - signed), sorted(signed - own)
    parts = [f"without {listed(lacking)}" if lacking else "", f"with {listed(more)}" if more else ""]
    return clean(" and ".join(filter(None, parts)), 200) or None


def _library(part: str) -> Any:
    from importlib import import_module

    try:
        return import_module(f"model_signing.{part}")
    except ImportError as problem:
        raise StoreError(
            f"model signing needs a library that is not installed: {problem.name or 'model_signing'}",
            hint="pip install 'ciplug[signing]'",
            cause=Cause.LIBRARY_MISSING,
        ) from None


@contextmanager
def _key(env: Mapping[str, str]) -> Iterator[Path]:
    """The file of the private key, only for its owner and gone afterwards where the variable holds the key itself."""
    value = env.get(MODEL_KEY, "").strip()
    if not value:
        raise ConfigError(f"{MODEL_KEY} is not set", hint="a private key of elliptic curves in PEM, or its path")
    if "\n" not in value and not value.startswith("-----"):
        yield Path(value)
        return
    with tempfile.TemporaryDirectory(prefix="ciplug-") as folder:
        file = Path(folder) / "key.pem"
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as opened:
            opened.write(f"{value}\n")
        yield file


@contextmanager
def _only(folder: Path, files: Mapping[str, str]) -> Iterator[Path]:
    """A folder with the files of the version and nothing else: the library signs whatever is there."""
    with tempfile.TemporaryDirectory(prefix="ciplug-") as place:
        for path in files:
            parts = placing.parts(placing.own_place(path))
            source, target = placing.below(folder, parts), Path(place).joinpath(*parts)
            target.parent.mkdir(parents=True, exist_ok=True)
            with contextlib.suppress(OSError):
                os.link(source.resolve(), target)
            if not target.exists():
                shutil.copyfile(source, target)
        yield Path(place)
