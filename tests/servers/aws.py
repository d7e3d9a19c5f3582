"""Amazon's S3 and SageMaker on loopback: moto's real server, with requests that fail, and with UpdateEndpoint.

moto does not have UpdateEndpoint, and its endpoints are in service at once. Here an endpoint is asked some times before
it is, and an image that names `broken` never answers: SageMaker then goes back to what was served before.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.servers.program import missing

REGION = "eu-central-1"
ROLE = "arn:aws:iam::123456789012:role/serve"
_STEPS = 2
"""Questions until an endpoint has changed."""


@dataclass
class Aws:
    """What stands for Amazon."""

    origin: str
    seen: list[str] = field(default_factory=list)
    """The operations of SageMaker, and methods of S3, as they were asked."""
    fails: Callable[[int], str | None] = lambda number: None
    """The number of a request, counted from 1 → 500: answered so, before or after it is done."""

    def client(self, service: str) -> Any:
        import boto3

        return boto3.client(service, region_name=REGION)


def _install() -> None:
    """Give moto what it lacks."""
    from moto.core.responses import ActionResult
    from moto.core.utils import utcnow
    from moto.sagemaker.exceptions import ValidationError
    from moto.sagemaker.models import FakeEndpoint, SageMakerModelBackend
    from moto.sagemaker.responses import SageMakerResponse

    if hasattr(SageMakerResponse, "update_endpoint"):
        return
    create, describe = SageMakerModelBackend.create_endpoint, SageMakerModelBackend.describe_endpoint

    def is_broken(backend: Any, config: str) -> bool:
        variants = backend.describe_endpoint_config(config)["ProductionVariants"]
        return "broken" in str(backend.describe_model(variants[0]["ModelName"]).response_object["PrimaryContainer"])

    def created(self: Any, endpoint_name: str, endpoint_config_name: str, tags: Any) -> FakeEndpoint:
        if endpoint_name in self.endpoints:
            raise ValidationError(message="Cannot create already existing endpoint")
        made: Any = create(self, endpoint_name, endpoint_config_name, tags)
        made.endpoint_status, made.steps, made.coming = "Creating", _STEPS, endpoint_config_name
        return made

    def updated(self: SageMakerResponse) -> ActionResult:
        backend = self.sagemaker_backend
        name, config = self._get_param("EndpointName"), self._get_param("EndpointConfigName")
        describe(backend, name)
        backend.describe_endpoint_config(config)
        endpoint: Any = backend.endpoints[name]
        if endpoint.endpoint_status != "InService":
            raise ValidationError(message="Cannot update in-progress endpoint")
        endpoint.endpoint_status, endpoint.steps, endpoint.coming = "Updating", _STEPS, config
        return ActionResult({"EndpointArn": endpoint.arn})

    def described(self: Any, endpoint_name: str) -> dict[str, Any]:
        endpoint: Any = self.endpoints.get(endpoint_name)
        if endpoint and endpoint.endpoint_status in ("Creating", "Updating"):
            endpoint.steps -= 1
            if endpoint.steps < 0:
                broken = is_broken(self, endpoint.coming)
                failed = broken and endpoint.endpoint_status == "Creating"
                endpoint.failure_reason = "The container did not pass the ping health check." if broken else None
                endpoint.endpoint_status = "Failed" if failed else "InService"
                if not broken:
                    endpoint.endpoint_config_name = endpoint.coming
                    endpoint.last_modified_time = utcnow()
        return describe(self, endpoint_name)

    for name, method in (("create_endpoint", created), ("describe_endpoint", described)):
        setattr(SageMakerModelBackend, name, method)
    SageMakerResponse.update_endpoint = updated  # type: ignore[attr-defined]


@contextmanager
def aws() -> Iterator[Aws]:
    try:
        from moto.server import DomainDispatcherApplication, create_backend_app
        from werkzeug.serving import make_server
    except ImportError:
        missing("moto[s3,sagemaker] with flask and flask-cors")
    _install()
    dispatcher = DomainDispatcherApplication(create_backend_app)
    amazon = Aws("")

    def application(environ: dict[str, Any], start_response: Any) -> Any:
        target = environ.get("HTTP_X_AMZ_TARGET", "").rpartition(".")[2]
        amazon.seen.append(target or environ["REQUEST_METHOD"])
        fault = amazon.fails(len(amazon.seen))
        if fault == "before":
            start_response("500 Internal Server Error", [("Content-Length", "0")])
            return [b""]
        answer = dispatcher(environ, start_response if fault is None else lambda *_: lambda _: None)
        if fault is None:
            return answer
        list(answer)
        start_response("500 Internal Server Error", [("Content-Length", "0")])
        return [b""]

    server = make_server("127.0.0.1", 0, application, threaded=True)
    amazon.origin = f"http://127.0.0.1:{server.port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield amazon
    server.shutdown()
    thread.join()


def use(amazon: Aws, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have boto3 ask this server, and send no request twice."""
    for name, value in {
        "AWS_ENDPOINT_URL": amazon.origin,
        "AWS_ACCESS_KEY_ID": "ak",
        "AWS_SECRET_ACCESS_KEY": "correct-horse-battery",
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_MAX_ATTEMPTS": "1",
    }.items():
        monkeypatch.setenv(name, value)
