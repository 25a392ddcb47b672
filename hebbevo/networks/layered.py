"""Networks of hidden layers, one after the other, and a head."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence

from torch import Tensor, nn

from hebbevo.networks.chain import Chain


class Layered(Chain):
    """A network whose hidden layers follow each other, and end in a linear head.

    Attributes:
        head: maps the outputs of the last hidden layer, flattened, to logits.
        has_fitted_head: whether the head that counts is fitted to the features in closed form, after each
            epoch. The head that is trained is beside it, and gives hidden layers their gradient.
    """

    head: nn.Module
    has_fitted_head: bool

    @abstractmethod
    def hidden_layers(self) -> Sequence[Sequence[nn.Module]]:
        """The modules of each hidden layer, in the order in which they are called."""

    def hidden_outputs(self, x: Tensor) -> Iterator[Tensor]:
        """The outputs of each hidden layer, (rows, units, *positions), for rows (rows, *shape)."""
        for layer in self.hidden_layers():
            for module in layer:
                x = module(x)
            yield x

    def head_inputs(self, x: Tensor) -> Tensor:
        """What the head takes, (rows, features), for rows (rows, *shape)."""
        for output in self.hidden_outputs(x):
            x = output
        return x.flatten(1)
