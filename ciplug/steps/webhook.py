"""Tell a server of a promotion, or of a failure in production: a signed POST.

Its form is that of https://www.standardwebhooks.com, with a shared secret.

Address and secret come from the environment alone, so no file of the repository decides where something is sent, and
the secret is for this address only. A redirect is not followed: it could lead to another host.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from ciplug.console import Note
from ciplug.errors import CiplugError, ConfigError, ForgeError
from ciplug.git.credentials import redact
from ciplug.records.canonical import digest
from ciplug.reports.untrusted import clean
from ciplug.steps.promotion.stage_change import StageChange
from ciplug.steps.session import Session, now, stamp

ADDRESS = "CIPLUG_WEBHOOK_URL"
SECRET = "CIPLUG_WEBHOOK_SECRET"  # noqa: S105 (the name of the variable)
_PREFIX = "whsec_"
_LOCAL = ("localhost", "127.0.0.1", "::1")
_FEWEST = 24
"""Bytes of a secret, as the standard says."""


@dataclass(frozen=True)
class Webhook:
    """Where to send, and the secret that signs."""

    address: str
    secret: bytes = field(repr=False)


class NotDelivered(CiplugError):
    """The server of the webhook did not take the message."""


def webhook_of(env: Mapping[str, str]) -> Webhook | None:
    """The webhook that the environment names; None without one. Raises ConfigError for one that cannot be used."""
    address, secret = env.get(ADDRESS, "").strip(), env.get(SECRET, "").strip()
    if not address:
        return None
    parts = _parts(address)
    if parts.username or parts.password:
        raise ConfigError(f"{ADDRESS} has a credential in it", hint=f"put the secret into {SECRET}")
    if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in _LOCAL):
        raise ConfigError(
            f"{ADDRESS} is not an address with https://", hint="like https://deploy.example.com/hooks/ciplug"
        )
    try:
        key = base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
    except (ValueError, binascii.Error):
        key = b""
    if len(key) < _FEWEST:
        raise ConfigError(
            f"{SECRET} is not the secret of a webhook: {_FEWEST} random bytes or more, in base64",
            hint=f"make one: echo {_PREFIX}$(openssl rand -base64 32)",
        )
    return Webhook(address, key)


def _parts(address: str) -> Any:
    try:
        parts = urlsplit(address)
        _ = parts.port
    except ValueError:
        raise ConfigError(f"{ADDRESS} is not an address", hint="like https://deploy.example.com/hooks/ciplug") from None
    if not parts.hostname or re.search(r"[\s\x00-\x1f]", address):
        raise ConfigError(f"{ADDRESS} is not an address", hint="like https://deploy.example.com/hooks/ciplug")
    return parts


def message_of(session: Session, change: StageChange) -> bytes:
    """The body of the message."""
    data = {
        "model": change.model,
        "version": change.version,
        "stage": change.stage,
        "from_stage": change.from_stage,
        "replaced": change.replaced,
        "event": change.event,
        "run": change.run,
        "commit": change.commit,
        "run_url": change.run_url,
        "repository": session.context.repository,
    }
    message = {"type": f"model.{change.kind}", "timestamp": stamp(now()), "data": data}
    return json.dumps(message, sort_keys=True).encode()


def signed_headers(webhook: Webhook, identity: str, body: bytes, seconds: int) -> dict[str, str]:
    """The headers by which the receiver knows the sender, and that the message is new."""
    content = b"%b.%d.%b" % (identity.encode(), seconds, body)
    signature = base64.b64encode(hmac.new(webhook.secret, content, hashlib.sha256).digest()).decode()
    return {
        "Content-Type": "application/json",
        "User-Agent": "ciplug",
        "webhook-id": identity,
        "webhook-timestamp": str(seconds),
        "webhook-signature": f"v1,{signature}",
    }


def send(session: Session, webhook: Webhook, change: StageChange) -> None:
    """Send the message; trouble and refusals for a while are tried again. Raises NotDelivered.

    The same event has the same `webhook-id`, so a receiver knows a message that comes twice.
    """
    _post(session, webhook, f"{change.model}\n{change.event}", message_of(session, change))


def send_message(session: Session, webhook: Webhook, kind: str, data: Mapping[str, Any], identity: str) -> None:
    """Send a message of another type. Raises NotDelivered.

    Args:
        identity: what the message is about: the same in each message that a receiver need not hear twice.
    """
    message = {"type": kind, "timestamp": stamp(now()), "data": dict(data)}
    _post(session, webhook, identity, json.dumps(message, sort_keys=True).encode())


def _post(session: Session, webhook: Webhook, about: str, body: bytes) -> None:
    import requests

    from ciplug.forges.retries import TIMEOUT, Waiting, allowed_wait, mount

    place = f"{session.store.address}\n{about}"
    identity = f"msg_{digest(place.encode())[7:39]}"
    host = clean(redact(f"{_parts(webhook.address).scheme}://{_parts(webhook.address).netloc}"), 200)
    waiting = Waiting(f"the webhook at {host}", allowed_wait(session.env), lambda words: session.tell(Note(words)))
    try:
        with requests.Session() as client:
            # Not even a credential of ~/.netrc goes there.
            client.auth = lambda request: request
            mount(client, waiting)
            answer = client.post(
                webhook.address,
                data=body,
                headers=signed_headers(webhook, identity, body, int(time.time())),
                timeout=TIMEOUT,
                allow_redirects=False,
                stream=True,
            )
            answer.close()
    except requests.RequestException as problem:
        raise NotDelivered(f"the webhook at {host} did not answer: {type(problem).__name__}") from None
    except ForgeError as problem:
        raise NotDelivered(problem.message, hint=problem.hint) from None
    if answer.is_redirect or 300 <= answer.status_code < 400:
        raise NotDelivered(
            f"the webhook at {host} redirects, which is not followed",
            hint=f"set {ADDRESS} to the address that it redirects to",
        )
    if not answer.ok:
        raise NotDelivered(f"the webhook at {host} answered {answer.status_code}")
