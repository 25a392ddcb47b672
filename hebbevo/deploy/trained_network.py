"""A trained network that takes rows as the user has them, and names classes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from hebbevo.data import Label, Split
from hebbevo.data.columns import Column
from hebbevo.data.preprocessing import ROWS_AT_A_TIME, Preprocessing
from hebbevo.deploy.compaction import compact
from hebbevo.deploy.network_figures import NetworkFigures, Origin
from hebbevo.deploy.provenance import Provenance
from hebbevo.errors import UsageError
from hebbevo.networks.chain import Chain
from hebbevo.nn.cutting.plain_modules import traced

_STATISTICS = ("mean", "scale", "target_mean", "target_scale")


class TrainedNetwork(Chain):
    """A network with the preprocessing of its data set and the names of its classes.

    Give it rows as the data set has them: ``forward`` standardises them first, in float64. Give columns with
    large offsets, such as Unix timestamps, in float64 too. `predict` and `predict_proba` work as in
    scikit-learn, and also take tables. All of it is in the ``state_dict``.

    Attributes:
        network: the network alone. It takes standardised rows, in the shape in which it was trained, and
            predicts standardised targets of a regression.
        classes: the labels, in the order of the outputs.
        columns: the columns of a table, in the order of its features; empty if rows are no table's.
        figures: where its weights come from, and what it reaches; ``None`` if it is of no study.
        provenance: the trial and the data that it comes from; ``None`` if that is not known.
    """

    mean: Tensor
    scale: Tensor
    target_mean: Tensor
    target_scale: Tensor

    def __init__(
        self,
        network: nn.Module,
        split: Split,
        shape: tuple[int, ...],
        figures: NetworkFigures | None = None,
    ) -> None:
        """Wrap a network.

        Args:
            network: takes standardised rows.
            split: the data that it was trained on.
            shape: shape in which the network takes a row.
            figures: what it reaches.
        """
        super().__init__()
        self.network = network
        self.figures = figures
        self.classes: tuple[Label, ...] = split.classes
        self.columns: tuple[Column, ...] = split.columns
        self.shape = split.shape
        self.input_shape = shape
        self.provenance: Provenance | None = None
        self._x_val = split.x_val
        device = next((each.device for each in network.parameters()), None)
        for name in _STATISTICS:
            statistic = torch.as_tensor(np.asarray(getattr(split, name), np.float64), device=device)
            self.register_buffer(name, statistic)

    @property
    def origin(self) -> Origin | None:
        """Where its weights come from: ``kept``, ``reproduced`` or ``retrained``."""
        return self.figures.origin if self.figures else None

    def forward(self, rows: Tensor) -> Tensor:
        """The outputs for raw rows, shape (rows, ...).

        These are logits, one for each class; or of a regression the amount, in float64 and the unit of the
        targets: a large mean must not round small differences away.
        """
        flat = rows.reshape(rows.shape[0], -1).to(torch.float64)
        standardised = ((flat - self.mean) / self.scale).to(torch.float32)
        outputs: Tensor = self.network(standardised.reshape(-1, *self.input_shape))
        return outputs if self.classes else outputs.double() * self.target_scale + self.target_mean

    def in_order(self) -> list[nn.Module]:
        """See `Chain.in_order`."""
        parts = [traced(_Standardise(self.mean, self.scale, self.input_shape), "Standardise"), self.network]
        if not self.classes:
            parts.append(traced(_InUnits(self.target_mean, self.target_scale), "InUnits"))
        return parts

    def compact(self, rows: Any) -> nn.Module:
        """A small network of PyTorch alone with the same outputs; see `hebbevo.compact`.

        The statistics are inside, so it takes raw rows, and gives logits or amounts, as `forward` does. Its
        attribute ``classes`` names the outputs.

        Args:
            rows: as `predict_proba` takes them, on which the outputs are compared.
        """
        module = compact(self, torch.from_numpy(self.preprocessing.features(rows)))
        module.classes = self.classes  # type: ignore[assignment]
        return module

    def predict_proba(self, rows: Any) -> npt.NDArray[np.float32]:
        """The probability of each class, shape (rows, classes). The network stays in its mode.

        Args:
            rows: an array as the data set has it, shape (rows, ...); for a table a DataFrame or a mapping of
                columns.

        Raises:
            DataError: a column or a value is missing, a category is unknown, or the shape is another.
            UsageError: the network predicts amounts, which have no probabilities.
        """
        if not self.classes:
            raise UsageError("predict_proba: a regression has no probabilities; call predict")
        return cast(npt.NDArray[np.float32], self._outputs(rows).float().softmax(1).cpu().numpy())

    def predict(self, rows: Any) -> npt.NDArray[Any]:
        """The most probable class of each row, as the data set names it; of a regression the amount.

        Takes rows as `predict_proba`.
        """
        outputs = self._outputs(rows).cpu().numpy()
        predicted: npt.NDArray[Any] = (
            np.array(self.classes)[outputs.argmax(1)] if self.classes else outputs.reshape(len(outputs))
        )
        return predicted

    def _outputs(self, rows: Any) -> Tensor:
        """The outputs for raw rows of any form, in evaluation mode."""
        raw = self.preprocessing.features(rows)
        training = self.training
        self.eval()
        try:
            with torch.no_grad():
                parts = [
                    self(torch.from_numpy(raw[start : start + ROWS_AT_A_TIME]).to(self.mean.device))
                    for start in range(0, len(raw), ROWS_AT_A_TIME)
                ]
        finally:
            self.train(training)
        return torch.cat(parts) if parts else torch.empty(0, len(self.classes) or 1)

    def validation_rows(self) -> npt.NDArray[np.float64]:
        """Validation rows of its study, as ``forward`` takes them, except for rounding."""
        preprocessing = self.preprocessing
        return self._x_val.astype(np.float64) * preprocessing.scale + preprocessing.mean

    @property
    def preprocessing(self) -> Preprocessing:
        """Makes features, as ``forward`` takes them, of rows in any form that `predict_proba` takes."""
        mean, scale = (buffer.cpu().numpy() for buffer in (self.mean, self.scale))
        return Preprocessing(mean, scale, self.shape, self.columns)

    def _apply(self, fn: Callable[..., Any], recurse: bool = True) -> Self:
        """Move or convert, but keep the statistics in float64: less would lose columns with large offsets."""
        kept = {name: getattr(self, name) for name in _STATISTICS}
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        for name, statistic in kept.items():
            setattr(self, name, statistic.to(getattr(self, name).device))
        return self

    def get_extra_state(self) -> dict[str, Any]:
        """What the ``state_dict`` holds beside tensors: classes and columns, as plain data."""
        columns = [[each.name, list(each.categories), each.encoding] for each in self.columns]
        return {"classes": list(self.classes), "columns": columns}

    def set_extra_state(self, state: Any) -> None:
        """Take classes and columns from a ``state_dict``."""
        self.classes = tuple(state["classes"])
        self.columns = tuple(
            Column(name, tuple(categories), encoding) for name, categories, encoding in state["columns"]
        )


class _Standardise(nn.Module):
    """Raw rows to those that a network takes, as `TrainedNetwork.forward` standardises them."""

    def __init__(self, mean: Tensor, scale: Tensor, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.shape = shape
        self.register_buffer("mean", mean)
        self.register_buffer("scale", scale)

    def forward(self, rows: Tensor) -> Tensor:
        flat = rows.reshape(rows.shape[0], -1).to(torch.float64)
        standardised = ((flat - self.mean) / self.scale).to(torch.float32)  # type: ignore[operator]
        return standardised.reshape(-1, *self.shape)


class _InUnits(nn.Module):
    """Standardised targets to amounts, as `TrainedNetwork.forward` has them."""

    def __init__(self, mean: Tensor, scale: Tensor) -> None:
        super().__init__()
        self.register_buffer("mean", mean)
        self.register_buffer("scale", scale)

    def forward(self, outputs: Tensor) -> Tensor:
        return outputs.double() * self.scale + self.mean  # type: ignore[operator]
