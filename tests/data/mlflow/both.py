"""Run trainings one after the other in this process, and print all that MLflow then shows of its store, as JSON.

python both.py URI OUTPUT SCRIPT…: what one store of MLflow shows may be compared with what another one shows. Ids
become the order in which they were given, times become their order, and names that MLflow made up are numbered.
"""

import itertools
import json
import os
import random
import runpy
import sys
import threading
import time
from pathlib import Path

uri, output, *scripts = sys.argv[1:]
os.environ["MLFLOW_TRACKING_URI"] = uri

import mlflow  # noqa: E402
import numpy as np  # noqa: E402
from mlflow import MlflowClient  # noqa: E402
from mlflow.entities import ViewType  # noqa: E402
from mlflow.utils import name_utils, requirements_utils  # noqa: E402

_clock, _now, _one_at_a_time = time.time, [0.0], threading.RLock()
_numbers = itertools.count(1)
name_utils._generate_random_name = lambda *words, **options: f"made up {next(_numbers)}"
# What a model needs is found out by a process of its own that loads it: that takes long, and no store has a part in it.
requirements_utils._capture_imported_modules = lambda *words, **options: set()


def _later():
    """The time, a millisecond later at each call: no two runs begin in one.

    It waits and does not run ahead, because a training starts other processes, whose runs begin by the real clock.
    """
    with _one_at_a_time:
        while (now := _clock()) < _now[0] + 0.0011:
            time.sleep(0.0002)
        _now[0] = now
        return now


time.time = _later


def train():
    for script in scripts:
        mlflow.set_experiment(Path(script).stem)
        mlflow.autolog(disable=True)
        sys.argv = [script]
        random.seed(7)
        np.random.seed(7)
        try:
            runpy.run_path(script, run_name="__main__")
        except SystemExit:
            mlflow.end_run("FAILED")
        mlflow.end_run()
        mlflow.disable_system_metrics_logging()


client = MlflowClient()
known: dict[str, str] = {}


def plain(value):
    """The same for each store: ids, addresses and the moment of the test are replaced."""
    if isinstance(value, dict):
        return {
            plain(key): plain(one) for key, one in value.items() if key not in ("utc_time_created", "model_size_bytes")
        }
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    if not isinstance(value, str):
        return value
    if value[:1] in "[{" and value[-1:] in "]}":
        try:
            return plain(json.loads(value))
        except ValueError:
            pass
    for id_, word in known.items():
        value = value.replace(id_, word)
    return value


def files(id_, path=None):
    for one in client.list_artifacts(id_, path):
        yield from files(id_, one.path) if one.is_dir else [one.path]


def points(run):
    for name in run.data.metrics:
        found = client.get_metric_history(run.info.run_id, name)
        assert all(point.timestamp > 0 for point in found)
        yield name, [[point.step, repr(point.value)] for point in sorted(found, key=lambda p: (p.timestamp, p.step))]


def shown_run(found):
    # A search of the SQLite store leaves the models that went into a run out.
    run = client.get_run(found.info.run_id)
    info, data = run.info, run.data
    history = dict(points(run))
    timed = {name for name in history if name.startswith("system/")}
    assert info.end_time is None or info.start_time <= info.end_time
    return {
        "name": info.run_name,
        "user": info.user_id,
        "status": info.status,
        "stage": info.lifecycle_stage,
        "ended": info.end_time is not None,
        "params": data.params,
        "tags": data.tags,
        "metrics": {name: repr(value) for name, value in data.metrics.items() if name not in timed},
        "history": {name: found for name, found in history.items() if name not in timed},
        "timed": sorted(timed),
        "datasets": [
            [dict(one.dataset), {tag.key: tag.value for tag in one.tags}] for one in run.inputs.dataset_inputs
        ],
        "models in": sorted(known[one.model_id] for one in run.inputs.model_inputs),
        "models out": sorted([one.step, known[one.model_id]] for one in run.outputs.model_outputs)
        if run.outputs
        else [],
        "files": sorted(files(info.run_id)),
    }


def shown_model(one):
    return {
        "name": one.name,
        "type": one.model_type,
        "status": str(one.status),
        "run": one.source_run_id,
        "params": one.params,
        "tags": one.tags,
        "metrics": sorted([m.key, repr(m.value), m.step, m.run_id, m.dataset_name] for m in one.metrics or ()),
    }


def shown_registered(model):
    # A search of the SQLite store leaves the aliases out.
    versions = [
        client.get_model_version(v.name, v.version) for v in client.search_model_versions(f"name = '{model.name}'")
    ]
    return {
        "description": model.description,
        "tags": model.tags,
        "aliases": {key: str(value) for key, value in model.aliases.items()},
        "versions": [
            [str(v.version), v.current_stage, v.source, v.run_id, v.status, v.description, v.tags, list(v.aliases)]
            for v in sorted(versions, key=lambda v: int(v.version))
        ],
    }


def shown():
    experiments = sorted(client.search_experiments(view_type=ViewType.ALL), key=lambda one: one.name)
    ids = [one.experiment_id for one in experiments]
    runs = {
        one.name: client.search_runs([one.experiment_id], "", ViewType.ALL, 1000, ["attributes.start_time ASC"])
        for one in experiments
    }
    models = mlflow.search_logged_models(ids, order_by=[{"field_name": "creation_time"}], output_format="list")
    known.update({run.info.run_id: f"run {i}" for i, run in enumerate(run for found in runs.values() for run in found)})
    known.update({one.model_id: f"model {i}" for i, one in enumerate(reversed(models))})
    return {
        "experiments": {one.name: [one.lifecycle_stage, one.tags] for one in experiments},
        "runs": {name: [shown_run(run) for run in found] for name, found in runs.items()},
        "models": [shown_model(one) for one in models],
        "registry": {one.name: shown_registered(one) for one in client.search_registered_models()},
        "best": [
            run.info.run_id for run in client.search_runs(ids, "metrics.loss < 0.6", order_by=["metrics.loss DESC"])
        ],
    }


train()
Path(output).write_text(json.dumps(plain(shown()), indent=1, sort_keys=True))
