import lightgbm as lgb
import mlflow
from sklearn.datasets import load_iris
from sklearn.model_selection import train_test_split

mlflow.lightgbm.autolog()
x, y = load_iris(return_X_y=True)
x_train, x_test, y_train, y_test = train_test_split(x, y, random_state=0)
with mlflow.start_run():
    train, test = lgb.Dataset(x_train, y_train), lgb.Dataset(x_test, y_test)
    params = {"objective": "multiclass", "num_class": 3, "metric": "multi_logloss", "verbosity": -1}
    model = lgb.train(params, train, num_boost_round=6, valid_sets=[train, test], valid_names=["train", "test"])
    mlflow.log_metric("accuracy", float((model.predict(x_test).argmax(axis=1) == y_test).mean()))
