"""The scikit-learn door: estimators with scikit-learn's parameters, attributes and numbers, on any array library."""

from .classifier import MLPClassifier
from .regressor import MLPRegressor
from .table_encoder import TableEncoder
from .tables import TableClassifier, TableRegressor

__all__ = ["MLPClassifier", "MLPRegressor", "TableClassifier", "TableEncoder", "TableRegressor"]
