"""The way from a table to a trained model, for the command line and the estimators of tables."""

from __future__ import annotations

import pathlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from ..backends import Backend
from ..kernels.activations import ACTIVATIONS
from ..kernels.losses import LOSSES, REGRESSION_LOSSES, TargetRange
from ..kernels.network import Network
from ..kernels.options import check_choice
from ..kernels.parameters import Layer, Params
from ..training.initialization import init_params
from ..training.result import TrainResult
from ..training.train import train
from .baseline import Baseline
from .columns import RawTable, Table
from .encoder_options import EncoderOptions
from .errors import counted
from .hold_out import split, stratified_splits
from .model import TableModel
from .preparation import Preparation, learn, learn_encoded
from .prepared_rows import PreparedRows, Rows, prepare_streamed
from .raw import ReadingOptions
from .recipe import Recipe, TableOptions, recipe, with_noise
from .row_sources import RowSource
from .targets import is_classification

__all__ = ["FittedTable", "PreparedTable", "asks_for_classes", "counts", "losses_of", "prepare", "prepare_source"]


class FittedTable(NamedTuple):
    """A trained model, with the results of its training.

    Attributes
    ----------
    model : TableModel
        The trained model of the table.
    results : list of TrainResult
        The result of each of its networks.
    was_interrupted : bool
        Whether Ctrl-C ended it.
    """

    model: TableModel
    results: list[TrainResult]
    was_interrupted: bool


@dataclass(frozen=True)
class PreparedTable:
    """A table that is ready to be trained on.

    Attributes
    ----------
    preparation : Preparation
        The conversion of its rows to inputs.
    recipe : Recipe
        The networks to train, and the options of their training.
    n_rows : int
        Number of rows, including the hold-out.
    n_held_out : int
        Number of rows that the first network holds out.
    part : callable
        From the number of a network to the rows that it is trained on and those held out, or None.
    options : TableOptions
        The options, with all choices made.
    baseline : Baseline or None
        Of the targets; None where they stay in their file.
    """

    preparation: Preparation
    recipe: Recipe
    n_rows: int
    n_held_out: int
    part: Callable[[int], tuple[PreparedRows, PreparedRows | None]]
    options: TableOptions
    baseline: Baseline | None = None

    def metadata(self) -> dict[str, Any]:
        """Return what a model file keeps of the table."""
        kept = self.preparation.in_metadata()
        return kept if self.baseline is None else kept | {"baseline": self.baseline.to_metadata()}

    @property
    def net(self) -> Network:
        """The network, or each of several.

        Raises
        ------
        ValueError
            If the loss, its constants or the activations are not for the task and the layers.
        """
        options, activation = self.options, self.recipe.activation
        classification = self.preparation.classes is not None
        if options.loss is not None:
            check_choice("loss", options.loss, losses_of(classification=classification))
        of_quantities = "identity" if options.loss is None else LOSSES[options.loss].outputs[0]
        return Network(
            (len(self.preparation.input_mean), *self.recipe.hidden, self.preparation.n_outputs),
            activation=activation if isinstance(activation, str) else tuple(activation),
            output="softmax" if classification else of_quantities,
            loss=options.loss,
            loss_options=options.loss_options,
        )

    def training(self) -> dict[str, Any]:
        """Return the options of `train`; without those about a hold-out where no row is held out."""
        chosen = dict(self.recipe.training)
        if not self.n_held_out:
            for name in ("patience", "monitor"):
                if name not in self.options.training:
                    chosen.pop(name, None)
        if isinstance(chosen.get("class_weight"), Mapping):
            chosen["class_weight"] = _by_label(chosen["class_weight"], self.preparation.classes or [])
        return chosen

    def fit(
        self,
        backend: Backend,
        dtype: str = "float32",
        seed: int = 0,
        *,
        checkpoint: pathlib.Path | None = None,
        **saving: Any,
    ) -> FittedTable:
        """Train the networks, one after another.

        Ctrl-C ends the training of all of them; those that were complete are the model then, or the first as it is.

        Parameters
        ----------
        backend : Backend
            The library and device.
        dtype : {"float32", "float64"}
            Dtype of parameters and rows.
        seed : int
            Seed of the initial weights and the shuffles.
        checkpoint : path, optional
            A folder for the states; of several networks each has a folder within it.
        **saving
            ``progress``, ``checkpoint_every`` and ``resume``, as for `train`.
        """
        net, n_networks = self.net, self.recipe.n_networks
        seeds = [seed] if n_networks == 1 else np.random.SeedSequence(seed).generate_state(n_networks).tolist()
        results: list[TrainResult] = []
        was_interrupted = False
        for number, own_seed in enumerate(seeds):
            folder = checkpoint if n_networks == 1 or checkpoint is None else checkpoint / f"network-{number + 1}"
            result = self._fit_one(net, number, backend, dtype, own_seed, checkpoint=folder, **saving)
            was_interrupted = result.stopped_because == "interrupted"
            if not was_interrupted or not results:
                results.append(result)
            if was_interrupted:
                break
        model = TableModel(self.preparation, net, _side_by_side(backend, results), self.metadata())
        return FittedTable(model, results, was_interrupted)

    def _fit_one(
        self, net: Network, number: int, backend: Backend, dtype: str, seed: int, **saving: Any
    ) -> TrainResult:
        kept, held_out = self.part(number)
        if isinstance(held_out, Rows):
            held_out.check_outliers(self.preparation, dtype)
        chosen = self.recipe.activation
        # Without hidden layers there may be none.
        first = chosen if isinstance(chosen, str) else next(iter(chosen), "relu")
        params = init_params(net, scheme=ACTIVATIONS[first].scheme, random_state=seed, backend=backend, dtype=dtype)
        X, y = kept.moved(backend, dtype)
        weights = kept.moved_weights(backend, dtype)
        validation = None
        if held_out is not None:
            validation = held_out.moved(backend, dtype)
            own_weights = held_out.moved_weights(backend, dtype)
            validation += () if own_weights is None else (own_weights,)
        return train(
            net,
            params,
            X,
            y,
            sample_weight=weights,
            validation=validation,
            random_state=seed,
            **self.training(),
            **saving,
        )


def losses_of(*, classification: bool) -> tuple[str, ...]:
    """Return the losses that a task may have."""
    if not classification:
        return tuple(iter(REGRESSION_LOSSES))
    return tuple(name for name, loss in LOSSES.items() if "softmax" in loss.outputs)


def asks_for_classes(y: np.ndarray, task: str) -> bool:
    """Return whether targets are classes; ``task`` is "auto", "classification" or "regression".

    Raises
    ------
    ValueError
        If classes have several columns.
    """
    classification = is_classification(y) if task == "auto" else task == "classification"
    if classification and y.ndim > 1:
        raise ValueError(f"classification needs one target for each row, but y has shape {y.shape}")
    return classification


def prepare(
    table: Table | RawTable,
    options: TableOptions,
    *,
    task: str = "auto",
    seed: int = 0,
    weights: np.ndarray | None = None,
    reading: ReadingOptions | None = None,
) -> PreparedTable:
    """Hold out rows, learn what columns and targets become from the others, and encode all of them.

    Several networks share what is learnt from all rows.

    Parameters
    ----------
    table : Table or RawTable
        A table of rows with targets.
    options : TableOptions
        What is chosen of the model.
    task : {"auto", "classification", "regression"}
        What the targets are for.
    seed : int
        Seed of the hold-out.
    weights : ndarray of shape (n_samples,), optional
        Weights of the rows.
    reading : ReadingOptions, optional
        How the table was read, which its model remembers.

    Raises
    ------
    ValueError
        If there is only one class, no feature is left, a column's numbers are too large to be scaled, classes have
        several columns, or a network has no row to validate on.
    """
    y = table.y
    assert y is not None  # a table to train on has targets
    classification = asks_for_classes(y, task)
    chosen = recipe(len(y), table.X.shape[1], options)
    splits = _splits(table, y, chosen, classification=classification, seed=seed)
    n_held_out = [len(held_out) for _, held_out in splits]
    if chosen.hold_out and not all(n_held_out) and (any(n_held_out) or options.training.get("patience") is not None):
        rows_in_words = counted(len(y), "row")
        raise ValueError(
            f"too few rows to validate on: of {rows_in_words} each network would hold out {chosen.hold_out:.3g}"
        )
    learnt_from = splits[0][0] if len(splits) == 1 else np.arange(len(y))
    preparation, inputs = _learnt(
        table, y, learnt_from, chosen, classification=classification, reading=reading or ReadingOptions()
    )
    if counts(options.loss) and not classification:
        n_outputs = preparation.n_outputs
        preparation = replace(preparation, target_mean=[0.0] * n_outputs, target_scale=[1.0] * n_outputs)
    rows = Rows(inputs, preparation.targets(y), weights)
    if not (classification or counts(options.loss) or "l2" in options.training):
        that_count = learnt_from if weights is None else learnt_from[weights[learnt_from] > 0]
        chosen = with_noise(chosen, rows.X[that_count], rows.y[that_count])

    def part(number: int) -> tuple[Rows, Rows | None]:
        kept, held_out = splits[number]
        if not len(held_out):
            return rows.take(kept), None
        others = rows.take(held_out)._replace(numbers=held_out if table.rows is None else table.rows[held_out])
        if others.weights is not None and not others.weights.any():
            # By chance none of the rows that count is held out; then these count alike.
            others = others._replace(weights=None)
        return rows.take(kept), others

    baseline = Baseline.of(y[learnt_from], preparation.classes)
    return PreparedTable(preparation, chosen, len(y), n_held_out[0], part, options, baseline)


def prepare_source(source: RowSource, options: TableOptions, *, task: str = "auto", seed: int = 0) -> PreparedTable:
    """Prepare a table that stays in its file.

    Raises
    ------
    DataError
        If a value is missing or not finite, or a part of the file cannot be read.
    ValueError
        As `prepare`, or if the options need all rows at once.
    """
    n_rows = source.n_rows
    chosen = recipe(n_rows, len(source.feature_names), options)
    if chosen.n_networks > 1:
        raise ValueError(
            f"{source.path}: an ensemble is for tables that fit into memory; this one is read batch by batch"
        )

    encoding = EncoderOptions(**chosen.encoding)
    preparation, kept, held_out = prepare_streamed(source, task, chosen.hold_out, seed, encoding)
    n_held_out = n_rows - kept.n_samples
    return PreparedTable(preparation, chosen, n_rows, n_held_out, lambda _: (kept, held_out), options)


def counts(loss: str | None) -> bool:
    """Return whether a loss is of targets that are not to be scaled."""
    return loss in LOSSES and LOSSES[loss].targets is TargetRange.COUNTS


def _splits(
    table: Table | RawTable, y: np.ndarray, chosen: Recipe, *, classification: bool, seed: int
) -> Sequence[tuple[np.ndarray, np.ndarray]]:
    """Return for each network the rows to train on and those held out."""
    named: Any = {"classification": classification, "seed": seed}
    if isinstance(table, Table) and chosen.n_networks == 1:
        # As if it stayed in its file.
        return [split(y, chosen.hold_out, **named)]
    return stratified_splits(y, chosen.hold_out, chosen.n_networks, **named)


def _learnt(
    table: Table | RawTable,
    y: np.ndarray,
    rows: np.ndarray,
    chosen: Recipe,
    *,
    classification: bool,
    reading: ReadingOptions,
) -> tuple[Preparation, np.ndarray]:
    """Return what is learnt from some rows, and the inputs of all."""
    named: Any = {"classification": classification, "target_name": table.target_name}
    if isinstance(table, Table):
        preparation = learn(table.X[rows], y[rows], feature_names=table.feature_names, **named)
        return preparation, preparation.inputs(table.X)
    encoding = EncoderOptions(**chosen.encoding)
    numbers = rows if table.rows is None else table.rows[rows]
    preparation, inputs = learn_encoded(table.X[rows], y[rows], table=reading, options=encoding, rows=numbers, **named)
    if len(rows) == len(y):
        return preparation, inputs
    # Training rows are not encoded by their own targets; to the others the encoder is applied as to any.
    every = preparation.inputs(table.X)
    every[rows] = inputs
    return preparation, every


def _by_label(class_weight: Mapping[Any, float], classes: Sequence[Any]) -> dict[int, float]:
    """Return weights of classes, which are given by their names, by their labels 0, 1, ..."""
    unknown = [name for name in class_weight if name not in classes]
    if unknown:
        raise ValueError(
            f"class_weight has {unknown[0]!r}, which is none of the classes {', '.join(map(repr, classes))}"
        )
    return {classes.index(name): weight for name, weight in class_weight.items()}


def _side_by_side(backend: Backend, results: Sequence[TrainResult]) -> Params:
    """Return the parameters of one network, or of several with a leading axis."""
    if len(results) == 1:
        return results[0].params
    layers = zip(*(result.params for result in results), strict=True)
    return tuple(Layer(*(backend.xp.stack(parts) for parts in zip(*layer, strict=True))) for layer in layers)
