"""`ciplug attest`: each document by the schema that its maker has published, or as its own library reads it."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ciplug.attestation.bom import bom
from ciplug.attestation.facts import StoredVerdict, VersionFacts
from ciplug.attestation.model_card import model_card
from ciplug.attestation.provenance import provenance
from ciplug.attestation.statement import to_json
from ciplug.attestation.test_result import test_result as result_of
from ciplug.records.inputs import DatasetInput
from ciplug.records.provenance import Context, Hardware, Provenance
from ciplug.records.run import File, Run
from ciplug.records.verdict import GateResult, Outcome, Verdict
from ciplug.steps.evidence.attest import checksums, code_address
from tests.project import Project
from tests.team import STAMP, team_in

HEX = "1" * 64
HOSTILE = [
    'x"\n---\nmodel-index: []',
    "::set-output name=x::y",
    "</td><script>",
    "🍷 \u202e| `a` $(id)",
    "../../etc",
    "a: {b",
]
RUN = Run(
    id="a" * 32, model="wine", status="finished", started=STAMP, ended=STAMP, commit="c" * 40,
    params={"depth": 4, "lr": 1e-3, "tuned": True}, metrics={"accuracy": 0.91, "loss": float("nan"), "f1": 1.0},
    datasets=(
        File(path="train.csv", digest=f"sha256:{HEX}", size=3),
        File(path="images", digest=f"sha256:{HEX}", size=3, kind="folder"),
    ),
    inputs=(DatasetInput(name="wine", digest="1a2b3c4d", source_type="s3", source="{}", context="training"),),
    provenance=Provenance(
        context=Context(
            host="github_actions", run_url="https://github.com/acme/wine/actions/runs/1", branch="main",
            server_url="https://github.com", repository="acme/wine", image=f"ghcr.io/acme/train@sha256:{HEX}",
        ),
        command=("python", "train.py", "--fast"), seed=7, python="3.12.1", os="Linux", dirty=True,
        packages={"scikit_learn": "1.5", "numpy": "2.0"}, lockfiles={"uv.lock": f"sha256:{HEX}"},
        hardware=Hardware(cpu="x", cores=2), diff_digest=f"sha256:{HEX}", ciplug="0.1.0",
    ),
)  # fmt: skip


def gate(name: str, outcome: Outcome) -> GateResult:
    return GateResult(gate=name, metric="accuracy", rule="at least 0.9", outcome=outcome, reason="0.91", n=200)


def facts(name: str = "wine", outcome: Outcome = "WARN", run: Run = RUN, **changes: Any) -> VersionFacts:
    gates = (gate("accuracy", "PASS"), gate("accuracy", "PASS"), gate(f"{name} size", outcome))
    verdict = Verdict(
        run=run.id, model=name, outcome=outcome, gates=gates, created=STAMP, policy_digest=f"sha256:{HEX}",
        policy_file="ciplug.yaml", policy_branch="main", policy_commit="d" * 40,
    )  # fmt: skip
    given = {
        "model": name, "version": 3, "stage": "Production", "registered": STAMP, "run": run,
        "files": {"model/weights.bin": f"sha256:{HEX}", name: f"sha256:{'2' * 64}"},
        "verdict": StoredVerdict(verdict=verdict, key="verdicts/x.json", digest=f"sha256:{HEX}"),
        "repository": "https://github.com/acme/wine", "ciplug": "0.1.0",
    }  # fmt: skip
    return VersionFacts(**{**given, **changes})


def hostile(name: str) -> VersionFacts:
    """A version in which a stranger chose every text."""
    provenance = replace(RUN.provenance, command=(name,), lockfiles={name: f"sha256:{HEX}"}, packages={name: name})
    run = replace(
        RUN, params={name: name}, metrics={name: 1.0}, datasets=(File(path=name, digest=f"sha256:{HEX}", size=1),),
        provenance=provenance,
    )  # fmt: skip
    return facts(name, run=run)


EVERY = [facts(), facts(outcome="FAIL"), *map(hostile, HOSTILE)]


def read_back(document: Any) -> Any:
    return json.loads(to_json(document))


@pytest.mark.parametrize("given", EVERY)
def test_the_provenance_is_in_toto_and_slsa(given: VersionFacts) -> None:
    pytest.importorskip("in_toto_attestation")
    from google.protobuf import json_format
    from in_toto_attestation.predicates.provenance.v1 import provenance_pb2
    from in_toto_attestation.v1.statement import Statement

    document = read_back(provenance(given))
    subjects = [json_format.ParseDict(one, _descriptor()) for one in document["subject"]]
    Statement(subjects, document["predicateType"], document["predicate"]).validate()
    assert document["_type"] == "https://in-toto.io/Statement/v1"
    # Unknown fields are errors.
    predicate = json_format.ParseDict(document["predicate"], provenance_pb2.Provenance())
    definition = predicate.build_definition
    assert definition.build_type and definition.external_parameters["seed"] == 7
    (commit, *datasets, image, lockfile) = definition.resolved_dependencies
    assert image.digest["sha256"] == HEX and image.uri.startswith("docker://ghcr.io/acme/train")
    assert commit.digest["gitCommit"] == "c" * 40 and commit.uri.endswith("acme/wine@" + "c" * 40)
    assert lockfile.digest["sha256"] == HEX and len(datasets) >= 2
    (metrics, diff, verdict) = predicate.run_details.byproducts
    assert metrics.digest["sha256"] == hashlib.sha256(metrics.content).hexdigest()
    assert diff.digest["sha256"] == verdict.digest["sha256"] == HEX
    assert predicate.run_details.metadata.started_on.seconds > 0


def _descriptor() -> Any:
    from in_toto_attestation.v1 import resource_descriptor_pb2

    return resource_descriptor_pb2.ResourceDescriptor()


@pytest.mark.parametrize("outcome", ["PASS", "WARN", "FAIL", "INCONCLUSIVE", "ERROR"])
def test_the_verdict_is_a_test_result(outcome: Outcome) -> None:
    pytest.importorskip("in_toto_attestation")
    from google.protobuf import json_format
    from in_toto_attestation.predicates.test_result.v0 import test_result_pb2

    document = read_back(result_of(facts(outcome=outcome)))
    assert document["predicateType"] == "https://in-toto.io/attestation/test-result/v0.1"
    result = json_format.ParseDict(document["predicate"], test_result_pb2.TestResult())
    assert result.result == {"PASS": "PASSED", "WARN": "WARNED"}.get(outcome, "FAILED")
    assert "accuracy" in result.passed_tests
    assert ("wine size" in result.failed_tests) == (outcome not in ("PASS", "WARN"))
    assert result.url and result.configuration[0].name == "ciplug.yaml"
    assert result_of(facts(verdict=None)) is None


@pytest.mark.parametrize("given", EVERY)
def test_the_bill_of_materials_is_cyclonedx(given: VersionFacts) -> None:
    pytest.importorskip("cyclonedx.validation")
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    document = read_back(bom(given))
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(json.dumps(document)) is None
    component = document["metadata"]["component"]
    assert (component["type"], component["name"], component["version"]) == ("machine-learning-model", given.model, "3")
    metrics = component["modelCard"]["quantitativeAnalysis"]["performanceMetrics"]
    assert {one["type"] for one in metrics} == set(given.run.metrics)
    refs = [part["bom-ref"] for part in document["components"]]
    assert len(set(refs)) == len(refs)
    assert read_back(bom(given)) == document


@pytest.mark.parametrize("given", EVERY)
def test_the_card_is_read_by_hugging_face(given: VersionFacts) -> None:
    pytest.importorskip("huggingface_hub")
    from huggingface_hub import ModelCard

    text = model_card(given, "tabular-classification")
    card = ModelCard(text, ignore_metadata_errors=False)
    assert card.data.model_name == given.model and card.data.eval_results
    numbers = {result.metric_type: result.metric_value for result in card.data.eval_results}
    assert numbers == {name: value for name, value in given.run.metrics.items() if value == value}
    assert {result.task_type for result in card.data.eval_results} == {"tabular-classification"}
    assert "<script>" not in card.text


def test_without_what_was_not_recorded() -> None:
    bare = facts(run=replace(RUN, params={}, metrics={}, datasets=(), inputs=(), provenance=Provenance()), verdict=None)
    for document in (provenance(bare), bom(bare)):
        assert read_back(document)
    assert "model-index" not in model_card(bare)


@pytest.mark.parametrize(
    ("remote", "address"),
    [
        ("https://ann:secret@git.example.com/acme/wine.git", "https://git.example.com/acme/wine.git"),
        ("git@github.com:acme/wine.git", "ssh://github.com/acme/wine"),
        ("/srv/git/wine.git", None),
        (None, None),
    ],
)
def test_the_card_says_where_the_code_is_or_why_nobody_knows(remote: str | None, address: str | None) -> None:
    assert code_address(Context(), remote) == address
    card = model_card(facts(repository=address))
    line = next(one for one in card.splitlines() if one.startswith("| Code"))
    assert (address or "the remote of the clone that wrote this card is a folder") in line


def test_the_checksums_are_read_by_sha256sum(tmp_path: Path) -> None:
    files = {}
    for name in ["model.bin", "a b", "back\\slash", "line\nbreak"]:
        (tmp_path / name).write_text(name)
        files[name] = f"sha256:{hashlib.sha256(name.encode()).hexdigest()}"
    (tmp_path / "SUMS").write_bytes(checksums(files))
    subprocess.run(["sha256sum", "--check", "--strict", "SUMS"], cwd=tmp_path, check=True, capture_output=True)


def test_from_the_command_line(tmp_path: Path) -> None:
    team = team_in(tmp_path)
    team.judged()
    team.promote()
    outputs = tmp_path / "outputs"
    env = {name: team.session.env[name] for name in ("CIPLUG_STORE", "CIPLUG_SPOOL")}
    here = {"GITHUB_ACTIONS": "true", "GITHUB_OUTPUT": str(outputs), "GITHUB_REPOSITORY": "acme/wine"}
    project: Project = team.project
    done = project.ciplug("attest", "wine@staging", "--output", "out", env=env | here)
    names = ["README.md", "bom.cdx.json", "provenance.intoto.json", "subjects.sha256", "verdict.intoto.json"]
    assert done.stdout.split() == [f"out/{name}" for name in names]
    assert "subjects<<" in outputs.read_text() and "out/subjects.sha256" in outputs.read_text()
    statement = json.loads((project.folder / "out" / "provenance.intoto.json").read_text())
    digest = hashlib.sha256(b"abc").hexdigest()
    card = (project.folder / "out" / "README.md").read_text()
    # What somebody copies from it is the value itself.
    assert card.isascii() and f"`sha256:{digest}`" in card and re.search(r"Registered \| `[-\d]+T[:.\d]+Z` \|", card)
    assert statement["subject"] == [{"name": "model.bin", "digest": {"sha256": digest}}]
    only = project.ciplug("attest", "wine@v1", "--output", "bom", "--kind", "bom", env=env)
    assert only.stdout.split() == ["bom/bom.cdx.json"]

    team.amend(team.session.refreshed().runs().get(f"{1:032x}"), withdrawn=True, reason="label leak")
    refused = project.ciplug("attest", "wine@staging", "--output", "no", env=env, code=1)
    assert "broken at its run" in refused.stderr and "label leak" in refused.stderr
    assert not (project.folder / "no").exists()
