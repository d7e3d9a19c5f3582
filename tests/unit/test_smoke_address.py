"""Which address of a target a smoke test asks, and which one gets the token."""

from __future__ import annotations

from typing import Any

import pytest

from ciplug.config.service_targets import AzuremlTarget, KserveTarget, MlflowTarget
from ciplug.config.target_base import SmokeTest, Target
from ciplug.config.targets import LocalTarget, OciTarget
from ciplug.errors import ConfigError
from ciplug.steps.deployment.smoke_address import Address, address_of, check_address
from ciplug.targets.invocations import VARIABLE

SAMPLE = SmokeTest(sample="sample.jsonl")
NAMED = SmokeTest(sample="sample.jsonl", url="https://wine.example.com/", path="/score")
LOCAL = LocalTarget(folder="/srv/wine", kind="local")
KSERVE = KserveTarget(kind="kserve", name="wine", storage="s3://a/b", format="mlflow", apply=True)
AT_KSERVE = "http://wine.models.example.com"
TOKEN = {VARIABLE: "hunter2"}
AZURE = AzuremlTarget(kind="azureml", subscription="s", resource_group="g", workspace="w", endpoint="wine")


@pytest.mark.parametrize(
    ("target", "test", "endpoint", "env", "expected"),
    [
        (LOCAL, SAMPLE, "http://127.0.0.1:5002", {}, Address("http://127.0.0.1:5002/invocations", None)),
        (LOCAL, SAMPLE, "http://127.0.0.1:5002", TOKEN, Address("http://127.0.0.1:5002/invocations", "hunter2")),
        # Its ports have changed since.
        (LOCAL, SAMPLE, "http://127.0.0.1:6001", {}, Address("http://127.0.0.1:6001/invocations", None)),
        (KSERVE, SAMPLE, AT_KSERVE, {}, Address(f"{AT_KSERVE}/invocations", None)),
        (KSERVE, SAMPLE, None, {}, None),
        (KSERVE, SAMPLE, "ftp://wine", {}, None),
        (KSERVE, NAMED, "http://elsewhere.example.com", TOKEN, Address("https://wine.example.com/score", "hunter2")),
        (AZURE, NAMED, "https://elsewhere.example.com", TOKEN, Address("https://wine.example.com/score", "hunter2")),
    ],
)  # fmt: skip
def test_only_an_address_of_the_policy_gets_the_token(
    target: Target, test: SmokeTest, endpoint: str | None, env: dict[str, str], expected: Any
) -> None:
    assert address_of("prod", target, test, endpoint, env) == expected


@pytest.mark.parametrize(
    ("target", "endpoint", "env", "words"),
    [
        (LOCAL, "http://127.0.0.1:6001", TOKEN, "not an address of ciplug.yaml"),
        (LOCAL, "http://elsewhere.example.com", {}, "not an address of ciplug.yaml"),
        (KSERVE, "https://wine.models.example.com", TOKEN, "names none for 'prod'"),
        (KSERVE, "https://[wine", {}, "not an address"),
    ],
)
def test_an_address_of_the_log_does_not(target: Target, endpoint: str, env: dict[str, str], words: str) -> None:
    with pytest.raises(ConfigError, match=words) as caught:
        address_of("prod", target, SAMPLE, endpoint, env)
    assert caught.value.hint


@pytest.mark.parametrize(
    "target",
    [
        OciTarget(kind="oci", repository="a/b"),
        AZURE,
        MlflowTarget(kind="mlflow", plugin="databricks", name="wine"),
        KserveTarget(kind="kserve", name="wine", storage="s3://a/b", format="mlflow", manifest="wine.yaml"),
    ],
    ids=lambda one: one.kind,
)
def test_who_answers_in_a_way_of_its_own_needs_an_address(target: Target) -> None:
    with pytest.raises(ConfigError, match="nothing is known to ask") as caught:
        check_address("prod", target, SAMPLE, {})
    assert "smoke_test: {url:" in str(caught.value.hint)
    check_address("prod", target, NAMED, TOKEN)
