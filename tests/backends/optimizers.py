"""Every formula of an optimizer that backends have in a form of their own, with options."""

from portable_mlp.kernels.optimizers import adam, sgd

OPTIMIZERS = {
    "plain": sgd(0.0),
    "momentum": sgd(0.9, nesterov=False),
    "nesterov": sgd(0.9),
    "velocity": sgd(0.9, nesterov=False, rate_in_velocity=True),
    "nesterov velocity": sgd(0.9, rate_in_velocity=True),
    "adam": adam(),
    "scikit-learn's adam": adam(0.8, 0.99, 1e-3, correct_epsilon=False),
}
