import mlflow
from mlflow.tracking import MlflowClient
from sklearn.dummy import DummyClassifier

with mlflow.start_run():
    model = DummyClassifier().fit([[0], [1]], [0, 1])
    mlflow.sklearn.log_model(model, name="dummy", registered_model_name="dummy-model")
    mlflow.log_metric("score", 0.5)
client = MlflowClient()
client.set_registered_model_alias("dummy-model", "champion", 1)
assert mlflow.sklearn.load_model("models:/dummy-model@champion").predict([[0]]) is not None
