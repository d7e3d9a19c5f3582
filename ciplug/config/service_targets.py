"""The targets of ciplug.yaml that are services: SageMaker, KServe, Azure Machine Learning, plugins of MLflow."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ciplug.config import kinds
from ciplug.config.kinds import Mistake, key, required
from ciplug.config.target_base import FILES_FOLDER, MAPPING, REPOSITORY, S3_FOLDER, VARIABLES, Target, matching, unnamed

_ENDPOINT = r"[A-Za-z0-9](-?[A-Za-z0-9]){0,62}"
_ROLE = r"arn:aws[a-z-]*:iam::[0-9]{12}:role/[\x21-\x7e]{1,500}"
_AZURE_ENDPOINT = r"[A-Za-z][A-Za-z0-9-]{1,30}[A-Za-z0-9]"
_LABEL = r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?"
PREDICTOR_KEYS = (
    *("minReplicas", "maxReplicas", "scaleTarget", "scaleMetric", "autoScaling", "containerConcurrency", "timeout"),
    *("serviceAccountName", "imagePullSecrets", "nodeSelector", "tolerations", "affinity", "topologySpreadConstraints"),
    *(
        "priorityClassName",
        "runtimeClassName",
        "securityContext",
        "terminationGracePeriodSeconds",
        "deploymentStrategy",
    ),
)
"""Keys of `spec.predictor` that change where and how often a model runs, and not which bytes answer."""
MODEL_KEYS = ("runtime", "runtimeVersion", "protocolVersion", "resources")
"""The same of `spec.predictor.model`; the runtime is the server program."""
_STORAGE = rf"{S3_FOLDER}|oci(\+native)?://{unnamed(REPOSITORY)}"


@dataclass(frozen=True, kw_only=True)
class SagemakerTarget(Target):
    """A real-time endpoint of Amazon SageMaker: the files go to S3 as they are, and a container serves them."""

    kind: str = required(kinds.one_of("sagemaker"))
    endpoint: str = required(matching(_ENDPOINT, "the name of an endpoint is expected, like wine-prod"))
    """The name of the endpoint, of this target alone."""
    storage: str = required(matching(S3_FOLDER, "a folder of a bucket is expected, like s3://acme-models/wine"))
    """The folder of S3 that the files are uploaded to."""
    image: str = required(kinds.TEXT)
    """The container image of the server."""
    role: str = required(matching(_ROLE, "the ARN of a role is expected, like arn:aws:iam::123456789012:role/serve"))
    """The role of the server: it must be able to read the files and the image."""
    instance_type: str = key(kinds.TEXT, "ml.m5.large")
    instances: int = key(kinds.integer_from(1), 1)
    folder: str | None = key(FILES_FOLDER)
    """The folder among the files of the version that the container gets as /opt/ml/model. Default: that of the only
    MLflow model, or else all files."""
    environment: Mapping[str, str] = key(VARIABLES, {})
    """Variables of the container. Not for secrets: they can be read in SageMaker."""
    region: str | None = key(kinds.TEXT)
    """The region. Default: that of the job, as AWS_REGION or ~/.aws/config have it."""
    patience: float = key(kinds.POSITIVE, 1800.0)
    """Seconds in which the endpoint must be in service."""


@dataclass(frozen=True, kw_only=True)
class KserveTarget(Target):
    """An InferenceService of KServe: a manifest that kubectl applies, or that is written to a file."""

    kind: str = required(kinds.one_of("kserve"))
    name: str = required(matching(_LABEL, "the name of an InferenceService is expected, like wine"))
    """The name of the InferenceService, of this target alone."""
    namespace: str = key(matching(_LABEL, "the name of a namespace is expected, like models"), "default")
    storage: str = required(
        matching(_STORAGE, "s3://bucket/folder, oci://registry/name or oci+native://registry/name is expected")
    )
    """Where the files are put, and KServe gets them from."""
    format: str = required(kinds.TEXT)
    """The format of the model, as KServe names it: mlflow, sklearn, onnx …"""
    folder: str | None = key(FILES_FOLDER)
    """The folder among the files of the version that the server gets. Default: that of the only MLflow model, or else
    all files."""
    predictor: Mapping[str, Any] = key(MAPPING, {})
    """More keys of `spec.predictor`: the runtime, resources, the service account. Only those that cannot change which
    bytes are served."""
    apply: bool = key(kinds.FLAG, False)
    """Whether kubectl applies the manifest."""
    context: str | None = key(kinds.TEXT)
    """The context of kubectl. Default: its current one."""
    manifest: str | None = key(kinds.TEXT)
    """A file to write the manifest to, in place of `apply`. A relative path is relative to ciplug.yaml."""
    patience: float = key(kinds.POSITIVE, 600.0)
    """Seconds in which the service must be ready."""

    def in_folder(self, folder: Path) -> KserveTarget:
        return replace(self, manifest=str(folder / self.manifest)) if self.manifest else self

    @property
    def written_file(self) -> str | None:
        return self.manifest

    def mistakes(self) -> Iterator[Mistake]:
        if self.apply == (self.manifest is not None):
            yield Mistake((), "either apply: true or manifest: FILE is needed", None, (("apply",), ("manifest",)))
        model = self.predictor.get("model", {})
        if not isinstance(model, dict):
            yield Mistake(("predictor", "model"), "a mapping is expected", None, (("predictor",),))
            model = {}
        for keys, given, path in ((("model", *PREDICTOR_KEYS), self.predictor, ()), (MODEL_KEYS, model, ("model",))):
            for name in given:
                if name not in keys:
                    words = "it can change which bytes are served, so it cannot be set here"
                    hint = f"keys that can: {', '.join(keys)}; an image, arguments and variables are for a runtime"
                    yield Mistake(("predictor", *path, str(name)), words, hint, (("predictor",),))


@dataclass(frozen=True, kw_only=True)
class AzuremlTarget(Target):
    """A managed online endpoint of Azure Machine Learning."""

    kind: str = required(kinds.one_of("azureml"))
    subscription: str = required(kinds.TEXT)
    resource_group: str = required(kinds.TEXT)
    workspace: str = required(kinds.TEXT)
    endpoint: str = required(matching(_AZURE_ENDPOINT, "the name of an endpoint is expected, like wine-prod"))
    """The name of the endpoint, of this target alone."""
    environment: str | None = key(kinds.TEXT)
    """The environment that serves, such as `azureml:serve:3`. An MLflow model needs none."""
    instance_type: str = key(kinds.TEXT, "Standard_DS3_v2")
    instances: int = key(kinds.integer_from(1), 1)
    folder: str | None = key(FILES_FOLDER)
    """The folder among the files of the version that becomes the model. Default: that of the only MLflow model, or else
    all files."""
    variables: Mapping[str, str] = key(VARIABLES, {})
    """Variables of the server. Not for secrets: they can be read in the workspace."""
    auth: str = key(kinds.one_of("key", "aml_token", "aad_token"), "key")
    """How callers of a new endpoint authenticate."""
    patience: float = key(kinds.POSITIVE, 1800.0)
    """Seconds in which the deployment of a job that was killed must have ended."""


@dataclass(frozen=True, kw_only=True)
class MlflowTarget(Target):
    """A deployment by a plugin of `mlflow deployments`."""

    kind: str = required(kinds.one_of("mlflow"))
    plugin: str = required(kinds.TEXT)
    """The target of MLflow, such as `databricks` or `sagemaker:/eu-central-1`."""
    name: str = required(kinds.TEXT)
    """The name of the deployment, of this target alone."""
    flavor: str | None = key(kinds.TEXT)
    endpoint: str | None = key(kinds.TEXT)
    """The endpoint of the deployment, for plugins that have endpoints."""
    config: Mapping[str, Any] = key(MAPPING, {})
    """What the plugin gets as its config, with the version's facts for {model}, {version}, {stage} and {digest}."""
    folder: str | None = key(FILES_FOLDER)
    """The folder among the files of the version that is the model. Default: that of the only MLflow model, or else all
    files."""
