import mlflow
import mlflow.pyfunc


class AddN(mlflow.pyfunc.PythonModel):
    def __init__(self, n):
        self.n = n

    def predict(self, context, model_input, params=None):
        return model_input + self.n


with mlflow.start_run():
    mlflow.pyfunc.log_model(name="add_n", python_model=AddN(5), pip_requirements=[])
    mlflow.log_metric("n", 5)
