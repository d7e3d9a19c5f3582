"""Write the stores of this folder with the MLflow of the Python that runs this: `python make.py NAME [--sqlite]`.

NAME/ is then a file store, or NAME.sql the tables of a SQLite store that ciplug reads. Run it in /tmp: the paths of
artifacts are kept in a store.
"""

import os
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
MARK = "00000000000000000000000000000001"
TABLES = (
    *("experiments", "runs", "metrics", "params", "tags", "inputs", "input_tags", "datasets"),
    *("logged_models", "logged_model_params", "logged_model_tags"),
)


def main(name: str, *, sqlite: bool) -> None:
    folder = Path("/tmp/mlflow-store")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    env = {
        **os.environ,
        "LOGNAME": "ada",
        "MLFLOW_TRACKING_URI": "sqlite:///mlflow.db" if sqlite else f"file://{folder}/{name}",
        "MLFLOW_ALLOW_FILE_STORE": "true",
        "MLFLOW_RUN_CONTEXT": f'{{"ciplug.run": "{MARK}"}}',
    }
    shutil.copy(HERE / "training.py", folder)
    subprocess.run([sys.executable, "training.py"], cwd=folder, env=env, check=True)
    if sqlite:
        with sqlite3.connect(folder / "mlflow.db") as database:
            lines = [line for line in database.iterdump() if line.startswith(_beginnings())]
        (HERE / f"{name}.sql").write_text("\n".join(lines) + "\n")
    else:
        shutil.rmtree(HERE / name, ignore_errors=True)
        shutil.copytree(folder / name, HERE / name, ignore=shutil.ignore_patterns(".trash"))


def _beginnings() -> tuple[str, ...]:
    return tuple(
        f"{start} {quote}{table}{quote}"
        for table in TABLES
        for start in ("CREATE TABLE", "INSERT INTO")
        for quote in ("", '"')
    )


if __name__ == "__main__":
    main(sys.argv[1], sqlite="--sqlite" in sys.argv)
