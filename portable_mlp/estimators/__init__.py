"""The scikit-learn door: estimators with scikit-learn's parameters, attributes and numbers, on any array library."""

from .classifier import MLPClassifier
from .many_fits import fit_many
from .regressor import MLPRegressor
from .searches import GridSearchCV, RandomizedSearchCV, cross_val_score, cross_validate
from .table_encoder import TableEncoder
from .tables import TableClassifier, TableRegressor

__all__ = [
    "GridSearchCV",
    "MLPClassifier",
    "MLPRegressor",
    "RandomizedSearchCV",
    "TableClassifier",
    "TableEncoder",
    "TableRegressor",
    "cross_val_score",
    "cross_validate",
    "fit_many",
]
