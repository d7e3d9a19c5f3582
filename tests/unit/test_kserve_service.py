"""What an InferenceService says of itself, however odd it is."""

from __future__ import annotations

from typing import Any

import pytest

from ciplug.targets.kserve_service import address_of, cannot_load, notes_of, observed, strangers, trouble_of, url_of

READY = [{"type": "PredictorReady", "status": "True"}, {"type": "Ready", "status": "True"}]
REVISIONS = {"latestCreatedRevision": "w-2", "latestReadyRevision": "w-2"}


def service(before: str | None = "4", **status: Any) -> dict[str, Any]:
    return {"metadata": {"annotations": {"ciplug/before": before} if before else {}}, "status": status}


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (service(observedGeneration=5, conditions=READY), None),
        (service(None, observedGeneration=1, conditions=READY), None),
        (service(observedGeneration=4, conditions=READY), "has not looked at it yet"),
        (service(conditions=READY), "has not looked at it yet"),
        (service(None, conditions=READY), "has not looked at it yet"),
        (service(observedGeneration=5), "not ready"),
        (service(observedGeneration=5, conditions=[{"type": "Ready", "status": "Unknown", "reason": "Wait"}]), "Wait"),
        (service(observedGeneration=5, conditions=READY, components={"predictor": REVISIONS}), None),
        (
            service(
                observedGeneration=5,
                conditions=READY,
                components={"predictor": {**REVISIONS, "latestReadyRevision": "w-1"}},
            ),
            "the revision w-2 is not ready, and w-1 is served",
        ),
        (
            service(
                observedGeneration=5,
                conditions=READY,
                components={"predictor": {**REVISIONS, "traffic": [{"revisionName": "w-1", "percent": 10}]}},
            ),
            "the revision w-1 gets requests, too",
        ),
        ({"metadata": {"deletionTimestamp": "2026"}}, "being deleted"),
    ],
)
def test_ready_is_who_serves_this_spec(found: dict[str, Any], words: str | None) -> None:
    trouble = trouble_of(found)
    assert trouble is None if words is None else words in str(trouble)


@pytest.mark.parametrize("odd", [None, [], {}, "x", 7, [None], {"a": []}, [{"type": "Ready"}]])
@pytest.mark.parametrize(
    "key", ["metadata", "spec", "status", "annotations", "conditions", "modelStatus", "components"]
)
def test_odd_objects_have_trouble_and_no_traceback(odd: Any, key: str) -> None:
    found: dict[str, Any] = service(observedGeneration=5, conditions=READY, modelStatus={}, components={})
    found["spec"] = {"predictor": {"model": {"storageUri": odd, "modelFormat": odd}}}
    for part in (found, found["metadata"], found["status"]):
        if key in part:
            part[key] = odd
    values = (notes_of(found), address_of(found), url_of(found), observed(found), cannot_load(found))
    assert values[2:] in ((None, 5, False), (None, 0, False))
    assert key in ("spec", "metadata", "annotations", "modelStatus", "components") or trouble_of(found)
    assert all(isinstance(one, str) for one in strangers(found, found))
    for name in ("predictor", "model"):
        assert all(isinstance(one, str) for one in strangers({"spec": {name: odd}}, {}))
