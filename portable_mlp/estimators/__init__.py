"""The scikit-learn door: estimators with scikit-learn's parameters, attributes and numbers, on any array library."""

from .classifier import MLPClassifier
from .regressor import MLPRegressor

__all__ = ["MLPClassifier", "MLPRegressor"]
