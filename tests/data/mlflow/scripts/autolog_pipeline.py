import mlflow
import numpy as np
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

mlflow.autolog()
X = np.array([[1, 1], [1, 2], [2, 2], [2, 3]])
pipe = Pipeline([("scaler", StandardScaler()), ("lr", LinearRegression())])
with mlflow.start_run(run_name="pipeline"):
    pipe.fit(X, np.dot(X, np.array([1, 2])) + 3)
