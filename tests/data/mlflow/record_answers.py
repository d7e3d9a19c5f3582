"""Write what an MLflow server answers about its runs to rest-3.17.json: `python record_answers.py http://127.0.0.1:5000`.

The server has been given the runs of training.py.
"""

import json
import sys
import urllib.request
from pathlib import Path
from typing import Any


def ask(base: str, path: str, body: dict[str, Any] | None = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"{base}/api/2.0/mlflow/{path}", data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request) as answer:
        return json.loads(answer.read())


def main(base: str) -> None:
    experiments = ask(base, "experiments/search", {"max_results": 100})["experiments"]
    ids = [one["experiment_id"] for one in experiments]
    runs = ask(base, "runs/search", {"experiment_ids": ids, "max_results": 100})["runs"]
    histories = {
        f"{run['info']['run_id']}/{one['key']}": ask(
            base, f"metrics/get-history?run_id={run['info']['run_id']}&metric_key={urllib.request.quote(one['key'])}"
        )["metrics"]
        for run in runs
        for one in run["data"].get("metrics", [])
    }
    models = {
        one["model_id"]: ask(base, f"logged-models/{one['model_id']}")
        for run in runs
        for one in run.get("outputs", {}).get("model_outputs", [])
    }
    artifacts = {run["info"]["run_id"]: ask(base, f"artifacts/list?run_id={run['info']['run_id']}") for run in runs}
    file = Path(__file__).parent / "rest-3.17.json"
    answers = {
        "experiments": experiments,
        "runs": runs,
        "histories": histories,
        "models": models,
        "artifacts": artifacts,
    }
    file.write_text(json.dumps(answers, indent=1) + "\n")


if __name__ == "__main__":
    main(sys.argv[1])
