"""The servers that runs are exported to: where they are, which credential goes there, and what they refuse."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit, urlunsplit

from ciplug.capture.mlflow.rest_store import authorization
from ciplug.console import Note
from ciplug.errors import UsageError
from ciplug.forges.address import token_in
from ciplug.forges.retries import allowed_wait
from ciplug.git.credentials import redact
from ciplug.interop.mlflow_server import Address, Dialect, MlflowServer
from ciplug.steps.session import Session

if TYPE_CHECKING:
    import requests

TRACKING_TOKEN = "MLFLOW_TRACKING_TOKEN"  # noqa: S105 (the name of a variable)
GITLAB_TOKEN = "CIPLUG_GITLAB_TOKEN"  # noqa: S105 (the name of a variable)
AWS_ENDPOINT = "SAGEMAKER_MLFLOW_CUSTOM_ENDPOINT"
"""The variable by which Amazon's own plugin for MLflow finds another server."""
_CREDENTIALS = f"set {TRACKING_TOKEN}, or MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"
_ARN = re.compile(
    r"arn:(?P<partition>aws|aws-us-gov):sagemaker:(?P<region>[a-z0-9-]+):[0-9]{12}:"
    r"(?P<kind>mlflow-tracking-server|mlflow-app)/[A-Za-z0-9-]+"
)
_WORKSPACE = re.compile(
    # A stand-in on this machine has no certificate.
    r"(?:(?:azureml|https)://[\w.-]+(?::\d+)?|http://(?:127\.0\.0\.1|localhost):\d+)/mlflow/v[12]\.0/subscriptions/"
)

_HOST_AND_PORT = re.compile(r"[A-Za-z0-9.-]+:[0-9]{1,5}(/|\Z)")
MLFLOW = Dialect(title="MLflow", remedy=_CREDENTIALS)
GITLAB = Dialect(
    title="GitLab",
    remedy=f"set {GITLAB_TOKEN} to a project access token, role Developer, scope api; and turn on 'Model experiments' "
    "and 'Model registry': Settings > General > Visibility",
    name=re.compile(r".{1,250}"),
    only_finite=True,
    keeps_deleted=False,
    page=1_000,
    filters_by_tag=False,
    reserved=("ciplug.", "gitlab."),
)
AZURE_ML = Dialect(
    title="Azure ML",
    remedy=f"export {TRACKING_TOKEN}=$(az account get-access-token --query accessToken --output tsv)",
    points_most=200,
    keeps_deleted=False,
    experiment_name=lambda name: re.sub(r"[^A-Za-z0-9_-]+", "-", name).strip("-_") or "Default",
)
SAGEMAKER = Dialect(
    title="SageMaker", remedy="the AWS credentials of this machine must allow sagemaker-mlflow:* on this server"
)


def mlflow_server(session: Session, target: str) -> MlflowServer:
    """A server of MLflow, by its address. Raises UsageError for what is not an address."""
    scheme = target.partition(":")[0]
    if scheme == "ciplug":
        raise UsageError(f"{target} is a store of ciplug", hint="git copies it: docs/store.md")
    if scheme not in ("http", "https"):
        shown = redact(target)
        if _HOST_AND_PORT.match(target):
            raise UsageError(f"'{shown}' does not begin with http:// or https://", hint=f"write http://{shown}")
        uri = shown if "://" in shown else f"./{shown.removeprefix('./')}"
        hint = f"start one on it: mlflow server --backend-store-uri {uri}; then: ciplug export mlflow URL"
        raise UsageError(f"'{shown}' is not the address of an MLflow server", hint=hint)
    env = session.env
    parts = urlsplit(target)
    headers = authorization(parts, env)
    insecure = env.get("MLFLOW_TRACKING_INSECURE_TLS", "").lower() in ("true", "1")
    address = Address(
        url=_plain(target),
        authorize=_with_headers(headers),
        verify=False if insecure else env.get("MLFLOW_TRACKING_SERVER_CERT_PATH") or True,
        certificate=env.get("MLFLOW_TRACKING_CLIENT_CERT_PATH") or None,
    )
    return _server(session, address, MLFLOW)


def gitlab_server(session: Session, target: str | None) -> MlflowServer:
    """A project on GitLab: of this job or checkout, or by its address. Raises UsageError and ConfigError.

    The token is that of the forge, for the project's own GitLab; another GitLab gets `MLFLOW_TRACKING_TOKEN`.
    """
    from ciplug.forges import forge_name
    from ciplug.forges.address import job_of
    from ciplug.forges.base import Lack, Place
    from ciplug.forges.gitlab import find_place

    job = job_of(session.context, session.env, session.remote_url)
    if target is not None:
        job = replace(job, repository=urlsplit(target).path.strip("/").removesuffix(".git"))
    is_gitlab = forge_name(session.context, session.env, session.remote_url) == "gitlab"
    own = find_place(job) if is_gitlab else None
    if target is not None:
        api, project = _project_at(target, own.api_url if isinstance(own, Place) else None)
        is_own = isinstance(own, Place) and _site(own.api_url) == _site(api)
        token = own.token if isinstance(own, Place) and is_own else token_in(session.env, TRACKING_TOKEN)
        if not token:
            raise UsageError(
                f"no token for {_site(api)}",
                hint=f"set {TRACKING_TOKEN} to one of that GitLab, with scope api and role Developer; "
                f"{GITLAB_TOKEN} is for the GitLab of this checkout alone",
            )
    elif own is None:
        raise UsageError(
            "this checkout is not of a project on GitLab",
            hint="name it: ciplug export gitlab https://gitlab.com/group/project",
        )
    elif not isinstance(own, Place):
        if own.lacks is Lack.TOKEN:
            raise UsageError("no token for GitLab; its job token does not reach model experiments", hint=GITLAB.remedy)
        raise UsageError(own.message, hint=own.hint)
    else:
        api, project, token = own.api_url, own.repository, own.token
    url = f"{api}/projects/{quote(project, safe='')}/ml/mlflow"
    return _server(session, Address(url=url, authorize=_bearer(token)), GITLAB)


def azureml_server(session: Session, target: str) -> MlflowServer:
    """A workspace of Azure ML, by its tracking URI. Raises UsageError."""
    scheme, _, rest = target.partition("://")
    if not _WORKSPACE.match(target):
        raise UsageError(
            f"'{redact(target)}' is not the tracking URI of a workspace",
            hint="az ml workspace show --query mlflow_tracking_uri --output tsv",
        )
    token = token_in(session.env, TRACKING_TOKEN)
    if token is None:
        raise UsageError("no token for Azure ML", hint=AZURE_ML.remedy)
    url = _plain(f"https://{rest}" if scheme == "azureml" else target)
    return _server(session, Address(url=url, authorize=_bearer(token)), AZURE_ML)


def sagemaker_server(session: Session, target: str) -> MlflowServer:
    """A tracking server or an MLflow app on SageMaker, by its ARN. Raises UsageError, also without boto3."""
    named = _ARN.fullmatch(target)
    if named is None:
        raise UsageError(
            f"'{redact(target)}' is not the ARN of a tracking server or of an MLflow app",
            hint="aws sagemaker list-mlflow-tracking-servers --query 'TrackingServerSummaries[].TrackingServerArn'",
        )
    is_app = named["kind"] == "mlflow-app"
    region = named["region"]
    host = f"mlflow.sagemaker.{region}.app.aws" if is_app else f"{region}.experiments.sagemaker.aws"
    header = "x-sm-mlflow-app-arn" if is_app else "x-mlflow-sm-tracking-server-arn"
    address = Address(
        url=_plain(session.env.get(AWS_ENDPOINT) or f"https://{host}"),
        authorize=_signature_v4(session.env, region),
        headers={header: target},
    )
    return _server(session, address, SAGEMAKER)


def _server(session: Session, address: Address, dialect: Dialect) -> MlflowServer:
    wait = allowed_wait(session.env)
    return MlflowServer(address, dialect, session.env, wait, lambda words: session.tell(Note(words)))


def _plain(url: str) -> str:
    """An address without a credential, and without a slash at its end."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path.rstrip("/"), "", ""))


def _site(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.lower()}"


def _project_at(target: str, own_api: str | None) -> tuple[str, str]:
    """The API and the path of a project, by its web address. Below a path, only this checkout's GitLab is known."""
    parts = urlsplit(target)
    path = parts.path.strip("/").removesuffix(".git")
    if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc or "/" not in path:
        raise UsageError(
            f"'{redact(target)}' is not the address of a project", hint="like https://gitlab.com/group/project"
        )
    if own_api and (web := own_api.removesuffix("/api/v4")) and target.startswith(f"{web}/"):
        return own_api, target.removeprefix(f"{web}/").strip("/").removesuffix(".git")
    return f"{_site(target)}/api/v4", path


def _with_headers(headers: Mapping[str, str]) -> Callable[[requests.PreparedRequest], requests.PreparedRequest]:
    def authorize(request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers.update(headers)
        return request

    return authorize


def _bearer(token: str) -> Callable[[requests.PreparedRequest], requests.PreparedRequest]:
    return _with_headers({"Authorization": f"Bearer {token}"})


def _signature_v4(
    env: Mapping[str, str], region: str
) -> Callable[[requests.PreparedRequest], requests.PreparedRequest]:
    """Amazon's signature of each request, by its own library. Raises UsageError without it, or without a credential."""
    try:
        import boto3
        from botocore.auth import SigV4Auth
        from botocore.awsrequest import AWSRequest
        from botocore.exceptions import BotoCoreError
    except ImportError:
        raise UsageError("boto3 is not installed here", hint="pip install 'ciplug[s3]'") from None
    try:
        credentials = boto3.Session(profile_name=env.get("AWS_PROFILE") or None).get_credentials()
    except BotoCoreError as problem:
        raise UsageError(f"AWS: {problem}") from None
    if credentials is None:
        raise UsageError("no AWS credentials", hint="set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE")

    def authorize(request: requests.PreparedRequest) -> requests.PreparedRequest:
        import hashlib

        body: Any = request.body or b""
        # Of a file, the bytes are not read twice: the service takes its files by S3.
        content = body if isinstance(body, bytes) else b""
        signed = AWSRequest(
            method=request.method,
            url=(request.url or "").replace("+", "%20"),
            data=content,
            headers={name: value for name, value in request.headers.items() if name.lower() != "connection"},
        )
        signed.headers["X-Amz-Content-SHA256"] = hashlib.sha256(content).hexdigest()
        SigV4Auth(credentials.get_frozen_credentials(), "sagemaker-mlflow", region).add_auth(signed)
        request.url = signed.url
        request.headers.update(dict(signed.headers.items()))
        return request

    return authorize
