"""What modules for noise and penalties on activations have in common."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from hebbevo.nn import stateless_random
from hebbevo.nn.plastic import Plastic, TensorNamespace
from hebbevo.rules.regularizers.regularizer import Regularizer
from hebbevo.space.knobs import Value


class Regularized(Plastic):
    """The knobs, the seed and the steps of a regulariser. Evaluation mode is the identity.

    A search sets the knobs by their names, as those of all plastic modules.

    Args:
        rule: a regulariser.
        seed: of the random numbers; by default drawn from PyTorch's generator.
        knobs: see ``rule.knobs``.

    Raises:
        UsageError: an unknown knob, or a value outside its range.
    """

    rule: Regularizer

    def __init__(self, rule: Regularizer, seed: int | None, **knobs: Value) -> None:
        super().__init__(rule, seed)
        self.configure(**knobs)

    def is_event(self, step: Tensor, stacked: Mapping[str, Tensor] | None = None) -> Tensor:
        """Never: nothing is pruned."""
        return step < 0

    def extra_repr(self) -> str:
        """Show the knobs."""
        return ", ".join(f"{name}={self._value(name):.4g}" for name in self.knobs)

    @property
    def _k(self) -> TensorNamespace:
        return TensorNamespace(self._buffers)

    def _normal(self, shape: tuple[int, ...], stream: int, like: Tensor) -> Tensor:
        """Standard normal numbers of this step, in the type of ``like``."""
        return stateless_random.normal(self.seed, self.steps, shape, stream).to(like.dtype)
