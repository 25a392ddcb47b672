"""A callback for skorch: neurons and connections are pruned and regrown while a net is fitted."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from hebbevo.integrations.watched_training import WatchedTraining
from hebbevo.nn.wiring import Example

try:
    from skorch import NeuralNet
    from skorch.callbacks import Callback
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        f'hebbevo.integrations.skorch: {error}; install it: pip install "hebbevo[skorch]"', name=error.name
    ) from None


class Plasticity(Callback):  # type: ignore[misc]  # skorch has no types
    """Prunes and regrows while a net of skorch is fitted, as `hebbevo.nn.attach` does in one's own loop.

    The net gives the rules the length of the training, ``max_epochs`` times its minibatches, and the loss of
    its criterion. After each epoch the history has the survivors as ``neurons_alive``, and where connections
    are masked as ``connections_alive``. The training stops, with a warning, where no neuron is left and none
    can return.

    Args:
        total_steps: forward steps of the training, where they are not ``max_epochs`` times its minibatches.
        example: an input of the module, or a tuple of inputs, where the one that its first layer suggests
            does not fit.
    """

    def __init__(self, total_steps: int = 0, example: Example | None = None) -> None:
        self.total_steps = total_steps
        self.example = example

    def initialize(self) -> Plasticity:
        """Forget the last training."""
        self.training_: WatchedTraining | None = None
        self.hook_: Any = None
        return self

    def on_train_begin(self, net: NeuralNet, **_: Any) -> None:
        """Detach from a training that an error ended."""
        self._detach()

    def on_epoch_begin(self, net: NeuralNet, dataset_train: Any = None, **_: Any) -> None:
        """Attach before the first epoch of a training: its minibatches are known now."""
        if self.training_:
            return
        length = self.total_steps
        if not length:
            try:
                length = net.max_epochs * len(net.get_iterator(dataset_train, training=True))
            except TypeError:  # a stream of rows has no length
                length = 0
        self.training_ = WatchedTraining(net.module_, net.optimizer_, length, self.example)
        if self.training_.needs_loss:
            self.hook_ = net.criterion_.register_forward_hook(self._observe)

    def on_epoch_end(self, net: NeuralNet, **_: Any) -> None:
        """Record the survivors, and stop the training if there are none."""
        if self.training_:
            for name, number in self.training_.survivors().items():
                net.history.record(name, number)
            if self.training_.is_over(len(net.history)):
                raise KeyboardInterrupt  # how callbacks of skorch stop a training

    def on_train_end(self, net: NeuralNet, **_: Any) -> None:
        """Detach: the masks stay as they are."""
        self._detach()

    def _detach(self) -> None:
        if self.hook_:
            self.hook_.remove()
        if self.training_:
            self.training_.attachment.detach()
        self.initialize()

    def _observe(self, criterion: Any, _: object, loss: Tensor) -> None:
        if self.training_ and criterion.training:
            self.training_.attachment.observe(loss)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "training_": None, "hook_": None}  # a copy has no optimiser
