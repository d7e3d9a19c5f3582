"""Pure: what an InferenceService says of itself, whoever has written it: whether it is ready, and what it serves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ciplug.config.service_targets import MODEL_KEYS, PREDICTOR_KEYS

BEFORE = "ciplug/before"
"""The annotation with what KServe had observed before the last change: only a later observation is of this spec."""
_PREDICTOR_KEYS = {"model", *PREDICTOR_KEYS}
_MODEL_KEYS = {"modelFormat", "storageUri", "name", *MODEL_KEYS}
_CHOSEN = ("runtime", "runtimeVersion", "protocolVersion")


def part(served: Any, *keys: str) -> Mapping[str, Any]:
    """A mapping in an object; empty where something else is there."""
    for key in keys:
        served = served.get(key) if isinstance(served, Mapping) else None
    return served if isinstance(served, Mapping) else {}


def notes_of(served: Mapping[str, Any]) -> dict[str, str]:
    """The annotations."""
    return {str(key): str(value) for key, value in part(served, "metadata", "annotations").items()}


def address_of(served: Mapping[str, Any]) -> str:
    """Where the server gets the files of the model from."""
    found = part(served, "spec", "predictor", "model").get("storageUri")
    return found if isinstance(found, str) else ""


def url_of(served: Mapping[str, Any]) -> str | None:
    found = part(served, "status").get("url")
    return found if isinstance(found, str) and found else None


def observed(served: Mapping[str, Any]) -> int:
    """The number of the last state of the pods that KServe has told of; 0: none.

    KServe copies it from the Deployment, or the Knative service, that it has made. So it is not comparable with the
    generation of the InferenceService. Each change by ciplug changes the annotations of the pods, and makes it larger.
    """
    found = part(served, "status").get("observedGeneration")
    return found if type(found) is int else 0


def trouble_of(served: Mapping[str, Any]) -> str | None:
    """Why a service does not serve its spec, as a clause; None: it does."""
    if part(served, "metadata").get("deletionTimestamp"):
        return "it is being deleted"
    if cannot_load(served):
        failure = part(served, "status", "modelStatus", "lastFailureInfo")
        return f"the model cannot be loaded: {failure.get('message') or failure.get('reason') or 'no reason is given'}"
    before = notes_of(served).get(BEFORE, "")
    if observed(served) <= (int(before) if before.isdecimal() else 0):
        return "KServe has not looked at it yet"
    conditions = [one for one in _list(part(served, "status").get("conditions")) if isinstance(one, Mapping)]
    ready = next((one for one in conditions if one.get("type") == "Ready"), {})
    if ready.get("status") != "True":
        return str(ready.get("message") or ready.get("reason") or "it is not ready")
    return _other_revision(part(served, "status", "components", "predictor"))


def cannot_load(served: Mapping[str, Any]) -> bool:
    state = part(served, "status", "modelStatus").get("transitionStatus")
    return state in ("BlockedByFailedLoad", "InvalidSpec")


def _other_revision(status: Mapping[str, Any]) -> str | None:
    """Why a revision before this one gets requests; None: none does. Only Knative has revisions."""
    created, ready = status.get("latestCreatedRevision"), status.get("latestReadyRevision")
    if created != ready:
        return f"the revision {created} is not ready, and {ready} is served"
    others = [
        str(one.get("revisionName"))
        for one in _list(status.get("traffic"))
        if isinstance(one, Mapping) and one.get("percent") and one.get("revisionName") not in (None, ready)
    ]
    return f"the revision {others[0]} gets requests, too" if others else None


def strangers(served: Mapping[str, Any], wanted: Mapping[str, Any]) -> Sequence[str]:
    """Keys of the spec that can change which bytes answer, and that ciplug has not written so.

    Args:
        wanted: the object as ciplug writes it; one with other settings: only keys that it never writes are found.
    """
    return list(_strangers(served, wanted))


def _strangers(served: Mapping[str, Any], wanted: Mapping[str, Any]) -> Iterator[str]:
    places = (((), {"predictor"}), (("predictor",), _PREDICTOR_KEYS), (("predictor", "model"), _MODEL_KEYS))
    for path, keys in places:
        for name, value in part(served, "spec", *path).items():
            # What is empty is a default that the API server has added.
            if name not in keys and value not in (None, "", {}, []):
                yield ".".join(("spec", *path, str(name)))
    there, ours = (part(one, "spec", "predictor", "model") for one in (served, wanted))
    for name in _CHOSEN:
        if name in ours and there.get(name) != ours[name]:
            yield f"spec.predictor.model.{name}"
    if "modelFormat" in ours and part(there, "modelFormat").get("name") != part(ours, "modelFormat").get("name"):
        yield "spec.predictor.model.modelFormat"


def _list(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list) else []
