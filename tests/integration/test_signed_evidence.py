"""Signatures of attestations and of model files, made with real keys and verified by the programs of others."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ciplug import signing
from ciplug.attestation.statement import PAYLOAD, to_sign
from ciplug.errors import ConfigError
from tests.project import Project
from tests.team import POLICY, Team, team_in

pytestmark = pytest.mark.skipif(not shutil.which("ssh-keygen"), reason="needs ssh-keygen")


def ssh_key(folder: Path, name: str = "key", kind: str = "ed25519") -> Path:
    key = folder / name
    size = ["-b", "2048"] if kind == "rsa" else []
    subprocess.run(["ssh-keygen", "-q", "-t", kind, *size, "-N", "", "-C", "", "-f", str(key)], check=True)
    return key


def public(key: Path) -> str:
    return Path(f"{key}.pub").read_text().strip()


@pytest.fixture
def team(tmp_path: Path) -> Team:
    """A team whose policy names a signer, with a run that passed."""
    key = ssh_key(tmp_path)
    team = team_in(tmp_path)
    (team.project.folder / "ciplug.yaml").write_text(
        f"{POLICY}metrics: metrics.json\nsigners: {{ci: '{public(key)}'}}\n"
    )
    team.project.commit("signers")
    env = environment(team, tmp_path)
    team.project.train(env=env)
    team.project.ciplug("gate", env=env)
    return team


def environment(team: Team, folder: Path) -> dict[str, str]:
    given = {name: team.session.env[name] for name in ("CIPLUG_STORE", "CIPLUG_SPOOL")}
    return {**given, "CIPLUG_SIGNING_KEY": str(folder / "key"), "MEASURED": '{"accuracy": 0.9, "model_mb": 1.0}'}


def attested(team: Team, folder: Path, *args: str) -> Path:
    env = environment(team, folder)
    team.project.ciplug("promote", "wine", "--to", "staging", env=env)
    team.project.ciplug("attest", "wine", "--output", str(folder / "out"), *args, env=env)
    return folder / "out"


@pytest.mark.slow
def test_documents_are_signed_and_verified(team: Team, tmp_path: Path) -> None:
    out = attested(team, tmp_path)
    # By ssh itself.
    allowed = tmp_path / "allowed"
    allowed.write_text(f"ci {public(tmp_path / 'key')}\n")
    for name in ("provenance.intoto.json", "bom.cdx.json", "README.md", "subjects.sha256", "verdict.intoto.json"):
        verify = ["ssh-keygen", "-Y", "verify", "-f", str(allowed), "-I", "ci", "-n", "file", "-s", f"{out / name}.sig"]
        subprocess.run(verify, input=(out / name).read_bytes(), check=True, capture_output=True)
    # By ciplug, with the signers of the policy; the verifier has no key.
    env = {k: v for k, v in environment(team, tmp_path).items() if k != "CIPLUG_SIGNING_KEY"}
    project: Project = team.project

    def broken(code: int) -> str:
        done = project.json("verify", "wine", "--attestations", str(out), "--json", env=env, code=code)
        return str(next((one["fault"] for one in done["links"] if one["fault"]), None))

    assert broken(0) == "None"
    statement = (out / "provenance.intoto.json").read_bytes()
    (out / "provenance.intoto.json").write_bytes(statement.replace(b"train.py", b"other.py"))
    assert broken(1) == "document_unsigned"
    (out / "provenance.intoto.json").write_bytes(b"[]")
    assert broken(3) == "document_missing"
    forged = json.loads(statement)
    forged["subject"][0]["digest"]["sha256"] = "1" * 64
    (out / "provenance.intoto.json").write_text(json.dumps(forged))
    resign(out / "provenance.intoto.json", ssh_key(tmp_path, "stranger"))
    assert broken(1) == "document_unsigned"
    resign(out / "provenance.intoto.json", tmp_path / "key")
    assert broken(3) == "other_subject"


def resign(file: Path, key: Path) -> None:
    Path(f"{file}.sig").unlink()
    subprocess.run(["ssh-keygen", "-q", "-Y", "sign", "-n", "file", "-f", str(key), str(file)], check=True)


@pytest.mark.slow
def test_the_envelopes_are_verified_by_the_reference_library(team: Team, tmp_path: Path) -> None:
    pytest.importorskip("securesystemslib")
    from cryptography.hazmat.primitives import serialization
    from securesystemslib.dsse import Envelope
    from securesystemslib.exceptions import VerificationError
    from securesystemslib.signer import SSlibKey

    out = attested(team, tmp_path)
    key = SSlibKey.from_crypto(serialization.load_ssh_public_key(public(tmp_path / "key").encode()))
    for name in ("provenance.intoto", "verdict.intoto"):
        envelope = Envelope.from_dict(json.loads((out / f"{name}.dsse.json").read_text()))
        key.keyid = json.loads((out / f"{name}.dsse.json").read_text())["signatures"][0]["keyid"]
        assert envelope.payload == (out / f"{name}.json").read_bytes() and envelope.payload_type == PAYLOAD
        assert key.keyid.startswith("SHA256:") and envelope.verify([key], 1)
        envelope.payload += b" "
        with pytest.raises(VerificationError):
            envelope.verify([key], 1)


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa", "rsa"])
def test_kinds_of_keys(tmp_path: Path, kind: str) -> None:
    """An RSA key signs by ssh alone."""
    key = ssh_key(tmp_path, "key", kind)
    for value in (str(key), key.read_text()):
        env = {"CIPLUG_SIGNING_KEY": value}
        raw = signing.sign_raw(to_sign(b"{}"), env)
        assert (raw is None) == (kind == "rsa")
        assert raw is None or raw[1] == signing.fingerprint(public(key))
        text = signing.sign(b"{}", env, "file")
        assert text and signing.signer_of(b"{}", text, {"ci": public(key)}, "file") == "ci"
        assert signing.signer_of(b"{}", text, {"ci": public(key)}) is None, "of another namespace"
    assert signing.sign_raw(b"", {}) is None
    with pytest.raises(ConfigError, match="cannot be read"):
        signing.sign_raw(b"", {"CIPLUG_SIGNING_KEY": str(tmp_path / "none")})


def ec_key(folder: Path, name: str) -> Path:
    """A key pair of elliptic curves in PEM: NAME.pem, and NAME.pub.pem."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    pem, pkcs8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    file = folder / f"{name}.pem"
    file.write_bytes(key.private_bytes(pem, pkcs8, serialization.NoEncryption()))
    spki = serialization.PublicFormat.SubjectPublicKeyInfo
    (folder / f"{name}.pub.pem").write_bytes(key.public_key().public_bytes(pem, spki))
    return file


@pytest.mark.e2e
def test_model_files_are_signed_by_openssf_model_signing(team: Team, tmp_path: Path) -> None:
    pytest.importorskip("model_signing.signing", reason="needs pip install 'ciplug[signing]'")
    project, env = team.project, environment(team, tmp_path)
    ec_key(tmp_path, "model")
    ec_key(tmp_path, "other")
    env["CIPLUG_MODEL_SIGNING_KEY"] = (tmp_path / "model.pem").read_text()
    project.ciplug("promote", "wine", "--to", "staging", env=env)
    served = tmp_path / "served"
    project.ciplug("pull", "wine@staging", "--to", str(served), env=env)
    project.ciplug("attest", "wine", "--output", str(tmp_path / "out"), "--sign-files", str(served), env=env)
    signature = tmp_path / "out" / "model.sig"
    # By the library's own command line.
    model_signing = ["-m", "model_signing", "verify", "key", str(served), "--signature", str(signature)]
    subprocess.run([sys.executable, *model_signing, "--public_key", str(tmp_path / "model.pub.pem")], check=True)

    def verified(key: str, code: int, signature: Path = signature, *more: str) -> str:
        by = ("--model-signature", str(signature), "--public-key", str(tmp_path / f"{key}.pub.pem"), *more)
        return project.ciplug("verify", "wine", "--files", str(served), *by, env=env, code=code).stdout

    # As the library itself: what lies beside the signed files could be loaded with them.
    (served / "evil.py").write_text("a file beside the model")
    assert "evil.py in" in (beside := verified("model", 3)) and beside.startswith("BROKEN  bytes")
    assert "not of the version: evil.py" in verified("model", 0, signature, "--extra-files")
    (served / "evil.py").unlink()
    # A signature of other files than those of the version, by the same key.
    for name, words in (("more", "with extra.bin"), ("other", "without model.txt and with renamed.txt")):
        folder = tmp_path / name
        folder.mkdir()
        (folder / ("model.txt" if name == "more" else "renamed.txt")).write_bytes((served / "model.txt").read_bytes())
        if name == "more":
            (folder / "extra.bin").write_bytes(b"x")
        sign = ["-m", "model_signing", "sign", "key", str(folder), "--signature", str(tmp_path / f"{name}.sig")]
        subprocess.run([sys.executable, *sign, "--private_key", str(tmp_path / "model.pem")], check=True)
        assert f"is a signature of other files: {words}" in verified("model", 3, tmp_path / f"{name}.sig")
    assert verified("model", 0).startswith("ok      bytes")
    assert "is not a signature of these files by other.pub.pem" in verified("other", 3)
    bundle = json.loads(signature.read_text())
    payload = json.loads(base64.b64decode(bundle["dsseEnvelope"]["payload"]))
    payload["predicate"]["resources"][0]["digest"] = "1" * 64
    bundle["dsseEnvelope"]["payload"] = base64.b64encode(json.dumps(payload).encode()).decode()
    (tmp_path / "forged.sig").write_text(json.dumps(bundle))
    assert "BROKEN  bytes" in verified("model", 3, tmp_path / "forged.sig")
    (tmp_path / "empty.sig").write_text("")
    assert "BROKEN  bytes" in verified("model", 3, tmp_path / "empty.sig")

    (served / "model.txt").write_text("another model")
    refused = project.ciplug(
        "attest", "wine", "--output", str(tmp_path / "no"), "--sign-files", str(served), env=env, code=2
    )
    assert "nothing is signed" in refused.stderr and not (tmp_path / "no" / "model.sig").exists()
    assert "another" not in verified("model", 3)
    lonely = project.ciplug("verify", "wine", "--model-signature", "x", env=env, code=2)
    assert "belong together" in lonely.stderr
