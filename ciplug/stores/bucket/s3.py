"""s3://bucket/prefix: Amazon S3, and servers with its API."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

from ciplug.errors import Cause, StoreError
from ciplug.stores.bucket.base import Bucket
from ciplug.stores.bucket.failures import Access
from ciplug.stores.bucket.obstore_bucket import RETRIES, ObstoreBucket, client_options, settings

PLACE = "bucket"
LIBRARY = "obstore.store"
SERVERS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT")
ENDPOINTS = SERVERS
HOST_ALONE = False
ACCESS = Access(
    "s3",
    "credentials come from AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE, or the machine's role; "
    "the place from AWS_REGION and, where it is not Amazon's, AWS_ENDPOINT_URL",
)
_AWS = (
    *("ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "SESSION_TOKEN", "REGION", "DEFAULT_REGION", "ROLE_ARN"),
    *("ROLE_SESSION_NAME", "WEB_IDENTITY_TOKEN_FILE", "CONTAINER_CREDENTIALS_RELATIVE_URI", "SKIP_SIGNATURE"),
    *("CONTAINER_CREDENTIALS_FULL_URI", "CONTAINER_AUTHORIZATION_TOKEN_FILE", "VIRTUAL_HOSTED_STYLE_REQUEST"),
    *("REQUEST_PAYER", "SERVER_SIDE_ENCRYPTION", "SSE_KMS_KEY_ID", "CONDITIONAL_PUT", "UNSIGNED_PAYLOAD"),
)
_AWS_WITHOUT_FILES = (
    *("AWS_ACCESS_KEY_ID", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_SKIP_SIGNATURE"),
    *("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI"),
)


def open_bucket(address: str, name: str, prefix: str, env: Mapping[str, str]) -> Bucket:
    from obstore.store import S3Store

    config: dict[str, Any] = settings(env, "AWS_", _AWS)
    endpoint = next((env[name] for name in ENDPOINTS if env.get(name)), None)
    if endpoint:
        config["aws_endpoint"] = endpoint
    provider = None
    if not any(env.get(name) for name in _AWS_WITHOUT_FILES) and _has_aws_files(env):
        session = _aws_session(env)
        provider = _from_session(session)
        if session.region_name and "aws_region" not in config:
            config["aws_region"] = session.region_name
    store = S3Store(
        name,
        prefix=prefix or None,
        config=config,  # type: ignore[arg-type]
        client_options=client_options(env, "AWS_CA_BUNDLE", endpoint),
        retry_config=RETRIES,
        credential_provider=provider,
    )
    return ObstoreBucket(store, address, ACCESS)


def _has_aws_files(env: Mapping[str, str]) -> bool:
    folder = Path(env.get("HOME") or env.get("USERPROFILE") or Path.home()) / ".aws"
    named = ("AWS_PROFILE", "AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE")
    return any(env.get(name) for name in named) or any((folder / name).exists() for name in ("credentials", "config"))


def _aws_session(env: Mapping[str, str]) -> Any:
    import boto3

    return boto3.Session(profile_name=env.get("AWS_PROFILE") or None)


def _from_session(session: Any) -> Callable[[], Any]:
    """Profiles, single sign-on and assumed roles of ~/.aws, which only Amazon's own library reads."""
    stored = session.get_credentials()
    if stored is None:
        raise StoreError("~/.aws holds no credentials for this profile", hint=ACCESS.hint, cause=Cause.NO_CREDENTIAL)

    def credentials() -> dict[str, Any]:
        from datetime import datetime, timezone

        now = stored.get_frozen_credentials()
        return {
            "access_key_id": now.access_key,
            "secret_access_key": now.secret_key,
            "token": now.token,
            "expires_at": datetime.now(timezone.utc) + timedelta(minutes=5),
        }

    return credentials
