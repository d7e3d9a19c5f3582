import time

from mlflow.entities import Metric, Param, RunTag
from mlflow.tracking import MlflowClient

client = MlflowClient()
experiment = client.create_experiment("by client", tags={"owner": "ada"})
run = client.create_run(experiment, tags={"engineering": "ML Platform"}, run_name="by hand")
now = int(time.time() * 1000)
metrics = [Metric("loss", 1 / (step + 1), now + step, step) for step in range(100)]
client.log_batch(run.info.run_id, metrics, [Param("p", "q")], [RunTag("t", "c")])
client.set_tag(run.info.run_id, "t", "d")
client.set_terminated(run.info.run_id)
