"""The public methods of MLflow's two base classes, and where each stands on a ciplug store.

python methods.py add methods.json      take in those of the MLflow that is installed
python methods.py check methods.json    fail unless they are the ones in the file, and all of them stand somewhere
"""

import json
import sys
from pathlib import Path

import mlflow
from mlflow.store.model_registry.abstract_store import AbstractStore as Registry
from mlflow.store.tracking.abstract_store import AbstractStore as Tracking

from ciplug.mlflow import unsupported as lists
from ciplug.mlflow.registry_store import RegistryStore
from ciplug.mlflow.tracking_store import TrackingStore

BASES = {
    "tracking": (
        *(Tracking, TrackingStore, lists.IMPLEMENTED_TRACKING, lists.INHERITED_TRACKING, lists.EMPTY_TRACKING),
    ),
    "registry": (
        *(Registry, RegistryStore, lists.IMPLEMENTED_REGISTRY, lists.INHERITED_REGISTRY, lists.EMPTY_REGISTRY),
    ),
}


def here() -> dict[str, dict[str, list[str]]]:
    found = {}
    for name, (base, _, done, inherited, empty) in BASES.items():
        methods = lists.public_methods(base)
        found[name] = {
            "implemented": sorted(methods & (done | inherited)),
            "empty": sorted(methods & set(empty)),
            "not_implemented": sorted(methods - done - inherited - set(empty)),
        }
    return found


def check(recorded: dict[str, dict[str, list[str]]]) -> None:
    assert recorded == here(), "methods have come or gone: look at each, and take them in by `add`"
    for name, (base, store, done, inherited, empty) in BASES.items():
        # MLflow's client calls delete_tag, and no base class has it.
        assert done - lists.public_methods(base) <= {"delete_tag"}
        assert not (done & inherited or set(empty) & (done | inherited))
        for method in done:
            assert getattr(store, method).__module__.startswith("ciplug."), method
        for method in recorded[name]["empty"]:
            answer = getattr(store, method)(None)
            assert not (answer[0] if isinstance(answer, tuple) else answer), method
        for method in recorded[name]["not_implemented"]:
            try:
                getattr(store, method)(None)
            except Exception as problem:
                assert type(problem).__name__ == "MlflowNotImplementedException", (method, problem)
            else:
                raise AssertionError(method)


file = Path(sys.argv[2])
every = json.loads(file.read_text()) if file.exists() else {}
if sys.argv[1] == "add":
    every[mlflow.__version__] = here()
    file.write_text(json.dumps(every, indent=1) + "\n")
else:
    check(every[mlflow.__version__])
