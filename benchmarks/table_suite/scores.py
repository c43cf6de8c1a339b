"""What a method's answers on the test rows are worth."""

import numpy as np
from sklearn import metrics


def scores(task: str, y: np.ndarray, answers: np.ndarray) -> dict[str, float]:
    """Return accuracy, balanced accuracy and log loss of probabilities ``(n, k)``, or R² and MAE of predictions.

    "score" is accuracy or R².
    """
    if task == "regression":
        return {"score": metrics.r2_score(y, answers), "mae": metrics.mean_absolute_error(y, answers)}
    predicted = answers.argmax(axis=1)
    of_truth = np.clip(answers[np.arange(len(y)), y], 1e-7, 1.0)
    return {
        "score": float(np.mean(predicted == y)),
        "balanced_accuracy": float(np.mean([np.mean(predicted[y == label] == label) for label in np.unique(y)])),
        "log_loss": float(-np.mean(np.log(of_truth))),
    }
