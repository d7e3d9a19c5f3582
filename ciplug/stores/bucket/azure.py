"""az://container/prefix: Azure Blob Storage."""

from __future__ import annotations

from collections.abc import Mapping

from ciplug.stores.bucket.base import Bucket
from ciplug.stores.bucket.failures import Access
from ciplug.stores.bucket.obstore_bucket import RETRIES, ObstoreBucket, client_options, settings

PLACE = "container"
LIBRARY = "obstore.store"
ENDPOINTS = ("AZURE_STORAGE_ENDPOINT", "AZURE_ENDPOINT")
HOST_ALONE = False
SERVERS = (*ENDPOINTS, "AZURE_STORAGE_ACCOUNT_NAME")
ACCESS = Access(
    "azure",
    "credentials come from AZURE_STORAGE_ACCOUNT_NAME with AZURE_STORAGE_ACCOUNT_KEY or AZURE_STORAGE_SAS_TOKEN, "
    "from AZURE_CLIENT_ID and the variables that belong to it, AZURE_USE_AZURE_CLI=true, or the machine's identity",
)
_AZURE = (
    *("STORAGE_ACCOUNT_NAME", "STORAGE_ACCOUNT_KEY", "STORAGE_SAS_TOKEN", "STORAGE_TOKEN", "STORAGE_ENDPOINT"),
    *("STORAGE_USE_EMULATOR", "ENDPOINT", "CLIENT_ID", "CLIENT_SECRET", "TENANT_ID", "AUTHORITY_HOST"),
    *("FEDERATED_TOKEN_FILE", "USE_AZURE_CLI", "MSI_ENDPOINT", "OBJECT_ID", "MSI_RESOURCE_ID", "SKIP_SIGNATURE"),
)


def open_bucket(address: str, name: str, prefix: str, env: Mapping[str, str]) -> Bucket:
    from obstore.store import AzureStore

    endpoint = next((env[variable] for variable in ENDPOINTS if env.get(variable)), None)
    store = AzureStore(
        name,
        prefix=prefix or None,
        config=settings(env, "AZURE_", _AZURE),  # type: ignore[arg-type]
        client_options=client_options(env, "SSL_CERT_FILE", endpoint),
        retry_config=RETRIES,
    )
    return ObstoreBucket(store, address, ACCESS)
