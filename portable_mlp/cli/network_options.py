"""The options of a command that describe its network, and the network and initial parameters made from them."""

from __future__ import annotations

from typing import Annotated, NamedTuple, TypeAlias

import typer

from ..backends import Backend
from ..kernels.activations import ACTIVATIONS
from ..kernels.losses import LOSSES, REGRESSION_LOSSES
from ..kernels.network import Network
from ..kernels.options import check_choice
from ..kernels.parameters import Params
from ..training.initialization import init_params
from .options import NETWORK

HiddenOption: TypeAlias = Annotated[
    str,
    typer.Option(help="Units of the hidden layers, such as 128,64; empty for none.", rich_help_panel=NETWORK),
]
ActivationOption: TypeAlias = Annotated[
    str,
    typer.Option(
        help=f"One of {', '.join(ACTIVATIONS)}; or one for each hidden layer, such as relu,tanh.",
        rich_help_panel=NETWORK,
    ),
]
LossOption: TypeAlias = Annotated[
    str | None,
    typer.Option(
        help=f"One of {', '.join(LOSSES)}.", show_default="the natural one of the task", rich_help_panel=NETWORK
    ),
]
LossOptionsOption: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="NAME=NUMBER", help="Constants of the loss, such as delta=2 of huber.", rich_help_panel=NETWORK
    ),
]


class NetworkOptions(NamedTuple):
    """The options that describe a network, as typed."""

    hidden: str
    activation: str
    loss: str | None
    loss_options: str | None

    def network(self, n_features: int, n_outputs: int, *, classification: bool) -> Network:
        """Return the network of a task.

        Raises
        ------
        ValueError
            If an option cannot be read, or the loss is not for the task.
        """
        losses = tuple(name for name, loss in LOSSES.items() if "softmax" in loss.outputs)
        if self.loss is not None:
            check_choice("--loss", self.loss, losses if classification else REGRESSION_LOSSES)
        regression = "identity" if self.loss is None else LOSSES[self.loss].outputs[0]
        names = self._activations()
        return Network(
            (n_features, *self.sizes(), n_outputs),
            activation=names[0] if len(names) == 1 else names,
            output="softmax" if classification else regression,
            loss=self.loss,
            loss_options=_read_constants(self.loss_options),
        )

    def sizes(self) -> tuple[int, ...]:
        """Return the units of each hidden layer."""
        try:
            sizes = tuple(int(part) for part in self.hidden.split(",") if part.strip())
        except ValueError:
            raise ValueError(
                f"--hidden takes whole numbers separated by commas, such as 128,64; got {self.hidden!r}"
            ) from None
        if any(size < 1 for size in sizes):
            raise ValueError(f"--hidden needs at least one unit in every layer; got {self.hidden!r}")
        return sizes

    def first_parameters(self, net: Network, seed: int, backend: Backend, dtype: str) -> Params:
        """Draw the first parameters of the network, by the scheme that its first activation is made for."""
        scheme = ACTIVATIONS[self._activations()[0]].scheme
        return init_params(net, scheme=scheme, random_state=seed, backend=backend, dtype=dtype)

    def _activations(self) -> tuple[str, ...]:
        return tuple(name.strip() for name in self.activation.split(","))


def _read_constants(text: str | None) -> dict[str, float]:
    try:
        pairs = [part.split("=") for part in (text or "").split(",") if part.strip()]
        return {name.strip(): float(number) for name, number in pairs}
    except ValueError:
        raise ValueError(f"--loss-options takes names and numbers, such as delta=2; got {text!r}") from None
