"""The target `sagemaker`, against moto's server of S3 and SageMaker."""

from __future__ import annotations

import hashlib
import json
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from ciplug.errors import Cause, DeploymentRefused, NotDeployed, TargetError
from ciplug.records.registry_deployment import BEGUN, DEPLOYED, FAILED
from ciplug.steps import history
from ciplug.steps.deployment.status import State
from ciplug.steps.promotion.rollback import roll_back
from ciplug.targets import open_target, s3_folder, sagemaker
from ciplug.targets.base import Release
from ciplug.targets.s3_folder import S3Folder
from ciplug.targets.sagemaker import Sagemaker
from tests.deployments import change, deployed, events, refused, status_of, team_with_two_versions
from tests.servers.aws import ROLE, Aws, aws, use
from tests.team import STAMP, Team

pytestmark = pytest.mark.e2e
TARGET = f"""\
targets:
  prod:
    kind: sagemaker
    endpoint: wine
    storage: s3://acme-models/wine
    image: 123456789012.dkr.ecr.eu-central-1.amazonaws.com/serve@sha256:1f
    role: {ROLE}
    patience: 5
"""


@pytest.fixture(scope="module")
def server() -> Iterator[Aws]:
    with aws() as amazon:
        yield amazon


@pytest.fixture
def amazon(server: Aws, monkeypatch: pytest.MonkeyPatch) -> Iterator[Aws]:
    use(server, monkeypatch)
    monkeypatch.setattr(sagemaker, "PAUSE", 0.001)
    server.client("s3").create_bucket(
        Bucket="acme-models", CreateBucketConfiguration={"LocationConstraint": "eu-central-1"}
    )
    server.seen.clear()
    yield server
    server.fails = lambda number: None
    import requests

    requests.post(f"{server.origin}/moto-api/reset", timeout=10)


@pytest.fixture
def team(tmp_path: Path, amazon: Aws) -> Team:
    return team_with_two_versions(tmp_path, TARGET)


def served(amazon: Aws) -> str | None:
    """The address of the files of the endpoint."""
    api = amazon.client("sagemaker")
    if not api.list_endpoints()["Endpoints"]:
        return None
    config = api.describe_endpoint_config(
        EndpointConfigName=api.describe_endpoint(EndpointName="wine")["EndpointConfigName"]
    )
    (variant,) = config["ProductionVariants"]
    model = api.describe_model(ModelName=variant["ModelName"])
    return str(model["PrimaryContainer"]["ModelDataSource"]["S3DataSource"]["S3Uri"])


def test_the_files_go_to_s3_as_they_are_and_the_endpoint_changes_over(team: Team, amazon: Aws) -> None:
    first = deployed(team)
    digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert first.reference == served(amazon) and first.reference.startswith("s3://acme-models/wine/")
    key = f"{first.reference.removeprefix('s3://acme-models/')}model.bin"
    head = amazon.client("s3").get_object(Bucket="acme-models", Key=key)
    assert head["Body"].read() == b"abc" and head["Metadata"] == {"ciplug-sha256": digest}
    assert status_of(team).state is State.SERVED
    amazon.seen.clear()
    assert deployed(team) == first._replace(event=0)
    assert not {"PUT", "UpdateEndpoint", "AddTags", "CreateModel"} & set(amazon.seen)
    team.promote("production", version=2)
    assert status_of(team).state is State.BEHIND
    second = deployed(team)
    assert second.reference == served(amazon) and second.reference.endswith("/model/")
    roll_back(team.session.refreshed(), "wine", "production", "it is slow")
    assert deployed(team).reference == first.reference == served(amazon)
    assert events(team) == [(state, version) for version in (1, 2, 1) for state in (BEGUN, DEPLOYED)]
    at = open_target(team.session.config.targets["prod"], {}, str)
    with pytest.raises(DeploymentRefused, match="not of the model 'beer'"):
        at.end("beer", "Production", 99)
    for _ in range(2):
        at.end("wine", "Production", 99)
        assert served(amazon) is None and at.live("Production") is None
    assert status_of(team).state is State.OTHER


def test_a_container_that_does_not_answer_changes_nothing(team: Team, amazon: Aws) -> None:
    change(team, "serve@sha256:1f", "broken@sha256:1f")
    refusal = refused(team, DeploymentRefused)
    assert refusal.reason is NotDeployed.UNHEALTHY and "ping health check" in refusal.message
    assert refusal.message.endswith("nothing was served before")
    assert status_of(team).state in (State.OTHER, State.EMPTY)
    change(team, "broken@sha256:1f", "serve@sha256:1f")
    first = deployed(team)
    change(team, "serve@sha256:1f", "broken@sha256:1f")
    team.promote("production", version=2)
    refusal = refused(team, DeploymentRefused)
    assert refusal.reason is NotDeployed.UNHEALTHY and refusal.message.endswith("what was served before stays")
    assert served(amazon) == first.reference and events(team)[-1] == (FAILED, 2)
    assert status_of(team).state is State.BEHIND


def test_settings_that_changed_are_said_and_deployed(team: Team, amazon: Aws) -> None:
    deployed(team)
    change(team, "patience: 5", "patience: 5\n    instances: 2")
    found = status_of(team)
    assert found.state is State.BEHIND and "settings of the endpoint" in (found.problem or "") and found.remedy
    deployed(team)
    assert status_of(team).state is State.SERVED
    api = amazon.client("sagemaker")
    assert api.describe_endpoint(EndpointName="wine")["ProductionVariants"][0]["VariantName"] == "ciplug"


def test_bytes_that_somebody_changed_are_noticed_and_new_servers_get_the_right_ones(team: Team, amazon: Aws) -> None:
    done = deployed(team)
    before = amazon.client("sagemaker").describe_endpoint(EndpointName="wine")["EndpointConfigName"]
    s3, key = amazon.client("s3"), f"{done.reference.removeprefix('s3://acme-models/')}model.bin"
    s3.put_object(Bucket="acme-models", Key=key, Body=b"abd", Metadata={"ciplug-sha256": "1f"})
    assert status_of(team).state is State.OTHER
    time.sleep(1.1)  # S3 tells whole seconds.
    deployed(team)
    after = amazon.client("sagemaker").describe_endpoint(EndpointName="wine")["EndpointConfigName"]
    assert before != after and s3.get_object(Bucket="acme-models", Key=key)["Body"].read() == b"abc"
    s3.put_object(Bucket="acme-models", Key=f"{key}.pth", Body=b"import os")
    assert status_of(team).state is State.OTHER
    assert refused(team, DeploymentRefused).reason is NotDeployed.OTHER_CONTENT


@pytest.mark.parametrize("kind", ["model", "endpoint_config", "endpoint"])
def test_what_somebody_has_deleted_is_noticed_and_made_again(team: Team, amazon: Aws, kind: str) -> None:
    done = deployed(team)
    api = amazon.client("sagemaker")
    endpoint = api.describe_endpoint(EndpointName="wine")
    (variant,) = api.describe_endpoint_config(EndpointConfigName=endpoint["EndpointConfigName"])["ProductionVariants"]
    api.delete_model(ModelName=variant["ModelName"]) if kind == "model" else None
    api.delete_endpoint_config(EndpointConfigName=endpoint["EndpointConfigName"]) if kind == "endpoint_config" else None
    api.delete_endpoint(EndpointName="wine") if kind == "endpoint" else None
    assert status_of(team).state is State.OTHER
    again = deployed(team)
    assert again.reference == done.reference == served(amazon) and again.event > done.event
    assert status_of(team).state is State.SERVED


def test_a_file_in_parts_is_known_by_the_digest_of_its_parts(
    amazon: Aws, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S3 takes no part but the last of less than 5 MB."""
    monkeypatch.setattr(s3_folder, "PART", 5 * 1024 * 1024)
    monkeypatch.setattr(s3_folder, "ONE_PART_MOST", 0)
    data = b"a" * (5 * 1024 * 1024 + 7)
    (tmp_path / "model.bin").write_bytes(data)
    files = {"model.bin": f"sha256:{hashlib.sha256(data).hexdigest()}"}
    release = Release(
        model="wine", version=1, stage="Production", digest="sha256:1f", files=files, folder=tmp_path, created=STAMP
    )
    s3 = amazon.client("s3")
    folder = S3Folder(s3, "s3://acme-models", str)
    for _ in range(2):
        folder.put(release)
        assert folder.kept("sha256:1f").files == files
    head = s3.head_object(Bucket="acme-models", Key="1f/model.bin", ChecksumMode="ENABLED")
    assert head["ChecksumSHA256"] == head["Metadata"]["ciplug-parts-sha256"]
    s3.put_object(Bucket="acme-models", Key="1f/model.bin", Body=b"abd", Metadata=head["Metadata"])
    assert folder.kept("sha256:1f").files != files


@pytest.mark.slow
def test_any_request_may_fail_and_the_same_command_goes_on(team: Team, amazon: Aws) -> None:
    """Each time some requests more are answered; of those that fail, every other one was done all the same."""
    first = deployed(team)
    team.promote("production", version=2)
    tries = 0
    while True:
        done = len(amazon.seen) + tries
        fault = ("before", "after")[tries % 2]
        amazon.fails = lambda number, done=done, fault=fault: fault if number > done else None  # type: ignore[misc]
        try:
            second = deployed(team)
            break
        except TargetError as problem:
            assert "ciplug deploy models:/wine@production --to prod" in (problem.hint or "")
        finally:
            amazon.fails = lambda number: None
        tries += 3
    assert tries > 20 and served(amazon) == second.reference != first.reference
    assert events(team) == [(BEGUN, 1), (DEPLOYED, 1), (BEGUN, 2), (DEPLOYED, 2)]
    assert status_of(team).state is State.SERVED


def test_who_comes_late_does_not_replace_a_later_deployment(
    team: Team, amazon: Aws, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = Sagemaker.switch

    def late(self: Sagemaker, release: Release) -> None:
        monkeypatch.setattr(Sagemaker, "switch", original)
        team.promote("production", version=2)
        deployed(team)
        original(self, release)

    monkeypatch.setattr(Sagemaker, "switch", late)
    refusal = refused(team, DeploymentRefused)
    assert refusal.reason is NotDeployed.SUPERSEDED and "later deployment" in refusal.message
    assert (served(amazon) or "").endswith("/model/") and status_of(team).state is State.SERVED


def test_an_endpoint_of_somebody_else_is_left_alone(team: Team, amazon: Aws) -> None:
    change(team, "kind: sagemaker", "kind: sagemaker\n    folder: weights")
    assert refused(team, DeploymentRefused).reason is NotDeployed.NO_MODEL
    change(team, "folder: weights", "folder: .")
    api = amazon.client("sagemaker")
    api.create_model(ModelName="m", ExecutionRoleArn=ROLE, PrimaryContainer={"Image": "serve"})
    variant = {"VariantName": "a", "ModelName": "m", "InstanceType": "ml.m5.large", "InitialInstanceCount": 1}
    api.create_endpoint_config(EndpointConfigName="c", ProductionVariants=[variant])
    api.create_endpoint(EndpointName="wine", EndpointConfigName="c")
    assert refused(team, DeploymentRefused).reason is NotDeployed.OTHER_MODEL
    assert api.describe_endpoint(EndpointName="wine")["EndpointConfigName"] == "c"
    assert status_of(team).state is State.OTHER


def test_trouble_with_amazon_has_its_cause_and_no_secret(
    team: Team, amazon: Aws, monkeypatch: pytest.MonkeyPatch
) -> None:
    change(team, "s3://acme-models/wine", "s3://acme-model/wine")
    problem = refused(team, TargetError)
    assert problem.cause is Cause.NOT_FOUND and "acme-model" in problem.message and problem.exit_code == 3
    with monkeypatch.context() as patched:
        patched.setenv("AWS_SESSION_TOKEN", "correct-horse-battery\n")
        team.session = replace(team.session, env={**os.environ, **team.session.env})
        assert refused(team, TargetError).message.endswith("Invalid header value b'***\\n'")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    problem = refused(team, TargetError)
    assert problem.cause is Cause.NO_CREDENTIAL and "AWS_PROFILE" in problem.hint
    assert status_of(team).state is State.UNREACHABLE or events(team)
    with monkeypatch.context() as patched:
        patched.setenv("AWS_MAX_ATTEMPTS", "many")
        assert "boto3 cannot use its settings: invalid literal" in refused(team, TargetError).message
    monkeypatch.setenv("AWS_PROFILE", "none")
    monkeypatch.setitem(sys.modules, "boto3.session", None)
    assert refused(team, TargetError).cause is Cause.LIBRARY_MISSING
    assert "correct-horse-battery" not in json.dumps(history.stored(team.session.refreshed(), "wine"))
