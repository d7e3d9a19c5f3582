import mlflow
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from sklearn.model_selection import train_test_split

mlflow.sklearn.autolog()
X, y = load_iris(return_X_y=True, as_frame=True)
X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=1)
model = LogisticRegression(max_iter=300)
model.fit(X_train, y_train)
model.score(X_test, y_test)
f1_score(y_test, model.predict(X_test), average="macro")
