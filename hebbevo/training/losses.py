"""The built-in losses: functions of one net's outputs, with the gradients of many nets in closed form."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812


class CrossEntropy:
    """Cross entropy; with weights of the classes, the weighted mean over rows, as in PyTorch.

    >>> import torch
    >>> round(float(CrossEntropy()(torch.zeros(4, 2), torch.tensor([0, 1, 1, 0]))), 4)
    0.6931

    Args:
        weights: a weight for each class, (classes,), in the type and on the device of the outputs; ``None``:
            1 for each.
    """

    def __init__(self, weights: Tensor | None = None) -> None:
        self.weights = weights

    def __call__(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """The loss of one net, from outputs (rows, classes) and labels (rows,)."""
        return F.cross_entropy(outputs, labels, self.weights)

    def with_gradient(self, logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """The loss of each net, (size,), and its gradient, from logits (size, classes, rows).

        The loss is -mean(log softmax(z)[y]), and its gradient (softmax(z) - onehot(y)) / rows. With weights w
        the share of a row is w[y] / sum(w[y]) in place of 1 / rows.
        """
        logs = logits.log_softmax(1)
        classes = torch.arange(logits.shape[1], device=labels.device)
        # `torch.nn.functional.one_hot` would read values on the host
        one_hot = (classes[:, None] == labels).to(logs.dtype)
        if self.weights is None:
            losses = (logs * one_hot).sum((1, 2)).div_(-len(labels))
            return losses, logs.exp_().sub_(one_hot).div_(len(labels))
        of_rows = self.weights.index_select(0, labels)
        shares = of_rows / of_rows.sum()
        losses = (logs * one_hot * shares).sum((1, 2)).neg_()
        return losses, logs.exp_().sub_(one_hot).mul_(shares)


class SquaredError:
    """The mean squared error.

    >>> import torch
    >>> SquaredError()(torch.tensor([[1.0], [2.0]]), torch.tensor([[1.0], [4.0]])).item()
    2.0
    """

    def __call__(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The loss of one net, from outputs and targets (rows, 1).

        Raises:
            ValueError: the outputs have another shape, which PyTorch would spread over the targets.
        """
        if outputs.shape != targets.shape:
            what = f"the output of the network has shape {tuple(outputs.shape)}"
            raise ValueError(f"{what} for targets {tuple(targets.shape)}; return one number a row: (rows, 1)")
        return F.mse_loss(outputs, targets)

    def with_gradient(self, predictions: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """The loss of each net, (size,), and its gradient, from predictions (size, 1, rows)."""
        errors = predictions - targets.mT
        return errors.square().mean((1, 2)), errors.mul_(2 / errors[0].numel())


BuiltInLoss = CrossEntropy | SquaredError
"""A loss for which a stack computes gradients in closed form."""
