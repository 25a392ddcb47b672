"""Where a trained network comes from, and what it reaches."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Origin(StrEnum):
    """Where the weights of a network come from."""

    KEPT = "kept"
    """They are those of the search, which the study has kept."""
    REPRODUCED = "reproduced"
    """It was trained again and reached exactly what is recorded."""
    RETRAINED = "retrained"
    """It was trained again and reached other figures than those recorded."""


@dataclass(frozen=True)
class NetworkFigures:
    """Where a trained network comes from, and what it reaches on the validation rows.

    Attributes:
        origin: where its weights come from.
        trial: number of its trial.
        epoch: number of epochs that it was trained.
        replicate: its number among the networks of the trial; 0 is the first.
        accuracy: its accuracy, or other score, on the validation rows: of this network, not of its trial.
        survivors: its number of neurons, or connections, on a live path.
        recorded_accuracy: what the study has recorded after this epoch, as a mean over replicates.
        recorded_survivors: likewise.
    """

    origin: Origin
    trial: int
    epoch: int
    replicate: int
    accuracy: float
    survivors: int
    recorded_accuracy: float
    recorded_survivors: float
