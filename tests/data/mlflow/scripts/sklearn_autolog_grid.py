import mlflow
from sklearn import datasets, svm
from sklearn.model_selection import GridSearchCV

mlflow.sklearn.autolog(log_models=False)
iris = datasets.load_iris()
clf = GridSearchCV(svm.SVC(), {"kernel": ("linear", "rbf"), "C": [1, 10]}, cv=3)
clf.fit(iris.data, iris.target)
