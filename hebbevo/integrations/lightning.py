"""A callback for Lightning: neurons and connections are pruned and regrown while a ``Trainer`` trains."""

from __future__ import annotations

import math
from typing import Any

from torch import Tensor, nn

from hebbevo.errors import UsageError
from hebbevo.integrations.watched_training import WatchedTraining
from hebbevo.messages import listed
from hebbevo.nn.wiring import Example

try:
    from lightning import Callback, LightningModule, Trainer
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        f'hebbevo.integrations.lightning: {error}; install it: pip install "hebbevo[lightning]"',
        name=error.name,
    ) from None


class Plasticity(Callback):
    """Prunes and regrows in a training by Lightning, as `hebbevo.nn.attach` does in a loop of one's own.

    The ``Trainer`` gives the rules the length of the training and its loss. After each epoch, and before a
    validation ends, the survivors are logged as ``neurons_alive``, and where connections are masked as
    ``connections_alive``. Other callbacks can monitor them. The training stops, with a warning, where no
    neuron is left and none can return.

    A training can be continued from a checkpoint. Several optimisers and several processes are refused.

    Args:
        module: dotted name, in the ``LightningModule``, of the module whose forward is followed. By default
            it is the only one that has parameters, or else the ``LightningModule`` itself.
        total_steps: forward steps of the training, where the ``Trainer`` does not know them.
        example: an input of that module, or a tuple of inputs, where the one that its first layer suggests
            does not fit.
    """

    def __init__(self, module: str = "", *, total_steps: int = 0, example: Example | None = None) -> None:
        self._module = module
        self._total_steps = total_steps
        self._example = example
        self._training: WatchedTraining | None = None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Attach, once a checkpoint is loaded and the length of the training is known."""
        if trainer.world_size > 1:
            raise UsageError(
                f"Plasticity: {trainer.world_size} processes would rewire from statistics of their own; "
                "train in one (devices=1)"
            )
        if len(trainer.optimizers) != 1:
            raise UsageError(
                f"Plasticity: there are {len(trainer.optimizers)} optimisers; call hebbevo.nn.attach in "
                "configure_optimizers for the one that trains the plastic modules"
            )
        followed = _followed(pl_module, self._module)
        length = max(self._total_steps - _steps_so_far(trainer), 0) if self._total_steps else _length(trainer)
        self._training = WatchedTraining(followed, trainer.optimizers[0], length, self._example)

    def on_before_backward(self, trainer: Trainer, pl_module: LightningModule, loss: Tensor) -> None:
        """Report the loss of a minibatch."""
        if self._training and self._training.needs_loss:
            scaler = getattr(trainer.precision_plugin, "scaler", None)
            scale = scaler.get_scale() if scaler else 1.0
            self._training.attachment.observe(loss.detach() * trainer.accumulate_grad_batches / scale)

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log the survivors, so that what monitors them at the end of a validation finds them."""
        if not trainer.sanity_checking:
            self._log(pl_module)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log the survivors, and stop the training if there are none."""
        self._log(pl_module)
        if self._training and self._training.is_over(trainer.current_epoch + 1):
            trainer.should_stop = True

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Detach: the masks stay as they are."""
        self._detach()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Detach after an error."""
        self._detach()

    def _log(self, pl_module: LightningModule) -> None:
        if self._training:
            for name, number in self._training.survivors().items():
                pl_module.log(name, float(number), prog_bar=True, on_step=False, on_epoch=True, batch_size=1)

    def _detach(self) -> None:
        if self._training:
            self._training.attachment.detach()
            self._training = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_training": None}  # a copy has no optimiser


def _followed(pl_module: LightningModule, name: str) -> nn.Module:
    """The module whose forward is followed.

    Raises:
        UsageError: there is none of the name; or there is no name, and it is not clear which one it is.
    """
    children = [
        child for child, module in pl_module.named_children() if any(True for _ in module.parameters())
    ]
    if name:
        try:
            return pl_module.get_submodule(name)
        except AttributeError:
            known = listed(children)
            raise UsageError(
                f"Plasticity: {type(pl_module).__name__} has no module {name!r}; known: {known}"
            ) from None
    parameters = {*pl_module.parameters()}
    for child in children:
        module = pl_module.get_submodule(child)
        if {*module.parameters()} == parameters:
            return module
    if type(pl_module).forward is not LightningModule.forward:
        return pl_module
    raise UsageError(
        f"Plasticity: {type(pl_module).__name__} has no forward, and its parameters are in several modules "
        f"({listed(children)}); write a forward, or give Plasticity(NAME)"
    )


def _steps_so_far(trainer: Trainer) -> int:
    """Minibatches that this training has taken, also before a checkpoint that it continues from."""
    return int(trainer.fit_loop.total_batch_idx) + 1


def _length(trainer: Trainer) -> int:
    """Minibatches that are still to come; 0: not known."""
    batches, accumulated = trainer.num_training_batches, trainer.accumulate_grad_batches
    limits = []
    if math.isfinite(batches):
        if trainer.max_epochs not in (None, -1):
            limits.append(int(batches) * trainer.max_epochs)
        if trainer.max_steps != -1:
            # the last step of an epoch is taken with the minibatches that are left
            epochs, steps = divmod(trainer.max_steps, math.ceil(batches / accumulated))
            limits.append(epochs * int(batches) + min(steps * accumulated, int(batches)))
    elif trainer.max_steps != -1:
        limits.append(trainer.max_steps * accumulated)
    return max(min(limits) - _steps_so_far(trainer), 0) if limits else 0
