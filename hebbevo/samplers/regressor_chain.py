"""A model of all losses and of the constraint violation: a chain of Gaussian processes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hebbevo.samplers.gaussian import GaussianProcess
from hebbevo.samplers.loss_model import LossModel
from hebbevo.samplers.sampler import penalise
from hebbevo.space import ChoiceGene, Space

Array = NDArray[np.float64]


class RegressorChain:
    """A regressor chain (Spyromitros-Xioufis et al., 2016, doi:10.1007/s10994-016-5546-z).

    The last loss is learned from the genome, and each loss before it from the genome and the losses behind
    it. With accuracy first and survivors last this is how they depend on each other: the accuracy of a
    network hangs on how many neurons it kept, and only then on the genome.

    The constraint violation is learned from the genome alone.

    Args:
        space: the genes.
        objectives: number of losses.
        tolerance: as for `GaussianProcess`.
    """

    def __init__(self, space: Space, objectives: int, tolerance: float) -> None:
        self._choices = [len(gene.choices) if isinstance(gene, ChoiceGene) else 0 for gene in space.genes]
        genes = space.dimension
        groups = np.repeat(np.arange(genes), np.maximum(self._choices, 1))
        # the loss at place i has the losses behind it as further inputs, each with a length scale of its own
        self._models = [
            LossModel(np.append(groups, genes + np.arange(behind)), tolerance) for behind in range(objectives)
        ][::-1]
        self._violation = GaussianProcess(groups, tolerance)
        self._constrained = False

    def fit(self, points: Array, losses: Array, violation: Array | None) -> None:
        """Learn from points, from where the last fit ended.

        Args:
            points: (n, dimension).
            losses: (n, objectives).
            violation: (n,), or ``None`` where there are no constraints to learn.
        """
        x = genes = self.encoded(points)
        for model, loss in reversed([*zip(self._models, losses.T, strict=True)]):
            x = np.column_stack([x, model.fit(x, loss)])
        self._constrained = violation is not None
        if violation is not None:
            self._violation.fit(genes, violation)

    def predict(self, points: Array, optimism: float) -> Array:
        """Predict the losses of points in the scale of `LossModel`, penalised where a violation is predicted.

        Args:
            points: (n, dimension).
            optimism: the standard deviations by which a prediction is lowered. At 0 it is the expected loss;
                above it is a lower confidence bound, the acquisition function of optimistic search.

        Returns:
            (n, objectives).
        """
        x = genes = self.encoded(points)
        predicted = []
        for model in reversed(self._models):
            expected, bound = model.predict(x, optimism)
            predicted.append(bound)
            # the chain goes on from what is expected, or the bounds of all losses would add up in the last
            x = np.column_stack([x, expected])
        losses: Array = np.column_stack(predicted[::-1])
        if self._constrained:
            _, violation = self._violation.predict(genes, optimism)
            return penalise(losses, violation)
        return losses

    def as_losses(self, predicted: Array) -> Array:
        """Transform predictions, (n, objectives), back to losses."""
        losses: Array = np.column_stack(
            [model.as_losses(column) for model, column in zip(self._models, predicted.T, strict=True)]
        )
        return losses

    def encoded(self, points: Array) -> Array:
        """Encode points, (n, dimension), as the columns that the Gaussian processes see.

        A float or an int is a column. A gene with k choices is k columns, a corner of a simplex with edges of
        length 1, so that any two choices are as far apart as the ends of a float.
        """
        columns = [
            _corners(axis, choices) if choices else axis[:, None]
            for axis, choices in zip(points.T, self._choices, strict=True)
        ]
        joined: Array = np.concatenate(columns, axis=1)
        return joined


def _corners(axis: Array, choices: int) -> Array:
    """One-hot columns, (n, choices), of an axis, (n,); the factor makes their distance 1."""
    part = np.minimum((axis * choices).astype(int), choices - 1)
    corners: Array = np.eye(choices)[part] / np.sqrt(2)
    return corners
