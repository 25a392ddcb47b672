"""Modules in sequence with a penalty on the path that features take through them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from torch import Tensor, nn

from hebbevo.errors import UsageError
from hebbevo.nn.plastic import InjectedLoss
from hebbevo.nn.regularizer import Regularized
from hebbevo.rules.regularizers.feature_flow import FeatureFlow as FlowRule


class FlowPenalty(Regularized):
    """The penalty of feature flow on features that are given; without modules of its own.

    Args:
        flow_length: weight of the path's length.
        flow_curvature: weight of the path's curvature.

    >>> import torch
    >>> penalty = FlowPenalty(flow_length=1.0)
    >>> start = torch.zeros(4, 3, requires_grad=True)
    >>> penalty(torch.ones(4, 3), [start, torch.ones(4, 3)]).sum().backward()
    >>> start.grad[0]
    tensor([-0.2500, -0.2500, -0.2500])
    """

    rule: FlowRule

    def __init__(self, flow_length: float = 0.0, flow_curvature: float = 0.0) -> None:
        super().__init__(FlowRule(), 0, flow_length=flow_length, flow_curvature=flow_curvature)

    def forward(self, output: Tensor, path: Sequence[Tensor]) -> Tensor:
        """Return ``output``; in training mode its backward pass adds the penalty to the task's loss.

        Args:
            output: a tensor of the model that the loss depends on.
            path: features of each layer, (rows, *features).

        Raises:
            UsageError: no two successive features have one shape.
        """
        if not self.training or not output.numel():
            return output
        penalty = self.rule.penalty(self._k, path)
        if penalty is None:
            shapes = ", ".join(str(tuple(each.shape[1:])) for each in path)
            raise UsageError(
                f"{self._title}: features have shapes {shapes}, and no two successive ones agree; "
                "give layers of one width"
            )
        self.steps.add_(1)
        return cast(Tensor, InjectedLoss.apply(output, penalty))  # type: ignore[no-untyped-call]


class FeatureFlow(nn.Module):
    """Modules in sequence, and in training mode a penalty on the path that features take through them.

    The penalty is k1 sum abs(x[l+1] - x[l]) + k2 sum abs(x[l+1] - 2 x[l] + x[l-1]), where x[0] is the input
    and x[l] the output of module l. It is added to the task's loss in the backward pass. Terms whose features
    differ in shape are left out. After feature flow regularisation (arXiv:2106.02914); the discretisation is
    our own. In evaluation mode nothing is added.

    Shapes: (rows, *features) to what the last module returns.

    Args:
        modules: called one after the other.
        flow_length: k1, weight of the path's length; 0 or more.
        flow_curvature: k2, weight of the path's curvature; 0 or more.

    Raises:
        UsageError: a value outside its range; in training mode, no two successive features have one shape.

    >>> import torch
    >>> layers = [nn.Sequential(nn.Linear(8, 8), nn.ReLU()) for _ in range(3)]
    >>> model = FeatureFlow(*layers, flow_length=1e-3, flow_curvature=1e-3)
    >>> model(torch.randn(4, 8)).shape
    torch.Size([4, 8])
    """

    def __init__(self, *modules: nn.Module, flow_length: float = 0.0, flow_curvature: float = 0.0) -> None:
        super().__init__()
        self.layers = nn.Sequential(*modules)
        self.penalty = FlowPenalty(flow_length, flow_curvature)

    def forward(self, x: Tensor) -> Tensor:
        """Call the modules one after the other; in training mode with the penalty.

        Args:
            x: (rows, *features).
        """
        path = [x]
        for layer in self.layers:
            path.append(layer(path[-1]))
        output: Tensor = self.penalty(path[-1], path)
        return output
