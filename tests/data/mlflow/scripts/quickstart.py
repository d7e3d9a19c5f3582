import os
from random import Random

import mlflow
from mlflow import log_artifacts, log_metric, log_param

random = Random(1)
log_param("param1", random.randint(0, 100))
log_metric("foo", random.random())
log_metric("foo", random.random() + 1)
log_metric("foo", random.random() + 2)
os.makedirs("outputs", exist_ok=True)
with open("outputs/test.txt", "w") as file:
    file.write("hello world!")
log_artifacts("outputs")
mlflow.log_artifacts("outputs", artifact_path="a/b")
