"""What programs do in an order that nobody plans for: what is refused has its reason, and nothing is lost."""

import os
import subprocess
import sys
import tempfile

import mlflow
from mlflow.exceptions import MlflowException

client = mlflow.MlflowClient()


def refusal(call, *words, **options):
    try:
        call(*words, **options)
    except MlflowException as refused:
        return refused.error_code, refused.message
    raise AssertionError(f"{call.__name__} was not refused")


# Another program makes the experiment right after this one has asked for it: both make the same one.
made = type(client).create_experiment
OTHER = "import mlflow; mlflow.set_experiment('race'); print('made', flush=True); input()"


def late(self, name, *words, **options):
    other = subprocess.Popen([sys.executable, "-c", OTHER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert other.stdout.readline() == "made\n"
    try:
        return made(self, name, *words, **options)
    finally:
        other.communicate("\n")


type(client).create_experiment = late
mlflow.set_experiment("race")
type(client).create_experiment = made
with mlflow.start_run() as run:
    mlflow.log_metric("loss", 1)
assert client.get_experiment(run.info.experiment_id).name == "race"
assert refusal(client.create_experiment, "race")[0] == "RESOURCE_ALREADY_EXISTS"

# A program that changes its folder goes on in its checkout, with its files and its registry.
checkout = os.getcwd()
with tempfile.TemporaryDirectory() as elsewhere, mlflow.start_run() as moved:
    os.chdir(elsewhere)
    mlflow.log_text("hello", "a.txt")
    client.create_registered_model("forest")
    os.chdir(checkout)
assert [one.path for one in client.list_artifacts(moved.info.run_id)] == ["a.txt"]
assert client.get_registered_model("forest").name == "forest"

# A logged model: its parameters stay, and no version is made of one that was deleted.
model = client.create_logged_model(run.info.experiment_id, "net", params={"depth": "6"})
client.log_model_params(model.model_id, {"depth": "6", "width": "2"})
assert "cannot be changed" in refusal(client.log_model_params, model.model_id, {"depth": "7"})[1]
assert client.get_logged_model(model.model_id).params == {"depth": "6", "width": "2"}
client.delete_logged_model(model.model_id)
assert "not found" in refusal(client.create_model_version, "forest", f"models:/{model.model_id}")[1]
assert client.search_model_versions("name = 'forest'") == []

# What cannot be asked is refused, whether there is something to find or not.
for order in ("bogus", "params.depth"):
    told = refusal(client.search_logged_models, ["0"], order_by=[{"field_name": order}])
    assert told[0] == "INVALID_PARAMETER_VALUE" and order in told[1]

# The runs of a deleted experiment come back with it, and not one by one.
client.delete_experiment(run.info.experiment_id)
told = refusal(client.restore_run, run.info.run_id)
assert told[0] == "INVALID_STATE" and f"restore the experiment {run.info.experiment_id}" in told[1]
client.restore_experiment(run.info.experiment_id)
assert client.get_run(run.info.run_id).info.lifecycle_stage == "active"

# What ciplug keeps in tags of its own is not set by a client: such a tag would move the run to another experiment.
for call, id_ in ((client.set_tag, run.info.run_id), (client.set_experiment_tag, run.info.experiment_id)):
    assert "is kept by ciplug itself" in refusal(call, id_, "ciplug.experiment_id", "0")[1]
assert client.get_run(run.info.run_id).info.experiment_id == run.info.experiment_id
