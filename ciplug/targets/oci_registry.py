"""A repository of an OCI registry over HTTP: blobs, manifests, tags, and what refers to a manifest.

Only the registry that the target names gets its credential, and the token service that this registry names, which must
use https. An address that an answer leads to elsewhere gets none.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Mapping
from typing import IO, TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlencode, urljoin, urlsplit

from ciplug.errors import Cause, TargetError
from ciplug.targets.model_pack import INDEX, MANIFEST, Blob
from ciplug.targets.oci_credentials import credential_for

if TYPE_CHECKING:
    import requests

BACKOFF = 0.5
ATTEMPTS = 4
_TIMEOUT = (10, 120)
"""Seconds to connect, and between two parts of an answer."""
_LOOPBACK = ("localhost", "127.0.0.1", "[::1]")
_API_HOSTS = {"docker.io": "registry-1.docker.io", "index.docker.io": "registry-1.docker.io"}
_CAUSES = {401: Cause.BAD_CREDENTIAL, 403: Cause.FORBIDDEN, 404: Cause.NOT_FOUND, 413: Cause.TOO_LARGE}
MANIFEST_MOST = 4 * 1024 * 1024
"""Bytes of a manifest that registries take."""


class Repository:
    """One repository of a registry."""

    def __init__(self, host: str, name: str, env: Mapping[str, str]) -> None:
        self.host, self.name = host, name
        secure = "http" if re.sub(r":\d+$", "", host) in _LOOPBACK else "https"
        self._origin = f"{secure}://{_API_HOSTS.get(host, host)}"
        self._base = f"{self._origin}/v2/{name}"
        self._env = env
        self._authorization: str | None = None
        self._opened: requests.Session | None = None

    def has_blob(self, digest: str) -> bool:
        # A registry may answer with a redirect to where it keeps the bytes.
        return self._ask("HEAD", f"/blobs/{digest}", allowed=(404,)).status != 404

    def put_blob(self, digest: str, size: int, open_data: Callable[[], IO[bytes]]) -> None:
        """Send bytes, unless the registry has them. It verifies their digest. A cut upload begins anew."""

        def attempt() -> None:
            if self.has_blob(digest):
                return
            begun = self._ask("POST", "/blobs/uploads/", once=True)
            place = urljoin(f"{self._base}/blobs/uploads/", begun.headers.get("Location", ""))
            place += f"{'&' if urlsplit(place).query else '?'}{urlencode({'digest': digest})}"
            headers = {"Content-Type": "application/octet-stream", "Content-Length": str(size)}
            with open_data() as data:
                # requests would send an empty file in chunks, which not every registry takes.
                self._ask("PUT", place, data=data if size else b"", headers=headers, once=True)

        self._again(attempt)

    def manifest(self, reference: str) -> Blob | None:
        """A manifest by its tag or digest; None where there is none. Its bytes are verified where a digest names it."""
        accept = {"Accept": f"{MANIFEST}, {INDEX}"}
        got = self._ask("GET", f"/manifests/{reference}", headers=accept, allowed=(404,))
        if got.status == 404:
            return None
        if got.status != 200:
            raise TargetError(f"{self.host} answers {got.status} for the manifest of {self.name}:{reference}")
        blob = Blob(got.headers.get("Content-Type", "").partition(";")[0].strip(), got.body)
        if ":" in reference and blob.digest != reference:
            raise TargetError(f"{self.host} has other bytes at {reference}", cause=Cause.DAMAGED)
        return blob

    def put_manifest(self, manifest: Blob, tag: str | None = None) -> bool:
        """Keep a manifest under its digest, or under a tag; returns whether the registry lists what refers to it."""
        headers = {"Content-Type": manifest.media_type}
        put = self._ask("PUT", f"/manifests/{tag or manifest.digest}", data=manifest.data, headers=headers)
        return "OCI-Subject" in put.headers

    # --- requests

    def _again(self, attempt: Callable[[], Any]) -> Any:
        for number in range(1, ATTEMPTS):
            try:
                return attempt()
            except _Trouble:
                time.sleep(BACKOFF * 2 ** (number - 1))
        try:
            return attempt()
        except _Trouble as trouble:
            raise trouble.error from None

    def _ask(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        data: Any = None,
        allowed: tuple[int, ...] = (),
        once: bool = False,
    ) -> _Answer:
        """Send a request, and raise TargetError for an answer that is neither a success nor allowed.

        Args:
            path: below the repository, or a whole address.
            once: who calls this sends it again where it failed.
        """
        url = path if "://" in path else self._base + path

        def attempt() -> _Answer:
            answer = self._send(method, url, headers or {}, data)
            if answer.status == 401 and self._is_own(url):
                self._authorization = self._log_in(answer)
                if hasattr(data, "seek"):
                    data.seek(0)
                answer = self._send(method, url, headers or {}, data)
            if answer.status < 400 or answer.status in allowed:
                return answer
            raise self._refusal(method, answer)

        result: _Answer = attempt() if once else self._again(attempt)
        return result

    def _send(self, method: str, url: str, headers: Mapping[str, str], data: Any) -> _Answer:
        import requests

        own = {"Authorization": self._authorization} if self._authorization and self._is_own(url) else {}
        try:
            return self._request(method, url, headers={**headers, **own}, data=data)
        except (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError) as problem:
            raise _Trouble(
                TargetError(
                    f"{self.host} does not answer: {_words(problem)}",
                    hint="try again: what was uploaded is not sent again",
                    cause=Cause.NETWORK,
                )
            ) from None
        except requests.RequestException as problem:
            raise TargetError(f"{self.host}: {_words(problem)}") from None

    def _request(self, method: str, url: str, **rest: Any) -> _Answer:
        """Raises requests' exceptions, and TargetError for an answer that is too long: it is that of a stranger."""
        with self._session.request(method, url, timeout=_TIMEOUT, allow_redirects=False, stream=True, **rest) as answer:
            body = bytearray()
            for part in answer.iter_content(1 << 16):
                body += part
                if len(body) > MANIFEST_MOST:
                    raise TargetError(f"the answer of {self.host} to {method} is too long for a registry")
            return _Answer(answer.status_code, answer.headers, bytes(body))

    @property
    def _session(self) -> requests.Session:
        import requests

        if self._opened is None:
            self._opened = requests.Session()
            # Without it, requests would take a password from ~/.netrc, for whatever host an answer leads to.
            self._opened.auth = lambda request: request
        return self._opened

    def _is_own(self, url: str) -> bool:
        return urlsplit(url)[:2] == urlsplit(self._origin)[:2]

    def _log_in(self, challenge: _Answer) -> str | None:
        """The Authorization that the registry asks for; None: it is asked again without one."""
        import requests

        credential = credential_for(self.host, self._env)
        scheme, _, rest = challenge.headers.get("WWW-Authenticate", "").partition(" ")
        if scheme.lower() == "basic":
            return f"Basic {credential.basic}" if credential else None
        asked = dict(re.findall(r'(\w+)="([^"]*)"', rest))
        realm = asked.get("realm", "")
        if scheme.lower() != "bearer" or not (realm.startswith("https://") or self._is_own(realm)):
            raise TargetError(f"{self.host} asks for a credential in a way that ciplug does not support")
        query = {"service": asked.get("service", ""), "scope": f"repository:{self.name}:pull,push"}
        headers = {"Authorization": f"Basic {credential.basic}"} if credential else {}
        try:
            got = self._request("GET", realm, params=query, headers=headers)
            given = json.loads(got.body) if got.status == 200 else {}
            token = str(given.get("token") or given.get("access_token") or "")
            # One that is no header would be told in the error.
            token = token if re.fullmatch(r"[\x21-\x7e]+", token) else ""
        except (requests.RequestException, ValueError, AttributeError, RecursionError):
            token = ""
        return f"Bearer {token}" if token else None

    def _refusal(self, method: str, answer: _Answer) -> Exception:
        status = answer.status
        words = _said(answer)
        cause = _CAUSES.get(status, Cause.UNKNOWN)
        hint = None
        if status in (401, 403):
            hint = f"log in: docker login {self.host}; the account needs the right to push to {self.name}"
        error = TargetError(
            f"{self.host} refuses {method} in {self.name}: {status}{f', {words}' if words else ''}",
            hint=hint,
            cause=cause,
        )
        return _Trouble(error) if status == 429 or status >= 500 else error


class _Answer(NamedTuple):
    status: int
    headers: Mapping[str, str]
    body: bytes


class _Trouble(Exception):
    """Trouble that may pass."""

    def __init__(self, error: TargetError) -> None:
        super().__init__(error.message)
        self.error = error


def _said(answer: _Answer) -> str:
    """What the registry says of its refusal, in one short line."""
    try:
        first = json.loads(answer.body)["errors"][0]
        text = f"{first.get('code', '')}: {first.get('message', '')}"
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        text = ""
    return "".join(c for c in text if c.isprintable())[:200]


def _words(problem: BaseException) -> str:
    """What went wrong, without addresses: that of an upload may have a token."""
    text = re.sub(r"(url: |https?://)\S+", r"\1…", str(problem))
    return "".join(c for c in text if c.isprintable())[:200]
