"""Every function that takes a path takes what Python's own ``open`` takes: a text, bytes, an object with either."""

import os
import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import portable_mlp as pm

NET = pm.Network((2, 3, 2))
X = np.random.default_rng(0).normal(size=(20, 2))


class Named:
    """An object that names a file."""

    def __init__(self, name: Any) -> None:
        self._name = name

    def __fspath__(self) -> Any:
        return self._name


FORMS: dict[str, Callable[[str], Any]] = {
    "str": str,
    "bytes": os.fsencode,
    "Path": pathlib.Path,
    "an object with a text": Named,
    "an object with bytes": lambda name: Named(os.fsencode(name)),
}


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("form", FORMS)
def test_every_function_takes_every_kind_of_path(form: str, tmp_path: pathlib.Path) -> None:
    params, y = pm.init_params(NET), (X[:, 0] > 0).astype(int)
    clf = pm.MLPClassifier((3,), max_iter=1, random_state=0).fit(X, y)

    def path(name: str) -> Any:
        return FORMS[form](str(tmp_path / name))

    pm.save_model(path("model ä"), NET, params)
    assert pm.load_model(path("model ä"))[0] == NET
    clf.save(path("estimator"))
    np.testing.assert_array_equal(pm.MLPClassifier.load(path("estimator")).predict(X), clf.predict(X))
    pm.export_onnx(path("model.onnx"), NET, params)
    pm.export_onnx_training(path("step.onnx"), NET, params)
    clf.to_onnx(path("estimator.onnx"))
    pm.train(NET, params, X, y, epochs=1, checkpoint=path("states"))
    assert pm.train(NET, params, X, y, epochs=1, checkpoint=path("states"), resume=True).n_epochs == 1
    with pytest.raises(ValueError, match=r"/states holds checkpoints already"):
        pm.train(NET, params, X, y, epochs=1, checkpoint=path("states"))
    written = {"model ä", "estimator", "model.onnx", "step.onnx", "estimator.onnx", "states"}
    assert {found.name for found in tmp_path.iterdir()} == written


@pytest.mark.parametrize("form", FORMS)
def test_errors_name_the_path_as_a_text(form: str, tmp_path: pathlib.Path) -> None:
    missing, broken = tmp_path / "no" / "model", tmp_path / "broken"
    broken.write_bytes(b"text")
    with pytest.raises(FileNotFoundError) as reading:
        pm.load_model(FORMS[form](str(missing)))
    with pytest.raises(FileNotFoundError) as writing:
        pm.save_model(FORMS[form](str(missing)), NET, pm.init_params(NET))
    assert reading.value.filename == writing.value.filename == str(missing)
    with pytest.raises(pm.ModelFileError, match=f"^{broken}: not a safetensors file"):
        pm.load_model(FORMS[form](str(broken)))


@pytest.mark.parametrize("number", [0, None, 1.5])
def test_what_is_no_path_is_refused(number: Any) -> None:
    for call in (lambda: pm.load_model(number), lambda: pm.save_model(number, NET, pm.init_params(NET))):
        with pytest.raises(TypeError, match=r"expected str, bytes or os\.PathLike object"):
            call()
