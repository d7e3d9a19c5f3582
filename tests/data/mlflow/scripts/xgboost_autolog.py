import mlflow
import xgboost as xgb
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split

mlflow.xgboost.autolog()
data = load_breast_cancer()
x_train, x_test, y_train, y_test = train_test_split(data.data, data.target, random_state=0)
dtrain, dtest = xgb.DMatrix(x_train, y_train), xgb.DMatrix(x_test, y_test)
params = {"objective": "binary:logistic", "eval_metric": ["logloss", "auc"], "max_depth": 3}
xgb.train(params, dtrain, num_boost_round=8, evals=[(dtrain, "train"), (dtest, "test")], early_stopping_rounds=3)
