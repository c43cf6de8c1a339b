"""`portable-mlp accelerate`, run as its user runs it: a script for scikit-learn that knows nothing of us."""

import pathlib
import subprocess
import sys
import textwrap

import pytest

from tests.cli.commands import Capture, printed
from tests.processes import environment
from tests.selection import rarely

SCRIPT = """
    import os, pickle, sys
    import numpy as np
    from sklearn.base import clone
    from sklearn.datasets import load_iris
    from sklearn.model_selection import GridSearchCV
    from sklearn.neural_network import MLPClassifier, MLPRegressor

    X, y = load_iris(return_X_y=True)
    clf = MLPClassifier((5,), max_iter=5, random_state=0).fit(X, y)
    print(sys.argv[1:], __name__, os.path.basename(__file__), clf)
    print(type(clf.coefs_[0]).__module__, type(clone(clf).fit(X, y).predict(X)).__module__)
    reg = MLPRegressor(hidden_layer_sizes=(3,), max_iter=5)
    search = GridSearchCV(reg, {"alpha": [0.1, 1.0]}, n_jobs=2, cv=2).fit(X, y)
    print(type(search.best_estimator_.coefs_[0]).__module__, type(pickle.loads(pickle.dumps(clf))).__module__)
    import beside
"""


@pytest.fixture
def script(tmp_path: pathlib.Path) -> pathlib.Path:
    (tmp_path / "beside.py").write_text("print('its neighbour can be imported')\n")
    path = tmp_path / "train_model.py"
    path.write_text(textwrap.dedent(SCRIPT))
    return path


def accelerate(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "ignore", "-m", "portable_mlp", "accelerate", *map(str, arguments)]
    variables = environment(PYTHONWARNINGS="ignore")
    return subprocess.run(command, env=variables, capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.parametrize(
    ("backend", "library"),
    # On another library than NumPy a search is joblib's, whose processes import everything once more.
    [("numpy", "numpy"), *rarely(("strict", "array_api_strict._array_object"))],
)
def test_a_script_runs_unchanged(script: pathlib.Path, backend: str, library: str) -> None:
    done = accelerate("--backend", backend, script, "--epochs", "3", "-v", "data.csv")
    assert done.returncode == 0, done.stderr
    assert done.stderr == (
        "portable-mlp: MLPClassifier and MLPRegressor of scikit-learn are replaced by portable_mlp's, which compute "
        f"with {backend} on cpu\n"
    )
    assert done.stdout.splitlines() == [
        "['--epochs', '3', '-v', 'data.csv'] __main__ train_model.py MLPClassifier(hidden_layer_sizes=(5,), "
        "max_iter=5, random_state=0)",
        f"{library} numpy",
        f"{library} portable_mlp.estimators.classifier",
        "its neighbour can be imported",
    ]


ENDS = {
    "sys.exit('no data')": (1, "no data\n"),
    "sys.exit()": (0, ""),
    "sys.exit(7)": (7, ""),
    "raise KeyboardInterrupt": (130, "portable-mlp: interrupted\n"),
}


@pytest.mark.parametrize("line", ENDS)
def test_it_ends_as_the_script_ends(tmp_path: pathlib.Path, line: str, capfd: Capture) -> None:
    path = tmp_path / "end.py"
    path.write_text(f"import sys\n{line}\n")
    code, end = ENDS[line]
    _, err = printed("accelerate", "--backend", "numpy", path, capfd=capfd, code=code)
    assert err.partition("\n")[2] == end


@pytest.mark.parametrize("line", ["def f():\n    return [][0]\nf()", "this is no Python", "import no_such_module"])
def test_its_mistakes_look_as_they_do_without_us(tmp_path: pathlib.Path, line: str, capfd: Capture) -> None:
    path = tmp_path / "mistake.py"
    path.write_text(line + "\n")
    _, err = printed("accelerate", "--backend", "numpy", path, capfd=capfd, code=1)
    plain = subprocess.run([sys.executable, path], capture_output=True, text=True, timeout=60, check=False)
    assert plain.returncode == 1
    assert err.partition("\n")[2] == plain.stderr


def test_the_users_mistakes(tmp_path: pathlib.Path, capfd: Capture) -> None:
    for arguments, message in {
        (tmp_path / "nowhere.py",): f"portable-mlp: there is no script {tmp_path / 'nowhere.py'}\n",
        ("--backend", "numpi", __file__): "portable-mlp: there is no backend 'numpi'; choose one of",
    }.items():
        out, err = printed("accelerate", *arguments, capfd=capfd, code=2)
        assert out == ""
        assert err.startswith(message)


def test_scikit_learn_is_as_before_afterwards() -> None:
    from sklearn import model_selection, neural_network

    import portable_mlp as pm
    from portable_mlp.estimators.replacement import in_place_of_sklearn

    before, search = neural_network.MLPClassifier, model_selection.cross_val_score
    with in_place_of_sklearn("torch", "cpu"):
        assert neural_network.MLPClassifier is pm.MLPClassifier
        for name in ("GridSearchCV", "RandomizedSearchCV", "cross_val_score", "cross_validate"):
            assert getattr(model_selection, name) is getattr(pm, name)
        assert (pm.MLPRegressor().backend, pm.MLPRegressor(backend=None).backend) == ("torch", None)
    assert (neural_network.MLPClassifier, model_selection.cross_val_score) == (before, search)
    assert (pm.MLPRegressor().backend, pm.MLPRegressor().device) == (None, None)
