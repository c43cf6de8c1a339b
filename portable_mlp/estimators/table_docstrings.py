"""The descriptions of the parameters and attributes that the estimators of tables share."""

from __future__ import annotations

from ..backends import BACKENDS
from ..kernels.activations import ACTIVATIONS
from ..kernels.docstrings import quoted
from ..kernels.losses import REGRESSION_LOSSES, default_constants
from ..kernels.optimizers import SOLVERS
from ..training.schedules import SCHEDULES

PARAMETERS = """preset : {"default", "best"}
        One network, in seconds where there are a few thousand rows; or eight networks of different folds, whose outputs
        are averaged, in about ten times as long.
    n_networks : int, optional
        The number of networks, whose outputs are averaged.
    hidden_layer_sizes : array-like of int, optional
        Units of each hidden layer, by default 128 and 64; ``()`` for none.
    activation : str or array-like of str, optional
        The activation of the hidden layers, one name for all or one each, by default "relu":
        {activations}.
    validation_fraction : float, optional
        The fraction of the rows held out, in [0, 1), 0 for none; the parameters of the best epoch are then kept.
    n_iter_no_change : int, optional
        Stop after so many epochs without a better validation.
    monitor : {"loss", "score"}, optional
        What is compared: the validation loss, or the score, which is accuracy or R².
    solver : str, optional
        The optimizer, by default "adam"; one of {solvers}.
    alpha : float, optional
        Strength of the L2 penalty, which is divided by the samples of a batch.
    batch_size : int, optional
        The number of rows of a step.
    learning_rate : str, optional
        The schedule, by default "cosine", one of {schedules}:
        "invscaling" divides by the root of the rows seen, "adaptive" divides by 5 where the loss stalls,
        "exponential" multiplies by ``decay`` each epoch, "cosine" falls to 0 over ``max_iter`` epochs.
    learning_rate_init : float, optional
        The learning rate that the schedule starts from, by default 0.002.
    max_iter : int, optional
        The number of epochs; by default so many that the steps are about 1,000, and more for more than 1,000 rows.
    shuffle : bool, optional
        Whether each epoch has an order of its own.
    nesterovs_momentum : bool, optional
        Whether the momentum of "sgd" looks ahead.
    momentum : float, optional
        The momentum of "sgd", in [0, 1].
    beta_1, beta_2, epsilon : float, optional
        The constants of "adam" and "adamw": the decay of the two moments, and the term of the denominator.
    weight_decay : float, optional
        The decay of "adamw": each step subtracts ``learning_rate * weight_decay * W`` from the weights W.
    clip_norm : float, optional
        The upper bound of the norm of the whole gradient, penalty included; not with "lbfgs".
    decay : float, optional
        The factor of the schedule "exponential", positive.
    dropout : float, optional
        The probability, in [0, 1), with which each hidden unit is dropped from a training step; not with "lbfgs".
    warmup_steps : int, optional
        The number of steps (batches) over which the learning rate rises linearly to the schedule's; not with "lbfgs".
    precision : {"float32", "tf32", "bfloat16"}, optional
        The precision of the factors in products of float32 matrices during training: 24 significant bits, or, by the
        tensor cores of a GPU, 11 or 8.
    categorical : sequence of str
        Names of columns whose cells are categories, whatever they look like: whole numbers that are codes.
    drop : sequence of str
        Names of columns to leave out.
    max_levels : int
        A column of more different texts is encoded by the means of its targets.
    min_count : int
        Texts in fewer rows are rare, and share a feature.
    decimal : {".", ","}
        The mark before the fraction of numbers in columns of texts.
    n_pieces : int, optional
        The number of features that each number has beside itself, one for each piece between its quantiles; 0 for none.
    random_state : int, RandomState or None
        The source of the initial parameters, the hold-out, the order and dropout.
    backend : str
        The library that computes: "auto" (CuPy where a GPU answers, else NumPy) or {backends}.
    device : str, optional
        The device of the backend, such as "cuda:1".
    dtype : {"float32", "float64"}
        The dtype of parameters and encoded inputs.
    verbose : bool
        Whether to draw a progress bar on stderr (needs rich)."""

ATTRIBUTES = """n_features_in_ : int
        The number of columns.
    feature_names_in_ : ndarray of shape (n_features,)
        Their names, if there are any.
    encoder_ : TableEncoder
        The encoder, fitted; ``encoder_.columns_`` lists what was done with each column.
    recipe_ : Recipe
        The networks and their training: ``hidden``, ``activation``, ``n_networks``, ``hold_out``, ``training`` and
        ``encoding``, with the values that followed the table.
    n_iter_ : int
        The number of epochs, of the network that took the most.
    histories_ : list of dict
        The history of each network, as `TrainResult.history`."""

CHOICES = {
    "activations": quoted(ACTIVATIONS),
    "backends": quoted(BACKENDS),
    "loss_options": default_constants(),
    "losses": quoted(REGRESSION_LOSSES),
    "schedules": quoted(SCHEDULES),
    "solvers": quoted(SOLVERS),
}
"""The names that the descriptions of parameters list."""
