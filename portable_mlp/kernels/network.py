"""The description of a network: its layers and its loss, without parameters."""

from __future__ import annotations

import functools
import itertools
import operator
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ..html_parts import notebook_heading, notebook_table
from .activations import ACTIVATIONS, OUTPUTS
from .docstrings import documented_with, quoted
from .losses import LOSSES, LossOptions, checked_loss_options, default_constants, natural_loss
from .options import check_choice
from .suggestions import suggesting_class


@suggesting_class
@documented_with(
    activations=quoted(ACTIVATIONS),
    outputs=quoted(OUTPUTS),
    losses=",\n        ".join(f'"{name}" ({", ".join(loss.outputs)})' for name, loss in LOSSES.items()),
    loss_options=default_constants(),
)
@dataclass(frozen=True)
class Network:
    """A fully connected network: its layers and its loss, without parameters.

    ``h_0 = X``, ``h_i = f_i(h_{i-1} W_i + b_i)``, ``y_hat = output(h_L W + b)``.

    Parameters
    ----------
    sizes : sequence of int
        Units of the inputs, of each hidden layer, and of the outputs. Two entries (no hidden layer) give linear,
        logistic or softmax regression.
    activation : str or sequence of str
        The activation of the hidden layers: one name for all, or one name each. One of
        {activations}. "logistic" is the sigmoid.
    output : {{outputs}}
        The activation of the output layer.
    loss : str, optional
        The loss to minimise, with the outputs that each can follow:
        {losses}.
        None takes the output's natural loss: "cross_entropy" for softmax, "binary_cross_entropy" for logistic,
        "squared_error" for identity and relu, "poisson" for exp.
    loss_options : mapping from str to float, optional
        The constants of the loss. By default they are {loss_options}; the others have none.

    Raises
    ------
    ValueError
        If a size is below 1, a name is unknown, the loss does not go with the output, or has no such constant.
    TypeError
        If a size is not a whole number, or a constant not a number.

    Examples
    --------
    >>> Network((64, 100, 10))
    Network((64, 100, 10), activation='relu', output='softmax', loss='cross_entropy')
    """

    sizes: tuple[int, ...]
    activation: str | tuple[str, ...] = "relu"
    output: str = "softmax"
    loss: str | None = None
    loss_options: Mapping[str, float] | LossOptions = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "sizes", _checked_sizes(self.sizes))
        object.__setattr__(self, "activation", _one_name_if_alike(_checked_names(self.activation, self.n_hidden)))
        check_choice("output", self.output, OUTPUTS)
        if self.loss is None:
            object.__setattr__(self, "loss", natural_loss(self.output))
        check_choice("loss", self.loss, LOSSES)
        outputs = LOSSES[str(self.loss)].outputs
        if self.output not in outputs:
            raise ValueError(
                f"loss {self.loss!r} does not go with output {self.output!r}: it needs one of "
                f"{', '.join(outputs)}; the natural loss of {self.output!r} is {natural_loss(self.output)!r}"
            )
        # Pairs in the order of the table, all of them: equal networks have one spelling, and a hash.
        object.__setattr__(self, "loss_options", checked_loss_options(str(self.loss), self.loss_options))

    def __repr__(self) -> str:
        options = f", loss_options={dict(self.loss_options)}" if self.loss_options else ""
        return (
            f"Network({self.sizes}, activation={self.activation!r}, output={self.output!r}, loss={self.loss!r}"
            f"{options})"
        )

    def _repr_html_(self) -> str:
        """Return the network for a notebook: its loss, and a row for each layer."""
        from .parameters import n_parameters  # which imports this module

        units = [f"{size:,}" for size in self.sizes]
        counts = [f"{n_parameters(pair):,}" for pair in itertools.pairwise(self.sizes)]
        layers = [*(f"hidden {i + 1}" for i in range(self.n_hidden)), "output"]
        rows = zip(layers, units[1:], (*self.activations, self.output), counts, strict=True)
        facts = {"loss": self.loss, **dict(self.loss_options), "parameters": f"{n_parameters(self.sizes):,}"}
        table = notebook_table(("layer", "units", "activation", "parameters"), [("inputs", units[0], "", ""), *rows])
        return f"<div>{notebook_heading(self, facts)}{table}</div>"

    @property
    def n_hidden(self) -> int:
        """Number of hidden layers."""
        return len(self.sizes) - 2

    @functools.cached_property
    def activations(self) -> tuple[str, ...]:
        """One name for each hidden layer."""
        return (self.activation,) * self.n_hidden if isinstance(self.activation, str) else self.activation


def checked_network(net: Network) -> Network:
    """Return a network; raise TypeError for anything else."""
    if not isinstance(net, Network):
        raise TypeError(f"net must be a Network, got {type(net).__name__}")
    return net


def _checked_sizes(sizes: Iterable[int]) -> tuple[int, ...]:
    try:
        checked = tuple(operator.index(size) for size in sizes)
    except TypeError:
        raise TypeError(f"sizes must be whole numbers (inputs, hidden..., outputs), got {sizes!r}") from None
    if len(checked) < 2:
        raise ValueError(f"sizes must have at least two entries, the inputs and the outputs; got {checked}")
    if min(checked) < 1:
        raise ValueError(f"every size must be at least 1, got {checked}")
    return checked


def _checked_names(activation: str | Sequence[str], n_hidden: int) -> tuple[str, ...]:
    if not isinstance(activation, str | Iterable):
        raise TypeError(f"activation must be one name, or a sequence of one for each hidden layer; got {activation!r}")
    names = (activation,) if isinstance(activation, str) else tuple(activation)
    for name in names:
        check_choice("activation", name, ACTIVATIONS)
    if isinstance(activation, str):
        return names * n_hidden
    if len(names) != n_hidden:
        raise ValueError(f"activation must be one name, or one for each of the {n_hidden} hidden layers; got {names}")
    return names


def _one_name_if_alike(names: tuple[str, ...]) -> str | tuple[str, ...]:
    """Give equal networks one spelling, so that ``==`` and ``hash`` agree; no hidden layer applies "identity"."""
    if len(set(names)) > 1:
        return names
    return names[0] if names else "identity"
