"""The target `kserve`: real kubectl and a real OCI registry, and a stand-in for the API server and the controller."""

from __future__ import annotations

import hashlib
import json
import os
import tarfile
from collections.abc import Iterator
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from ciplug.cli import main
from ciplug.errors import DeploymentRefused, NotDeployed, TargetError
from ciplug.records.registry_deployment import BEGUN, DEPLOYED, FAILED
from ciplug.steps import history
from ciplug.steps.deployment.deploy import deploy
from ciplug.steps.deployment.status import State
from ciplug.steps.registered_model import read_model
from ciplug.targets import kserve, open_target
from ciplug.targets.kubectl import Conflict, Kind, Kubectl
from ciplug.targets.model_pack import INDEX, MANIFEST
from tests.deployments import change, deployed, events, refused, state_of, team_with_two_versions
from tests.servers.docker_registry import Registry, docker_registry
from tests.servers.kubernetes_api import KubernetesApi
from tests.servers.program import find
from tests.team import Team

pytestmark = pytest.mark.e2e
_TEXT, _TEXTS = {"type": "string"}, {"type": "object", "additionalProperties": {"type": "string"}}
_COUNT = {"type": "integer", "format": "int32"}


def _closed(required: list[str], **properties: Any) -> dict[str, Any]:
    return {"type": "object", "required": required, "additionalProperties": False, "properties": properties}


SCHEMA = _closed(
    ["apiVersion", "kind", "metadata", "spec"],
    apiVersion={"const": "serving.kserve.io/v1beta1"},
    kind={"const": "InferenceService"},
    metadata=_closed(["name"], name=_TEXT, namespace=_TEXT, annotations=_TEXTS),
    spec=_closed(
        ["predictor"],
        predictor=_closed(
            [],
            minReplicas=_COUNT,
            maxReplicas=_COUNT,
            serviceAccountName=_TEXT,
            model=_closed(
                ["modelFormat"],
                modelFormat=_closed(["name"], name=_TEXT, version=_TEXT),
                storageUri=_TEXT,
                runtime=_TEXT,
                protocolVersion=_TEXT,
            ),
        ),
    ),
)
"""What KServe's CRD says of the keys that are used here."""


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    with docker_registry(tmp_path_factory.mktemp("registry")) as server:
        yield server


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[KubernetesApi]:
    program = Path(find("kubectl"))
    monkeypatch.setenv("PATH", str(program.parent), prepend=":")
    monkeypatch.setattr(kserve, "PAUSE", 0.01)
    with KubernetesApi() as api:
        api.write_config(tmp_path / "kubeconfig")
        monkeypatch.setenv("KUBECONFIG", str(tmp_path / "kubeconfig"))
        yield api


def team_with(folder: Path, registry: Registry, how: str) -> Team:
    repository = f"{registry.host}/{hashlib.sha256(str(folder).encode()).hexdigest()[:12]}/wine"
    target = (
        f"targets: {{prod: {{kind: kserve, name: wine, namespace: models, storage: 'oci+native://{repository}', "
        f"format: mlflow, predictor: {{minReplicas: 1, model: {{protocolVersion: v2, runtime: mlserver}}}}, {how}}}}}\n"
    )
    return team_with_two_versions(folder, target)


@pytest.fixture
def team(tmp_path: Path, cluster: KubernetesApi, registry: Registry) -> Team:
    return team_with(tmp_path, registry, "apply: true, patience: 5")


def address(cluster: KubernetesApi) -> str:
    return str(cluster.objects["wine"]["spec"]["predictor"]["model"]["storageUri"])


def test_the_manifest_in_a_file_is_pinned_by_the_digest(tmp_path: Path, registry: Registry) -> None:
    file = tmp_path / "gitops" / "wine.yaml"
    team = team_with(tmp_path, registry, f"manifest: {file}")
    done = deployed(team)
    manifest = yaml.safe_load(file.read_text())
    jsonschema.validate(manifest, SCHEMA)
    assert manifest["spec"]["predictor"] == {
        "minReplicas": 1,
        "model": {
            "modelFormat": {"name": "mlflow"},
            "protocolVersion": "v2",
            "runtime": "mlserver",
            "storageUri": done.reference,
        },
    }
    notes = manifest["metadata"]["annotations"]
    assert (notes["ciplug/model"], notes["ciplug/version"], notes["ciplug/stage"]) == ("wine", "1", "Production")
    assert state_of(team) is State.SERVED and deployed(team) == done._replace(event=0)
    file.write_text(file.read_text().replace(done.reference, done.reference[:-3] + "000"))
    assert state_of(team) is State.OTHER
    deployed(team)
    assert state_of(team) is State.SERVED and yaml.safe_load(file.read_text())["spec"] == manifest["spec"]
    for odd in ("[]", "metadata: [1]", "spec: {predictor: [1]}", "metadata: {annotations: x}\nstatus: 7", "- {"):
        file.write_text(odd)
        assert state_of(team) in (State.OTHER, State.UNREACHABLE), odd
    file.write_text("a: 2026-99-99")
    assert state_of(team) is State.UNREACHABLE


def test_who_only_writes_a_file_does_not_say_that_it_serves(
    tmp_path: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "wine.yaml"
    team = team_with(tmp_path, registry, f"manifest: {file}")
    monkeypatch.chdir(team.project.folder)
    for words, expected in (
        (("deploy", "wine@production", "--to", "prod"), f"wine version 1 for 'prod' is in {file} (event"),
        (("deploy", "wine@production", "--to", "prod"), f"nothing to do: {file} has wine version 1"),
        (("undeploy", "wine", "--from", "prod"), f"{file}, with wine version 1 for 'prod', is removed (event"),
    ):
        assert main([*words, "--store", team.session.store_uri]) == 0
        said = capsys.readouterr().err
        assert expected in said and "'prod' serves" not in said, said
        assert ("commit and push it" in said) is ("nothing to do" not in said), said


def test_a_relative_file_is_beside_ciplug_yaml_wherever_the_command_is_started(
    tmp_path: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    team = team_with(tmp_path, registry, "manifest: gitops/wine.yaml")
    (team.project.folder / "notes").mkdir()
    monkeypatch.chdir(team.project.folder / "notes")
    assert main(["deploy", "wine@production", "--to", "prod", "--store", team.session.store_uri]) == 0
    assert (team.project.folder / "gitops" / "wine.yaml").is_file()
    monkeypatch.chdir(team.project.folder)
    assert main(["deployments", "status", "--store", team.session.store_uri]) == 0
    assert main(["undeploy", "wine", "--from", "prod", "--store", team.session.store_uri]) == 0
    assert "gitops/wine.yaml, with wine version 1 for 'prod', is removed" in capsys.readouterr().err


def test_the_image_has_the_files_and_nothing_else(team: Team, cluster: KubernetesApi, registry: Registry) -> None:
    deployed(team)
    team.promote("production", version=2)
    done = deployed(team)
    name = done.reference.partition(f"{registry.host}/")[2].partition("@")[0]
    index = json.loads(registry.get(f"{name}/manifests/{done.reference.partition('@')[2]}", INDEX)[1])
    assert [one["platform"]["architecture"] for one in index["manifests"]] == ["amd64", "arm64"]
    manifest = json.loads(registry.get(f"{name}/manifests/{index['manifests'][0]['digest']}", MANIFEST)[1])
    found = {}
    for layer in manifest["layers"]:
        with tarfile.open(fileobj=BytesIO(registry.get(f"{name}/blobs/{layer['digest']}")[1])) as tar:
            found |= {one.name: (tar.extractfile(one) or BytesIO()).read() for one in tar}
    assert found == {"models/MLmodel": b"second", "files/README.md": b"notes"}
    config = json.loads(registry.get(f"{name}/blobs/{manifest['config']['digest']}")[1])
    assert config["rootfs"]["diff_ids"] == [layer["digest"] for layer in manifest["layers"]]


def test_kubectl_applies_it_and_the_state_follows(team: Team, cluster: KubernetesApi) -> None:
    first = deployed(team)
    assert first.endpoint == "http://wine.models.example.com" and address(cluster) == first.reference
    jsonschema.validate(cluster.objects["wine"]["spec"], SCHEMA["properties"]["spec"])
    cluster.seen.clear()
    assert deployed(team) == first._replace(event=0) and {"PUT", "POST"}.isdisjoint(cluster.seen)
    cluster.objects["wine"]["metadata"]["labels"] = {"team": "red"}
    change(team, "minReplicas: 1", "minReplicas: 2")
    assert state_of(team) is State.BEHIND
    deployed(team)
    assert cluster.objects["wine"]["spec"]["predictor"]["minReplicas"] == 2 and state_of(team) is State.SERVED
    assert cluster.objects["wine"]["metadata"]["labels"] == {"team": "red"}
    cluster.objects["wine"]["spec"]["predictor"]["model"]["storageUri"] = "s3://elsewhere/wine"
    assert state_of(team) is State.OTHER
    at = open_target(team.session.config.targets["prod"], team.session.env, str)
    with pytest.raises(DeploymentRefused, match="not of the model 'beer'"):
        at.end("beer", "Production", 99)
    for _ in range(2):
        at.end("wine", "Production", 99)
        assert at.live("Production") is None and cluster.objects == {}
    assert "correct-horse-battery" not in json.dumps(history.stored(team.session.refreshed(), "wine"))


def test_a_service_that_does_not_become_ready_is_put_back(team: Team, cluster: KubernetesApi) -> None:
    change(team, "runtime: mlserver", "runtime: broken")
    refusal = refused(team, DeploymentRefused)
    assert refusal.reason is NotDeployed.UNHEALTHY and "no such layer" in refusal.message and cluster.objects == {}
    change(team, "runtime: broken", "runtime: mlserver")
    first = deployed(team)
    team.promote("production", version=2)
    change(team, "runtime: mlserver", "runtime: broken")
    assert refused(team, DeploymentRefused).reason is NotDeployed.UNHEALTHY
    assert address(cluster) == first.reference and events(team)[-1] == (FAILED, 2)
    change(team, "runtime: broken", "runtime: mlserver")
    deployed(team)
    assert state_of(team) is State.SERVED and events(team)[-2:] == [(BEGUN, 2), (DEPLOYED, 2)]


def test_a_change_by_somebody_else_meanwhile_is_not_overwritten(
    team: Team, cluster: KubernetesApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    deployed(team)
    team.promote("production", version=2)
    original = Kubectl.put

    def late(generation: int) -> None:
        def put(self: Kubectl, manifest: Any) -> None:
            monkeypatch.setattr(Kubectl, "put", original)
            cluster.keep("wine", cluster.objects["wine"], generation)
            original(self, manifest)

        monkeypatch.setattr(Kubectl, "put", put)

    late(7)
    assert refused(team, DeploymentRefused).reason is NotDeployed.SUPERSEDED
    # KServe writes its status at any time, which is no change by somebody else.
    late(7)
    deployed(team)
    assert state_of(team) is State.SERVED
    change(team, "minReplicas: 1", "minReplicas: 2")
    cluster.objects["wine"]["metadata"]["annotations"]["ciplug/event"] = "99"
    assert "later deployment" in refused(team, DeploymentRefused).message


def test_a_change_that_decides_what_answers_is_seen_and_put_right(team: Team, cluster: KubernetesApi) -> None:
    deployed(team)
    spec = cluster.objects["wine"]["spec"]
    predictor, model = spec["predictor"], spec["predictor"]["model"]
    # The API server adds such defaults itself.
    predictor["initContainers"], model["name"] = [], ""
    assert state_of(team) is State.SERVED
    changes: list[tuple[dict[str, Any], str, Any]] = [
        (spec, "transformer", {"containers": [{"image": "other"}]}),
        (predictor, "canaryTrafficPercent", 0),
        (predictor, "containers", [{"image": "other"}]),
        (predictor, "storageUris", [{"uri": "s3://elsewhere"}]),
        (model, "storage", {"path": "elsewhere"}),
        (model, "args", ["--model_dir=/elsewhere"]),
        (model, "runtime", "elsewhere"),
    ]
    for part, key, value in changes:
        before = part.get(key)
        part[key] = value
        assert state_of(team) is State.OTHER, key
        part[key] = before
    for part, key, value in changes:
        part[key] = value
    deployed(team)
    assert state_of(team) is State.SERVED and set(cluster.objects["wine"]["spec"]) == {"predictor"}
    assert set(cluster.objects["wine"]["spec"]["predictor"]) == {"minReplicas", "model"}


def test_what_is_deployed_while_an_end_hangs_is_not_deleted(
    team: Team, cluster: KubernetesApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    deployed(team)
    at = open_target(team.session.config.targets["prod"], team.session.env, str)
    delete = Kubectl.delete

    def late(self: Kubectl, found: Any) -> None:
        monkeypatch.setattr(Kubectl, "delete", delete)
        team.promote("production", version=2)
        deployed(team)
        delete(self, found)

    monkeypatch.setattr(Kubectl, "delete", late)
    with pytest.raises(DeploymentRefused) as caught:
        at.end("wine", "Production", read_model(team.session.refreshed(), "wine").deployed["prod"].last.event + 1)
    assert caught.value.reason is NotDeployed.SUPERSEDED and state_of(team) is State.SERVED
    # Another one under its name is not the one that was read.
    found = Kubectl(
        Kind("serving.kserve.io", "v1beta1", "inferenceservices"), "wine", "models", None, env_of(team), str
    )
    read = found.get() or {}
    cluster.keep("wine", {**cluster.objects.pop("wine"), "metadata": {"name": "wine"}}, 1)
    with pytest.raises(Conflict):
        found.delete(read)
    assert "wine" in cluster.objects


def env_of(team: Team) -> dict[str, str]:
    return {**os.environ, **team.session.env}


def test_who_is_being_deleted_is_waited_for(team: Team, cluster: KubernetesApi) -> None:
    deployed(team)
    first = cluster.objects["wine"]["metadata"]
    first["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    team.promote("production", version=2)
    deployed(team)
    assert state_of(team) is State.SERVED and cluster.objects["wine"]["metadata"]["uid"] != first["uid"]


def test_kubectl_gets_no_token_of_the_job(
    team: Team, cluster: KubernetesApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tool = tmp_path / "bin" / "kubectl"
    tool.parent.mkdir()
    tool.write_text(f'#!/bin/sh\nenv >> {tmp_path / "env"}\nexec {find("kubectl")} "$@"\n')
    tool.chmod(0o755)
    secrets = ("CIPLUG_PUSH_TOKEN", "CIPLUG_OCI_PASSWORD", "GITHUB_TOKEN", "CI_JOB_TOKEN", "DB_PASSWORD", "CI_JOB_JWT")
    theirs = ("AWS_SESSION_TOKEN", "AZURE_CLIENT_SECRET", "CLOUDSDK_AUTH_ACCESS_TOKEN", "HTTPS_PROXY")
    env = {**team.session.env, "PATH": f"{tool.parent}:{os.environ['PATH']}"}
    env |= dict.fromkeys((*secrets, *theirs[:-1]), "correct-horse") | {"HTTPS_PROXY": ""}
    assert open_target(team.session.config.targets["prod"], env, str).live("Production") is None
    seen = {line.partition("=")[0] for line in (tmp_path / "env").read_text().splitlines()}
    assert seen.isdisjoint(secrets) and seen >= {*theirs, "KUBECONFIG", "HOME"}


def test_trouble_with_the_cluster_says_what_to_do(team: Team, cluster: KubernetesApi, tmp_path: Path) -> None:
    env = {**team.session.env, "PATH": str(tmp_path)}
    with pytest.raises(TargetError, match="kubectl is not installed"):
        deploy(replace(team.session.refreshed(), env=env), "wine@production", "prod")
    of_others = {"kind": "InferenceService", "apiVersion": "serving.kserve.io/v1beta1", "metadata": {"name": "wine"}}
    cluster.keep("wine", {**of_others, "spec": {"predictor": {"model": {}}}}, 1)
    assert refused(team, DeploymentRefused).reason is NotDeployed.OTHER_MODEL
    change(team, "namespace: models", "namespace: elsewhere")
    (tmp_path / "kubeconfig").write_text("{")
    assert "kubectl get" in refused(team, TargetError).message and state_of(team) is State.UNREACHABLE
