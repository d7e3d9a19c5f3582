"""Print all that MLflow's client shows of a store, as JSON: by the names of experiments and runs."""

import json
import sys
import tempfile
from pathlib import Path

import mlflow
from mlflow import MlflowClient
from mlflow.artifacts import download_artifacts
from mlflow.entities import ViewType

OF_THE_COPY = ("ciplug.", "mlflow.run_id", "mlflow.experiment", "mlflow.imported_from", "mlflow.artifact_uri")
mlflow.set_tracking_uri(sys.argv[1])
client = MlflowClient()


def files(**where):
    with tempfile.TemporaryDirectory() as folder:
        top = Path(download_artifacts(dst_path=folder, tracking_uri=sys.argv[1], **where))
        return {str(one.relative_to(top)): one.read_text(errors="replace") for one in top.rglob("*") if one.is_file()}


def models(run):
    for output in run.outputs.model_outputs if run.outputs else ():
        model = client.get_logged_model(output.model_id)
        own = (*OF_THE_COPY, "mlflow.modelVersions")
        tags = {name: value for name, value in model.tags.items() if not name.startswith(own)}
        yield [
            model.name,
            str(model.status),
            model.params,
            tags,
            sorted(files(artifact_uri=f"models:/{model.model_id}")),
        ]


def shown(run, names):
    info, data = run.info, run.data
    tags = {name: value for name, value in data.tags.items() if not name.startswith(OF_THE_COPY)}
    parent = tags.pop("mlflow.parentRunId", None)
    history = {name: client.get_metric_history(info.run_id, name) for name in data.metrics}
    has_files = info.lifecycle_stage == "active" and client.list_artifacts(info.run_id)
    return {
        "status": info.status,
        "stage": info.lifecycle_stage,
        "times": [info.start_time, info.end_time],
        "params": data.params,
        "metrics": {name: repr(value) for name, value in data.metrics.items()},
        "history": {n: sorted({(m.step, m.timestamp, repr(m.value)) for m in found}) for n, found in history.items()},
        "tags": tags,
        "parent": names.get(parent),
        "inputs": [
            [{**dict(one.dataset)}, sorted([tag.key, tag.value] for tag in one.tags)]
            for one in (run.inputs.dataset_inputs if run.inputs else ())
        ],
        "models": list(models(run)),
        "files": files(run_id=info.run_id) if has_files else {},
    }


found = {}
ids = {}
for experiment in client.search_experiments(view_type=ViewType.ALL):
    runs = client.search_runs([experiment.experiment_id], run_view_type=ViewType.ALL)
    names = {run.info.run_id: run.info.run_name for run in runs}
    ids |= {name: id_ for id_, name in names.items()}
    found[experiment.name] = {
        "stage": experiment.lifecycle_stage,
        "tags": dict(experiment.tags),
        "runs": {run.info.run_name: shown(run, names) for run in runs},
    }
of_run = {id_: name for name, id_ in ids.items()}


def of_registry(one):
    tags = {name: value for name, value in one.tags.items() if not name.startswith(OF_THE_COPY)}
    return {"description": one.description or None, "tags": tags}


def version(one):
    there = client.get_model_version_download_uri(one.name, one.version)
    is_here = bool(one.run_id)
    return {
        **of_registry(one),
        "stage": one.current_stage,
        "run": of_run.get(one.run_id),
        "files": sorted(files(artifact_uri=f"models:/{one.name}/{one.version}")) if is_here else there,
    }


registry, times = {}, {}
for model in client.search_registered_models():
    found_versions = client.search_model_versions(f'name="{model.name}"')
    registry[model.name] = {
        **of_registry(model),
        "aliases": {alias: str(number) for alias, number in model.aliases.items()},
        "versions": {str(one.version): version(one) for one in found_versions},
    }
    times[model.name] = [model.creation_timestamp, *(one.creation_timestamp for one in found_versions)]
Path(sys.argv[2]).write_text(json.dumps({"found": found, "ids": ids, "registry": registry, "times": times}))
