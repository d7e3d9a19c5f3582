"""A receiver of signed webhooks, which checks them as the published library of the standard does."""

from __future__ import annotations

import json
from http.server import BaseHTTPRequestHandler
from typing import Any

from tests.servers.loopback import Handler, Loopback


class _Receiver(Handler):
    def serve(self) -> None:
        body = self.read_body()
        owner: WebhookReceiver = self.owner
        owner.requests.append((self.path, dict(self.headers.items()), body))
        status = owner.answers.pop(0) if owner.answers else 204
        if status is None:
            self.close_connection = True
            return
        headers = [("Location", owner.elsewhere)] if 300 <= status < 400 else []
        self.answer(status, headers, b"")


class WebhookReceiver(Loopback):
    """It keeps what it is sent; `answers` are the statuses of its next answers, None hangs up."""

    handler: type[BaseHTTPRequestHandler] = _Receiver

    def __init__(self) -> None:
        super().__init__()
        self.requests: list[tuple[str, dict[str, str], bytes]] = []
        self.answers: list[int | None] = []
        self.elsewhere = "http://127.0.0.1:9/"

    def verified(self, secret: str) -> list[Any]:
        """The messages, each with a signature that the library accepts."""
        from standardwebhooks.webhooks import Webhook

        return [Webhook(secret).verify(body, headers) or json.loads(body) for _, headers, body in self.requests]
