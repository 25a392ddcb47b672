"""The training of a cohort by the native engine: each net by itself, for an epoch at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from hebbevo import native
from hebbevo.errors import UsageError
from hebbevo.space.knobs import Value
from hebbevo.training.cohort import CohortTraining, optimizer_of
from hebbevo.training.native_net import NativeRows
from hebbevo.training.native_service import why_not_served
from hebbevo.training.native_stack import NativeStack
from hebbevo.training.scores import ACCURACY
from hebbevo.training.stack import ModuleStack, NetStack
from hebbevo.training.subcohorts import SubCohort


class NativeTraining(CohortTraining):
    """The training of a cohort by the native engine; see `CohortTraining`.

    Measuring, stopping early and keeping weights are those of any cohort. What a net reaches does not depend
    on the others, not even by rounding.

    Raises:
        UsageError: the engine was not compiled, or does not serve these nets.
    """

    def _grouped(
        self, nets: ModuleStack, model: nn.Module, values: Sequence[Mapping[str, Value]]
    ) -> Sequence[SubCohort]:
        """See `CohortTraining`."""
        rows, batch_size = self._rows, self._recipe.batch_size
        if reason := why_not_served(self._recipe, model, rows.x.device):
            raise UsageError(reason)
        self._native_rows = NativeRows(rows.x, rows.y, self._loss_of)
        stack = NativeStack(nets, model, rows.x[:1].clone(), batch_size, native.library())
        return [SubCohort(torch.arange(nets.size), stack, optimizer_of(model, stack.trained, values))]

    def _train_on(self, order: Tensor) -> None:
        """See `CohortTraining`; a net whose loss is no longer finite takes no further step."""
        batch_size = self._recipe.batch_size
        steps = slice(self._step, self._step - (-len(order) // batch_size))
        self._step = steps.stop
        for each in self.sub_cohorts:
            assert isinstance(each.nets, NativeStack)
            self.losses[steps, each.rows] = each.nets.train(
                each.optimizer,
                self._native_rows,
                order,
                batch_size,
                self.learning_rate_factors[steps, each.rows],
                (self._diverged[each.rows] == 0).tolist(),
            )

    def train_step(self, rows: Tensor) -> list[tuple[NetStack, list[Tensor]]]:
        """Take one step on a minibatch, (b,) int64 row numbers.

        Returns:
            Nothing: gradients are not kept.
        """
        self._train_on(rows)
        return []

    def _scores(self, sub_cohort: SubCohort, x: Tensor, y: Tensor) -> Tensor:
        """See `CohortTraining`; accuracy is compiled."""
        if self._recipe.score_name != ACCURACY:
            return super()._scores(sub_cohort, x, y)
        assert isinstance(sub_cohort.nets, NativeStack)
        right = sub_cohort.nets.right(NativeRows(x, y, self._loss_of))
        return self._unless_diverged(sub_cohort.rows, right >= 0, right.double() / len(x))
