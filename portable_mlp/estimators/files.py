"""Estimators in model files: those of `save_model`, with parameters and fitted attributes in the metadata.

The content of a file is data and never a name to look up: the kind of estimator is compared, parameters go through the
constructor and its checks, attributes are those of a fixed list. A loaded estimator is described again and compared
with the file, so that nothing in it is overlooked.
"""

from __future__ import annotations

from typing import Any, Self

from sklearn.utils.validation import check_is_fitted

from ..backends import get_backend
from ..kernels.suggestions import suggesting_class
from ..storage.model_errors import Defect, refusal
from ..storage.models import ESTIMATOR_ENTRY, on_backend, read_model_file, save_model
from ..storage.paths import FilePath
from .complete_epoch import parameters_of
from .inputs import common_dtype, floating_dtype
from .state import of_one_moment
from .stored_estimators import check_same, described_estimator, restored_estimator


@suggesting_class
class SavedToFiles:
    """`save` and `load` of an estimator."""

    @of_one_moment
    def save(self, path: FilePath) -> None:
        """Write the fitted estimator to a model file, which is replaced in one step.

        The file has the parameters, except ``backend``, ``device`` and ``precision``, and the fitted attributes:
        predictions are the same afterwards, bit for bit on the same library. It does not have the moments of the
        optimizer, callbacks, and the settings of ``set_output`` and metadata routing. The same estimator gives the same
        bytes on every device. The file contains no code: an estimator of a subclass is loaded by the subclass, with
        the parameters of its constructor.

        Parameters
        ----------
        path : str, bytes or path
            The path of the file, usually ending in ".safetensors". `portable_mlp.load_model` and every program for
            safetensors can read its parameters.

        Raises
        ------
        TypeError
            If JSON cannot represent a parameter, such as a ``RandomState``.
        ValueError
            If the estimator could not be restored exactly: an attribute was edited so that it contradicts another one,
            a subclass has attributes of its own, or the names, classes and curves need more than 32 MiB.
        NotFittedError
            If it is not fitted.
        OSError
            If the file cannot be written. After any error ``path`` is unchanged.
        """
        check_is_fitted(self)
        estimator: Any = self
        estimator._validate_params()
        net, params = estimator._fitted_network(estimator._fitted_backend(), common_dtype(estimator.coefs_))
        description = described_estimator(estimator)
        try:
            check_same(estimator, restored_estimator(type(estimator), net, description))
        except Defect as defect:
            raise ValueError(f"{type(self).__name__} cannot be saved, for it would not come back: {defect}") from None
        save_model(path, net, params, {ESTIMATOR_ENTRY: description})

    @classmethod
    def load(cls, path: FilePath, backend: str | None = None, device: Any = None) -> Self:
        """Return the estimator that `save` wrote, having verified every byte of the file.

        Its training may continue: ``partial_fit``, and ``fit`` with ``warm_start``, start from its parameters with a
        new optimizer.

        Parameters
        ----------
        path : str, bytes or path
            The path of a model file.
        backend : str, optional
            The library that computes, as for the constructor; by default the arrays are NumPy's.
        device : str, optional
            The device of the backend.

        Returns
        -------
        MLPClassifier or MLPRegressor
            The estimator, with its arrays on the device; in float32 where the library has no float64. Parameters that
            were sequences are tuples of Python's numbers.

        Raises
        ------
        ModelFileError
            If the file is damaged, or is not of an estimator of this class; names it and the reason.
        OSError
            If it cannot be read.
        ValueError, BackendUnavailable
            If there is no such backend or device, or it cannot be used here.

        Examples
        --------
        >>> import pathlib, tempfile, numpy as np, portable_mlp as pm
        >>> X = np.linspace(-1.0, 1.0, 50)[:, None]
        >>> fitted = pm.MLPRegressor(hidden_layer_sizes=(5,), solver="lbfgs", random_state=0).fit(X, X[:, 0] ** 2)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = pathlib.Path(folder) / "square.safetensors"
        ...     fitted.save(path)
        ...     loaded = pm.MLPRegressor.load(path)
        >>> bool((loaded.predict(X) == fitted.predict(X)).all())
        True
        """
        chosen = get_backend("numpy" if backend is None else backend, device)
        file = read_model_file(path)
        if ESTIMATOR_ENTRY not in file.metadata:
            raise refusal(path, _what_else_it_is(file.metadata))
        if file.described.n_networks > 1:
            raise refusal(path, f"a model of {file.described.n_networks} networks, but {cls.__name__} is one")
        try:
            estimator: Any = restored_estimator(
                cls, file.net, file.metadata[ESTIMATOR_ENTRY], backend=backend, device=device
            )
        except Defect as defect:
            raise refusal(path, defect) from None
        flat = on_backend(file, chosen, floating_dtype(chosen, file.flat))
        vars(estimator).update(parameters_of(file.net, flat))
        return estimator


def _what_else_it_is(metadata: dict[str, Any]) -> str:
    """Return a description of a sound model file without an estimator, and the function that reads it."""
    if "preparation" in metadata:
        preparation = metadata["preparation"]
        has_columns = isinstance(preparation, dict) and preparation.get("columns") is not None
        advice = ", and so does what TableClassifier.load or TableRegressor.load returns" if has_columns else ""
        return (
            "a model of portable-mlp train, which prepares its rows, and not an estimator's: portable-mlp predict "
            f"takes rows as they are{advice}; portable_mlp.load_model(path) gives the network, parameters and "
            "preparation"
        )
    return (
        "a model of portable_mlp.save_model, and not an estimator's: portable_mlp.load_model(path) gives the network "
        "and its parameters, for portable_mlp.predict; portable-mlp predict takes it too"
    )
