"""A network whose weights a study keeps."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class KeptNetwork:
    """A network of a member of the front, with its weights.

    Attributes:
        trial: number of the trial.
        epoch: number of epochs that it was trained.
        replicate: its number among the networks of the trial: that of median accuracy.
        accuracy: its accuracy on the validation rows.
        survivors: its number of neurons, or connections, on a live path.
        weights: its parameters and buffers, packed (`hebbevo.training.weights`); no code.
    """

    trial: int
    epoch: int
    replicate: int
    accuracy: float
    survivors: int
    weights: bytes

    @property
    def member(self) -> tuple[int, int]:
        """Trial and epoch."""
        return self.trial, self.epoch
